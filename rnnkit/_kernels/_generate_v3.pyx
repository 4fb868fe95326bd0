# Generation in float32, built for x86-64-v3; all that the builds share is in generate.pxi.
include "float32.pxi"
include "generate.pxi"

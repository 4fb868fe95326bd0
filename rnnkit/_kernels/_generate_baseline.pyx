# Generation in float32, built for the baseline of the processor family; all that the builds share is in generate.pxi.
include "float32.pxi"
include "generate.pxi"

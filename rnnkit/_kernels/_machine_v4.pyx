# What this machine can do with x86-64-v4 in float32; all that the builds share is in machine.pxi.
include "float32.pxi"
include "machine.pxi"

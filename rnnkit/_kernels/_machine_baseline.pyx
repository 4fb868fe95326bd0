# What this machine can do with the baseline of the processor family in float32; all that the builds share is in machine.pxi.
include "float32.pxi"
include "machine.pxi"

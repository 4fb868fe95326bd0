# The operations in float32, built for x86-64-v4; all that they share is in ops.pxi.
include "float32.pxi"
include "ops.pxi"

# The operations in float64, built for x86-64-v4; all that they share is in ops.pxi.
include "float64.pxi"
include "ops.pxi"

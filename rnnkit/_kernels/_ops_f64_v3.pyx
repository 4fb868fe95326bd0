# The operations in float64, built for x86-64-v3; all that they share is in ops.pxi.
include "float64.pxi"
include "ops.pxi"

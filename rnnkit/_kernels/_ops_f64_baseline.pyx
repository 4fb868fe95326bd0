# The operations in float64, built for the baseline of the processor family; all that they share is in ops.pxi.
include "float64.pxi"
include "ops.pxi"

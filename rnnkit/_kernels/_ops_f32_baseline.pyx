# The operations in float32, built for the baseline of the processor family; all that they share is in ops.pxi.
include "float32.pxi"
include "ops.pxi"

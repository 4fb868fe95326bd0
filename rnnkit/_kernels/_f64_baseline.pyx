# The kernels in float64, built for the processor family's baseline; all that they share is in kernels.pxi.
include "float64.pxi"
include "kernels.pxi"

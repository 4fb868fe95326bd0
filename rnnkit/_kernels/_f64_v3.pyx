# The kernels in float64, built for x86-64-v3; all that they share is in kernels.pxi.
include "float64.pxi"
include "kernels.pxi"

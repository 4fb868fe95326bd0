# The kernels in float32, built for x86-64-v3; all that they share is in kernels.pxi.
include "float32.pxi"
include "kernels.pxi"

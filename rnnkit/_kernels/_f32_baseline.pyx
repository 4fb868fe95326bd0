# The kernels in float32, built for the processor family's baseline; all that they share is in kernels.pxi.
include "float32.pxi"
include "kernels.pxi"

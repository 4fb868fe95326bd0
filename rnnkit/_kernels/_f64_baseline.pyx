# The kernels in float64, built for the processor family's baseline; all that they share is in kernels.pxi.
ctypedef double real
cdef enum:
    LANES = 8  # 64 bytes of real
DTYPE = "float64"

include "kernels.pxi"

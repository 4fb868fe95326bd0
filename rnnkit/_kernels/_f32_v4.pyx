# The kernels in float32, built for x86-64-v4; all that they share is in kernels.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real
DTYPE = "float32"

include "kernels.pxi"

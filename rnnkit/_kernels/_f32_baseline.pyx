# The kernels in float32, built for the processor family's baseline; all that they share is in kernels.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real
DTYPE = "float32"

include "kernels.pxi"

# The operations in float32, built for x86-64-v3; all that they share is in ops.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real
DTYPE = "float32"

include "ops.pxi"

# The operations in float32, built for the baseline of the processor family; all that they share is in ops.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real
DTYPE = "float32"

include "ops.pxi"

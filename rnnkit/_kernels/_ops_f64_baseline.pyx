# The operations in float64, built for the baseline of the processor family; all that they share is in ops.pxi.
ctypedef double real
cdef enum:
    LANES = 8  # 64 bytes of real
DTYPE = "float64"

include "ops.pxi"

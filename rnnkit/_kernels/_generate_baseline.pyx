# Generation in float32, built for the baseline of the processor family; all that the builds share is in generate.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real

include "generate.pxi"

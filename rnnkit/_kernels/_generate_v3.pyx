# Generation in float32, built for x86-64-v3; all that the builds share is in generate.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real

include "generate.pxi"

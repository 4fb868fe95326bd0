# What this machine can do with x86-64-v3 in float32; all that the builds share is in machine.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real

include "machine.pxi"

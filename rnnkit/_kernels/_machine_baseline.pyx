# What this machine can do with the baseline of the processor family in float32; all that the builds share is in machine.pxi.
ctypedef float real
cdef enum:
    LANES = 16  # 64 bytes of real

include "machine.pxi"

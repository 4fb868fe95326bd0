# What this machine can do, measured by the same compiler with the same flags as the kernels: multiply-adds in
# registers (the limit that `rnnkit bench` divides by), and the quantities by which the kernels choose their ways.
from cython.parallel cimport parallel
from libc.math cimport tanh
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "platform.h" nogil:
    enum:
        TILE_BYTES "RNNKIT_TILE_BYTES"
        OPENMP "rnnkit_openmp"
    int rnnkit_thread()
    int rnnkit_team()

cdef extern from "barrier.h" nogil:
    ctypedef struct rnnkit_barrier:
        pass
    void rnnkit_wait(rnnkit_barrier* barrier, int team)

cdef enum:
    MR = 6  # rows of a tile
    PANEL = 4 * LANES  # columns of a panel

include "math.pxi"
include "product.pxi"
include "packing.pxi"
include "peak.pxi"
include "quantities.pxi"

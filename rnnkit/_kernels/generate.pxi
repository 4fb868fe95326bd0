# Writing on from a text in one call: what the modules of every instruction set share (see generation.py).
#
# Notation: one row, H hidden units, V tokens, groups of LANES units or logits.  Everything is padded to whole groups with
# zeros, which padded units keep: no loop has an edge.
#
# How it works.  A step reads every weight once and does two operations with it, so it goes at the speed of the caches.
# A matrix lies in panels, the gates of one group of units each, as they are read: one stream.  `dot` runs a vector down a
# panel, its sums in registers.  The groups are shared out among the threads, which meet after every layer and after the
# logits; each then draws the same token for itself.  Every other token goes through the groups backwards, so that it
# begins with what the one before left in the cache.  A sum never depends on the number of threads.
from cython.parallel cimport parallel
from libc.math cimport INFINITY, fabsf, rintf, tanh
from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "platform.h" nogil:
    enum:
        TILE_BYTES "RNNKIT_TILE_BYTES"
        OPENMP "rnnkit_openmp"
    int rnnkit_thread()
    int rnnkit_team()
    unsigned rnnkit_flush_denormals()
    void rnnkit_restore(unsigned mode)

cdef extern from "barrier.h" nogil:
    ctypedef struct rnnkit_barrier:
        pass
    void rnnkit_wait(rnnkit_barrier* barrier, int team)

cdef extern from "integers.h" nogil:
    int rnnkit_has_vnni()
    void rnnkit_sums_vnni(int groups, Py_ssize_t quads, const uint8_t* vector, const int8_t* weights,
                          const int32_t* start, int32_t* sums)
    void rnnkit_sums_plain(int groups, Py_ssize_t quads, const uint8_t* vector, const int8_t* weights,
                           const int32_t* start, int32_t* sums)

include "math.pxi"
include "team.pxi"
include "norm_row.pxi"
include "generate_dot.pxi"
include "generate_step.pxi"
include "generate_draw.pxi"
include "generate_loop.pxi"

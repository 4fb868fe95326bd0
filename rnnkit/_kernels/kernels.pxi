# The compiled kernels, written once for `real` and built per dtype and instruction set.
#
# Notation: T steps, B batch rows, I inputs, H hidden units, G gates; arrays are time-major and C-contiguous,
# states [T+1,B,H] with slot t the state before step t (slot t+1 in reverse).
#
# How it works.  Weights are packed once into panels of at most PANEL columns, LANES columns to a group (64 bytes, one
# or more vector registers), padded with zero columns.  The hot loops are the tiles of product.pxi and cell.pxi: MR rows
# times a panel, all sums in registers.  A cell's panel holds every gate of the same units, so that x_t and h_{t-1} run
# through the K loop one after the other and the gates are finished where the sums lie, in a buffer in L1.  The sums of a
# step start from the bias, from a token's row of the projected table, or from x W + b of a chunk of steps.  A tile of a
# cell without R may take rows of several steps (minimal.pxi).  A worker walks all steps for its own rows and meets
# nobody, or for its own units and meets the others at every step; products over many steps are sharded by tiles of what
# comes out.  An output is always summed in the same order, whatever tile or worker it falls to: results do not depend on
# `threads`.
from cython.parallel cimport parallel
from libc.math cimport exp, tanh
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "platform.h" nogil:
    enum:
        TILE_BYTES "RNNKIT_TILE_BYTES"
        OPENMP "rnnkit_openmp"
    int rnnkit_thread()
    int rnnkit_team()
    int rnnkit_level()
    void rnnkit_prefetch(const void* line)
    unsigned rnnkit_flush_denormals()
    void rnnkit_restore(unsigned mode)

cdef extern from "barrier.h" nogil:
    ctypedef struct rnnkit_barrier:
        pass
    void rnnkit_wait(rnnkit_barrier* barrier, int team)

cdef extern from "bfloat16.h" nogil:
    ctypedef unsigned short half "rnnkit_half"  # a bfloat16 number
    int rnnkit_has_bfloat16()
    void rnnkit_dot(int rows, int groups, Py_ssize_t runs, Py_ssize_t run, const half** A, Py_ssize_t a_k,
                    Py_ssize_t a_run, const half* P, Py_ssize_t ldp, float* C)
    void rnnkit_round(half* to, const float* a, Py_ssize_t n)
    void rnnkit_zip_rows(half* to, const float* a, const float* b, Py_ssize_t n)
    void rnnkit_zip_halves(half* to, const half* a, const half* b, Py_ssize_t n)
    void rnnkit_add_halves(float* sum, const half* a, Py_ssize_t n)

cdef enum:
    MR = 6  # rows of a tile
    PANEL = 4 * LANES  # columns of a panel

include "math.pxi"
include "lanes.pxi"
include "product.pxi"
include "packing.pxi"
include "cell.pxi"
include "pass.pxi"
include "jobs.pxi"
include "rounded.pxi"
include "step.pxi"
include "rnn.pxi"
include "lstm.pxi"
include "gru_after.pxi"
include "gru_before.pxi"
include "project.pxi"
include "minimal.pxi"
include "gradients.pxi"
include "team.pxi"
include "walk.pxi"
include "weights.pxi"
include "tape.pxi"
include "layer.pxi"

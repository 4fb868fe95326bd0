# The compiled operations of a training step outside the recurrent layers, written once for `real` and built per
# dtype and instruction set (contract: Ops in rnnkit/_kernels/__init__.py).
#
# Notation: N rows, K inputs, V outputs or classes; arrays are C-contiguous.
#
# Work is cut into shares whose sums do not depend on who makes them: dense layers by output tiles, losses by rows,
# vectors by blocks that are added in their order.  So results do not depend on `threads`.
from cython.parallel cimport parallel
from libc.math cimport exp, log, tanh
from libc.stdint cimport uint32_t, uintptr_t
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

cdef enum:
    MR = 6  # rows of a tile
    PANEL = 4 * LANES  # columns of a panel

include "math.pxi"
include "product.pxi"
include "packing.pxi"
include "team.pxi"
include "dense.pxi"
include "embedding.pxi"
include "loss.pxi"
include "norm_row.pxi"
include "norm.pxi"
include "optim.pxi"

"""Gradients of the parameters in the Numba backend: large products over all steps and rows, one share of their tiles.

A panel of the gate gradients is copied together, a chunk of rows at a time, and meets every tile of xᵀ and hᵀ while
the caches hold it.  Tiles are shared out whole, so that a sum is the same whoever makes it.
"""

from __future__ import annotations

import numpy as np

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.numba_jit import jit, part
from rnnkit._kernels.numba_layout import GRU_AFTER, GRU_BEFORE
from rnnkit._kernels.numba_product import PANEL, ROWS, rows_of, tile
from rnnkit._kernels.numba_vector import flush_denormals, restore

CHUNK = 240
"""Rows of T·B summed at a time: wide sums of short ones keep more digits, and the chunk stays in the caches."""


def room_for(inputs: int, hidden: int, dtype: np.dtype) -> int:
    """Numbers that a share needs to work in: a panel of D, the strips of Xᵀ and Lᵀ, and a one."""
    return CHUNK * (PANEL // dtype.itemsize + inputs + hidden) + 1


@part
def _tile_of(index, tiles, M):
    """First row and height of one of the tiles that M rows are cut into."""
    even, more = M // tiles, M % tiles
    return index * even + min(index, more), even + (1 if index < more else 0)


@part
def _columns(share, shares, size, K, D, at, N, X, inputs, dW, L, hidden, dR, biases, db, room):
    """Over K rows and N columns from ``at`` on of the gate gradients D: dW += Xᵀ·D, dR += Lᵀ·D, db += their sums.

    The ``Rows`` D, X and L are read from their start; ``dW``, ``dR`` and ``db`` start where column ``at`` goes.
    ``inputs``, ``hidden`` or ``biases`` of 0 leaves that product out.
    """
    panel = PANEL // room.itemsize
    x_tiles, h_tiles = (inputs + ROWS - 1) // ROWS, (hidden + ROWS - 1) // ROWS
    down = x_tiles + h_tiles + biases
    units = (N + panel - 1) // panel * down
    begin, end = units * share // shares, units * (share + 1) // shares
    one, x_strips = CHUNK * panel, CHUNK * panel + 1
    h_strips = x_strips + inputs * CHUNK
    room[one] = 1
    gather = end - begin > down  # where the strips serve more than one panel
    for low in range(0, K, CHUNK):
        k = min(CHUNK, K - low)
        if gather:
            _gather(k, x_tiles, inputs, X, low, room, x_strips)
            _gather(k, h_tiles, hidden, L, low, room, h_strips)
        unit = begin
        while unit < end:
            j, stop = unit // down * panel, min(end, (unit // down + 1) * down)
            n = min(panel, N - j)
            cells.copy(k, n, (D.array, room), (D.at + low * D.row + at + j, 0), (D.row, panel))
            for d in range(unit % down, unit % down + stop - unit):
                m, rows, out = 0, 1, db
                strip = rows_of(room, one, 0, 0)
                if d < x_tiles:
                    m, rows = _tile_of(d, x_tiles, inputs)
                    strip, out = _strip(gather, rows, m, X, low, room, x_strips), dW
                elif d < x_tiles + h_tiles:
                    m, rows = _tile_of(d - x_tiles, h_tiles, hidden)
                    strip, out = _strip(gather, rows, m, L, low, room, h_strips), dR
                to = out.at + m * out.row + j
                tile(size.tile, rows, k, strip.array, strip.at, 1, strip.row, room, 0, panel,
                     out.array, to, out.row, out.array, to, out.row, n)  # fmt: skip
            unit = stop


@part
def _gather(k, tiles, M, A, low, room, to):
    """The columns of A that each tile meets, k rows from ``low`` on, into a strip of their own."""
    for d in range(tiles):
        m, rows = _tile_of(d, tiles, M)
        cells.copy(k, rows, (A.array, room), (A.at + low * A.row + m, to + m * CHUNK), (A.row, rows))


@part
def _strip(gathered, rows, m, A, low, room, at):
    """Where a tile finds its columns of A, row by row."""
    if gathered:
        return rows_of(room, at + m * CHUNK, rows, 0)
    return rows_of(A.array, A.at + low * A.row + m, A.row, 0)


@jit
def gradients(share, shares, size, K, D, X, L, reset, dW, dR, db, dbn, of_x, of_h, room):
    """Over K rows, INOUT the gradients of W and b (``of_x``), of R and bn (``of_h``), one share of their tiles.

    ``D``: gate gradients in the columns of the layout; ``X``, ``L`` and ``reset``: what met W, R and R_n.
    ``room``: as much as ``room_for`` says, to work in.
    """
    mode = flush_denormals()
    kind, H = size.kind, size.hidden
    width = len(db)
    after, before = kind == GRU_AFTER, kind == GRU_BEFORE
    for piece in range(3 if after else 2 if before else 1):
        # columns [at, at + N) of the tape belong to those of the parameters from ``column`` on
        at, N, column, inputs, hidden, biases, left, sums = 0, width, 0, of_x, of_h, of_x, L, db
        if piece == 0 and (after or before):  # r z
            at, N = H if after else 0, 2 * H
        elif piece == 1 and after:  # n, which h does not meet
            at, N, column, hidden = 0, H, 2 * H, 0
        elif piece == 1:  # n
            at, N, column, left = 2 * H, H, 2 * H, reset
        elif piece == 2:  # q, which x does not meet
            at, N, column, inputs, biases, sums = 3 * H, H, 2 * H, 0, of_h, dbn
        start = 0 if piece == 2 else column
        _columns(
            share, shares, size, K, D, at, N, X, inputs * size.inputs, rows_of(dW, column, width, 0),
            left, hidden * H, rows_of(dR, column, width, 0), biases, rows_of(sums, start, 0, 0), room,
        )  # fmt: skip
    restore(mode)

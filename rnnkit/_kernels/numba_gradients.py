"""Gradients of the parameters in the Numba backend: large products over all steps and rows, one share of their tiles.

A panel of the gate gradients is copied together, a chunk of rows at a time, and meets every tile of xᵀ and hᵀ while
the caches hold it.  Tiles are shared out whole, so that a sum is the same whoever makes it.
"""

from __future__ import annotations

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.numba_layout import GRU_AFTER, GRU_BEFORE
from rnnkit._kernels.numba_product import PANEL, ROWS, Rows, tile
from rnnkit._kernels.numba_vector import flush_denormals, restore

CHUNK = 240
"""Rows of T·B summed at a time: wide sums of short ones keep more digits, and the chunk stays in the caches."""


@jit
def _tile_of(index, tiles, M):
    """First row and height of one of the tiles that M rows are cut into."""
    even, more = M // tiles, M % tiles
    return index * even + min(index, more), even + (1 if index < more else 0)


@jit
def _columns(share, shares, K, D, at, N, X, inputs, dW, L, hidden, dR, biases, db, room):
    """Over K rows and N columns from ``at`` on of the gate gradients D: dW += Xᵀ·D, dR += Lᵀ·D, db += their sums.

    The ``Rows`` D, X and L are read from their start; ``dW``, ``dR`` and ``db`` start where column ``at`` goes.
    ``inputs``, ``hidden`` or ``biases`` of 0 leaves that product out.
    """
    panel = PANEL // room.itemsize
    x_tiles, h_tiles = (inputs + ROWS - 1) // ROWS, (hidden + ROWS - 1) // ROWS
    down = x_tiles + h_tiles + biases
    units = (N + panel - 1) // panel * down
    room[CHUNK * panel] = 1
    begin, end = units * share // shares, units * (share + 1) // shares
    unit = begin
    while unit < end:
        j, stop = unit // down * panel, min(end, (unit // down + 1) * down)
        n = min(panel, N - j)
        for low in range(0, K, CHUNK):
            k = min(CHUNK, K - low)
            cells.copy(k, n, (D.array, room), (D.at + low * D.row + at + j, 0), (D.row, panel))
            for u in range(unit, stop):
                d = u % down
                if d < x_tiles:
                    m, rows = _tile_of(d, x_tiles, inputs)
                    out = dW.at + m * dW.row + j
                    tile(rows, k, X.array, X.at + low * X.row + m, 1, X.row, room, 0, panel,
                         dW.array, out, dW.row, dW.array, out, dW.row, n)  # fmt: skip
                elif d < x_tiles + h_tiles:
                    m, rows = _tile_of(d - x_tiles, h_tiles, hidden)
                    out = dR.at + m * dR.row + j
                    tile(rows, k, L.array, L.at + low * L.row + m, 1, L.row, room, 0, panel,
                         dR.array, out, dR.row, dR.array, out, dR.row, n)  # fmt: skip
                else:
                    out = db.at + j
                    tile(1, k, room, CHUNK * panel, 0, 0, room, 0, panel, db.array, out, 0, db.array, out, 0, n)
        unit = stop


@jit
def gradients(share, shares, size, K, D, X, L, reset, dW, dR, db, dbn, of_x, of_h, room):
    """Over K rows, INOUT the gradients of W and b (``of_x``), of R and bn (``of_h``), one share of their tiles.

    ``D``: gate gradients in the columns of the layout; ``X``, ``L`` and ``reset``: what met W, R and R_n.
    ``room``: CHUNK panels and one number, to work in.
    """
    mode = flush_denormals()
    kind, H = size.kind, size.hidden
    inputs, hidden = of_x * size.inputs, of_h * H
    width = len(db)
    W0, R0, b0 = Rows(dW, 0, width, 0), Rows(dR, 0, width, 0), Rows(db, 0, 0, 0)
    if kind == GRU_AFTER or kind == GRU_BEFORE:
        W1, R1, b1 = Rows(dW, 2 * H, width, 0), Rows(dR, 2 * H, width, 0), Rows(db, 2 * H, 0, 0)
        after = 1 if kind == GRU_AFTER else 0
        _columns(share, shares, K, D, after * H, 2 * H, X, inputs, W0, L, hidden, R0, of_x, b0, room)
        if kind == GRU_AFTER:
            _columns(share, shares, K, D, 0, H, X, inputs, W1, L, 0, R1, of_x, b1, room)
            _columns(share, shares, K, D, 3 * H, H, X, 0, W1, L, hidden, R1, of_h, Rows(dbn, 0, 0, 0), room)
        else:
            _columns(share, shares, K, D, 2 * H, H, X, inputs, W1, reset, hidden, R1, of_x, b1, room)
    else:
        _columns(share, shares, K, D, 0, width, X, inputs, W0, L, hidden, R0, of_x, b0, room)
    restore(mode)

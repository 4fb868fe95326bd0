"""Token ids in the Numba backend: what each symbol that occurs gives and gets is computed once, not once a token.

The symbols of a pass are numbered as they first occur.  Forward, x·W + b is a table with a row for each of them;
back, the gate gradients are summed into such a table, from which the gradients of W, b and the embedding follow.
"""

from __future__ import annotations

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.numba_product import rows_of, times
from rnnkit._kernels.numba_vector import VECTOR, flush_denormals, restore


@jit
def number(ids, first, last, marks, ranks, symbols):
    """OUT the ``ranks`` of the tokens [first, last) among ``symbols``, which is filled; returns how many these are.

    ``marks [V]`` is -1 throughout, before and after.
    """
    count = 0
    for k in range(first, last):
        token = ids[k]
        if marks[token] < 0:
            marks[token] = count
            symbols[count] = token
            count += 1
        ranks[k] = marks[token]
    for k in range(count):
        marks[symbols[k]] = -1
    return count


@jit
def project_symbols(share, shares, w, tape, size, count, rows):
    """OUT ``tape.tokens``: x·W + b of a share of the symbols, whose embeddings are ``rows [count, I]``."""
    mode = flush_denormals()
    first, last = count * share // shares, count * (share + 1) // shares
    source, target = (
        rows_of(rows, first * size.inputs, size.inputs, 0),
        rows_of(tape.tokens, first * size.ld, size.ld, 0),
    )
    times(size.tile, 1, last - first, size.x_columns, size.inputs, source, w.W, rows_of(w.b, 0, 0, 0), target)
    restore(mode)


@jit
def sum_by_symbol(share, shares, tape, size, count, first, last, ranks):
    """OUT ``tape.tokens``: sums of the gate gradients of each symbol, over a share of the columns."""
    mode = flush_denormals()
    lanes = VECTOR // tape.a.itemsize
    vectors = size.ld // lanes
    low, high = vectors * share // shares * lanes, vectors * (share + 1) // shares * lanes
    cells.clear(count, high - low, (tape.tokens,), (low,), (size.ld,))
    for k in range(first, last):
        cells.add(1, high - low, (tape.a, tape.tokens), (k * size.ld + low, ranks[k] * size.ld + low), (0, 0))
    restore(mode)


@jit
def symbol_gradients(share, shares, w, tape, size, count, symbols, rows, E):
    """INOUT ``E [V,I]``: the gradient of the embedding, a share of the symbols; ``rows [count, I]`` is room for it."""
    mode = flush_denormals()
    first, last = count * share // shares, count * (share + 1) // shares
    inputs, ld = size.inputs, size.ld
    target = rows_of(rows, first * inputs, inputs, 0)
    times(size.tile, 1, last - first, inputs, size.x_columns, rows_of(tape.tokens, first * ld, ld, 0), w.W_t,
          rows_of(w.zeros, 0, 0, 0), target)  # fmt: skip
    for k in range(first, last):
        cells.add(1, inputs, (rows, E), (k * inputs, symbols[k] * inputs), (0, 0))
    restore(mode)

"""The walks over time of the Numba backend: one share of the batch rows, forward and back.

Rows do not meet in a walk, so that shares of them may be walked at once.  Forward, a chunk of steps projects its
inputs together; then each step adds h·R, where the cell has R, and turns the sums into gates and states.
"""

from __future__ import annotations

from numpy import intp

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.numba_jit import jit, part
from rnnkit._kernels.numba_layout import (
    GRU_AFTER,
    GRU_BEFORE,
    LSTM,
    MINGRU_LINEAR,
    MINGRU_POSITIVE,
    MINLSTM_LINEAR,
    MINLSTM_POSITIVE,
    RNN_RELU,
)
from rnnkit._kernels.numba_product import rows_of, times
from rnnkit._kernels.numba_vector import flush_denormals, restore


@part
def _alive(lengths, t, first, last):
    """The next run of rows, from ``first`` on and below ``last``, that have a step t."""
    while first < last and t >= lengths[first]:
        first += 1
    end = first
    while end < last and t < lengths[end]:
        end += 1
    return first, end


@part
def _span_of_alive(size, lengths, t, first, last):
    """Cuts off the rows at either end that have no step t."""
    if size.ragged:
        while first < last and t >= lengths[first]:
            first += 1
        while first < last and t >= lengths[last - 1]:
            last -= 1
    return first, last


@part
def _slots(size, t):
    """Slots of the state before and after step t."""
    return (t + 1, t) if size.reverse else (t, t + 1)


@part
def _left(size, tape, h, old, mask, first, last):
    """What h·R starts from: h, or mask ⊙ h."""
    B, H = size.rows, size.hidden
    at = (old * B + first) * H
    if not size.masked:
        return rows_of(h, at, H, 0)
    cells.multiply(last - first, H, (h, mask, tape.left), (at, first * H, first * H), (H, H, H))
    return rows_of(tape.left, first * H, H, 0)


@part
def _project(w, tape, size, x, ranks, low, steps, base, first, last):
    """x·W + b of these steps into the columns that x meets, and q's own bias into its own."""
    B, H, inputs, ld = size.rows, size.hidden, size.inputs, size.ld
    at = (base + first) * ld
    if size.tokens:
        for s in range(steps):
            for b in range(first, last):
                token = ranks[(low + s) * B + b] * ld
                cells.copy(1, size.x_columns, (tape.tokens, tape.a), (token, (base + s * B + b) * ld), (0, 0))
    else:
        blocks, rows = (1, steps * B) if last - first == B else (steps, last - first)
        source = rows_of(x, (low * B + first) * inputs, inputs, B * inputs)
        times(
            size.tile,
            blocks,
            rows,
            size.x_columns,
            inputs,
            source,
            w.W,
            rows_of(w.b, 0, 0, 0),
            rows_of(tape.a, at, ld, B * ld),
        )
    if size.kind == GRU_AFTER:
        for s in range(steps):
            cells.copy(last - first, H, (w.bn, tape.a), (0, at + s * B * ld + 3 * H), (0, ld))


@jit
def forward(share, shares, w, tape, size, x, ranks, h, c, lengths, mask):
    """One share of the rows: OUT their states after each step, and the tape."""
    mode = flush_denormals()
    kind, B, H = size.kind, size.rows, size.hidden
    first, last = B * share // shares, B * (share + 1) // shares
    done = 0
    while done < size.stop - size.start:
        steps = min(size.chunk, size.stop - size.start - done)
        low = size.stop - done - steps if size.reverse else size.start + done
        base = low * B if size.training else 0  # first row of this chunk among the gates
        r0, r1 = _span_of_alive(size, lengths, low, first, last)
        if r0 < r1:
            _project(w, tape, size, x, ranks, low, steps, base, r0, r1)
        for s in range(steps):
            t = low + (steps - 1 - s if size.reverse else s)
            r0, r1 = _span_of_alive(size, lengths, t, first, last)
            if r0 < r1:
                _step(w, tape, size, h, c, mask, t, base + (t - low) * B, r0, r1)
            if size.ragged:
                old, new = _slots(size, t)
                for b in range(first, last):
                    if t >= lengths[b]:
                        cells.copy(1, H, (h, h), ((old * B + b) * H, (new * B + b) * H), (0, 0))
                        if kind == LSTM:
                            cells.copy(1, H, (c, c), ((old * B + b) * H, (new * B + b) * H), (0, 0))
        done += steps
    restore(mode)


@part
def _step(w, tape, size, h, c, mask, t, row, first, last):
    """One step of these rows, whose gates begin at ``row`` (of the whole batch) of the tape."""
    kind, B, H, ld = size.kind, size.rows, size.hidden, size.ld
    old, new = _slots(size, t)
    rows, a = last - first, (row + first) * ld
    h0, h1 = (old * B + first) * H, (new * B + first) * H
    if size.h_columns == 0:
        minimal_units(kind, rows, H, tape.a, a, ld, h, h0, h1)
        return
    left = _left(size, tape, h, old, mask, first, last)
    sums = rows_of(tape.a, a + size.h_first, ld, 0)
    times(size.tile, intp(1), rows, size.h_columns, H, left, w.R, sums, sums)
    if kind == LSTM:
        cells.lstm_units(
            rows, H, (tape.a, tape.a, tape.a, tape.a, c, c, h),
            (a, a + H, a + 2 * H, a + 3 * H, h0, h1, h1), (ld, ld, ld, ld, H, H, H),
        )  # fmt: skip
    elif kind == GRU_AFTER:
        cells.gru_after_units(
            rows, H, (tape.a, tape.a, tape.a, tape.a, h, h),
            (a, a + H, a + 2 * H, a + 3 * H, h0, h1), (ld, ld, ld, ld, H, H),
        )  # fmt: skip
    elif kind == GRU_BEFORE:
        reset = ((t * B if size.training else 0) + first) * H
        cells.gru_before_gates(
            rows, H, (tape.a, tape.a, left.array, tape.reset), (a, a + H, left.at, reset), (ld, ld, H, H)
        )
        sums = rows_of(tape.a, a + 2 * H, ld, 0)
        times(size.tile, intp(1), rows, H, H, rows_of(tape.reset, reset, H, 0), w.R_n, sums, sums)
        cells.gru_before_units(rows, H, (tape.a, tape.a, h, h), (a + 2 * H, a + H, h0, h1), (ld, ld, H, H))
    elif kind == RNN_RELU:
        cells.relu_units(rows, H, (tape.a, h), (a, h1), (ld, H))
    else:
        cells.tanh_units(rows, H, (tape.a, h), (a, h1), (ld, H))


@part
def minimal_units(kind, rows, H, gates, a, ld, h, h0, h1):
    """Some rows' pre-activations from ``a`` on into gates, and h from ``h0`` into h from ``h1`` on: cells without R."""
    if kind == MINGRU_LINEAR:
        cells.mingru_linear(rows, H, (gates, gates, h, h), (a, a + H, h0, h1), (ld, ld, H, H))
    elif kind == MINGRU_POSITIVE:
        cells.mingru_positive(rows, H, (gates, gates, h, h), (a, a + H, h0, h1), (ld, ld, H, H))
    elif kind == MINLSTM_LINEAR:
        cells.minlstm_linear(
            rows, H, (gates, gates, gates, h, h), (a, a + H, a + 2 * H, h0, h1), (ld, ld, ld, H, H)
        )  # fmt: skip
    else:
        cells.minlstm_positive(
            rows, H, (gates, gates, gates, h, h), (a, a + H, a + 2 * H, h0, h1), (ld, ld, ld, H, H)
        )  # fmt: skip


@jit
def backward(share, shares, w, tape, size, h, c, lengths, mask, dy, dh, dc, dx):
    """One share of the rows: gates into gradients; INOUT their dh and dc, OUT their dx unless it is empty."""
    mode = flush_denormals()
    B, inputs, ld = size.rows, size.inputs, size.ld
    first, last = B * share // shares, B * (share + 1) // shares
    done = 0
    while done < size.stop - size.start:
        steps = min(size.chunk, size.stop - size.start - done)
        low = size.start + done if size.reverse else size.stop - done - steps
        for s in range(steps):
            _step_back(w, tape, size, h, c, lengths, mask, dy, dh, dc, low + (s if size.reverse else steps - 1 - s),
                       first, last)  # fmt: skip
        if len(dx) > 0:
            blocks, rows = (1, steps * B) if last - first == B else (steps, last - first)
            row = low * B + first
            source, target = rows_of(tape.a, row * ld, ld, B * ld), rows_of(dx, row * inputs, inputs, B * inputs)
            times(size.tile, blocks, rows, inputs, size.x_columns, source, w.W_t, rows_of(w.zeros, 0, 0, 0), target)
        done += steps
    restore(mode)


@part
def _step_back(w, tape, size, h, c, lengths, mask, dy, dh, dc, t, first, last):
    kind, B, H, ld = size.kind, size.rows, size.hidden, size.ld
    old, new = _slots(size, t)
    row = t * B
    end = first
    while end < last:
        begin, dead = last, end
        if size.ragged:
            begin, end = _alive(lengths, t, dead, last)
            if dead < begin:
                cells.clear(begin - dead, ld, (tape.a,), ((row + dead) * ld,), (ld,))
        else:
            begin, end = first, last
        if begin < end:
            _units_back(tape, size, h, c, dy, dh, dc, (row + begin) * ld, old * B, new * B, row, begin, end)
    first, last = _span_of_alive(size, lengths, t, first, last)
    rows, a = last - first, (row + first) * ld
    if rows == 0 or size.h_columns == 0:
        return
    gradients = rows_of(tape.a, a + size.h_first, ld, 0)
    d, back, start = rows_of(dh, first * H, H, 0), rows_of(tape.back, first * H, H, 0), rows_of(w.zeros, 0, 0, 0)
    if kind == GRU_BEFORE:
        times(size.tile, intp(1), rows, H, H, rows_of(tape.a, a + 2 * H, ld, 0), w.R_nt, start, back)
        left = _left(size, tape, h, old, mask, first, last)
        cells.gru_before_reset_back(rows, H, (tape.a, left.array, tape.back), (a, left.at, back.at), (ld, H, H))
        if size.ragged:  # r of a row that has ended is none
            for b in range(first, last):
                if t >= lengths[b]:
                    cells.clear(1, ld, (tape.a,), ((row + b) * ld,), (0,))
        start = back
    if size.masked or size.ragged or kind == GRU_BEFORE:
        times(size.tile, intp(1), rows, H, size.h_columns, gradients, w.R_t, start, back)
        end = first
        while end < last:
            begin, end = _alive(lengths, t, end, last)
            at, by = begin * H, H
            if size.masked:
                cells.add_masked(end - begin, H, (tape.back, mask, dh), (at, at, at), (by, by, by))
            else:
                cells.add(end - begin, H, (tape.back, dh), (at, at), (by, by))
    else:
        times(size.tile, intp(1), rows, H, size.h_columns, gradients, w.R_t, d, d)


@part
def _units_back(tape, size, h, c, dy, dh, dc, a, old, new, row, begin, end):
    """Of a run of rows: gates into gradients of the pre-activations, dh and dc to the step before."""
    kind, H, ld, rows = size.kind, size.hidden, size.ld, end - begin
    h0, h1, y, d = (old + begin) * H, (new + begin) * H, (row + begin) * H, begin * H
    if kind == LSTM:
        cells.lstm_units_back(
            rows, H, (tape.a, tape.a, tape.a, tape.a, c, c, dy, dh, dc),
            (a, a + H, a + 2 * H, a + 3 * H, h0, h1, y, d, d), (ld, ld, ld, ld, H, H, H, H, H),
        )  # fmt: skip
    elif kind == GRU_AFTER:
        cells.gru_after_units_back(
            rows, H, (tape.a, tape.a, tape.a, tape.a, h, dy, dh),
            (a, a + H, a + 2 * H, a + 3 * H, h0, y, d), (ld, ld, ld, ld, H, H, H),
        )  # fmt: skip
    elif kind == GRU_BEFORE:
        cells.gru_before_units_back(
            rows, H, (tape.a, tape.a, h, dy, dh), (a + 2 * H, a + H, h0, y, d), (ld, ld, H, H, H)
        )
    elif kind == MINGRU_LINEAR:
        cells.mingru_linear_back(rows, H, (tape.a, tape.a, h, dy, dh), (a, a + H, h0, y, d), (ld, ld, H, H, H))
    elif kind == MINGRU_POSITIVE:
        cells.mingru_positive_back(rows, H, (tape.a, tape.a, h, dy, dh), (a, a + H, h0, y, d), (ld, ld, H, H, H))
    elif kind == MINLSTM_LINEAR:
        cells.minlstm_linear_back(
            rows, H, (tape.a, tape.a, tape.a, h, dy, dh),
            (a, a + H, a + 2 * H, h0, y, d), (ld, ld, ld, H, H, H),
        )  # fmt: skip
    elif kind == MINLSTM_POSITIVE:
        cells.minlstm_positive_back(
            rows, H, (tape.a, tape.a, tape.a, h, dy, dh),
            (a, a + H, a + 2 * H, h0, y, d), (ld, ld, ld, H, H, H),
        )  # fmt: skip
    elif kind == RNN_RELU:
        cells.relu_units_back(rows, H, (tape.a, h, dy, dh), (a, h1, y, d), (ld, H, H, H))
    else:
        cells.tanh_units_back(rows, H, (tape.a, h, dy, dh), (a, h1, y, d), (ld, H, H, H))

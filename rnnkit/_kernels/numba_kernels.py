"""Compiled at run time by Numba: fast without a C compiler, one thread, no BLAS.

Notation as in ``_kernels/__init__.py``.  Gates lie side by side in ``a [T,B,width]``, width being G·H rounded up
to whole panels of ``numba_product``.  The GRU keeps its candidate apart in ``n [T,B,width_n]`` (and h·R_n + bn
in ``q``), since x and h do not meet it in the same way; ``a`` then holds r and z.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np

from rnnkit._kernels import Kernels, Span
from rnnkit._kernels.numba_cells import (
    add_rows,
    clear,
    copy,
    fill_rows,
    gru_row,
    gru_row_back,
    lstm_row,
    lstm_row_back,
    multiply,
    reset_back,
    rnn_row,
    rnn_row_back,
    row_of,
    squash,
)
from rnnkit._kernels.numba_jit import CACHE, jit
from rnnkit._kernels.numba_product import VECTOR, outer, pack, padded_width, times

RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)


class _Weights(NamedTuple):
    """One layer, packed for ``times``; names in ``_n`` are the GRU's candidate, ``_t`` is transposed."""

    W: np.ndarray
    R: np.ndarray
    b: np.ndarray  # [width]
    W_t: np.ndarray
    R_t: np.ndarray
    W_n: np.ndarray
    R_n: np.ndarray
    b_n: np.ndarray  # [width_n]
    W_nt: np.ndarray
    R_nt: np.ndarray
    bn: np.ndarray  # [width_n], h·R_n's own


class _Tape(NamedTuple):
    """Flat buffers; without training the gates are those of one chunk of steps and the gradients are empty."""

    a: np.ndarray  # gates [T,B,width]
    n: np.ndarray  # candidate [T,B,width_n]
    q: np.ndarray  # h·R_n + bn of the reset-after GRU [T,B,width_n]
    da: np.ndarray  # their gradients, before the activations
    dn: np.ndarray
    dq: np.ndarray
    left: np.ndarray  # [rows of a chunk, H]: masked h
    reset: np.ndarray  # the same: r ⊙ masked h
    dh: np.ndarray  # [B, width_n]: of the masked h
    dx: np.ndarray  # [rows of a chunk, I in whole panels]
    W_sum: np.ndarray  # [I, width]: gradients of the parameters
    R_sum: np.ndarray  # [H, width]
    W_n_sum: np.ndarray
    R_n_sum: np.ndarray
    b_sum: np.ndarray
    b_n_sum: np.ndarray
    bn_sum: np.ndarray


class _Sizes(NamedTuple):
    """Numbers that a pass needs, all of them integers."""

    kind: int
    inputs: int
    hidden: int
    gates: int  # columns of a that are used
    width: int  # of a
    width_n: int  # of n and q: H in whole panels
    width_i: int  # I in whole panels
    rows: int  # B
    chunk: int  # steps whose inputs are projected together
    training: int
    start: int
    stop: int
    reverse: int
    masked: int


@jit
def _forward(w, tape, size, x, h, c, lengths, mask):
    kind, B, inputs, H, width, width_n = size.kind, size.rows, size.inputs, size.hidden, size.width, size.width_n
    gru = kind >= GRU_AFTER
    done = 0
    while done < size.stop - size.start:
        steps = min(size.chunk, size.stop - size.start - done)
        low = size.stop - done - steps if size.reverse else size.start + done
        base = low * B if size.training else 0  # first row of this chunk in the buffers of gates
        fill_rows(steps * B, w.b, tape.a[base * width :])
        times(steps * B, width, inputs, x[low * B * inputs :], inputs, w.W, tape.a[base * width :], width)
        if gru:
            fill_rows(steps * B, w.b_n, tape.n[base * width_n :])
            times(steps * B, width_n, inputs, x[low * B * inputs :], inputs, w.W_n, tape.n[base * width_n :], width_n)
        for s in range(steps):
            t = low + (steps - 1 - s if size.reverse else s)
            old, new = (t + 1, t) if size.reverse else (t, t + 1)
            row = base + (t - low) * B
            left = row_of(h, old, B * H)
            if size.masked:
                multiply(left, mask, tape.left[: B * H])
                left = tape.left
            times(B, width, H, left, H, w.R, tape.a[row * width :], width)
            if gru:
                for b in range(B):
                    a = row_of(tape.a, row + b, width)
                    squash(a[: 2 * H])
                    if kind == GRU_BEFORE:
                        multiply(a[:H], row_of(left, b, H), row_of(tape.reset, b, H))
                if kind == GRU_BEFORE:
                    times(B, width_n, H, tape.reset, H, w.R_n, tape.n[row * width_n :], width_n)
                else:
                    fill_rows(B, w.bn, tape.q[row * width_n :])
                    times(B, width_n, H, left, H, w.R_n, tape.q[row * width_n :], width_n)
            for b in range(B):
                h0, h1 = row_of(h, old * B + b, H), row_of(h, new * B + b, H)
                a = row_of(tape.a, row + b, width)
                if kind == LSTM:
                    c0, c1 = row_of(c, old * B + b, H), row_of(c, new * B + b, H)
                    lstm_row(a, c0, c1, h1)
                elif gru:
                    n = row_of(tape.n, row + b, width_n)[:H]
                    if kind == GRU_AFTER:
                        q = row_of(tape.q, row + b, width_n)[:H]
                        for j in range(H):
                            n[j] += a[j] * q[j]
                    gru_row(a[H : 2 * H], n, h0, h1)
                else:
                    rnn_row(kind == RNN_RELU, a, h1)
                if t >= lengths[b]:
                    copy(h0, h1)
                    if kind == LSTM:
                        copy(c0, c1)
        done += steps


@jit
def _backward(w, tape, size, h, c, lengths, mask, dy, dh, dc):
    kind, B, H, width, width_n = size.kind, size.rows, size.hidden, size.width, size.width_n
    for s in range(size.stop - size.start):
        t = size.start + s if size.reverse else size.stop - 1 - s
        old, new = (t + 1, t) if size.reverse else (t, t + 1)
        row = t * B
        for b in range(B):
            a, da = row_of(tape.a, row + b, width), row_of(tape.da, row + b, width)
            n, dn = row_of(tape.n, row + b, width_n)[:H], row_of(tape.dn, row + b, width_n)[:H]
            q, dq = row_of(tape.q, row + b, width_n)[:H], row_of(tape.dq, row + b, width_n)[:H]
            if t >= lengths[b]:
                clear(da)
                clear(dn)
                clear(dq)
                continue
            d, dy_t = row_of(dh, b, H), row_of(dy, row + b, H)
            for j in range(H):
                d[j] += dy_t[j]
            h0, h1 = row_of(h, old * B + b, H), row_of(h, new * B + b, H)
            if kind == LSTM:
                lstm_row_back(a, row_of(c, old * B + b, H), row_of(c, new * B + b, H), d, row_of(dc, b, H), da)
            elif kind >= GRU_AFTER:
                gru_row_back(a[H : 2 * H], n, h0, d, da[H : 2 * H], dn)
                if kind == GRU_AFTER:
                    copy(dn, dq)
                    reset_back(dq, q, a[:H], da[:H])
            else:
                rnn_row_back(kind == RNN_RELU, h1, d, da)
        clear(tape.dh)
        if kind == GRU_AFTER:
            times(B, H, H, tape.dq[row * width_n :], width_n, w.R_nt, tape.dh, width_n)
        elif kind == GRU_BEFORE:
            times(B, H, H, tape.dn[row * width_n :], width_n, w.R_nt, tape.dh, width_n)
            left = row_of(h, old, B * H)
            if size.masked:
                multiply(left, mask, tape.left[: B * H])
                left = tape.left
            for b in range(B):
                if t < lengths[b]:
                    r, dr = row_of(tape.a, row + b, width)[:H], row_of(tape.da, row + b, width)[:H]
                    reset_back(row_of(tape.dh, b, width_n)[:H], row_of(left, b, H), r, dr)
        times(B, H, size.gates, tape.da[row * width :], width, w.R_t, tape.dh, width_n)
        for b in range(B):
            if t < lengths[b]:
                d, back = row_of(dh, b, H), row_of(tape.dh, b, width_n)[:H]
                if size.masked:
                    keep = row_of(mask, b, H)
                    for j in range(H):
                        d[j] += back[j] * keep[j]
                else:
                    for j in range(H):
                        d[j] += back[j]


@jit
def _input_gradient(w, tape, size, dx):
    B, H, inputs, width_i = size.rows, size.hidden, size.inputs, size.width_i
    for low in range(size.start, size.stop, size.chunk):
        rows = min(size.chunk, size.stop - low) * B
        clear(tape.dx)
        times(rows, inputs, size.gates, tape.da[low * B * size.width :], size.width, w.W_t, tape.dx, width_i)
        if size.kind >= GRU_AFTER:
            times(rows, inputs, H, tape.dn[low * B * size.width_n :], size.width_n, w.W_nt, tape.dx, width_i)
        for row in range(rows):
            copy(row_of(tape.dx, row, width_i), row_of(dx, low * B + row, inputs))


@jit
def _weight_gradients(tape, size, x, h, mask):
    """Into the tape, chunk by chunk: dW = Xᵀ·dA, dR = Hᵀ·dA, and each bias the sum of its column."""
    kind, B, H, inputs, width, width_n = size.kind, size.rows, size.hidden, size.inputs, size.width, size.width_n
    for low in range(size.start, size.stop, size.chunk):
        steps = min(size.chunk, size.stop - low)
        rows, row = steps * B, low * B
        da, dn, dq = tape.da[row * width :], tape.dn[row * width_n :], tape.dq[row * width_n :]
        left = h[(row + B if size.reverse else row) * H :]
        if size.masked:
            for s in range(steps):
                multiply(row_of(left, s, B * H), mask, row_of(tape.left, s, B * H))
            left = tape.left
        outer(inputs, width, rows, x[row * inputs :], da, tape.W_sum, width)
        outer(H, width, rows, left, da, tape.R_sum, width)
        add_rows(rows, da, tape.b_sum)
        if kind >= GRU_AFTER:
            outer(inputs, width_n, rows, x[row * inputs :], dn, tape.W_n_sum, width_n)
            add_rows(rows, dn, tape.b_n_sum)
        if kind == GRU_AFTER:
            outer(H, width_n, rows, left, dq, tape.R_n_sum, width_n)
            add_rows(rows, dq, tape.bn_sum)
        elif kind == GRU_BEFORE:
            for k in range(rows):
                multiply(row_of(tape.a, row + k, width)[:H], row_of(left, k, H), row_of(tape.reset, k, H))
            outer(H, width_n, rows, tape.reset, dn, tape.R_n_sum, width_n)


# -- the five functions ------------------------------------------------------------------------

_ROWS_AT_ONCE = 240  # rows of a chunk: a whole number of tiles, and its gates stay in the second-level cache


def _split(kind: int, H: int) -> int:
    """Columns of W and R that belong to ``a``: all, but for the GRU's candidate."""
    return {LSTM: 4 * H, GRU_AFTER: 2 * H, GRU_BEFORE: 2 * H}.get(kind, H)


class _Layer(NamedTuple):
    """What ``prepare`` returns."""

    inputs: int
    hidden: int
    dtype: np.dtype
    packed: _Weights


class _Pass(NamedTuple):
    """What ``allocate`` returns."""

    T: int
    chunk: int
    training: bool
    lengths: np.ndarray
    tape: _Tape


def _padded(vector: np.ndarray) -> np.ndarray:
    wide = np.zeros(padded_width(len(vector), vector.dtype), vector.dtype)
    wide[: len(vector)] = vector
    return wide


def _kernels(kind: int) -> Kernels:
    gru = kind >= GRU_AFTER

    def prepare(params: Mapping[str, np.ndarray]) -> _Layer:
        W, R, b = params["W"], params["R"], params["b"]
        inputs, H = len(W), len(R)
        cut, empty = _split(kind, H), np.empty(0, W.dtype)

        def half(columns: slice) -> tuple[np.ndarray, ...]:
            w, r = W[:, columns], R[:, columns]
            return pack(w), pack(r), _padded(b[columns]), pack(w.T), pack(r.T)

        candidate = half(slice(cut, None)) if gru else (empty,) * 5
        bn = _padded(params["bn"]) if kind == GRU_AFTER else empty
        return _Layer(inputs, H, W.dtype, _Weights._make([*half(slice(cut)), *candidate, bn]))

    def allocate(layer: _Layer, T: int, B: int, training: bool) -> _Pass:
        inputs, H, dtype = layer.inputs, layer.hidden, layer.dtype
        width, width_n, width_i = (padded_width(n, dtype) for n in (_split(kind, H), H, inputs))
        chunk = max(1, min(T, _ROWS_AT_ONCE // max(B, 1)))
        rows = (T if training else chunk) * B
        after, train, both = kind == GRU_AFTER, int(training), int(training and gru)

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(int(np.prod(shape)), dtype)

        tape = _Tape(
            a=zeros(rows, width),
            n=zeros(rows, width_n, gru),
            q=zeros(rows, width_n, after),
            da=zeros(rows, width, train),
            dn=zeros(rows, width_n, both),
            dq=zeros(rows, width_n, train * after),
            left=zeros(chunk * B, H),
            reset=zeros(chunk * B, H, kind == GRU_BEFORE),
            dh=zeros(B, width_n, train),
            dx=zeros(chunk * B, width_i, train),
            W_sum=zeros(inputs, width, train),
            R_sum=zeros(H, width, train),
            W_n_sum=zeros(inputs, width_n, both),
            R_n_sum=zeros(H, width_n, both),
            b_sum=zeros(width, train),
            b_n_sum=zeros(width_n, both),
            bn_sum=zeros(width_n, train * after),
        )
        return _Pass(T, chunk, training, np.zeros(B, np.intp), tape)

    def sizes(layer: _Layer, memory: _Pass, span: Span) -> _Sizes:
        memory.lengths[:] = memory.T if span.lengths is None else span.lengths
        inputs, H, cut = layer.inputs, layer.hidden, _split(kind, layer.hidden)
        widths = (padded_width(n, layer.dtype) for n in (cut, H, inputs))
        steps = (memory.chunk, int(memory.training), span.start, span.stop, int(span.reverse))
        return _Sizes._make([kind, inputs, H, cut, *widths, len(memory.lengths), *steps, int(span.mask is not None)])

    def flat(array: np.ndarray | None, layer: _Layer) -> np.ndarray:
        """IN arrays as Numba wants them: one dimension, and one type whether or not they may be written to."""
        return (
            np.empty(0, layer.dtype) if array is None else np.require(array, layer.dtype, ["C", "A", "W"]).reshape(-1)
        )

    def forward(layer, x, states, memory, span: Span) -> None:
        h, c = states[0].reshape(-1), states[-1].reshape(-1)
        size = sizes(layer, memory, span)
        _forward(layer.packed, memory.tape, size, flat(x, layer), h, c, memory.lengths, flat(span.mask, layer))

    def backward(layer, x, states, memory, dy, dstates, dx, span: Span) -> None:
        size, mask = sizes(layer, memory, span), flat(span.mask, layer)
        h, c, dh, dc = (array.reshape(-1) for array in (states[0], states[-1], dstates[0], dstates[-1]))
        _backward(layer.packed, memory.tape, size, h, c, memory.lengths, mask, flat(dy, layer), dh, dc)
        if dx is not None:
            _input_gradient(layer.packed, memory.tape, size, dx.reshape(-1))

    def accumulate(layer, x, states, memory, grads, span: Span) -> None:
        tape, cut = memory.tape, _split(kind, layer.hidden)
        for total in tape[-7:]:
            total[:] = 0
        size, mask = sizes(layer, memory, span), flat(span.mask, layer)
        _weight_gradients(tape, size, flat(x, layer), states[0].reshape(-1), mask)
        for name, main, candidate in (("W", tape.W_sum, tape.W_n_sum), ("R", tape.R_sum, tape.R_n_sum)):
            grads[name][:, :cut] += main.reshape(len(grads[name]), -1)[:, :cut]
            if gru:
                grads[name][:, cut:] += candidate.reshape(len(grads[name]), -1)[:, : layer.hidden]
        grads["b"][:cut] += tape.b_sum[:cut]
        if gru:
            grads["b"][cut:] += tape.b_n_sum[: layer.hidden]
        if kind == GRU_AFTER:
            grads["bn"] += tape.bn_sum[: layer.hidden]

    return Kernels(prepare, allocate, forward, backward, accumulate)


KERNELS: dict[str, Kernels] = {
    "rnn_tanh": _kernels(RNN_TANH),
    "rnn_relu": _kernels(RNN_RELU),
    "lstm": _kernels(LSTM),
    "gru_after": _kernels(GRU_AFTER),
    "gru_before": _kernels(GRU_BEFORE),
}


def describe() -> str:
    """Numba and the processor it compiles for."""
    kept = f"code kept in {CACHE}" if CACHE else "compiled anew in each process, for want of a private cache folder"
    return f"Numba {numba.__version__}, {llvm.get_host_cpu_name()}, {8 * VECTOR}-bit vectors, one thread; {kept}"

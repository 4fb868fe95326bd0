"""Compiled at run time by Numba: fast without a C compiler, and without a BLAS.

The door from Python (contract: ``_kernels/__init__.py``): weights and tapes are made here, the passes are shared out
among threads.  The columns of the gates are those of ``numba_layout``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np

from rnnkit._kernels import Kernels, Span
from rnnkit._kernels.numba_gradients import gradients, room_for
from rnnkit._kernels.numba_jit import CACHE
from rnnkit._kernels.numba_layout import GRU_AFTER, GRU_BEFORE, VARIANTS, Sizes, Tape, Weights, columns
from rnnkit._kernels.numba_product import PANEL, Rows, aligned, packed, tile_code, whole
from rnnkit._kernels.numba_team import run, shares
from rnnkit._kernels.numba_tokens import number, project_symbols, sum_by_symbol, symbol_gradients
from rnnkit._kernels.numba_vector import VECTOR
from rnnkit._kernels.numba_walk import backward, forward
from rnnkit.errors import UsageError

_ROWS_AT_ONCE = 48
"""Rows of a chunk of steps, at least: enough of them for one reading of W."""


class _Layer(NamedTuple):
    """What ``prepare`` returns."""

    inputs: int
    hidden: int
    dtype: np.dtype
    packed: Weights
    table: np.ndarray | None


class _Symbols:
    """The symbols of one pass over token ids, and their embeddings."""

    def __init__(self, layer: _Layer, table: np.ndarray, tokens: int) -> None:
        most = min(tokens, len(table))
        self.table, self.marks = table, np.full(len(table), -1, np.intp)
        self.ranks, self.found = np.zeros(tokens, np.intp), np.zeros(most, np.intp)
        self.rows, self.back = (np.zeros((most, layer.inputs), layer.dtype) for _ in range(2))
        self.count = 0

    def number(self, ids: np.ndarray, first: int, last: int) -> None:
        """Number the symbols of the tokens [first, last) and look their embeddings up."""
        self.count = number(ids.reshape(-1), first, last, self.marks, self.ranks, self.found)
        np.take(self.table, self.found[: self.count], axis=0, out=self.rows[: self.count], mode="clip")


class _Pass:
    """What ``allocate`` returns."""

    def __init__(self, kind: int, layer: _Layer, T: int, B: int, training: bool) -> None:
        H, dtype, tokens = layer.hidden, layer.dtype, layer.table is not None
        all_columns, *meet = columns(kind, H)
        ld = whole(all_columns, dtype)
        chunk = max(1, min(T, _ROWS_AT_ONCE // max(B, 1)))
        self.T, self.B, self.lengths = T, B, np.zeros(B, np.intp)
        code = tile_code(dtype)
        self.size = Sizes._make(
            [code, kind, layer.inputs, H, ld, *meet, B, chunk, int(training), 0, 0, 0, 0, 0, int(tokens)]
        )
        self.symbols = _Symbols(layer, layer.table, T * B) if layer.table is not None else None
        self.tape = Tape(
            a=aligned((T if training else chunk) * B * ld, dtype),
            reset=aligned((T if training else 1) * B * H * (kind == GRU_BEFORE), dtype),
            left=aligned(B * H, dtype),
            back=aligned(B * H * training, dtype),
            tokens=aligned(len(self.symbols.found) * ld if self.symbols else 0, dtype),
        )
        self.rooms: list[np.ndarray] = []
        self.masked = np.zeros(0, dtype)

    def over(self, span: Span) -> Sizes:
        """The sizes of a pass over these steps."""
        self.lengths[:] = self.T if span.lengths is None else span.lengths
        masked = span.mask is not None and self.size.h_columns > 0
        now = {"reverse": span.reverse, "masked": masked, "ragged": span.lengths is not None}
        return self.size._replace(start=span.start, stop=span.stop, **{name: int(value) for name, value in now.items()})

    def ranks(self) -> np.ndarray:
        return np.zeros(0, np.intp) if self.symbols is None else self.symbols.ranks

    def room(self, count: int, layer: _Layer) -> list[np.ndarray]:
        """Where each of ``count`` shares of the weight gradients works."""
        while len(self.rooms) < count:
            self.rooms.append(aligned(room_for(layer.inputs, layer.hidden, layer.dtype), layer.dtype))
        return self.rooms

    def masked_h(self, h: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """mask ⊙ h of every step."""
        if len(self.masked) < len(h):
            self.masked = np.zeros_like(h)
        return np.multiply(h, mask, out=self.masked[: len(h)])


def _flat(array: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """An array as Numba wants it: one dimension, and one type whether or not it may be written to."""
    return np.empty(0, dtype) if array is None else np.require(array, dtype, ["C", "A", "W"]).reshape(-1)


def _kernels(kind: int) -> Kernels:
    def prepare(
        params: Mapping[str, np.ndarray],
        table: np.ndarray | None = None,
        precision: str = "float32",
        threads: int = 1,
    ) -> _Layer:
        if precision != "float32":
            raise UsageError(
                f"the numba backend has no {precision} products; take another with --backend, or leave --precision out"
            )
        W, b = (np.ascontiguousarray(params[name]) for name in ("W", "b"))
        inputs, H, dtype = len(W), len(b) // columns(kind, 1)[1], W.dtype
        R = np.ascontiguousarray(params.get("R", np.empty((H, 0), dtype)))
        cut, R_n, bn = R.shape[1], np.empty((H, 0), dtype), np.empty(0, dtype)
        if kind == GRU_AFTER:  # r z n of the parameters are n r z in the tape
            order = np.r_[2 * H : 3 * H, : 2 * H]
            W, b, bn = np.ascontiguousarray(W[:, order]), b[order], np.array(params["bn"])
        elif kind == GRU_BEFORE:
            cut = 2 * H
            R, R_n = np.ascontiguousarray(R[:, :cut]), np.ascontiguousarray(R[:, cut:])
        wide = aligned(len(b), dtype)
        wide[: len(b)] = b
        weights = Weights(
            W=packed(W),
            R=packed(R),
            R_n=packed(R_n),
            W_t=packed(W, transposed=True),
            R_t=packed(R, transposed=True),
            R_nt=packed(R_n, transposed=True),
            b=wide,
            bn=bn,
            zeros=aligned(max(inputs, H), dtype),
        )
        return _Layer(inputs, H, dtype, weights, table)

    def allocate(layer: _Layer, T: int, B: int, training: bool) -> _Pass:
        return _Pass(kind, layer, T, B, training)

    def teams(size: Sizes, threads: int) -> int:
        """Shares of the rows: two rows at least, since one alone reads the weights as long as two."""
        columns = size.x_columns + size.h_columns
        return shares(threads, size.rows // 2, (size.stop - size.start) * size.rows * columns * size.hidden)

    def forward_(layer: _Layer, x, states, memory: _Pass, span: Span) -> None:
        size, symbols, dtype, B = memory.over(span), memory.symbols, layer.dtype, memory.B
        if B == 0 or span.start >= span.stop:
            return
        if symbols is not None:
            symbols.number(x, span.start * B, span.stop * B)
            flops = 2 * symbols.count * layer.inputs * size.x_columns
            count = shares(span.threads, symbols.count, flops)
            rows = symbols.rows.reshape(-1)
            run(count, project_symbols, layer.packed, memory.tape, size, symbols.count, rows)
        inputs = _flat(None if symbols else x, dtype)
        h, c = states[0].reshape(-1), states[-1].reshape(-1)
        args = size, inputs, memory.ranks(), h, c, memory.lengths, _flat(span.mask, dtype)
        run(teams(size, span.threads), forward, layer.packed, memory.tape, *args)

    def backward_(layer: _Layer, x, states, memory: _Pass, dy, dstates, dx, span: Span) -> None:
        size, dtype = memory.over(span), layer.dtype
        if memory.B == 0 or span.start >= span.stop:
            return
        h, c, dh, dc = (array.reshape(-1) for array in (states[0], states[-1], dstates[0], dstates[-1]))
        outputs = np.empty(0, dtype) if dx is None else dx.reshape(-1)
        args = size, h, c, memory.lengths, _flat(span.mask, dtype), _flat(dy, dtype), dh, dc, outputs
        run(teams(size, span.threads), backward, layer.packed, memory.tape, *args)

    def accumulate(layer: _Layer, x, states, memory: _Pass, grads, span: Span) -> None:
        size, tape, symbols, dtype = memory.over(span), memory.tape, memory.symbols, layer.dtype
        B, H, inputs = memory.B, layer.hidden, layer.inputs
        if B == 0 or span.start >= span.stop:
            return
        first, last = span.start * B, span.stop * B
        left = states[0][1:] if span.reverse else states[0][:-1]
        if span.mask is not None and size.masked:
            left = memory.masked_h(left, span.mask)
        L = Rows(left.reshape(-1), first * H, H, 0)
        reset = Rows(tape.reset, first * H, H, 0)
        recurrent = int(size.h_columns > 0)
        dW, db = (grads[name].reshape(-1) for name in ("W", "b"))
        dR = grads["R"].reshape(-1) if recurrent else np.empty(0, dtype)
        out = dW, dR, db, grads["bn"] if kind == GRU_AFTER else np.empty(0, dtype)

        def sums(K: int, D: Rows, X: Rows, of_x: int, of_h: int) -> None:
            depth = of_x * inputs + of_h * H
            tiles = -(-len(db) * dtype.itemsize // PANEL) * (depth // 6 + 1)
            count = shares(span.threads, tiles, 2 * K * len(db) * depth)
            rooms = memory.room(count, layer)

            def work(share: int, count: int) -> None:
                gradients(share, count, size, K, D, X, L, reset, *out, of_x, of_h, rooms[share])

            run(count, work)

        D = Rows(tape.a, first * size.ld, size.ld, 0)
        if symbols is None:
            sums(last - first, D, Rows(_flat(x, dtype), first * inputs, inputs, 0), 1, recurrent)
            return
        if recurrent:
            sums(last - first, D, Rows(_flat(None, dtype), 0, 0, 0), 0, 1)
        symbols.number(x, first, last)
        vectors = size.ld * dtype.itemsize // VECTOR
        count = shares(span.threads, vectors, 8 * (last - first) * size.ld)  # bound by memory: each sum counts for more
        run(count, sum_by_symbol, tape, size, symbols.count, first, last, symbols.ranks)
        sums(symbols.count, Rows(tape.tokens, 0, size.ld, 0), Rows(symbols.rows.reshape(-1), 0, inputs, 0), 1, 0)
        if "E" in grads:
            count = shares(span.threads, symbols.count, 2 * symbols.count * inputs * size.x_columns)
            back, E = symbols.back.reshape(-1), grads["E"].reshape(-1)
            run(count, symbol_gradients, layer.packed, tape, size, symbols.count, symbols.found, back, E)

    return Kernels(prepare, allocate, forward_, backward_, accumulate, tokens=True)


KERNELS: dict[str, Kernels] = {variant: _kernels(kind) for kind, variant in enumerate(VARIANTS)}


def describe() -> str:
    """Numba and the processor it compiles for."""
    kept = f"code kept in {CACHE}" if CACHE else "compiled anew in each process, for want of a private cache folder"
    return f"Numba {numba.__version__}, {llvm.get_host_cpu_name()}, {8 * VECTOR}-bit vectors; {kept}"

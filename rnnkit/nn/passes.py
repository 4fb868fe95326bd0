"""One level of a recurrent stack in one direction, there and back, in pieces of steps.

The gradients of the parameters are summed a unit of steps at a time, the last first, whatever is kept: so it is
the same sums in the same order when only a piece of the steps has its gates kept at a time and the others are run
through once more on the way back (recomputation: Chen et al. 2016, "Training deep nets with sublinear memory cost").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit._kernels import Kernels, Span
from rnnkit.nn.tape import Tape

ROWS = 6144
"""Least rows of T·B in a unit: below, adding up the outputs costs time beside the products (eight of the 768 that the
compiled kernels take at a time)."""
TABLES = 8
"""A unit has so many times the tokens that a table has symbols: its own products are then an eighth or less."""

TOGETHER = 8_000_000
"""Multiply-adds of a direction from which on two threads walk both at once faster than one after the other: then each
reads the weights of its own direction alone and waits for nobody (measured with 2 threads: 1.0 at 5 million, 1.2 at 20,
1.5 with one row at 40; waking the other thread takes 60 µs)."""


def unit_steps(rows: int, symbols: int = 0) -> int:
    """Steps of ``rows`` rows whose gradients are summed at a time; ``symbols`` of a table, if tokens are read."""
    return math.ceil(max(ROWS, TABLES * symbols) / max(rows, 1))


def piece_steps(recompute: int, steps: int, unit: int) -> int:
    """Steps whose gates are kept at a time: whole units of about ``recompute`` steps, or all where that is 0."""
    return min(steps, unit * max(1, math.ceil(recompute / unit))) if recompute else steps


@dataclass(frozen=True)
class Sizes:
    """Everything that decides what a pass allocates."""

    steps: int
    rows: int
    hidden: int
    dtype: Any
    unit: int  # steps whose gradients are summed at a time
    piece: int  # steps whose gates are kept at a time
    cost: int  # multiply-adds per step and row


class Pass:
    """The walk of one level in one direction: ``forward`` fills its states, ``backward`` undoes it.

    ``states`` names the cell's states, h first. All memory comes from the tape, in the constructor: two passes may
    then run in two threads.
    """

    weights: Any
    x: Any  # [T,B,I], or token ids [T,B]
    span: Span

    def __init__(
        self,
        kernels: Kernels,
        weights: Any,
        reverse: bool,
        sizes: Sizes,
        tape: Tape,
        owner: str,
        states: tuple[str, ...],
    ) -> None:
        T, B, H, piece = sizes.steps, sizes.rows, sizes.hidden, sizes.piece
        self.kernels, self.reverse, self.sizes = kernels, reverse, sizes
        self.pieces = [(a, min(a + piece, T)) for a in range(0, T, max(piece, 1))]
        if reverse:
            self.pieces.reverse()
        self.h = tape.buffer(owner, "h", (T + 1, B, H), sizes.dtype)
        self.others = tuple(tape.buffer(owner, name, (piece + 1, B, H), sizes.dtype) for name in states[1:])
        edges = (len(self.pieces) + 1, B, H)
        self.edges = tuple(tape.buffer(owner, f"{name} between pieces", edges, sizes.dtype) for name in states[1:])
        self.kept = kernels.allocate(weights, piece, B, tape.training)

    def begin(self, weights: Any, x: np.ndarray, lengths: np.ndarray | None, mask: np.ndarray | None) -> None:
        """What the next walk goes over, and with which weights."""
        self.weights, self.x = weights, x
        self.span = Span(0, self.sizes.steps, self.reverse, lengths, mask)

    def end(self) -> None:
        """Let go of inputs and weights: the next ones would otherwise be made beside them."""
        self.weights = self.x = None

    @property
    def outputs(self) -> np.ndarray:
        """h after each step, ``[T,B,H]``."""
        return self.h[:-1] if self.reverse else self.h[1:]

    def together(self, threads: int) -> bool:
        """Whether this and the other direction, each with half of the threads, end sooner than one after the other."""
        s = self.sizes
        return threads > 1 and self.kernels.concurrent and s.steps * s.rows * s.cost > TOGETHER

    def forward(self, initial: Sequence[np.ndarray], final: Sequence[np.ndarray], threads: int) -> None:
        """Walk from ``initial`` to ``final``, the states ``[B,H]`` before the first step and after the last."""
        reverse, T = self.reverse, self.sizes.steps
        self.h[T if reverse else 0] = initial[0]
        for edge, first in zip(self.edges, initial[1:], strict=True):
            edge[0] = first
        for j in range(len(self.pieces)):
            self._walk(j, threads)
            a, b = self.pieces[j]
            for edge, state in zip(self.edges, self.others, strict=True):
                edge[j + 1] = state[0 if reverse else b - a]
        final[0][...] = self.h[0 if reverse else T]
        for edge, last in zip(self.edges, final[1:], strict=True):
            last[...] = edge[len(self.pieces)]

    def _walk(self, j: int, threads: int) -> None:
        """Piece j, from the states at its edge."""
        a, b = self.pieces[j]
        for edge, state in zip(self.edges, self.others, strict=True):
            state[b - a if self.reverse else 0] = edge[j]
        self.kernels.forward(
            self.weights, self.x[a:b], self._states(a, b), self.kept, self._span(a, b, 0, b - a, threads)
        )

    def backward(
        self,
        dy: np.ndarray,
        ends: tuple[np.ndarray, ...],
        dx: np.ndarray | None,
        grads: Mapping[str, np.ndarray],
        threads: int,
    ) -> None:
        """Undo it: IN ``dy [T,B,H]``, INOUT ``ends``, the gradient of the states, OUT ``dx``, INOUT ``grads``."""
        for j in reversed(range(len(self.pieces))):
            a, b = self.pieces[j]
            if j + 1 < len(self.pieces):  # the gates of the last piece are still there
                self._walk(j, threads)
            x, states = self.x[a:b], self._states(a, b)
            for first, last in self._units(a, b):
                span = self._span(a, b, first - a, last - a, threads)
                part = None if dx is None else dx[a:b]
                self.kernels.backward(self.weights, x, states, self.kept, dy[a:b], ends, part, span)
                self.kernels.accumulate(self.weights, x, states, self.kept, grads, span)

    def _units(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        """The units of a piece in the order of the way back; a piece begins where a unit does."""
        starts = range(a, b, self.sizes.unit)
        for start in starts if self.reverse else reversed(starts):
            yield start, min(start + self.sizes.unit, b)

    def _states(self, a: int, b: int) -> tuple[np.ndarray, ...]:
        return (self.h[a : b + 1], *(state[: b - a + 1] for state in self.others))

    def _span(self, a: int, b: int, start: int, stop: int, threads: int) -> Span:
        """Steps [start, stop) of the piece [a, b), counted from its beginning."""
        lengths = self.span.lengths
        if lengths is not None and b - a < self.sizes.steps:
            lengths = np.clip(lengths - a, 0, b - a)
        return self.span._replace(start=start, stop=stop, lengths=lengths, threads=threads)

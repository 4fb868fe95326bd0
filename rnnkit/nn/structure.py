"""Layers that compose layers; inputs with several parts travel as dictionaries of arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn.dense import Dropout, Embedding
from rnnkit.nn.layer import Layer, State, check_shape
from rnnkit.nn.memory import Footprint
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.tape import Tape


@dataclass(eq=False)
class Chain(Layer):
    """One layer after another; its state holds each one's.

    An embedding hands its ids on as they are (``nn.tokens``) where the recurrent layer that reads them wants no more.
    """

    kind: ClassVar[str] = "chain"

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        self.layers = tuple(self.layers)

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        tape = tape or Tape(training=False)
        states = state or (None,) * len(self.layers)
        final = []
        for i, (layer, first) in enumerate(zip(self.layers, states, strict=True)):
            if isinstance(layer, Embedding) and self._ids_will_do(i, np.shape(x), tape):
                x, last = layer.tokens(x, tape), None
            else:
                x, last = layer.forward(x, first, tape)
            final.append(last)
        return x, tuple(final)

    def _ids_will_do(self, at: int, shape: tuple[int, ...], tape: Tape) -> bool:
        """Whether a recurrent layer that takes ids reads what the embedding at this place gives."""
        above = (part for part in self.layers[at + 1 :] if not isinstance(part, Dropout) or part.active(tape))
        reader, table = next(above, None), self.layers[at]
        assert isinstance(table, Embedding)
        return isinstance(reader, Recurrent) and reader.takes_ids(table.size, table.outputs, shape)

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        below = [want_dx] * len(self.layers)  # does anything below layer i ask for a gradient?
        for i, layer in enumerate(self.layers[:-1]):
            below[i + 1] = below[i] or layer.has_params()
        dstates = list(dstate or (None,) * len(self.layers))
        for i in reversed(range(len(self.layers))):
            dy, dstates[i] = self.layers[i].backward(dy, tape, dstates[i], below[i])
        return dy, tuple(dstates)

    def spares_output(self) -> bool:
        return bool(self.layers) and self.layers[-1].spares_output()

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        kept = passing = packed = 0
        table: Embedding | None = None
        tape = Tape(training=training)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Embedding) and self._ids_will_do(i, shape, tape):
                table, shape = layer, (*shape, layer.outputs)
                kept += 8 * math.prod(shape[:-1])
                continue
            if isinstance(layer, Recurrent) and table is not None:
                part = layer.memory(shape, training, table.tokens(np.zeros((0, 0), np.intp)))
            else:
                part = layer.memory(shape, training)
            shape = part.shape
            dy = self._bytes(*shape) if isinstance(shape, tuple) else 0
            kept, passing, packed = kept + part.kept, max(passing, part.passing + dy), packed + part.packed
        return Footprint(kept, passing, packed, shape)


@dataclass(eq=False)
class Sum(Layer):
    """The sum of several layers of the same input."""

    kind: ClassVar[str] = "sum"

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        self.layers = tuple(self.layers)
        if not self.layers:
            raise UsageError("a sum of at least one layer was expected, found none")

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        tape = tape or Tape(training=False)
        states = state or (None,) * len(self.layers)
        parts = [layer.forward(x, first, tape) for layer, first in zip(self.layers, states, strict=True)]
        total = parts[0][0].copy()
        for y, _ in parts[1:]:
            total += y
        return total, tuple(last for _, last in parts)

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        dstates = list(dstate or (None,) * len(self.layers))
        dx: Any = None
        for i in reversed(range(len(self.layers))):
            part, dstates[i] = self.layers[i].backward(dy, tape, dstates[i], want_dx)
            dx = part if dx is None else add(dx, part)
        return dx, tuple(dstates)

    def spares_output(self) -> bool:
        return True  # the total is nobody's own

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        parts = [layer.memory(shape, training) for layer in self.layers]
        kept = sum(part.kept for part in parts) + 2 * self._bytes(*parts[0].shape)
        return Footprint(kept, max(p.passing for p in parts), sum(p.packed for p in parts), parts[0].shape)


def add(a: Any, b: Any) -> Any:
    """Sum of two gradients; of dictionaries, part by part (an absent part counts as zero)."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, dict):
        return {key: add(a.get(key), b.get(key)) for key in sorted({*a, *b})}
    return a + b


@dataclass(eq=False)
class At(Layer):
    """Applies a layer to one part of a dictionary and leaves the other parts as they are."""

    kind: ClassVar[str] = "at"

    part: str
    layer: Layer

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        y, last = self.layer.forward(x[self.part], state, tape)
        return {**x, self.part: y}, last

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        dx, dfirst = self.layer.backward(dy[self.part], tape, dstate, want_dx)
        return {**dy, self.part: dx}, dfirst

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        part = self.layer.memory(shape[self.part], training)
        return part._replace(shape={**shape, self.part: part.shape})


@dataclass(eq=False)
class Take(Layer):
    """One part of a dictionary."""

    kind: ClassVar[str] = "take"

    part: str

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        return x[self.part], None

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        return {self.part: dy}, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        return Footprint(0, 0, 0, shape[self.part])


@dataclass(eq=False)
class Last(Layer):
    """Each row's last step, ``x [T,B,F] -> y [B,F]``; zeros for a row of length 0.

    With ``both`` the second half of the features is a reverse direction's, whose last step is step 0.
    """

    kind: ClassVar[str] = "last"

    both: bool = False

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        x = np.asarray(x)
        if x.ndim != 3 or (self.both and x.shape[2] % 2):
            features = "an even number of features" if self.both else "features"
            raise UsageError(f"x of shape [steps, rows, {features}] was expected, found {list(x.shape)}")
        T, B, F = x.shape
        lengths = tape.lengths if tape is not None and tape.lengths is not None else np.full(B, T)
        rows, steps = np.arange(B), np.maximum(lengths, 1) - 1
        alive = lengths > 0
        y = np.zeros((B, F), x.dtype)
        if T:
            y[...] = x[steps, rows]
            if self.both:
                y[:, F // 2 :] = x[0, :, F // 2 :]
            y[~alive] = 0
        if tape is not None:
            tape.push(self, x.shape, rows, steps, alive)
        return y, None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        shape, rows, steps, alive = tape.pop(self)
        T, B, F = shape
        dy = np.asarray(dy)
        check_shape("dy", dy, (B, F))
        dx = np.zeros(shape, dy.dtype)
        if T:
            ends = np.where(alive[:, None], dy, 0)
            half = F // 2 if self.both else F
            dx[steps, rows, :half] = ends[:, :half]
            dx[0, :, half:] = ends[:, half:]
        return dx, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        return Footprint(self._bytes(*shape[1:]), self._bytes(*shape) if training else 0, 0, shape[1:])


@dataclass(eq=False)
class Reshape(Layer):
    """Gives the last axis the shape ``to``, ``x [..., F] -> y [..., *to]``."""

    kind: ClassVar[str] = "reshape"

    to: tuple[int, ...]

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        x = np.asarray(x)
        if int(np.prod(self.to)) != x.shape[-1]:
            raise UsageError(f"a width of {int(np.prod(self.to))} was expected, found {x.shape[-1]}")
        return x.reshape(*x.shape[:-1], *self.to), None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        return dy.reshape(*dy.shape[: -len(self.to)], int(np.prod(self.to))), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        return Footprint(0, 0, 0, (*shape[:-1], *self.to))


@dataclass(eq=False)
class Mixture(Layer):
    """Simple forecasts mixed by a gate that reads a code.

    ``{code: [B,D], values: [B,K,N]} -> y [B,N,1]``. The gate
    is a softmax over the K values, made anew for each of ``segments`` equal pieces of the N points, and
    starts at equal weights: ``y_n = Σ_k softmax_k(code W + b)_{k, segment(n)} values_{k,n}``.
    """

    kind: ClassVar[str] = "mixture"

    code: str
    values: str
    inputs: int
    count: int
    segments: int

    def params(self) -> tuple[Any, ...]:
        from rnnkit.cells import Param

        fan = (self.inputs, self.count * self.segments)
        return (Param("W", fan, "zeros", True, 1, fan), Param("b", fan[1:], "zeros", False, 1, fan))

    def _segment(self, points: int) -> np.ndarray:
        """The piece that each of the points belongs to."""
        return np.arange(points) * self.segments // points

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        self.bound()
        code, values = x[self.code], x[self.values]
        a = (code @ self.p["W"] + self.p["b"]).reshape(-1, self.count, self.segments)
        a = np.exp(a - a.max(axis=1, keepdims=True))
        gate = a / a.sum(axis=1, keepdims=True)
        y = (gate[:, :, self._segment(values.shape[2])] * values).sum(axis=1)
        if tape is not None:
            tape.push(self, code, values, gate)
        return y[:, :, None], None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        code, values, gate = tape.pop(self)
        N = values.shape[2]
        dgate_points = dy[:, None, :, 0] * values
        starts = np.searchsorted(self._segment(N), np.arange(self.segments))
        dgate = np.add.reduceat(dgate_points, starts, axis=2)
        da = (gate * (dgate - (gate * dgate).sum(axis=1, keepdims=True))).reshape(len(code), -1)
        self.g["W"] += code.T @ da
        self.g["b"] += da.sum(axis=0)
        dvalues = gate[:, :, self._segment(N)] * dy[:, None, :, 0] if want_dx else None
        return {self.code: da @ self.p["W"].T, self.values: dvalues}, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        B, K, N = shape[self.values]
        y = (B, N, 1)
        return Footprint(self._bytes(*y) + self._bytes(B, K, N), 2 * self._bytes(B, K, N) if training else 0, 0, y)

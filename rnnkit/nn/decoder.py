"""Layers of an encoder and decoder over pieces of a sequence, and of several networks side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn.layer import Layer, State, check_shape
from rnnkit.nn.memory import Footprint
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.tape import Tape


@dataclass(eq=False)
class Decode(Layer):
    """A recurrent layer that starts from a code, ``{code: [B,H], steps: [N,B,F]} -> y [N,B,H]``.

    The code is the h that every level of the stack starts from; a cell state starts at zero. The output of an encoder
    becomes the memory of a decoder (Sutskever, Vinyals & Le 2014).
    """

    kind: ClassVar[str] = "decode"

    code: str
    steps: str
    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Recurrent) or self.layer.bidirectional:
            raise UsageError("a recurrent layer of one direction was expected to decode with, found another")

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        layer = self.layer
        assert isinstance(layer, Recurrent)
        code = np.asarray(x[self.code])
        check_shape(self.code, code, (x[self.steps].shape[1], layer.hidden))
        first = layer.zero_state(len(code))
        first[0][...] = code
        y, _ = layer.forward(x[self.steps], first, tape)
        return y, None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        dsteps, dfirst = self.layer.backward(dy, tape, None, want_dx)
        return {self.code: dfirst[0].sum(axis=0), self.steps: dsteps}, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        return self.layer.memory(shape[self.steps], training)


@dataclass(eq=False)
class Unfold(Layer):
    """Steps of several points each become points: ``x [N,B,P·outputs] -> y [B,points,outputs]``, points ≤ N·P."""

    kind: ClassVar[str] = "unfold"

    points: int
    outputs: int = 1

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        N, B, width = x.shape
        per = width // self.outputs
        if width % self.outputs or N * per < self.points:
            raise UsageError(f"{self.points} points of {self.outputs} were expected, found {N} steps of {width}")
        y = x.reshape(N, B, per, self.outputs).transpose(1, 0, 2, 3).reshape(B, N * per, self.outputs)
        if tape is not None:
            tape.push(self, x.shape)
        return y[:, : self.points], None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        (shape,) = tape.pop(self)
        N, B, width = shape
        per = width // self.outputs
        whole = np.zeros((B, N * per, self.outputs), dy.dtype)
        whole[:, : self.points] = dy
        return whole.reshape(B, N, per, self.outputs).transpose(1, 0, 2, 3).reshape(shape), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        y = (shape[1], self.points, self.outputs)
        return Footprint(0, self._bytes(*y), 0, y)  # whoever adds it up lets go of it


@dataclass(eq=False)
class Share(Layer):
    """One value for several outputs, each with a weight of its own: ``x [..., 1] -> y [..., len(weights)]``."""

    kind: ClassVar[str] = "share"

    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        self.weights = tuple(self.weights)

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        check_shape("x", x, (*x.shape[:-1], 1))
        return x * np.array(self.weights, x.dtype), None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        return (dy * np.array(self.weights, dy.dtype)).sum(axis=-1, keepdims=True), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        y = (*shape[:-1], len(self.weights))
        return Footprint(0, self._bytes(*y), 0, y)  # whoever adds it up lets go of it


@dataclass(eq=False)
class Members(Layer):
    """Networks of an ensemble beside one another, all of one input: ``y [B, members, ...]``."""

    kind: ClassVar[str] = "members"

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        self.layers = tuple(self.layers)
        if not self.layers:
            raise UsageError("an ensemble of at least one network was expected, found none")

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        tape = tape or Tape(training=False)
        return np.stack([layer.forward(x, None, tape)[0] for layer in self.layers], axis=1), None

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        from rnnkit.nn.structure import add

        dx: Any = None
        for k in reversed(range(len(self.layers))):
            dx = add(dx, self.layers[k].backward(dy[:, k], tape, None, want_dx)[0])
        return dx, None

    def spares_output(self) -> bool:
        return True  # the stack is nobody's own

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        parts = [layer.memory(shape, training) for layer in self.layers]
        first = parts[0].shape
        y = (first[0], len(parts), *first[1:])
        kept = sum(part.kept for part in parts) + self._bytes(*y)
        return Footprint(kept, max(p.passing for p in parts), sum(p.packed for p in parts), y)

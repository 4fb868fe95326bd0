"""Dense and embedding layers: the products outside the time loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.cells import Param
from rnnkit.errors import UsageError
from rnnkit.nn.layer import Layer, State, check_shape
from rnnkit.nn.memory import Footprint
from rnnkit.nn.tape import Tape
from rnnkit.nn.tokens import Tokens

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")


def activate(name: str, a: np.ndarray) -> np.ndarray:
    """Apply an activation in place over the last axis."""
    if name == "relu":
        np.maximum(a, 0, out=a)
    elif name == "tanh":
        np.tanh(a, out=a)
    elif name == "sigmoid":  # σ(a) = ½ + ½ tanh(a/2)
        np.tanh(np.multiply(a, 0.5, out=a), out=a)
        a *= 0.5
        a += 0.5
    elif name == "softmax":
        a -= a.max(axis=-1, keepdims=True)
        np.exp(a, out=a)
        a /= a.sum(axis=-1, keepdims=True)
    return a


def activate_back(name: str, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Gradient before the activation, from its value ``y`` and the gradient ``dy`` after it."""
    if name == "relu":
        return dy * (y > 0)
    if name == "tanh":
        return dy * (1 - y * y)
    if name == "sigmoid":
        return dy * y * (1 - y)
    if name == "softmax":
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dy


@dataclass(eq=False)
class Dense(Layer):
    """``y = activation(x W + b)`` over the last axis, ``x [..., inputs] -> y [..., outputs]``."""

    kind: ClassVar[str] = "dense"

    inputs: int
    outputs: int
    activation: str = "linear"
    init_name: str = "xavier_uniform"
    bias_init: str = "zeros"

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise UsageError(f"inputs and outputs are at least 1, not {self.inputs} and {self.outputs}")
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation is one of {', '.join(ACTIVATIONS)}, not {self.activation!r}")

    def params(self) -> tuple[Param, ...]:
        fan = (self.inputs, self.outputs)
        return (
            Param("W", fan, self.init_name, True, 1, fan),
            Param("b", (self.outputs,), self.bias_init, False, 1, fan),
        )

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        tape = tape or Tape(training=False)
        x = np.asarray(x, self.bound().values.dtype)
        if not x.ndim or x.shape[-1] != self.inputs:
            raise UsageError(f"x of shape [..., {self.inputs}] was expected, found {list(x.shape)}")
        flat = np.ascontiguousarray(x).reshape(-1, self.inputs)
        y = tape.buffer(self.path, "y", (len(flat), self.outputs), flat.dtype)
        np.matmul(flat, self.p["W"], out=y)
        y += self.p["b"]
        activate(self.activation, y)
        tape.push(self, flat, y, x.shape)
        return y.reshape(*x.shape[:-1], self.outputs), None

    def backward(
        self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True
    ) -> tuple[np.ndarray | None, State]:
        x, y, shape = tape.pop(self)
        dy = np.ascontiguousarray(dy, dtype=y.dtype)
        check_shape("dy", dy, (*shape[:-1], self.outputs))
        da = activate_back(self.activation, y, dy.reshape(y.shape))
        self.g["W"] += x.T @ da
        self.g["b"] += da.sum(axis=0)
        return ((da @ self.p["W"].T).reshape(shape) if want_dx else None), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        rows, y = math.prod(shape[:-1]), (*shape[:-1], self.outputs)
        da = 0 if self.activation == "linear" else 2 * self._bytes(*y)
        passing = da + self._bytes(self.inputs, self.outputs) + self._bytes(rows, self.inputs)
        return Footprint(self._bytes(*y), passing if training else 0, 0, y)


@dataclass(eq=False)
class Embedding(Layer):
    """Rows of a table by id, ``ids [...] -> y [..., outputs]``, drawn from N(0, 1) at first."""

    kind: ClassVar[str] = "embedding"

    size: int
    outputs: int
    init_name: str = "normal"

    def __post_init__(self) -> None:
        if self.size < 1 or self.outputs < 1:
            raise UsageError(f"size and outputs are at least 1, not {self.size} and {self.outputs}")

    def params(self) -> tuple[Param, ...]:
        fan = (self.size, self.outputs)
        return (Param("E", fan, self.init_name, True, 1, fan),)

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        tape = tape or Tape(training=False)
        x = self._ids(x)
        y = tape.buffer(self.path, "y", (*x.shape, self.outputs), self.p["E"].dtype)
        np.take(self.p["E"], x.astype(np.intp, copy=False), axis=0, out=y, mode="clip")  # in range: checked above
        tape.push(self, x)
        return y, None

    def tokens(self, x: np.ndarray, tape: Tape | None = None) -> Tokens:
        """What ``forward`` gives, the rows not yet looked up; its ``backward`` then takes None, or their gradient."""
        ids = np.ascontiguousarray(self._ids(x), dtype=np.intp)
        if tape is not None:
            tape.push(self, ids)
        return Tokens(ids, self.p["E"], self.g["E"])

    def _ids(self, x: np.ndarray) -> np.ndarray:
        self.bound()
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise UsageError(f"ids of an integer type were expected, found {x.dtype}")
        for found in (int(x.min()), int(x.max())) if x.size else ():
            if not 0 <= found < self.size:
                raise UsageError(f"ids from 0 to {self.size - 1} were expected, found {found}")
        return x

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        (ids,) = tape.pop(self)
        if dy is None:  # whoever took the ids has added to the gradient
            return None, None
        dy = np.asarray(dy)
        check_shape("dy", dy, (*ids.shape, self.outputs))
        flat = ids.reshape(-1)
        if flat.size:  # sums over equal ids, in the order in which they stand
            order = np.argsort(flat, kind="stable")
            seen, starts = np.unique(flat[order], return_index=True)
            self.g["E"][seen] += np.add.reduceat(dy.reshape(len(flat), -1)[order], starts, axis=0)
        return None, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        """Of rows that are looked up."""
        y, n = (*shape, self.outputs), math.prod(shape)
        sums = self._bytes(min(n, self.size), self.outputs) + self._bytes(*y) + 24 * n  # by id: sorted, then summed
        return Footprint(self._bytes(*y), sums if training else 0, 0, y)


@dataclass(eq=False)
class Dropout(Layer):
    """Zeroes a share ``rate`` of ``x [T,B,F]`` or ``[B,F]`` in training, scaling the rest by 1/(1 - rate).

    With ``per="sequence"`` one mask serves every step of a row (Gal & Ghahramani 2016); with
    ``"element"`` each element has its own (Srivastava et al. 2014).
    """

    kind: ClassVar[str] = "dropout"

    rate: float
    per: str = "sequence"

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise UsageError(f"dropout is at least 0 and below 1, not {self.rate}")
        if self.per not in ("sequence", "element"):
            raise UsageError(f"per is sequence or element, not {self.per!r}")

    def active(self, tape: Tape | None) -> bool:
        """Whether anything is zeroed in this pass."""
        return tape is not None and tape.training and self.rate > 0

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        if not isinstance(x, Tokens) or self.active(tape):
            x = np.asarray(x)
            if x.dtype.kind != "f":
                x = x.astype(np.float32)
        if tape is None or not self.active(tape):
            if tape is not None:
                tape.push(self, None)
            return x, None
        if x.ndim not in (2, 3):
            raise UsageError(f"x of shape [steps, rows, width] or [rows, width] was expected, found {list(x.shape)}")
        rows, width = x.shape[-2:]
        if self.per == "sequence" or x.ndim == 2:
            mask = tape.mask(self.path, rows, width, self.rate, x.dtype)
        else:
            steps = x.shape[0]
            mask = tape.mask(self.path, rows, steps * width, self.rate, x.dtype)
            mask = mask.reshape(rows, steps, width).transpose(1, 0, 2)
        tape.push(self, mask)
        return np.multiply(x, mask, out=tape.buffer(self.path, "y", x.shape, x.dtype)), None

    def backward(
        self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True
    ) -> tuple[np.ndarray | None, State]:
        (mask,) = tape.pop(self)
        if not want_dx:
            return None, None
        return (dy if mask is None else dy * mask), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        if not training or not self.rate:
            return Footprint(0, 0, 0, shape)
        size, drawn = self._bytes(*shape), shape[-2:] if self.per == "sequence" else shape
        return Footprint(size + self._bytes(*drawn), size, 0, shape)

"""Dense and embedding layers: the products outside the time loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.cells import Param
from rnnkit.errors import UsageError
from rnnkit.nn.layer import Layer, State, check_shape, later
from rnnkit.nn.memory import Footprint
from rnnkit.nn.tape import Tape
from rnnkit.nn.tokens import Tokens

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")


def softmax(a: np.ndarray) -> None:
    """Softmax over the last axis, in place."""
    a -= a.max(axis=-1, keepdims=True)
    np.exp(a, out=a)
    a /= a.sum(axis=-1, keepdims=True)


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
    """``y = activation(x W + b)`` over the last axis, ``x [..., inputs] -> y [..., outputs]``.

    ``tied`` is the full name of a table ``[outputs, inputs]`` in the same network, an embedding's, whose transpose W
    then is (Press & Wolf 2017): one array, to which both layers add their gradients.
    """

    kind: ClassVar[str] = "dense"

    inputs: int
    outputs: int
    activation: str = "linear"
    init_name: str = "xavier_uniform"
    bias_init: str = "zeros"
    tied: str = later("")

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise UsageError(f"inputs and outputs are at least 1, not {self.inputs} and {self.outputs}")
        if self.activation not in ACTIVATIONS:
            raise UsageError(f"activation is one of {', '.join(ACTIVATIONS)}, not {self.activation!r}")
        self._prepared: tuple[Any, ...] = (None, -1, None, None)  # parameters, version, engine, weights
        self._W: np.ndarray | None = None  # of a tied table, as the operations want it

    def params(self) -> tuple[Param, ...]:
        fan = (self.inputs, self.outputs)
        return (
            Param("W", fan, self.init_name, True, 1, fan, tied=self.tied, transposed=bool(self.tied)),
            Param("b", (self.outputs,), self.bias_init, False, 1, fan),
        )

    def _weights(self) -> Any:
        """W and b prepared for the engine, again after the parameters changed."""
        parameters = self.bound()
        key = (parameters, parameters.version, self.engine)
        if self._prepared[:3] != key:
            old = self._prepared[3] if self._prepared[2] is self.engine else None
            self._prepared = (*key, self.engine.ops.dense(self._contiguous(), self.p["b"], old))
        return self._prepared[3]

    def _contiguous(self) -> np.ndarray:
        """W, C-contiguous."""
        W = self.p["W"]
        if not self.tied:
            return W
        if self._W is None or self._W.dtype != W.dtype:
            self._W = np.empty(W.shape, W.dtype)
        self._W[...] = W
        return self._W

    def spares_output(self) -> bool:
        return self.activation == "linear"

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        tape = tape or Tape(training=False)
        x = np.asarray(x, self.bound().values.dtype)
        if not x.ndim or x.shape[-1] != self.inputs:
            raise UsageError(f"x of shape [..., {self.inputs}] was expected, found {list(x.shape)}")
        flat = np.ascontiguousarray(x).reshape(-1, self.inputs)
        y = tape.buffer(self.path, "y", (len(flat), self.outputs), flat.dtype)
        kernel = "linear" if self.activation == "softmax" else self.activation
        self.engine.ops.dense_forward(self._weights(), flat, kernel, y, self.engine.threads)
        if self.activation == "softmax":
            softmax(y)
        tape.push(self, flat, y, x.shape)
        return y.reshape(*x.shape[:-1], self.outputs), None

    def backward(
        self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True
    ) -> tuple[np.ndarray | None, State]:
        x, y, shape = tape.pop(self)
        dy = np.ascontiguousarray(dy, dtype=y.dtype)
        check_shape("dy", dy, (*shape[:-1], self.outputs))
        da = activate_back(self.activation, y, dy.reshape(y.shape))
        dx = tape.buffer(self.path, "dx", x.shape, x.dtype) if want_dx else None
        dW = self.g["W"]
        if self.tied:
            dW = tape.buffer(self.path, "dW", dW.shape, dW.dtype)
            dW.fill(0)
        self.engine.ops.dense_backward(self._weights(), x, da, dW, self.g["b"], dx, self.engine.threads)
        if self.tied:
            self.g["W"] += dW
        return (None if dx is None else dx.reshape(shape)), None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        y = (*shape[:-1], self.outputs)
        da = 0 if self.activation == "linear" else 2 * self._bytes(*y)
        kept = self._bytes(*y) + (self._bytes(*shape) if training else 0)  # y and dx
        size = self._bytes(self.inputs, self.outputs)
        if self.tied and training:
            kept += size  # dW
        return Footprint(kept, da if training else 0, 3 * size if self.tied else 2 * size, y)


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
        ids = self._ids(x)
        y = tape.buffer(self.path, "y", (*ids.shape, self.outputs), self.p["E"].dtype)
        self.engine.ops.gather(self.p["E"], ids.reshape(-1), y.reshape(-1, self.outputs), self.engine.threads)
        tape.push(self, ids)
        return y, None

    def tokens(self, x: np.ndarray, tape: Tape | None = None) -> Tokens:
        """What ``forward`` gives, the rows not yet looked up; its ``backward`` then takes None, or their gradient."""
        ids = self._ids(x)
        if tape is not None:
            tape.push(self, ids)
        return Tokens(ids, self.p["E"], self.g["E"])

    def _ids(self, x: np.ndarray) -> np.ndarray:
        """The ids, intp and C-contiguous, each checked."""
        self.bound()
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise UsageError(f"ids of an integer type were expected, found {x.dtype}")
        ids = np.ascontiguousarray(x, np.intp)
        if ids.size and ids.view(np.uintp).max() >= self.size:  # without a sign, those below 0 are huge
            found = int(ids[(ids < 0) | (ids >= self.size)][0])
            raise UsageError(f"ids from 0 to {self.size - 1} were expected, found {found}")
        return ids

    def backward(self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        (ids,) = tape.pop(self)
        if dy is None:  # whoever took the ids has added to the gradient
            return None, None
        dy = np.ascontiguousarray(dy, dtype=self.g["E"].dtype)
        check_shape("dy", dy, (*ids.shape, self.outputs))
        flat = dy.reshape(-1, self.outputs)
        self.engine.ops.scatter(flat, ids.reshape(-1), self.g["E"], self.engine.threads)
        return None, None

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        """Of rows that are looked up."""
        y = (*shape, self.outputs)
        return Footprint(self._bytes(*y), 0, 0, y)


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

"""Recurrent layers over the kernels: stacked, in one direction or both."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from rnnkit import _kernels
from rnnkit._kernels import Kernels, Span
from rnnkit.cells import Cell, Param, get_cell
from rnnkit.errors import UsageError
from rnnkit.nn import threads as threads_
from rnnkit.nn.layer import Layer, State, check_shape
from rnnkit.nn.parameters import Parameters
from rnnkit.nn.tape import Tape


@dataclass(eq=False)
class Recurrent(Layer):
    """A stack of recurrent layers, ``x [T,B,I] -> y [T,B,D·H]`` with D = 2 when bidirectional, else 1.

    The state is a tuple of arrays ``[layers·D, B, H]``, one per state of the cell: ``(h,)`` or
    ``(h, c)``, in PyTorch's order (layer 0 forward, layer 0 reverse, layer 1 forward, ...).
    ``dropout`` masks what passes from one layer to the next and ``recurrent_dropout`` the h that
    enters h·R, both with one mask per sequence (Gal & Ghahramani 2016). Rows may differ in length
    (``Tape.begin(lengths=...)``): states past a row's end repeat its last one and carry no gradient.

    Raises ``UsageError`` for sizes, rates and options that make no sense.

    >>> layer = Recurrent("lstm", 3, 5).init(seed=1)
    >>> y, (h, c) = layer.forward(np.ones((4, 2, 3), np.float32))
    >>> y.shape, h.shape
    ((4, 2, 5), (1, 2, 5))
    """

    kind: ClassVar[str] = "recurrent"

    cell: str
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    weight_init: str = "xavier_uniform"
    recurrent_init: str = "orthogonal"
    forget_bias: float = 1.0

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is a whole number of at least 1, not {getattr(self, name)}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 0 and below 1, not {getattr(self, name)}")
        self._cell: Cell = get_cell(self.cell)
        self.options = self._cell.complete(self.options)
        self.backend = "auto"
        self.threads = 1
        self._kernels: Kernels | None = None
        self._prepared: tuple[Parameters | None, int, list[Any]] = (None, -1, [])

    def configure(self, backend: str = "auto", threads: int | str = "auto") -> Recurrent:
        """Choose what runs the layer (not stored with the model): a backend and a number of threads."""
        self.backend, self.threads = backend, threads_.resolve(threads)
        self._kernels, self._prepared = None, (None, -1, [])
        return self

    @property
    def directions(self) -> tuple[bool, ...]:
        """Whether each direction walks in reverse."""
        return (False, True) if self.bidirectional else (False,)

    @property
    def outputs(self) -> int:
        """Width of y."""
        return self.hidden * len(self.directions)

    def _passes(self) -> list[tuple[int, bool, str]]:
        """(layer, reverse, prefix of its parameters' names), in the order of the states."""
        return [(n, rev, f"l{n}{'r' if rev else ''}.") for n in range(self.layers) for rev in self.directions]

    @property
    def variant(self) -> str:
        """The name under which the kernels know the cell with its options."""
        return self._cell.variant(self.options)

    def by_layer(self) -> list[dict[str, np.ndarray]]:
        """The parameters of every layer and direction by their plain names, in the order of the states."""
        self.bound()
        names = [param.name for param in self._cell.params(1, 1, self.options)]
        return [{name: self.p[prefix + name] for name in names} for _, _, prefix in self._passes()]

    def params(self) -> tuple[Param, ...]:
        declared = []
        for level, _, prefix in self._passes():
            for param in self._cell.params(self.inputs if level == 0 else self.outputs, self.hidden, self.options):
                init = {"W": self.weight_init, "R": self.recurrent_init}.get(param.name, param.init)
                constants = tuple(
                    self.forget_bias if gate == "f" else value
                    for gate, value in zip(self._cell.gates, param.constants, strict=False)
                )
                declared.append(dataclasses.replace(param, name=prefix + param.name, init=init, constants=constants))
        return tuple(declared)

    def count_params(self) -> int:
        each = sum(not param.tied for param in self._cell.params(1, 1, self.options))
        return self.layers * len(self.directions) * each

    def zero_state(self, rows: int) -> tuple[np.ndarray, ...]:
        """A state of zeros for ``rows`` sequences."""
        return tuple(np.zeros(self._state_shape(rows), self.bound().values.dtype) for _ in self._cell.states)

    def _state_shape(self, rows: int) -> tuple[int, int, int]:
        return (self.layers * len(self.directions), rows, self.hidden)

    def _weights(self) -> tuple[Kernels, list[Any]]:
        """The kernels and every pass's prepared weights, packed again after the parameters changed."""
        parameters = self.bound()
        if self._kernels is None:
            self._kernels = _kernels.load(self.backend, self._cell.variant(self.options))
        if self._prepared[0] is not parameters or self._prepared[1] != parameters.version:
            names = [param.name for param in self._cell.params(1, 1, self.options)]
            packed = [self._kernels.prepare({n: self.p[prefix + n] for n in names}) for _, _, prefix in self._passes()]
            self._prepared = (parameters, parameters.version, packed)
        return self._kernels, self._prepared[2]

    def _check(self, x: np.ndarray, state: State, tape: Tape) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        dtype = self.bound().values.dtype
        x = np.ascontiguousarray(x, dtype=dtype)
        if x.ndim != 3 or x.shape[2] != self.inputs:
            raise UsageError(f"x of shape [steps, rows, {self.inputs}] was expected, found {list(x.shape)}")
        T, B, _ = x.shape
        lengths = tape.lengths
        if lengths is not None and (lengths.shape != (B,) or (B and not (lengths.min() >= 0 and lengths.max() <= T))):
            raise UsageError(f"lengths are {B} whole numbers from 0 to {T}, one per row")
        return x, self._check_state("a state", state, B)

    def _check_state(self, what: str, state: State, rows: int) -> tuple[np.ndarray, ...]:
        """A copy of a state or of its gradient in the layer's dtype, zeros for None."""
        if state is None:
            return self.zero_state(rows)
        arrays = tuple(np.array(s, self.bound().values.dtype, order="C") for s in state)
        shape = self._state_shape(rows)
        if len(arrays) != len(self._cell.states) or any(a.shape != shape for a in arrays):
            found = ", ".join(str(list(a.shape)) for a in arrays) or "none"
            raise UsageError(
                f"{what} of {len(self._cell.states)} arrays of shape {list(shape)} was expected, found {found}"
            )
        return arrays

    def forward(self, x: np.ndarray, state: State = None, tape: Tape | None = None) -> tuple[np.ndarray, State]:
        """Run the stack over ``x [T,B,I]`` from ``state``; returns every h of the top layer and the final state."""
        tape = tape or Tape(training=False)
        x, state = self._check(x, state, tape)
        kernels, weights = self._weights()
        T, B, _ = x.shape
        H, dtype = self.hidden, x.dtype
        final = tuple(np.empty_like(s) for s in state)
        below = y = x
        between: np.ndarray | None = None
        passes = []
        for k, (level, reverse, prefix) in enumerate(self._passes()):
            owner = f"{self.path}/{prefix}"
            if reverse == self.directions[0]:  # a new level: its input is what the one below gave
                below, between = y, None
                if level and self.dropout and tape.training:
                    between = tape.mask(f"{owner}dropout", B, y.shape[2], self.dropout, dtype)
                    below = np.multiply(y, between, out=tape.buffer(owner, "in", y.shape, dtype))
                if self.bidirectional:
                    y = tape.buffer(owner, "y", (T, B, self.outputs), dtype)
            mask = None
            if self.recurrent_dropout and tape.training:
                mask = tape.mask(f"{owner}recurrent", B, H, self.recurrent_dropout, dtype)
            span = Span(0, T, reverse, tape.lengths, mask, self.threads)
            states = tuple(tape.buffer(owner, name, (T + 1, B, H), dtype) for name in self._cell.states)
            for s, first in zip(states, state, strict=True):
                s[T if reverse else 0] = first[k]
            make = partial(kernels.allocate, weights[k], T, B, tape.training)
            kept = tape.keep((owner, T, B), make)
            kernels.forward(weights[k], below, states, kept, span)
            for s, last in zip(states, final, strict=True):
                last[k] = s[0 if reverse else T]
            h = states[0][:-1] if reverse else states[0][1:]
            if self.bidirectional:
                y[:, :, H * reverse : H * (reverse + 1)] = h
            else:
                y = h
            passes.append((below, states, kept, span, between))
        tape.push(self, y.shape, passes)
        return y, final

    def backward(
        self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True
    ) -> tuple[np.ndarray | None, State]:
        """Gradients of x (if wanted) and of the initial state, from those of y and of the final state."""
        kernels, weights = self._weights()
        shape, passes = tape.pop(self)
        dy = np.ascontiguousarray(dy, dtype=self.bound().values.dtype)
        check_shape("dy", dy, shape)
        T, B, _ = shape
        H, dtype = self.hidden, dy.dtype
        dfirst = self._check_state("a dstate", dstate, B)
        names = [param.name for param in self._cell.params(1, 1, self.options)]
        dx: np.ndarray | None = None
        for k, (level, reverse, prefix) in reversed(list(enumerate(self._passes()))):
            owner = f"{self.path}/{prefix}"
            below, states, kept, span, between = passes[k]
            part = dy
            if self.bidirectional:
                part = tape.buffer(owner, "dy", (T, B, H), dtype)
                part[...] = dy[:, :, H * reverse : H * (reverse + 1)]
            wanted = want_dx or level > 0
            out = tape.buffer(owner, "dx", below.shape, dtype) if wanted else None
            ends = tuple(d[k] for d in dfirst)
            kernels.backward(weights[k], below, states, kept, part, ends, out, span)
            kernels.accumulate(weights[k], below, states, kept, {n: self.g[prefix + n] for n in names}, span)
            if out is not None:
                dx = out if dx is None or reverse == self.directions[-1] else np.add(dx, out, out=out)
            if reverse == self.directions[0] and level:  # the level below sees what both directions asked of it
                assert dx is not None
                dy = dx if between is None else np.multiply(dx, between, out=dx)
        return (dx if want_dx else None), dfirst

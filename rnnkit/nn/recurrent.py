"""Recurrent layers over the kernels: stacked, in one direction or both."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np

from rnnkit import _kernels
from rnnkit._kernels import PRECISIONS, Kernels
from rnnkit.cells import Cell, Param, get_cell
from rnnkit.errors import UsageError
from rnnkit.nn import threads as threads_
from rnnkit.nn.engine import Engine
from rnnkit.nn.joints import Norm, joint_bytes, norm_params
from rnnkit.nn.layer import Layer, State, check_shape, later
from rnnkit.nn.memory import Footprint, check_recompute, recompute_steps, traced
from rnnkit.nn.passes import Pass, Sizes, piece_steps, unit_steps
from rnnkit.nn.prepared import Prepared
from rnnkit.nn.tape import Tape
from rnnkit.nn.tokens import Tokens, table_pays


@dataclass(eq=False)
class Recurrent(Layer):
    """A stack of recurrent layers, ``x [T,B,I] -> y [T,B,D·H]`` with D = 2 when bidirectional, else 1.

    The state is a tuple of arrays ``[layers·D, B, H]``, one per state of the cell: ``(h,)`` or
    ``(h, c)``, in PyTorch's order (layer 0 forward, layer 0 reverse, layer 1 forward, ...).
    ``dropout`` masks what passes from one layer to the next and ``recurrent_dropout`` the h that
    enters h·R, both with one mask per sequence (Gal & Ghahramani 2016). Rows may differ in length
    (``Tape.begin(lengths=...)``): states past a row's end repeat its last one and carry no gradient.

    Level l hands on u_l: its h_l, with ``residual`` from the second level on h_l + u_{l−1}. With ``norm`` the next
    level reads u_l layer-normalised, and so does whoever reads y (``nn.joints``).

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
    norm: bool = later(False)
    residual: bool = later(False)

    def __post_init__(self) -> None:
        for name in ("inputs", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is a whole number of at least 1, not {getattr(self, name)}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is at least 0 and below 1, not {getattr(self, name)}")
        self._cell: Cell = get_cell(self.cell)
        self.options = self._cell.complete(self.options)
        if self.recurrent_dropout and not self._cell.recurrent:
            raise UsageError(
                f"--recurrent-dropout masks the h that enters h·R, and the {self.cell} cell has no R; "
                "leave it out and take --dropout"
            )
        self.backend = "auto"
        self.threads = 1
        self.recompute: int | str = "auto"
        self.precision = "float32"
        self._kernels: Kernels | None = None
        self._prepared = Prepared()

    def configure(
        self,
        backend: str = "auto",
        threads: int | str = "auto",
        recompute: int | str = "auto",
        precision: str = "float32",
    ) -> Recurrent:
        """Choose what runs the layer (not stored with the model): a backend and a number of threads.

        ``recompute``: in training keep the gates of only so many steps at a time and compute them once more on the
        way back; ``off`` keeps all, ``auto`` does so while they take an eighth of the memory or less. It costs time,
        about a third, and changes no bit of any result. ``precision``: ``bfloat16`` rounds the factors of the
        products to bfloat16; ``UsageError`` where backend or processor cannot.
        """
        if precision not in PRECISIONS:
            raise UsageError(f"--precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        self.backend, self.threads = backend, threads_.resolve(threads)
        self.recompute, self.precision = check_recompute(recompute), precision
        self._kernels, self._prepared = None, Prepared()
        vars(self)["engine"] = Engine(backend, self.threads)
        if precision != "float32":  # backend and processor are asked before any work is done
            shapes = {param.name: param.shape for param in self._cell.params(1, 1, self.options)}
            self._loaded().prepare({n: np.zeros(shape, np.float32) for n, shape in shapes.items()}, precision=precision)
        return self

    @property
    def directions(self) -> tuple[bool, ...]:
        """Whether each direction walks in reverse."""
        return (False, True) if self.bidirectional else (False,)

    @property
    def outputs(self) -> int:
        """Width of y."""
        return self.hidden * len(self.directions)

    @cached_property
    def _names(self) -> list[str]:
        """Names of one pass's parameters."""
        return [param.name for param in self._cell.params(1, 1, self.options)]

    @cached_property
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
        return [{name: self.p[prefix + name] for name in self._names} for _, _, prefix in self._passes]

    def params(self) -> tuple[Param, ...]:
        declared = []
        for level, _, prefix in self._passes:
            for param in self._cell.params(self.inputs if level == 0 else self.outputs, self.hidden, self.options):
                init = {"W": self.weight_init, "R": self.recurrent_init}.get(param.name, param.init)
                constants = tuple(
                    self.forget_bias if gate == "f" else value
                    for gate, value in zip(self._cell.gates, param.constants, strict=False)
                )
                declared.append(dataclasses.replace(param, name=prefix + param.name, init=init, constants=constants))
        for number in self.norms:
            declared.extend(norm_params(number, self.outputs))
        return tuple(declared)

    @property
    def norms(self) -> range:
        """Numbers of the layer norms: that with number l stands before level l, or after the last."""
        return range(1, self.layers + 1) if self.norm else range(0)

    def _norm(self, number: int) -> Norm:
        return Norm(self.path, number, self.p, self.g, self.engine)

    def count_params(self) -> int:
        each = sum(not param.tied for param in self._cell.params(1, 1, self.options))
        return self.layers * len(self.directions) * each + 2 * len(self.norms)

    def zero_state(self, rows: int) -> tuple[np.ndarray, ...]:
        """A state of zeros for ``rows`` sequences."""
        return tuple(np.zeros(self._state_shape(rows), self.bound().values.dtype) for _ in self._cell.states)

    def _state_shape(self, rows: int) -> tuple[int, int, int]:
        return (self.layers * len(self.directions), rows, self.hidden)

    def takes_ids(self, symbols: int, width: int, shape: tuple[int, ...]) -> bool:
        """Whether token ids of that shape into a table ``[symbols, width]`` are better left as they are."""
        if len(shape) != 2 or width != self.inputs or not table_pays(symbols, shape[0] * shape[1]):
            return False
        return self._loaded().tokens

    def _loaded(self) -> Kernels:
        if self._kernels is None:
            self._kernels = _kernels.load(self.backend, self._cell.variant(self.options))
        return self._kernels

    def _weights(self, table: np.ndarray | None) -> list[Any]:
        """Every pass's prepared weights, the lowest level's with a table of tokens; packed again after a change."""
        parameters, kernels = self.bound(), self._loaded()
        self._prepared = self._prepared.current(parameters)
        packed = []
        for level, _, prefix in self._passes:
            read = table if level == 0 else None
            key = prefix, id(read)
            if key not in self._prepared.weights:
                params = {name: self.p[prefix + name] for name in self._names}
                weights = kernels.prepare(params, read, self.precision, self.threads)
                self._prepared.weights[key] = weights, read
            packed.append(self._prepared.weights[key][0])
        return packed

    def _check(
        self, x: np.ndarray | Tokens, state: State, tape: Tape
    ) -> tuple[np.ndarray | Tokens, tuple[np.ndarray, ...]]:
        if not isinstance(x, Tokens) or not self._loaded().tokens:
            x = np.ascontiguousarray(x, dtype=self.bound().values.dtype)
        if len(x.shape) != 3 or x.shape[2] != self.inputs:
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

    def forward(
        self, x: np.ndarray | Tokens, state: State = None, tape: Tape | None = None
    ) -> tuple[np.ndarray, State]:
        """Run the stack over ``x [T,B,I]`` from ``state``; returns every h of the top layer and the final state.

        ``x`` may be ``Tokens``, which the lowest level's kernels look up themselves.
        """
        tape = tape or Tape(training=False)
        x, state = self._check(x, state, tape)
        T, B, _ = x.shape
        dtype, symbols = self.bound().values.dtype, len(x.table) if isinstance(x, Tokens) else 0
        weights = self._weights(x.table if isinstance(x, Tokens) else None)
        final = tuple(map(np.empty_like, state))
        y: np.ndarray = x.ids if isinstance(x, Tokens) else x
        u = y
        levels: list[tuple[list[Pass], np.ndarray | None, np.ndarray]] = []
        for level in range(self.layers):
            between, below = None, u
            if level and self.norm:
                y = self._norm(level).forward(u, tape)
            if level and self.dropout and tape.training:
                owner = f"{self.path}/l{level}."
                between = tape.mask(f"{owner}dropout", B, self.outputs, self.dropout, dtype)
                y = np.multiply(y, between, out=y if self.norm else tape.buffer(owner, "in", y.shape, dtype))
            passes = [self._pass(k, y, weights[k], 0 if level else symbols, tape) for k in self._of(level)]
            calls = [
                partial(walk.forward, [s[k] for s in state], [s[k] for s in final])
                for k, walk in zip(self._of(level), passes, strict=True)
            ]
            self._run(calls, passes[0])
            if not tape.training:
                for walk in passes:
                    walk.end()
            y = passes[0].outputs
            if self.bidirectional:
                y = tape.buffer(f"{self.path}/l{level}r.", "y", (T, B, self.outputs), dtype)
                np.concatenate([walk.outputs for walk in passes], axis=2, out=y)
            if level and self.residual:
                total = y if self.bidirectional else tape.buffer(f"{self.path}/l{level}.", "u", y.shape, dtype)
                y = np.add(y, below, out=total)
            u = y
            levels.append((passes, between, below))
        if self.norm:
            y = self._norm(self.layers).forward(u, tape)
        tape.push(self, y.shape, levels, u, x.grad if isinstance(x, Tokens) else None)
        return y, final

    def _of(self, level: int) -> range:
        """Places of a level's passes among all."""
        count = len(self.directions)
        return range(level * count, (level + 1) * count)

    def _sizes(self, level: int, steps: int, rows: int, symbols: int, training: bool) -> Sizes:
        """What a level's passes of such an input allocate; ``symbols`` of the table, where they read tokens."""
        unit, dtype = unit_steps(rows, symbols), self.bound().values.dtype
        gates, width = len(self._cell.gates) * self.hidden, self.outputs if level else self.inputs
        total = steps * rows * gates * dtype.itemsize * self.layers * len(self.directions)
        recompute = recompute_steps(self.recompute, steps, total) if training else 0
        piece = piece_steps(recompute, steps, unit)
        cost = gates * ((self.hidden if self._cell.recurrent else 0) + (0 if symbols else width))
        return Sizes(steps, rows, self.hidden, dtype, unit, piece, cost)

    def _pass(self, k: int, x: np.ndarray, weights: Any, symbols: int, tape: Tape) -> Pass:
        """The walk with number k, about to go over ``x``; ``symbols`` of the table, where it reads tokens."""
        level, reverse, prefix = self._passes[k]
        owner, mask, (T, B), kernels = f"{self.path}/{prefix}", None, x.shape[:2], self._loaded()

        def make() -> Pass:
            sizes = self._sizes(level, T, B, symbols, tape.training)
            return Pass(kernels, weights, reverse, sizes, tape, owner, self._cell.states)

        if self.recurrent_dropout and tape.training:
            mask = tape.mask(f"{owner}recurrent", B, self.hidden, self.recurrent_dropout, self.bound().values.dtype)
        walk = tape.keep((owner, T, B, symbols, self.recompute, id(kernels)), make)
        walk.begin(weights, x, tape.lengths, mask)
        return walk

    def _run(self, calls: list[partial[None]], walk: Pass) -> None:
        """Calls that walk a level's directions, each given its threads: one after the other, or both at once."""
        if len(calls) == 2 and walk.together(self.threads):
            half = self.threads // 2
            threads_.together(partial(calls[0], self.threads - half), partial(calls[1], half))
        else:
            for call in calls:
                call(self.threads)

    def backward(
        self, dy: np.ndarray, tape: Tape, dstate: State = None, want_dx: bool = True
    ) -> tuple[np.ndarray | None, State]:
        """Gradients of x (if wanted) and of the initial state, from those of y and of the final state.

        The gradient of tokens is added to their table's; x has none then.
        """
        shape, levels, u, dtable = tape.pop(self)
        dtype = self.bound().values.dtype
        dy = np.ascontiguousarray(dy, dtype=dtype)
        check_shape("dy", dy, shape)
        dfirst = self._check_state("a dstate", dstate, shape[1])
        if self.norm:
            dy = self._norm(self.layers).last_backward(u, dy, tape)
        for level in reversed(range(self.layers)):
            passes, between, below = levels[level]
            calls, parts, table = [], [], None
            for n, (k, walk) in enumerate(zip(self._of(level), passes, strict=True)):
                prefix = self._passes[k][2]
                owner, part, dx = f"{self.path}/{prefix}", dy, None
                if self.bidirectional:
                    part = tape.buffer(owner, "dy", walk.outputs.shape, dtype)
                    part[...] = dy[:, :, self.hidden * n : self.hidden * (n + 1)]
                grads = {name: self.g[prefix + name] for name in self._names}
                if level or (want_dx and dtable is None):
                    dx = tape.buffer(owner, "dx", walk.x.shape, dtype)
                    parts.append(dx)
                elif want_dx:
                    grads["E"] = dtable
                    if n:  # the other direction may be adding to it at this moment
                        grads["E"] = table = tape.buffer(owner, "E", dtable.shape, dtype)
                        table.fill(0)
                calls.append(partial(walk.backward, part, tuple(d[k] for d in dfirst), dx, grads))
            self._run(calls, passes[0])
            for walk in passes:
                walk.end()
            if table is not None:
                dtable += table
            for part in parts[1:]:  # the level below sees what both directions ask of it
                np.add(parts[0], part, out=parts[0])
            if level:
                dbelow = parts[0] if between is None else np.multiply(parts[0], between, out=parts[0])
                if self.norm:
                    self._norm(level).backward(below, dbelow, tape)
                dy = np.add(dbelow, dy, out=dbelow) if self.residual else dbelow
        return (parts[0] if parts else None), dfirst

    def memory(self, shape: Any, training: bool = True, tokens: Tokens | None = None) -> Footprint:
        """Of ``x`` of that shape, or of tokens of such a table; the kernels' own buffers as they allocate them."""
        (T, B, _), kernels, several = shape, self._loaded(), len(self.directions)
        self._prepared = Prepared()
        weights: list[Any] = []
        packed = traced(lambda: weights.extend(self._weights(None if tokens is None else tokens.table)))
        kept = 0
        for level, _, _ in self._passes:
            symbols = len(tokens.table) if tokens is not None and level == 0 else 0
            sizes = self._sizes(level, T, B, symbols, training)
            kept += self._bytes(T + 1, B, self.hidden)
            between = sizes.piece + 1 + len(range(0, T, max(sizes.piece, 1))) + 1
            kept += (len(self._cell.states) - 1) * self._bytes(between, B, self.hidden)
            made = traced(partial(kernels.allocate, weights[level * several], sizes.piece, B, training))
            saved = 2 * self._bytes(sizes.piece if training else 0, B, len(self._cell.gates) + 1, self.hidden)
            kept += made if made > saved // 4 else saved  # the reference allocates step by step
            if self.bidirectional:
                kept += self._bytes(T, B, self.hidden) * (2 if training else 1)
            if training and not (tokens is not None and level == 0):
                kept += self._bytes(T, B, self.outputs if level else self.inputs)
            if training and level and self.dropout and not self.norm:
                kept += self._bytes(T, B, self.outputs) // several
        sums = self.layers - 1 if self.residual and not self.bidirectional else 0
        kept += joint_bytes(len(self.norms), sums, T * B, self.outputs, self._bytes(1), training)
        return Footprint(kept, 0, packed, (T, B, self.outputs))

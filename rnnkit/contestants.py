"""One layer's work, and how a backend does it (``rnnkit.peers`` has other people's layers).

Notation: B batch rows, T steps, I inputs, H hidden units, G gates; all arrays are float32.  The
work is of two kinds: ``infer``, a forward pass that keeps no gates, and ``train``, everything that
one step of training asks of the layer (packing the new weights, forward, backward to the inputs
and the initial state, gradients of every parameter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnnkit import _kernels
from rnnkit._kernels import Span
from rnnkit.cells import Cell, get_cell
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.nn.passes import unit_steps

WORKS = ("infer", "train")
TOLERANCE = 1e-4
"""Largest difference allowed between results in float32, relative to the largest element."""


class Shape(NamedTuple):
    """Sizes of one layer: batch rows, steps, inputs, hidden units."""

    B: int
    T: int
    I: int  # noqa: E741
    H: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """``"B,T,I,H"`` as a shape; ``UsageError`` unless it is four whole numbers of at least 1.

        >>> Shape.parse("32,64,64,128")
        Shape(B=32, T=64, I=64, H=128)
        """
        try:
            sizes = [int(part) for part in text.replace(",", " ").split()]
        except ValueError:
            sizes = []
        if len(sizes) != 4 or min(sizes) < 1:
            raise UsageError(f"a shape is four whole numbers of at least 1, B,T,I,H as in 32,64,64,128, not {text!r}")
        return cls(*sizes)

    def __str__(self) -> str:
        return " ".join(map(str, self))


@dataclass(frozen=True, eq=False)
class Problem:
    """One layer's weights and inputs, and the gradients that come back to it."""

    cell: Cell
    shape: Shape
    params: dict[str, np.ndarray]
    x: np.ndarray  # [T,B,I]
    first: tuple[np.ndarray, ...]  # [B,H] each: the initial state
    dy: np.ndarray  # [T,B,H]
    dlast: tuple[np.ndarray, ...]  # [B,H] each: gradient of the final state


def make_problem(cell: str | Cell, shape: Shape, seed: int = 0) -> Problem:
    """A layer of a cell with its default options; weights uniform in ±1/√H, all else normal."""
    cell = get_cell(cell) if isinstance(cell, str) else cell
    rng = np.random.Generator(np.random.Philox(seed))
    B, T, I, H = shape  # noqa: E741

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal(size, dtype=np.float32)

    params = {p.name: rng.uniform(-1, 1, p.shape).astype(np.float32) / np.float32(H**0.5) for p in cell.params(I, H)}
    first = tuple(normal(B, H) / 2 for _ in cell.states)
    return Problem(
        cell, shape, params, normal(T, B, I), first, normal(T, B, H), tuple(normal(B, H) for _ in cell.states)
    )


class Contestant(Protocol):
    """Something that can do the work of a ``Problem``: ``infer`` and, if its class's ``works`` have it, ``train``."""

    def infer(self) -> Any: ...

    def results(self) -> dict[str, np.ndarray]:
        """Outputs and gradients of one ``infer`` and one ``train``, by name, in rnnkit's layout."""
        ...


class KernelRun:
    """One backend at work, through the kernel contract."""

    works = WORKS

    def __init__(self, backend: str, problem: Problem, threads: int) -> None:
        B, T, _, H = problem.shape
        self.name, self.problem = backend, problem
        self.kernels = _kernels.load(backend, problem.cell.variant())
        self.threads = threads
        self.weights = self.kernels.prepare(problem.params, threads=threads)
        self.taped, self.untaped = (self.kernels.allocate(self.weights, T, B, training) for training in (True, False))
        self.span, self.unit = Span(0, T, threads=threads), unit_steps(B)
        self.states = tuple(np.empty((T + 1, B, H), np.float32) for _ in problem.first)
        for state, first in zip(self.states, problem.first, strict=True):
            state[0] = first
        self.dstates = tuple(np.empty((B, H), np.float32) for _ in problem.first)
        self.dx = np.empty_like(problem.x)
        self.grads = {name: np.zeros_like(value) for name, value in problem.params.items()}

    def infer(self) -> None:
        self.kernels.forward(self.weights, self.problem.x, self.states, self.untaped, self.span)

    def train(self) -> None:
        problem, kernels, span = self.problem, self.kernels, self.span
        weights = kernels.prepare(problem.params, threads=self.threads)  # they change at every step
        for grad in self.grads.values():
            grad.fill(0)
        for state, last in zip(self.dstates, problem.dlast, strict=True):
            state[...] = last
        kernels.forward(weights, problem.x, self.states, self.taped, span)
        for start in reversed(range(0, span.stop, self.unit)):  # as nn.passes goes back
            part = span._replace(start=start, stop=min(start + self.unit, span.stop))
            kernels.backward(weights, problem.x, self.states, self.taped, problem.dy, self.dstates, self.dx, part)
            kernels.accumulate(weights, problem.x, self.states, self.taped, self.grads, part)

    def results(self) -> dict[str, np.ndarray]:
        self.infer()
        found = {"h of inference": self.states[0][1:].copy()}
        self.train()
        names = self.problem.cell.states
        found["h"] = self.states[0][1:].copy()
        found |= {f"last {name}": state[-1].copy() for name, state in zip(names, self.states, strict=True)}
        found |= {f"gradient of first {name}": grad.copy() for name, grad in zip(names, self.dstates, strict=True)}
        found["gradient of x"] = self.dx.copy()
        return found | {f"gradient of {name}": grad.copy() for name, grad in self.grads.items()}


def check_equal(name: str, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], where: str) -> None:
    """``RnnkitError`` naming the first array that is off by more than ``TOLERANCE`` of the expected one's scale."""
    for key, right in expected.items():
        scale = float(np.abs(right).max()) or 1.0
        error = float(np.abs(found[key] - right).max()) / scale
        if not error <= TOLERANCE:
            raise RnnkitError(
                f"{name} should give what the reference gives for {where}, but its {key} is off by {error:.1e} of its "
                f"scale where {TOLERANCE:.0e} is allowed; times of different results cannot be compared"
            )

"""What stands between the levels of a recurrent stack, and after the last: layer normalisation (Ba et al. 2016).

Notation: u_l ``[T,B,K]`` is what level l hands on, D·H = K numbers a step.  The norm with number l reads u_{l−1} and
gives what level l reads, or, for l = L, what the stack gives: a = gain ⊙ (u − mean)/√(var + ε) + shift.  Normalised
before a level and summed after it, h_l + u_{l−1}, gradients reach the lowest level whole (Xiong et al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnkit._kernels.operations import PARTS
from rnnkit.cells import Param
from rnnkit.nn.engine import Engine
from rnnkit.nn.tape import Tape


def norm_params(number: int, width: int) -> tuple[Param, ...]:
    """What the norm with that number learns."""
    fan = (width, width)
    return (
        Param(f"norm{number}.gain", (width,), "ones", False, 1, fan),
        Param(f"norm{number}.shift", (width,), "zeros", False, 1, fan),
    )


class Norm(NamedTuple):
    """The norm with a number in the stack at ``path``, with the stack's parameters and gradients."""

    path: str
    number: int
    p: Mapping[str, np.ndarray]
    g: Mapping[str, np.ndarray]
    engine: Engine

    @property
    def gain(self) -> str:
        return f"norm{self.number}.gain"

    @property
    def shift(self) -> str:
        return f"norm{self.number}.shift"

    def forward(self, u: np.ndarray, tape: Tape) -> np.ndarray:
        """Normalise ``u [T,B,K]``, which stays as it is until ``backward``."""
        flat, y = _rows(u), self._buffer("y", u.shape, u.dtype, tape)
        self.engine.ops.layer_norm(
            flat, self.p[self.gain], self.p[self.shift], _rows(y), self._stats(flat, tape), self.engine.threads
        )
        return y

    def backward(self, u: np.ndarray, d: np.ndarray, tape: Tape) -> None:
        """INOUT ``d``: the gradient of what ``forward`` gave in, of u out; zero where a row has no step."""
        flat, dflat = _rows(u), _rows(d)
        sums = tape.buffer(f"{self.path}/norm.", "sums", (PARTS, 2, u.shape[-1]), u.dtype)
        self.engine.ops.layer_norm_backward(
            flat, self.p[self.gain], self._stats(flat, tape), dflat, dflat, sums, self.g[self.gain], self.g[self.shift],
            self.engine.threads,
        )  # fmt: skip

    def last_backward(self, u: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """``backward`` of the norm after the last level, whose ``dy`` is the caller's: the gradient of u."""
        d = self._buffer("du", u.shape, u.dtype, tape)
        d[...] = dy
        if tape.lengths is not None:  # no gradient past a row's end, whatever stands there
            d[np.arange(len(d))[:, None] >= tape.lengths] = 0
        self.backward(u, d, tape)
        return d

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: Any, tape: Tape) -> np.ndarray:
        return tape.buffer(f"{self.path}/norm{self.number}.", name, shape, dtype)

    def _stats(self, rows: np.ndarray, tape: Tape) -> np.ndarray:
        return self._buffer("stats", (len(rows), 2), rows.dtype, tape)


def _rows(a: np.ndarray) -> np.ndarray:
    """``[T,B,K]`` as ``[T·B,K]``."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def joint_bytes(norms: int, sums: int, rows: int, width: int, item: int, training: bool) -> int:
    """Bytes that so many norms and residual sums of ``rows`` vectors keep on a tape; a number takes ``item``."""
    kept = norms * rows * (width + 2) + sums * rows * width
    if training and norms:
        kept += rows * width + 2 * PARTS * width
    return kept * item

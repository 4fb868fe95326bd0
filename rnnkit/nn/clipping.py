"""Keeping gradients within bounds, in place, before the optimiser sees them (Pascanu et al. 2013)."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.errors import UsageError

BLOCK = 32768
"""Elements squared at a time: the float64 copy, 256 KiB, stays in cache."""


def norm(grads: np.ndarray) -> float:
    """√Σ g² of a flat vector, summed in float64 block by block in a fixed order (no BLAS, hence no threads)."""
    scratch = np.empty(min(BLOCK, grads.size), dtype=np.float64)
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a norm that is not finite is the answer
        for start in range(0, grads.size, BLOCK):
            part = grads[start : start + BLOCK]
            square = scratch[: part.size]
            square[:] = part
            np.multiply(square, square, out=square)
            total += float(np.add.reduce(square))
    return math.sqrt(total)


def clip_by_norm(grads: np.ndarray, limit: float) -> float:
    """Scale the flat vector so that its norm is at most ``limit``; returns the norm from before.

    A norm that is not finite is returned with the gradients left as they are, for the caller to
    react to.  ``UsageError`` unless the limit is above 0 (``math.inf`` only measures).
    """
    _check(limit)
    before = norm(grads)
    if limit < before < math.inf:
        np.multiply(grads, limit / before, out=grads)
    return before


def clip_by_value(grads: np.ndarray, limit: float) -> None:
    """Bring every element into [−limit, limit]; NaN stays NaN.  ``UsageError`` unless the limit is above 0."""
    _check(limit)
    np.clip(grads, -limit, limit, out=grads)


def _check(limit: float) -> None:
    if not limit > 0:
        raise UsageError(f"clip is a number above 0, not {limit!r}")

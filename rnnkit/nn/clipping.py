"""Keeping gradients within bounds, in place, before the optimiser sees them (Pascanu et al. 2013)."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn.engine import ENGINE, Engine


def norm(grads: np.ndarray, engine: Engine = ENGINE) -> float:
    """√Σ g² of a flat vector, summed in float64 block by block in a fixed order."""
    return math.sqrt(engine.ops.square_sum(np.ascontiguousarray(grads), engine.threads))


def factor(before: float, limit: float) -> float:
    """What gradients of the norm ``before`` are multiplied by so that it is at most ``limit``: 1 if it is, or if it is
    not finite.  ``UsageError`` unless the limit is above 0 (``math.inf`` is none)."""
    _check(limit)
    return limit / before if limit < before < math.inf else 1.0


def clip_by_norm(grads: np.ndarray, limit: float, engine: Engine = ENGINE) -> float:
    """Scale the flat vector so that its norm is at most ``limit``; returns the norm from before.

    A norm that is not finite is returned with the gradients left as they are, for the caller to
    react to.  ``UsageError`` unless the limit is above 0 (``math.inf`` only measures).  An optimiser's ``step`` can
    scale in passing: give it ``factor(norm(grads), limit)``.
    """
    _check(limit)
    before = norm(grads, engine)
    scale = factor(before, limit)
    if scale != 1.0:
        np.multiply(grads, scale, out=grads)
    return before


def clip_by_value(grads: np.ndarray, limit: float) -> None:
    """Bring every element into [−limit, limit]; NaN stays NaN.  ``UsageError`` unless the limit is above 0."""
    _check(limit)
    np.clip(grads, -limit, limit, out=grads)


def _check(limit: float) -> None:
    if not limit > 0:
        raise UsageError(f"clip is a number above 0, not {limit!r}")

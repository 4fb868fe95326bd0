"""Quantiles of Student's t and of the negative binomial distribution, in float64 and for whole arrays.

Both distribution functions are incomplete beta functions (Abramowitz & Stegun 1964, 26.5.24 and 26.7.1), which
Newton's method inverts from a good start; what has arrived is not computed again.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rnnkit.nn.special import beta

ROUNDS = 40
"""The most that Newton's steps for t are repeated; three or four are usual."""
NEWTON = 8
"""Newton's steps before the search for a count halves its bracket instead."""
TIE = 1e-13
"""By how much, relatively, a distribution function may miss a level that it was meant to reach: rounding."""


def student_t_quantile(level: float, dof: np.ndarray) -> np.ndarray:
    """The t below which lies the share ``level``, in (0, 1), for each of the degrees of freedom ``[n]``, 1 or more.

    Relative error about 1e-13; NaN where ``dof`` is.
    """
    if level == 0.5:
        return dof * 0.0
    tail = min(level, 1 - level)
    middle = abs(2 * level - 1)
    z = NormalDist().inv_cdf(tail)
    # the t whose share is that of a normal z: Peizer & Pratt 1968, exact to a percent or so
    with np.errstate(invalid="ignore"):
        t = np.sqrt(dof * np.expm1(z * z * (dof - 5 / 6) / (dof - 2 / 3 + 0.1 / dof) ** 2))

    def step(t: np.ndarray, nu: np.ndarray) -> np.ndarray:
        """Newton's step of ln t: for the ends of what lies beyond ±t, near the median of what lies between."""
        square = t * t
        sides = beta(0.5 * nu, np.full_like(nu, 0.5), nu / (nu + square), square / (nu + square))
        if tail < 0.25:
            return np.log(0.5 * sides.below / tail) * 0.5 * sides.below / sides.density
        return np.log(middle / sides.above) * 0.5 * sides.above / sides.density

    moving = np.flatnonzero(np.isfinite(t))
    for _ in range(ROUNDS):
        if not len(moving):
            break
        moved = np.clip(step(t[moving], dof[moving]), -2.0, 2.0)
        t[moving] *= np.exp(moved)
        moving = moving[np.abs(moved) > 1e-9]  # the step after that would be its square
    return np.copysign(t, level - 0.5)


class Counts(NamedTuple):
    """A negative binomial distribution at a count k: P(X ≤ k), P(X = k) and P(X = k + 1)."""

    below: np.ndarray
    here: np.ndarray
    after: np.ndarray


def negative_binomial(k: np.ndarray, mean: np.ndarray, shape: np.ndarray) -> Counts:
    """At counts ``[n]`` of at least 0, the variance being mean + mean² / shape."""
    total = mean + shape
    p, q = shape / total, mean / total
    low = shape < 1
    sides = beta(np.where(low, shape + 1, shape), k + 1, p, q)
    # I_p(r, b) = I_p(r + 1, b) + density(r, b) / r: of a small r the latter is nearly all
    density = np.where(low, sides.density * shape / (p * (shape + k + 1)), sides.density)
    below = np.where(low, np.minimum(sides.below + density / shape, 1.0), sides.below)
    here = density / ((shape + k) * q)
    return Counts(below, here, here * q * (k + shape) / (k + 1))


def negative_binomial_quantile(level: float, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The smallest count k with P(X ≤ k) ≥ ``level``, in (0, 1), for each mean and shape ``[n]``, both above 0.

    The variance is mean + mean² / shape. Exact, but for shares within 1e-13 of the level; NaN where mean or shape is.
    """
    wanted = level * (1 - TIE)
    z = NormalDist().inv_cdf(level)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.sqrt(mean + mean * (mean / shape))
        # Chebyshev's inequality for one side: no quantile lies outside
        high = np.ceil(mean + deviation * np.sqrt(level / (1 - level)))
        low = np.maximum(np.floor(mean - deviation * np.sqrt((1 - level) / level)) - 1, -1.0)
        # Cornish & Fisher 1938, from the skewness
        skew = (1 + 2 * mean / shape) / deviation
        k = np.floor(mean + deviation * (z + (z * z - 1) * skew / 6))
    result = np.where(np.isfinite(k) & np.isfinite(high), np.clip(k, low + 1, high), np.nan)
    searching = np.flatnonzero(np.isfinite(result))
    k, mean, shape, low, high = (a[searching] for a in (result, mean, shape, low, high))
    rounds = 0
    while len(searching):
        found = negative_binomial(k, mean, shape)
        low, high = _narrowed(k, found, wanted, low, high)
        result[searching] = high
        wide = (high - low > 1) & (high > np.nextafter(low, np.inf))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            guess = np.rint(k + (wanted - found.below) / np.where(found.below < wanted, found.after, found.here))
        halved = np.floor(0.5 * (low + high))
        halved = np.where(high > 4 * (low + 2), np.floor(np.sqrt((low + 2) * (high + 2))) - 2, halved)
        k = np.where((rounds < NEWTON) & (low < guess) & (guess < high), guess, halved)
        searching, k, mean, shape, low, high = (a[wide] for a in (searching, k, mean, shape, low, high))
        rounds += 1
    return result


def _narrowed(
    k: np.ndarray, found: Counts, wanted: float, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bracket, P(X ≤ low) < wanted ≤ P(X ≤ high), after a look at k and its neighbours."""
    enough = found.below >= wanted
    first = enough & (found.below - found.here < wanted)
    last = ~enough & (found.below + found.after >= wanted)
    low = np.where(enough, np.where(first, k - 1, low), k)
    high = np.where(enough, k, np.where(last, k + 1, high))
    return low, high

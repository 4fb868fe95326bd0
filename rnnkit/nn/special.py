"""Gamma and incomplete beta functions that NumPy has not, in float64 and for whole arrays.

What likelihoods need are differences of ln Γ at large arguments, where the values themselves would cancel. So both
ln Γ and its derivative ψ are kept as what they exceed their leading terms by, which is small and exact there:
``gamma_rest`` and ``digamma_rest``. Series: Abramowitz & Stegun 1964, 6.1.41 and 6.3.18.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
SHIFT = 8
"""From here on the series hold to the last digits; arguments below are moved up by as much."""
GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400, 43867 / 244188)
"""B₂ₙ / (2n (2n − 1)), the factors of x^(1 − 2n) in ln Γ."""
DIGAMMA = tuple(-(2 * n - 1) * g for n, g in enumerate(GAMMA, 1))
"""−B₂ₙ / 2n, the factors of x^(−2n) in ψ: the derivative of the series above."""
NODES, FALL, DOUBLINGS = 64, 40.0, 7
"""Points of the quadrature; e^−FALL is where its integrand ends; how often its length is doubled to get there."""
BLOCK = 8192
"""Elements that are integrated at a time: a dozen arrays of them stay in the cache."""


def gamma_rest(x: np.ndarray) -> np.ndarray:
    """ln Γ(x) − ((x − ½) ln x − x + ½ ln 2π), for x > 0."""
    small = x < SHIFT
    rest = _series(GAMMA, np.where(small, x + SHIFT, x))
    if small.any():
        z = np.minimum(x, SHIFT)
        up = z + SHIFT
        product = z * (z + 1)
        for i in range(2, SHIFT):
            product *= z + i
        moved = (up - 0.5) * np.log(up) - (z - 0.5) * np.log(z) - np.log(product) - SHIFT
        rest += np.where(small, moved, 0.0)
    return rest


def digamma_rest(x: np.ndarray) -> np.ndarray:
    """ψ(x) − ln x, for x > 0."""
    small = x < SHIFT
    up = np.where(small, x + SHIFT, x)
    rest = _series(DIGAMMA, up) / up - 0.5 / up
    if small.any():
        z = np.minimum(x, SHIFT)
        moved = np.log1p(SHIFT / z)
        for i in range(SHIFT):
            moved -= 1 / (z + i)
        rest += np.where(small, moved, 0.0)
    return rest


def _series(factors: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Σ factor_n x^(1 − 2n), n from 1."""
    square = 1 / x
    square *= square
    total = np.full_like(square, factors[-1])
    for factor in reversed(factors[:-1]):
        total *= square
        total += factor
    return total / x


class Beta(NamedTuple):
    """The beta distribution of (a, b) at x: I_x(a, b), 1 − I_x(a, b), and x^a (1 − x)^b / B(a, b)."""

    below: np.ndarray
    above: np.ndarray
    density: np.ndarray  # of the logit of what is distributed, ln(x / (1 − x))


def beta(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> Beta:
    """The regularised incomplete beta function of arrays ``[n]``; ``y`` is 1 − x, which x alone would not tell well.

    The smaller of both sides is an integral with a relative error of about 1e-13, the other what is left to 1. Of
    the logit u the density e^(au) / (1 + e^u)^(a+b) / B is smooth with one peak for all a and b, so it is integrated
    away from the peak to where it has vanished, by Gauss and Legendre's rule.
    """
    parts = [_beta(a[i : i + BLOCK], b[i : i + BLOCK], x[i : i + BLOCK], y[i : i + BLOCK]) for i in _starts(len(x))]
    return Beta(*(np.concatenate(side) for side in zip(*parts, strict=True)))


def _starts(n: int) -> range:
    return range(0, max(n, 1), BLOCK)


def _beta(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> Beta:
    swapped = x > y
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    x, y = np.where(swapped, y, x), np.where(swapped, x, y)
    n = a + b
    beyond = x * b - y * a  # n x − a: how far x is beyond the peak
    sign = np.where(beyond > 0, 1.0, -1.0)
    sa, slope, curvature = sign * a, np.abs(beyond), n * x * y

    def fall(s: np.ndarray) -> np.ndarray:
        """−ln of the density at u ± s over that at u."""
        return n * np.log1p(x * np.expm1(sign * s)) - sa * s

    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        density = np.exp(
            _part(a, beyond, n * x)
            + _part(b, -beyond, n * y)
            + 0.5 * np.log(a) + 0.5 * np.log(b / n) - HALF_LOG_2PI
            + gamma_rest(n) - gamma_rest(a) - gamma_rest(b)
        )  # fmt: skip
        root = np.sqrt(curvature)
        length = 1 / (slope + np.where(sign > 0, 1 / np.log1p(1 / root), np.minimum(root, n * x)))
        for _ in range(DOUBLINGS):
            length = np.where(fall(length) < FALL, 2 * length, length)
        area = np.zeros_like(x)
        for node, weight in _gauss():
            area += weight * np.exp(-fall(node * length))
        tail = np.minimum(density * length * area, 1.0)
    below = (sign < 0) != swapped
    return Beta(np.where(below, tail, 1 - tail), np.where(below, 1 - tail, tail), density)


def _part(a: np.ndarray, more: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """a ln(mean / a), where mean = a + more."""
    ratio = more / a
    return a * np.where(np.abs(ratio) < 0.5, np.log1p(ratio), np.log(mean / a))


@cache
def _gauss() -> list[tuple[float, float]]:
    """Nodes and weights on [0, 1], of v where s = v²: denser where the integrand may bend."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    places = [(0.5 + 0.5 * float(node), 0.5 * float(weight)) for node, weight in zip(nodes, weights, strict=True)]
    return [(v * v, 2 * v * weight) for v, weight in places]

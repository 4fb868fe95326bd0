"""Bands that hold: how far they must be stretched so that what was held out lies inside as often as they say.

Conformalised quantile regression (Romano, Patterson & Candès 2019) with the score as a ratio: how many times as far
from the median as the edge of its band a value lies. The stretch is found for each step of the horizon, drawn towards
those of its neighbours and of all steps as far as there are few windows to tell by.
"""

from __future__ import annotations

import msgspec
import numpy as np

SHARES = {0.8: (0.1, 0.9), 0.95: (0.025, 0.975)}
"""Share that a band should hold → the levels of its edges."""
NEIGHBOURS = 2
"""Steps on either side that are pooled with one."""
WEIGHT = 30
"""Windows that it takes for a step's own stretch to count half, the stretch of all steps the other half."""
FEW = 30
"""Independent windows that it takes for what was held out to count half, the bands as they were the other half."""
NOISE = 1.5
"""Standard error of the logarithm of a stretch that is found from one window."""
MOST = 20.0
"""A band is stretched, or shrunk, at most so many times."""


class Calibration(msgspec.Struct, forbid_unknown_fields=True):
    """By how much each band is stretched about the median: ``stretch[i][h]`` of band i at step h."""

    shares: list[float] = []
    stretch: list[list[float]] = []

    def __call__(self, answer: np.ndarray, quantiles: list[float]) -> np.ndarray:
        """Quantiles ``[W,H,Q]`` with the edges of each band moved, as they are scaled; none of them crosses another."""
        out, middle = answer.copy(), answer[:, :, quantiles.index(0.5)]
        for share, stretch in zip(self.shares, self.stretch, strict=True):
            for level in SHARES[share]:
                k = quantiles.index(level)
                steps = np.minimum(np.arange(answer.shape[1]), len(stretch) - 1)
                out[:, :, k] = middle + np.array(stretch)[steps] * (answer[:, :, k] - middle)
        return np.sort(out, axis=2)


def calibrate(actual: np.ndarray, answer: np.ndarray, quantiles: list[float], independent: float) -> Calibration:
    """The stretches that make the bands hold what they should of ``actual [W,H]`` (NaN where missing).

    ``answer [W,H,Q]``: the bands before, of the same windows. ``independent``: as how many windows these count, which
    overlap or move together.
    """
    middle = answer[:, :, quantiles.index(0.5)]
    shares, stretches = [], []
    for share, (low, high) in SHARES.items():
        if low not in quantiles or high not in quantiles:
            continue
        above = _ratio(actual - middle, answer[:, :, quantiles.index(high)] - middle)
        below = _ratio(middle - actual, middle - answer[:, :, quantiles.index(low)])
        shares.append(share)
        stretches.append(_stretch(np.fmax(above, below), share, independent).tolist())
    return Calibration(shares, stretches)


def _ratio(distance: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """How many times as far as the edge a value lies, on its side; below 0 on the other. Beyond ``MOST`` no matter."""
    edge = np.maximum(edge, np.abs(distance) / (10 * MOST))
    return np.divide(distance, edge, out=np.zeros(distance.shape), where=distance != 0)


def _stretch(scores: np.ndarray, share: float, independent: float) -> np.ndarray:
    """The quantile of the scores ``[W,H]`` by step, drawn towards that of all steps, and that towards 1."""
    whole = scores[np.isfinite(scores)]
    if not len(whole):
        return np.ones(scores.shape[1])
    overall = np.log(_quantile(whole, share, len(scores)))
    # What was found counts by the number of windows, or by how far it is from 1 beside its own error (James & Stein
    # 1961): bands five times too narrow show in a few windows.
    trust = max(independent / (independent + FEW), 1 - NOISE**2 / max(independent * overall**2, 1e-9))
    overall *= trust
    out = np.empty(scores.shape[1])
    for h in range(scores.shape[1]):
        near = scores[:, max(0, h - NEIGHBOURS) : h + NEIGHBOURS + 1]
        near = near[np.isfinite(near)]
        own = independent / (independent + WEIGHT) if len(near) else 0.0
        out[h] = own * trust * np.log(_quantile(near, share, len(scores))) + (1 - own) * overall if own else overall
    return np.exp(out)


def _quantile(scores: np.ndarray, share: float, windows: int) -> float:
    """The conformal quantile: at rank (n + 1)·share of n windows, the largest score where that is beyond them all."""
    level = min(1.0, share * (1 + 1 / windows))
    return float(np.clip(np.quantile(scores, level, method="higher"), 1 / MOST, MOST))

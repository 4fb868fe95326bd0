"""How good a prediction is; targets that are NaN are passed over everywhere.

Arrays are of one shape unless said; a result is NaN where nothing is left to judge. Sources: Hyndman & Koehler,
"Another look at measures of forecast accuracy", 2006 (MASE); Makridakis, Spiliotis & Assimakopoulos, "The M4
Competition: 100,000 time series and 61 forecasting methods", 2020 (sMAPE, OWA).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def _present(y: ArrayLike, *others: ArrayLike) -> list[Floats]:
    """Flat float64 copies of y and the others where y is not NaN."""
    target = np.asarray(y, dtype=np.float64)
    known = ~np.isnan(target)
    return [target[known], *(np.broadcast_to(np.asarray(o, dtype=np.float64), target.shape)[known] for o in others)]


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if values.size else math.nan


def rmse(y: ArrayLike, forecast: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of y."""
    target, f = _present(y, forecast)
    return math.sqrt(_mean((target - f) ** 2)) if target.size else math.nan


def mse(y: ArrayLike, forecast: ArrayLike) -> float:
    """Mean squared error, in the squared unit of y."""
    target, f = _present(y, forecast)
    return _mean((target - f) ** 2)


def mae(y: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute error, in the unit of y."""
    target, f = _present(y, forecast)
    return _mean(np.abs(target - f))


def seasonal_scale(insample: ArrayLike, m: int) -> float:
    """Mean absolute change over m steps within the history [n], the denominator of MASE; NaN if n ≤ m or it is 0."""
    history = np.asarray(insample, dtype=np.float64)
    changes = np.abs(history[m:] - history[:-m])
    scale = _mean(changes[~np.isnan(changes)])
    return scale if scale > 0 else math.nan


def mase(y: ArrayLike, forecast: ArrayLike, insample: ArrayLike, m: int = 1) -> float:
    """Mean absolute error over that of the seasonal naive forecast one season ahead within the history [n].

    m is the season in steps (1: none). NaN where the history is constant or not longer than m.
    Hyndman & Koehler 2006; with m > 1 as in the M4 competition.
    """
    return mae(y, forecast) / seasonal_scale(insample, m)


def smape(y: ArrayLike, forecast: ArrayLike) -> float:
    """Symmetric percentage error of M4, 0 to 200: mean of 200 |y − f| / (|y| + |f|), 0 where both are 0."""
    target, f = _present(y, forecast)
    total = np.abs(target) + np.abs(f)
    return _mean(200 * np.abs(target - f) / np.where(total > 0, total, 1.0))


def owa(smape_: float, mase_: float, naive2_smape: float, naive2_mase: float) -> float:
    """Overall weighted average of M4: the mean of sMAPE and MASE, each relative to Naive2's.

    All four are means over the series judged; below 1 is better than Naive2.
    """
    return 0.5 * (smape_ / naive2_smape + mase_ / naive2_mase)


def pinball(y: ArrayLike, quantile: ArrayLike, level: float) -> float:
    """Mean pinball loss of a forecast quantile at a level in (0, 1), in the unit of y (Koenker & Bassett 1978)."""
    target, q = _present(y, quantile)
    error = target - q
    return _mean(np.maximum(level * error, (level - 1) * error))


def coverage(y: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of targets within [low, high]; 0.8 is what an honest 80 % interval has."""
    target, lo, hi = _present(y, low, high)
    return _mean((lo <= target) & (target <= hi))


# -- many windows at once ------------------------------------------------------------------------


def mean_over(values: ArrayLike, axis: int | None = None) -> NDArray[Any]:
    """Means along an axis of what is finite in it, NaN where nothing is."""
    v = np.asarray(values, dtype=np.float64)
    known = np.isfinite(v)
    count = known.sum(axis=axis)
    total = np.where(known, v, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def percentages(y: ArrayLike, forecast: ArrayLike) -> Floats:
    """The terms whose mean is ``smape``, in the shape of y, NaN where y is."""
    target, f = np.asarray(y, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    total = np.abs(target) + np.abs(f)
    return np.asarray(200 * np.abs(target - f) / np.where(total > 0, total, 1.0))


def pinballs(y: ArrayLike, quantile: ArrayLike, level: float) -> Floats:
    """The terms whose mean is ``pinball``, in the shape of y, NaN where y is."""
    error = np.asarray(y, dtype=np.float64) - np.asarray(quantile, dtype=np.float64)
    return np.maximum(level * error, (level - 1) * error)


def inside(y: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """The terms whose mean is ``coverage``: 1 within [low, high], 0 outside, NaN where y is."""
    target = np.asarray(y, dtype=np.float64)
    return np.where(np.isnan(target), np.nan, (np.asarray(low) <= target) & (target <= np.asarray(high)))


def nats_per_char(nats: float, characters: int) -> float:
    """Total negative log-likelihood of a text over its characters, whatever pieces it was scored in."""
    return nats / characters if characters else math.nan


def bits(nats: float) -> float:
    """Nats as bits: divided by ln 2."""
    return nats / math.log(2)


def perplexity(nats: float) -> float:
    """exp of the mean nats per token; infinite where that overflows."""
    return math.exp(nats) if nats < 700 else math.inf


def accuracy(y: ArrayLike, predicted: ArrayLike) -> float:
    """Share of labels [n] that are predicted exactly."""
    return _mean(np.asarray(y) == np.asarray(predicted))


def macro_f1(y: ArrayLike, predicted: ArrayLike) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) of each label that occurs in y or among the predictions, averaged over labels."""
    target, guess = np.asarray(y), np.asarray(predicted)
    labels, codes = np.unique(np.concatenate([target, guess]), return_inverse=True)
    t, g = codes[: len(target)], codes[len(target) :]
    hits = np.bincount(t[t == g], minlength=len(labels))
    both = np.bincount(t, minlength=len(labels)) + np.bincount(g, minlength=len(labels))
    return _mean(2 * hits / np.maximum(both, 1))


def log_loss(y: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean −ln p of the true class, nats; y [n] class indices, probabilities [n, classes]; infinite where p is 0."""
    p = np.asarray(probabilities, dtype=np.float64)
    chosen = p[np.arange(len(p)), np.asarray(y)]
    with np.errstate(divide="ignore"):
        return _mean(-np.log(chosen))

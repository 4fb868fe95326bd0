"""Forecasts without learning, each from one history: what their names mean.

Every one takes the history [n] (NaN where missing), the horizon H and the season m in steps, and gives [H].
``rolling`` makes the same forecasts from many origins of a series at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnkit.errors import DataError

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]

ALPHAS = np.concatenate([[0.02, 0.05], np.arange(0.1, 1.01, 0.1)])
"""Weights of the newest value that smoothing chooses from."""
RECENT = 1000
"""Values, the last ones, that a weight is chosen by."""


def known_at(history: ArrayLike) -> tuple[Floats, Longs]:
    """The history as float64 and the indices of its values."""
    y = np.asarray(history, dtype=np.float64)
    at = np.flatnonzero(~np.isnan(y))
    if not at.size:
        raise DataError("expected a history with at least one value, found none; give a longer one")
    return y, at


def naive(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The last value, repeated."""
    y, at = known_at(history)
    return np.full(horizon, y[at[-1]])


def mean(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The mean of the history, repeated."""
    y, at = known_at(history)
    return np.full(horizon, y[at].mean())


def drift(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The straight line through the first and the last value, continued."""
    y, at = known_at(history)
    slope = (y[at[-1]] - y[at[0]]) / max(at[-1] - at[0], 1)
    return y[at[-1]] + slope * (np.arange(1, horizon + 1) + len(y) - 1 - at[-1])


def seasonal_naive(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The value one season earlier; where that is missing, the season before it, in the end the last value."""
    return _seasonal(history, horizon, m, 1)


def seasonal_mean(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The mean at the same phase over the last four seasons (fewer where the history is shorter)."""
    return _seasonal(history, horizon, m, 4)


def _seasonal(history: ArrayLike, horizon: int, m: int, seasons: int) -> Floats:
    y, at = known_at(history)
    short = -len(y) % m
    table = np.concatenate([np.full(short, np.nan), y]).reshape(-1, m)
    profile = np.full(m, y[at[-1]])
    for phase in range(m):
        own = table[:, phase]
        own = own[~np.isnan(own)]
        if own.size:
            profile[phase] = own[-seasons:].mean()
    return np.resize(profile, horizon)


class Season(NamedTuple):
    """The seasonal figure [m] of a series, by the number of a point modulo m, and whether it multiplies or adds."""

    figure: Floats
    multiplies: bool

    def taken_out(self, y: Floats, points: Longs) -> Floats:
        """Values y [n] at these points without their season."""
        own = self.figure[points % len(self.figure)]
        return y / own if self.multiplies else y - own

    def put_back(self, y: Floats, points: Longs) -> Floats:
        """The inverse of ``taken_out``; y may have more axes before the last."""
        own = self.figure[points % len(self.figure)]
        return y * own if self.multiplies else y + own


def season_of(history: ArrayLike, m: int) -> Season:
    """The seasonal figure as M4 took it out; ones where there is none.

    Only if at least three seasons are there and the autocorrelation at m passes a 90 % test; by classical
    multiplicative decomposition, or additive where values are not all positive (M4 had none such).
    Makridakis, Spiliotis & Assimakopoulos 2020, with the test of the competition's published scripts.
    """
    y, at = known_at(history)
    if m < 2 or not _is_seasonal(y[at[0] :], m):
        return Season(np.ones(1), True)
    whole = np.interp(np.arange(len(y)), at, y[at])
    multiplies = bool(whole.min() > 0)
    weights = np.ones(m) / m if m % 2 else np.concatenate([[0.5], np.ones(m - 1), [0.5]]) / m
    half = m // 2
    trend = np.convolve(whole, weights, "valid")
    inner = whole[half : half + len(trend)]
    ratio = inner / trend if multiplies else inner - trend
    phase = np.arange(half, half + len(trend)) % m
    figure = np.bincount(phase, ratio, m) / np.bincount(phase, minlength=m)
    return Season(figure / figure.mean() if multiplies else figure - figure.mean(), multiplies)


def _is_seasonal(y: Floats, m: int) -> bool:
    """M4's test: |r_m| > 1.645 √((1 + 2 Σ_{i<m} r_i²) / n), r the autocorrelation, n at least 3 m."""
    n = len(y)
    if n < 3 * m:
        return False
    known = ~np.isnan(y)
    x = np.where(known, y - y[known].mean(), 0.0)
    variance = x @ x
    if variance <= 0:
        return False
    r = np.array([x[k:] @ x[:-k] for k in range(1, m + 1)]) / variance
    return bool(abs(r[-1]) > 1.645 * np.sqrt((1 + 2 * np.sum(r[:-1] ** 2)) / known.sum()))


def naive2(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """M4's reference: the last value of the seasonally adjusted series, with the seasonality put back."""
    y, at = known_at(history)
    season, n = season_of(y, m), len(y)
    last = season.taken_out(y[at[-1:]], at[-1:])
    return season.put_back(np.repeat(last, horizon), np.arange(n, n + horizon))


def theta(history: ArrayLike, horizon: int, m: int = 1) -> Floats:
    """The Theta method as M4 had it: the season taken out, half the trend from where simple smoothing stands.

    ŷ_{n+h} = ℓ_n + ½ b (h + (1−α)/α (1 − (1−α)^(n−1))): the mean of the line through the values, of slope b, and of
    the smoothed θ = 2 line; α has the least squared errors one step ahead on the latter. A missing value is the
    adjusted one before it. Assimakopoulos & Nikolopoulos 2000, in the form of Hyndman & Billah 2003.
    """
    y, at = known_at(history)
    n, season = len(y), season_of(y, m)
    x = season.taken_out(y, np.arange(n))[last_known(y)][at[0] :]
    slope, alpha = slopes(x)[-1], weight_of(x)
    ahead = smoothed(x, alpha)[-1] + half_trend(slope, alpha, np.array(len(x)), horizon)
    return season.put_back(ahead, np.arange(n, n + horizon))


def last_known(y: Floats) -> Longs:
    """For each point of y [n] the last one up to it that has a value, −1 where there is none."""
    return np.maximum.accumulate(np.where(np.isnan(y), -1, np.arange(len(y))))


def slopes(x: Floats) -> Floats:
    """[n]: slope of the least-squares line through the first 1, 2, … values of x [n]."""
    n = np.arange(1.0, len(x) + 1)
    t, z = n - 1, x - x[0]
    covered = np.cumsum(t * z) - 0.5 * t * np.cumsum(z)
    return covered / np.maximum(n * (n * n - 1) / 12, 0.5)  # of one value 0


def smoothed(x: Floats, alpha: ArrayLike) -> Floats:
    """[…, n]: simple exponential smoothing of x [n] from its first value on, for each α […].

    ℓ_t − x_0 = Σ_k α (1−α)^k (x_{t−k} − x_0), the sum doubled in length at every pass.
    """
    a = np.asarray(alpha, dtype=np.float64)[..., None]
    z, reach, decay = a * (x - x[0]), 1, 1 - a
    while reach < len(x) and decay.max() > 1e-18:
        z[..., reach:] = z[..., reach:] + decay * z[..., :-reach]
        reach, decay = 2 * reach, decay * decay
    return x[0] + z


def weight_of(x: Floats) -> np.float64:
    """The α by which smoothing foretells the θ = 2 line of x [n] best, one step ahead.

    The first half is not counted: where smoothing starts, at the first value, would weigh too much there.
    """
    line = 2 * x - slopes(x)[-1] * np.arange(len(x))
    line = line[-RECENT:]
    errors = (smoothed(line, ALPHAS)[:, :-1] - line[1:])[:, (len(line) - 1) // 2 :]
    return np.float64(ALPHAS[np.argmin((errors * errors).sum(axis=1))])


def half_trend(slope: Floats, alpha: np.float64, n: Longs, horizon: int) -> Floats:
    """[…, H]: what Theta adds to the smoothed level after n […] values with a line of this slope […]."""
    behind = (1 - alpha) / alpha * (1 - (1 - alpha) ** (n - 1))
    return 0.5 * np.asarray(slope)[..., None] * (np.arange(1, horizon + 1) + behind[..., None])


FORECASTS: dict[str, Callable[[ArrayLike, int, int], Floats]] = {
    "naive": naive,
    "seasonal naive": seasonal_naive,
    "seasonal mean": seasonal_mean,
    "drift": drift,
    "mean": mean,
    "theta": theta,
    "naive2": naive2,
}

"""The same forecasts from many origins of a series at once, in time that grows with the series, not with its square.

Notation: a series [n], C origins (``cuts`` [C], each the number of points before it), H points ahead. What is estimated
rather than read off (the seasonal figure and the weight of smoothing) comes from before the first origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rnnkit.baselines.rules import (
    Floats,
    Longs,
    Season,
    half_trend,
    known_at,
    last_known,
    season_of,
    slopes,
    smoothed,
    weight_of,
)


class Rolled:
    """A series and its origins, with what several rules ask of them."""

    def __init__(self, values: Floats, cuts: Longs, horizon: int, m: int) -> None:
        self.values, self.cuts, self.m = values, cuts, m
        self.first = known_at(values[: cuts.min()])[1][0]
        self.known = last_known(values)
        self.last = self.known[cuts - 1]
        self.points = cuts[:, None] + np.arange(horizon)
        self._season: Season | None = None

    @property
    def ahead(self) -> Longs:
        """1 … H."""
        return np.arange(1, self.points.shape[1] + 1)

    @property
    def season(self) -> Season:
        """The seasonal figure of what comes before the first origin."""
        if self._season is None:
            self._season = season_of(self.values[: self.cuts.min()], self.m)
        return self._season


def naive(r: Rolled) -> Floats:
    return np.repeat(r.values[r.last][:, None], r.points.shape[1], axis=1)


def mean(r: Rolled) -> Floats:
    start = r.values[r.first]
    total = np.cumsum(np.nan_to_num(r.values - start))
    count = np.cumsum(~np.isnan(r.values))
    return np.repeat((start + total[r.cuts - 1] / count[r.cuts - 1])[:, None], r.points.shape[1], axis=1)


def drift(r: Rolled) -> Floats:
    last = r.values[r.last]
    slope = (last - r.values[r.first]) / np.maximum(r.last - r.first, 1)
    return last[:, None] + slope[:, None] * (r.ahead + (r.cuts - 1 - r.last)[:, None])


def seasonal_naive(r: Rolled) -> Floats:
    return _seasonal(r, 1)


def seasonal_mean(r: Rolled) -> Floats:
    return _seasonal(r, 4)


def _seasonal(r: Rolled, seasons: int) -> Floats:
    """Means of the last values known at each phase, as many as so many seasons; else the last value of all."""
    n, m = len(r.values), r.m
    known = np.concatenate([~np.isnan(r.values), np.zeros(-n % m, bool)]).reshape(-1, m)
    count = np.cumsum(known, axis=0)  # [season, phase]: values known at the phase up to this season
    place = np.full((len(known) + 1, m), -1)  # [k, phase]: where the k-th of them is
    row, phase = np.nonzero(known)
    place[count[row, phase], phase] = row * m + phase
    at = r.cuts[:, None] - m + (r.ahead - 1) % m  # the last point of the phase, perhaps before the series
    inside = np.maximum(at, 0)
    have = np.where(at >= 0, count[inside // m, inside % m], 0)
    out, used = np.zeros(at.shape), np.minimum(have, seasons)
    for k in range(seasons):
        wanted = np.maximum(have - k, 0)
        found = r.values[place[wanted, inside % m]]
        out += np.where(k < used, found, 0.0)
    return np.where(used > 0, out / np.maximum(used, 1), r.values[r.last][:, None])


def naive2(r: Rolled) -> Floats:
    last = r.season.taken_out(r.values[r.last], r.last)
    return r.season.put_back(np.repeat(last[:, None], r.points.shape[1], axis=1), r.points)


def theta(r: Rolled) -> Floats:
    before = r.cuts.min() - r.first
    x = r.season.taken_out(r.values, np.arange(len(r.values)))[r.known][r.first :]
    alpha, n = weight_of(x[:before]), r.cuts - r.first
    level = smoothed(x, alpha)[n - 1]
    ahead = level[:, None] + half_trend(slopes(x)[n - 1], alpha, n, r.points.shape[1])
    return r.season.put_back(ahead, r.points)


RULES: dict[str, Callable[[Rolled], Floats]] = {
    "naive": naive,
    "seasonal naive": seasonal_naive,
    "seasonal mean": seasonal_mean,
    "drift": drift,
    "mean": mean,
    "theta": theta,
    "naive2": naive2,
}
"""The rows of ``rules.FORECASTS``, many origins at a time."""


def forecasts(
    names: Sequence[str],
    values: Sequence[Floats],
    series: NDArray[np.integer],
    cuts: NDArray[np.integer],
    horizon: int,
    m: int = 1,
) -> dict[str, Floats]:
    """[W, H] each: forecasts by name of W windows, the points of ``values[series]`` from ``cuts`` on.

    The first origin of a series, before which things are estimated, is the earliest of its windows.
    Raises DataError where a window has no value before it.
    """
    out = {name: np.empty((len(cuts), horizon)) for name in names}
    order = np.argsort(series, kind="stable")
    bounds = np.flatnonzero(np.diff(series[order], prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        rows = order[start:stop]
        rolled = Rolled(values[series[rows[0]]], cuts[rows].astype(np.int64), horizon, m)
        for name in names:
            out[name][rows] = RULES[name](rolled)
    return out

"""What of forecasts and backtests is worth showing: which series and folds, and what an evaluation says by step.

Numbers only; charts in files and on terminals draw them. W windows of H steps, S series, Q levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import UsageError
from rnnkit.tasks import Backtest, Forecast

Floats = NDArray[np.float64]


def bands(columns: Mapping[str, object]) -> list[str]:
    """Names of the bands, the widest first: ``['95', '80']`` where there are lo95, hi95, lo80 and hi80."""
    found = [name[2:] for name in columns if name.startswith("lo") and f"hi{name[2:]}" in columns]
    return sorted(found, key=float, reverse=True)


def middle(columns: Mapping[str, object]) -> str:
    """The column of the forecast itself: ``median``, or ``mean``."""
    return "median" if "median" in columns else "mean"


def matching(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the labels that a name or pattern (``*``, ``?``) is of; an id alone takes all its targets.

    ``UsageError`` for a name that none has.
    """
    found: set[int] = set()
    for name in names:
        here = [i for i, one in enumerate(labels) if fnmatchcase(one, name) or fnmatchcase(one, f"{name} · *")]
        if not here:
            some = ", ".join(labels[:3]) + (", …" if len(labels) > 3 else "")
            are = "is" if len(labels) == 1 else "are"
            raise UsageError(f"no series is called {name!r}; there {are} {len(labels):,}: {some}")
        found.update(here)
    return sorted(found)


def only(found: Backtest, names: Sequence[str]) -> Backtest:
    """The windows of the series that the names or patterns are of; all without names."""
    if not names:
        return found
    kept = matching(found.labels, names)
    place = np.full(len(found.labels), -1)
    place[kept] = np.arange(len(kept))
    rows = place[found.series] >= 0
    return replace(
        found,
        labels=[found.labels[i] for i in kept],
        values=[found.values[i] for i in kept],
        times=lambda i, at: found.times(kept[i], at),
        series=place[found.series][rows],
        cuts=found.cuts[rows],
        actual=found.actual[rows],
        columns={name: values[rows] for name, values in found.columns.items()},
        baselines={name: values[rows] for name, values in found.baselines.items()},
    )


def telling(found: Forecast, most: int) -> tuple[list[int], str]:
    """At most so many series, and how they were chosen ('' where all are there).

    With bands they go from the surest forecast to the least sure one, evenly over the ranks; without, evenly over
    the order of the file.
    """
    count = len(found.ids)
    if count <= most:
        return list(range(count)), ""
    spread = [_uncertainty(found, i) for i in range(count)]
    ranked = math.isfinite(max(spread))
    order = sorted(range(count), key=spread.__getitem__) if ranked else list(range(count))
    rule = "from the surest to the least sure" if ranked else "evenly over their order"
    return [order[round(i * (count - 1) / max(most - 1, 1))] for i in range(most)], rule


def _uncertainty(found: Forecast, i: int) -> float:
    """Mean width of the narrowest band over the spread of the history; infinite without a band."""
    columns, history = found.columns[i], found.history[i]
    names = bands(columns)
    if not names:
        return math.inf
    width = float(np.mean(columns[f"hi{names[-1]}"] - columns[f"lo{names[-1]}"]))
    known = history[np.isfinite(history)]
    spread = float(known.std()) if len(known) else 0.0
    return width / spread if spread else (width and math.inf)


# -- backtests ------------------------------------------------------------------------------------


def apart(backtest: Backtest, series: int, most: int) -> NDArray[np.int64]:
    """Windows of a series in ascending order: its last ones that do not overlap, ``most`` of them at most."""
    mine = np.flatnonzero(backtest.series == series)
    mine = mine[np.argsort(backtest.cuts[mine], kind="stable")][::-1]
    kept: list[int] = []
    for window in mine:
        if len(kept) == most:
            break
        if not kept or backtest.cuts[window] + backtest.actual.shape[1] <= backtest.cuts[kept[-1]]:
            kept.append(int(window))
    return np.array(kept[::-1], np.int64)


def errors(backtest: Backtest) -> dict[str, Floats]:
    """Absolute errors [W, H] of the forecast (named '') and of every simple rule."""
    forecasts = {"": backtest.columns[middle(backtest.columns)], **backtest.baselines}
    return {name: np.abs(values - backtest.actual) for name, values in forecasts.items()}


def scales(backtest: Backtest) -> Floats:
    """Mean change from one step to the next before the first window of each series [S]; NaN where there is none."""
    found = np.full(len(backtest.labels), np.nan)
    for i in np.unique(backtest.series):
        before = backtest.values[i][: backtest.cuts[backtest.series == i].min()]
        found[i] = mean(np.abs(np.diff(before)))
    return np.where(found > 0, found, np.nan)


def ranked(backtest: Backtest) -> list[str]:
    """The simple rules, the one with the smallest mean error first, series of different size weighing alike."""
    scale = scales(backtest)[backtest.series][:, None] if len(backtest.labels) > 1 else 1.0
    found = {name: mean(e / scale) for name, e in errors(backtest).items() if name}
    return sorted(found, key=lambda name: (math.isnan(found[name]), found[name]))


def best_baseline(backtest: Backtest) -> str | None:
    """The first of ``ranked``, None without rules."""
    return next(iter(ranked(backtest)), None)


def by_window(backtest: Backtest) -> Floats:
    """Mean absolute error of each window [W]; NaN where nothing came."""
    return rows_mean(errors(backtest)[""])


def by_series(backtest: Backtest, rule: str | None) -> Floats:
    """Mean absolute error of each series over that of a simple rule [S] (without a rule over the mean change).

    NaN where there is nothing to compare.
    """
    found = errors(backtest)
    ours = _series_mean(backtest, found[""])
    theirs = scales(backtest) if rule is None else _series_mean(backtest, found[rule])
    return ours / np.where(theirs > 0, theirs, np.nan)


def _series_mean(backtest: Backtest, values: Floats) -> Floats:
    """Mean of the known values [W, H] of each series [S]."""
    known, S = np.isfinite(values), len(backtest.labels)
    sums = np.bincount(backtest.series, np.where(known, values, 0.0).sum(1), S)
    counts = np.bincount(backtest.series, known.sum(1), S)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def extremes(values: Floats, each: int) -> list[tuple[str, list[int]]]:
    """Places of the smallest, the middle and the largest of the known values, ``each`` of either."""
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    each = max(1, min(each, len(order) // 3))
    start = (len(order) - each) // 2
    parts = (("best", order[:each]), ("median", order[start : start + each]), ("worst", order[-each:]))
    return [(name, part.tolist()) for name, part in parts]


# -- by step --------------------------------------------------------------------------------------


def pools(windows: int, H: int, most: int | None = None) -> NDArray[np.int64]:
    """Edges [n + 1] of runs of steps, 0 to H: every step its own where there are values enough.

    A run has 100 values or more (the standard error of a share of 80 % is 4 points there), or else three runs of at
    least 20 show whether anything changes with the step.
    """
    values = windows * H
    count = max(1, min(3, values // 20), values // 100 if most is None else min(most, values // 100))
    return np.round(np.linspace(0, H, min(H, count) + 1)).astype(np.int64)


def independent(backtest: Backtest) -> int:
    """Number of windows that do not overlap another one of their series."""
    return sum(len(apart(backtest, int(i), len(backtest.cuts))) for i in np.unique(backtest.series))


def pooled(values: Floats, edges: NDArray[np.int64]) -> Floats:
    """Means [n] of the known values [W, H] over runs of steps; NaN where a run has none."""
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0).sum(0), edges[:-1])
    counts = np.add.reduceat(known.sum(0), edges[:-1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def inside(backtest: Backtest, band: str) -> Floats:
    """1 where what came lies in the band, 0 where not, NaN where nothing came [W, H]."""
    low, high = backtest.columns[f"lo{band}"], backtest.columns[f"hi{band}"]
    hit = (low <= backtest.actual) & (backtest.actual <= high)
    return np.where(np.isnan(backtest.actual), np.nan, hit)


def below(backtest: Backtest) -> list[tuple[float, float]]:
    """(level, share of what came at or below it) for every quantile that the columns hold, ascending."""
    levels = {f"{end}{band}": 0.5 + sign * float(band) / 200 for band in bands(backtest.columns)
              for end, sign in (("lo", -1), ("hi", 1))}  # fmt: skip
    if "median" in backtest.columns:
        levels["median"] = 0.5
    known = np.isfinite(backtest.actual)
    shares = [(q, mean((backtest.actual <= backtest.columns[name])[known])) for name, q in levels.items()]
    return sorted(shares)


def error_by_step(backtest: Backtest, edges: NDArray[np.int64]) -> dict[str, Floats]:
    """Mean absolute error of the forecast (named '') and of every rule over runs of steps [n].

    Of one series in its own unit; of several each over its mean change from step to step.
    """
    scale = scales(backtest)[backtest.series][:, None] if len(backtest.labels) > 1 else 1.0
    return {name: pooled(e / scale, edges) for name, e in errors(backtest).items()}


def mean(values: Floats) -> float:
    """Mean of the finite values, NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def rows_mean(values: Floats) -> Floats:
    """Mean of the finite values of each row [W], NaN where there is none."""
    known = np.isfinite(values)
    counts = known.sum(1)
    return np.where(counts > 0, np.where(known, values, 0.0).sum(1) / np.maximum(counts, 1), np.nan)

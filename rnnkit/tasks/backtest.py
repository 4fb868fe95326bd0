"""Backtests: forecasts from rolling origins over the end of series, with one model or one trained anew at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit.baselines import fitted
from rnnkit.data.series import SeriesSet
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks import Backtest
from rnnkit.tasks.forecast_score import Predict, Scored, score
from rnnkit.tasks.origins import JUDGED, origins

AGAINST = ("auto", "simple", "all")
"""Which rivals: the simple rules, those of statistics too where they are installed and soon fitted, or in any case."""
Refit = Callable[[SeriesSet, int, int], Any]
"""(series up to an origin, which it may change, fold from 1 on, folds) → a forecaster trained anew on them."""


@dataclass
class Settings:
    """How a backtest is made; None leaves the number of origins, and their distance, to it."""

    folds: int | None = None
    stride: int | None = None
    against: str = "auto"
    refit: Refit | None = None
    tell: Callable[[int, int], None] = lambda done, total: None  # windows that models of statistics were fitted to

    def __post_init__(self) -> None:
        if self.against not in AGAINST:
            raise UsageError(f"--against is one of {', '.join(AGAINST)}, not {self.against!r}")


@dataclass
class Shape:
    """What a model asks of a window: its horizon, the points that it needs before it, its periods and levels."""

    horizon: int
    minimum: int
    periods: Sequence[int]
    levels: Sequence[float]


def rolling_origins(series: SeriesSet, shape: Shape, folds: int | None, stride: int, most: int) -> list[np.ndarray]:
    """Origins of each series; DataError, UsageError where they do not fit in.

    By default at most ``most``, and none before the last ``JUDGED`` of the shortest series: what comes before the first
    is what errors are measured by.
    """
    shortest, H = min(len(v) for v in series.values), shape.horizon
    room = (shortest - H - shape.minimum) // stride + 1
    if shortest < H + shape.minimum:
        raise DataError(
            f"at least {H + shape.minimum} points are needed to score a forecast of {H}, found {shortest}; "
            "give a longer series"
        )
    if folds is not None and folds > room:
        raise UsageError(
            f"--folds is at most {room} for {shortest} points, horizon {H} and stride {stride}, not {folds}"
        )
    last = max(1, int(JUDGED * shortest - H) // stride + 1)
    return [origins(len(v), H, folds or min(room, most, last), stride) for v in series.values]


def backtest(
    series: SeriesSet, predict: Predict, cuts: Sequence[np.ndarray], shape: Shape, settings: Settings, keep: bool
) -> tuple[Scored, list[str]]:
    """The scores from these origins, and what is to be said of them."""
    notices: list[str] = []
    more = _of_statistics(series, cuts, shape, settings, notices)
    if settings.refit is not None:
        predict = _anew(series, cuts, shape, settings.refit)
    scored = score(predict, shape.levels, series.values, cuts, shape.horizon, shape.periods, more=more, keep=keep)
    return scored, notices


def _of_statistics(
    series: SeriesSet, cuts: Sequence[np.ndarray], shape: Shape, settings: Settings, notices: list[str]
) -> Mapping[str, np.ndarray]:
    """Forecasts of AutoETS and AutoTheta, fitted at every origin, where they are wanted and can be afforded."""
    if settings.against == "simple" or (settings.against == "auto" and not fitted.available()):
        return {}
    at = np.concatenate(list(cuts))
    fits, points = len(at), fitted.points(at)
    names = " and ".join(fitted.MODELS)
    if settings.against == "auto" and points > fitted.AFFORDABLE:
        notices.append(
            f"{names} are left out: {fits:,} fits to {points:,} points together would take "
            f"about {_span(points / 1000)}; --against all makes them"
        )
        return {}
    number = np.repeat(np.arange(len(cuts)), [len(c) for c in cuts])
    m = shape.periods[0] if shape.periods else 1
    found, failed = fitted.fitted(series.values, number, at, shape.horizon, m, settings.tell)
    many = f" of {len(cuts)} series" if len(cuts) > 1 else ""
    notices.append(f"{names} were fitted anew at each of {fits:,} origin{'s' * (fits > 1)}{many}")
    if failed:
        notices.append(f"{failed:,} of {2 * fits:,} such fits failed; the last value stands for their forecasts")
    return found


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _anew(series: SeriesSet, cuts: Sequence[np.ndarray], shape: Shape, refit: Refit) -> Predict:
    """A forecaster that is trained at each origin on what all series have before it, as if they ended together."""

    def predict(number: np.ndarray, at: np.ndarray) -> np.ndarray:
        out = np.empty((len(at), shape.horizon, max(1, len(shape.levels))))
        fold = np.concatenate([np.arange(len(c)) for c in cuts])
        for k in np.unique(fold):
            rows = fold == k
            ends = [c[k] for c in cuts]
            model = refit(before(series, ends, shape.horizon), int(k) + 1, len(cuts[0]))
            out[rows] = model.predictor(before(series, ends, shape.horizon), shape.horizon)(number[rows], at[rows])
        return out

    return predict


def before(series: SeriesSet, cuts: Sequence[int], horizon: int) -> SeriesSet:
    """A copy of the series as they were at these points: their values, and the inputs known a horizon in advance."""
    ahead = [
        np.concatenate([t, more])[c : c + horizon] for t, more, c in zip(series.times, series.ahead, cuts, strict=True)
    ]
    return replace(
        series,
        names=list(series.names),
        targets=list(series.targets),
        values=[v[:c].copy() for v, c in zip(series.values, cuts, strict=True)],
        past=[p[:c].copy() for p, c in zip(series.past, cuts, strict=True)],
        times=[t[:c].copy() for t, c in zip(series.times, cuts, strict=True)],
        future=[f[: c + len(a)].copy() for f, a, c in zip(series.future, ahead, cuts, strict=True)],
        ahead=ahead,
        static=series.static.copy(),
        notices=[],
    )


# -- what is made of one ---------------------------------------------------------------------------


def record(scored: Scored, series: SeriesSet, columns: Mapping[float, str]) -> Backtest:
    """The forecasts beside what came; ``columns`` names quantile levels."""
    names = [columns[q] for q in scored.levels]
    order = [n for n in ("median", "mean") if n in names] + [n for n in names if n not in ("median", "mean")]
    return Backtest(
        series.time_name or "t",
        series.labels,
        list(series.values),
        lambda i, at: series.freq.format(series.times[i][at]),
        scored.target.series,
        scored.target.cuts,
        scored.target.actual,
        {name: scored.answer[:, :, names.index(name)] for name in order},
        scored.rivals,
    )


def rows(found: Backtest, series: SeriesSet) -> Iterator[list[Any]]:
    """A head, then a row for each step of each window: whose, from when, when, how far ahead, what came, columns."""
    several = len(series.target_names) > 1
    head = [*([series.id_name or "id"] if len(set(series.names)) > 1 else []), *(["target"] if several else [])]
    yield [*head, "origin", found.time_name, "step", "actual", *found.columns]
    H = found.actual.shape[1]
    for w, (i, cut) in enumerate(zip(found.series, found.cuts, strict=True)):
        whose = [*([series.names[i]] if len(set(series.names)) > 1 else []), *([series.targets[i]] if several else [])]
        origin, *times = found.times(i, np.arange(cut - 1, cut + H))
        figures = np.stack([found.actual[w], *(c[w] for c in found.columns.values())], axis=1)
        for h, (at, line) in enumerate(zip(times, figures.tolist(), strict=True)):
            yield [*whose, origin, at, h + 1, *line]

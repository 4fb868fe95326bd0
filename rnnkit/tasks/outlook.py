"""What somebody asked of a forecast, and the forecast as they get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rnnkit.data.series import SeriesSet
from rnnkit.data.source import suggest
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks import Forecast
from rnnkit.tasks.intervals import interval_columns
from rnnkit.tasks.windows import Window


def check_horizon(asked: int | None, window: Window) -> int:
    """The steps to forecast; ``UsageError`` where they are more than the network gives."""
    if asked is not None and not 1 <= asked <= window.horizon:
        raise UsageError(
            f"--horizon is from 1 to the {window.horizon} steps that the run was trained for, not {asked}; "
            "train with a larger --horizon for more"
        )
    return asked or window.horizon


def chosen(series: SeriesSet, ids: Sequence[str] | None) -> list[int]:
    """The series of these ids, all without any; ``UsageError`` names an id that there is not."""
    if ids is None:
        return list(range(len(series)))
    known = set(series.names)
    for name in ids:
        if name not in known:
            hint = suggest(name, sorted(known)) or f"; there are {_listed(sorted(known))}"
            raise UsageError(f"there is no series '{name}'{hint}" if known != {""} else _nameless(name))
    return [i for i, name in enumerate(series.names) if name in ids]


def _nameless(name: str) -> str:
    return f"there is no series '{name}': the data is one series without a name; leave --ids out"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")


def picked(series: SeriesSet, at: Sequence[int]) -> SeriesSet:
    """Some of the series."""
    if list(at) == list(range(len(series))):
        return series
    lists = {
        name: [getattr(series, name)[i] for i in at]
        for name in ("names", "targets", "values", "past", "times", "future", "ahead")
    }
    return replace(series, **lists, static=series.static[list(at)])


def check_lengths(series: SeriesSet, minimum: int) -> None:
    """``DataError`` for the first series too short to forecast from."""
    for name, target, v in zip(series.names, series.targets, series.values, strict=True):
        if len(v) < minimum:
            raise DataError(
                f"at least {minimum} points of {target} are needed to forecast{f' {name}' if name else ''}, "
                f"found {len(v)}; give a longer history"
            )


def as_forecast(
    series: SeriesSet, answer: np.ndarray, window: Window, interval: Sequence[float], notices: list[str]
) -> Forecast:
    """The forecast that quantiles ``answer [S,H,Q]`` of the steps after each series are."""
    H, shown = answer.shape[1], max(3 * window.horizon, window.context)
    columns = interval_columns(answer, window.quantiles, interval, log=window.log_floor > 0)
    ahead = [series.freq.future(t[-1], H) for t in series.times]
    return Forecast(
        series.time_name or "t",
        series.id_name or ("id" if len(set(series.names)) > 1 else ""),
        series.names,
        series.targets,
        [series.freq.format(t) for t in ahead],
        [{name: values[i] for name, values in columns.items()} for i in range(len(series))],
        history=[v[-shown:] for v in series.values],
        history_times=[series.freq.format(t[-shown:]) for t in series.times],
        notices=notices,
        stamps=ahead,
    )

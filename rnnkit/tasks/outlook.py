"""What somebody asked of a forecast, and the forecast as they get it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnkit.data.series import SeriesSet
from rnnkit.data.source import suggest
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks import Forecast
from rnnkit.tasks.intervals import interval_columns
from rnnkit.tasks.windows import Window

MOST = 100
"""Times the trained horizon that a forecast may be prolonged to, from its own medians."""


def check_horizon(asked: int | None, trained: int) -> int:
    """The steps to forecast; ``UsageError`` where they are more than can be meant."""
    if asked is not None and not 1 <= asked <= MOST * trained:
        raise UsageError(
            f"--horizon is from 1 to {MOST * trained}, {MOST} times the steps that the run was trained for, not {asked}"
        )
    return asked or trained


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


def check_lengths(series: SeriesSet, minimum: int) -> None:
    """``DataError`` for the first series too short to forecast from."""
    for name, target, v in zip(series.names, series.targets, series.values, strict=True):
        if len(v) < minimum:
            raise DataError(
                f"at least {minimum} points of {target} are needed to forecast{f' {name}' if name else ''}, "
                f"found {len(v)}; give a longer history"
            )


def say_unknown(series: SeriesSet, horizon: int) -> None:
    """A notice where inputs that have to be known in advance are not, for all steps."""
    short = min(len(ahead) for ahead in series.ahead)
    if series.future_names and short < horizon:
        series.notices.append(
            f"{', '.join(series.future_names)} {'are' if len(series.future_names) > 1 else 'is'} known for {short} of "
            f"{horizon} steps ahead and counted as missing after that; rnnkit predict RUN --template writes the rows"
        )


def template(series: SeriesSet, horizon: int) -> dict[str, list[str]]:
    """The rows after each series as columns of text: ids, times, inputs known in advance as far as they are, targets.

    What is to be filled in is empty, and so are the targets.
    """
    time, ids = series.time_name or "t", series.id_name
    columns: dict[str, list[str]] = {
        name: [] for name in (ids, time, *series.future_names, *series.target_names) if name
    }
    first = {name: i for i, name in reversed(list(enumerate(series.names)))}
    for name, i in sorted(first.items(), key=lambda pair: pair[1]):
        known = series.future[i][len(series.values[i]) :][:horizon]
        columns[time] += series.freq.format(series.freq.future(series.times[i][-1], horizon))
        if ids is not None:
            columns[ids] += [name] * horizon
        for k, column in enumerate(series.future_names):
            given = [f"{value:.15g}" for value in known[:, k].tolist()]
            columns[column] += given + [""] * (horizon - len(given))
        for target in series.target_names:
            columns[target] += [""] * horizon
    return columns


def as_forecast(series: SeriesSet, answer: np.ndarray, window: Window, interval: Sequence[float]) -> Forecast:
    """The forecast that quantiles ``answer [S,H,Q]`` of the steps after each series are."""
    H, shown = answer.shape[1], max(3 * window.horizon, window.context)
    columns = interval_columns(answer, window.quantiles, interval, log=window.log_floor > 0, middle=window.middle)
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
        notices=series.notices,
        stamps=ahead,
    )

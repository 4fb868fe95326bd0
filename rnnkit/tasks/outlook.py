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


def template(series: SeriesSet, horizon: int, columns: Sequence[str]) -> dict[str, list[str]]:
    """The rows after each series by column of text: names, times, inputs known in advance as far as they are.

    What is to be filled in is empty, and so are targets. ``columns``: those of the training, whose order is kept so
    that the rows may be added to its file; constant inputs are filled in, all others are empty.
    """
    time, ids = series.time_name or "t", series.id_name
    named = [*([ids] if ids is not None else []), time, *series.future_names, *series.target_names]
    order = list(columns) if set(named) <= set(columns) else named
    first = {name: i for i, name in reversed(list(enumerate(series.names)))}
    rows: list[dict[str, str]] = []
    for name, i in sorted(first.items(), key=lambda pair: pair[1]):
        known = series.future[i][len(series.values[i]) :][:horizon]
        constant = _constants(series, i)
        for h, at in enumerate(series.freq.format(series.freq.future(series.times[i][-1], horizon))):
            given = dict(zip(series.future_names, known[h].tolist(), strict=True)) if h < len(known) else {}
            row = {column: f"{value:.15g}" for column, value in given.items()}
            rows.append(constant | row | {time: at} | ({ids: name} if ids is not None else {}))
    return {column: [row.get(column, "") for row in rows] for column in order}


def _constants(series: SeriesSet, i: int) -> dict[str, str]:
    """What is constant of a series, by column, as its table had it."""
    found: dict[str, str] = {}
    for name, value in zip(series.static_names, series.static[i].tolist(), strict=True):
        column, words, word = name.partition("=")
        if words and value == 1.0:
            found[column] = word
        elif not words and value == value:
            found[column] = f"{value:.15g}"
    return found


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

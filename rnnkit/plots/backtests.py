"""Backtests: the forecasts of the folds over what came, and the page of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import views
from rnnkit.console import number
from rnnkit.plots.coverages import HEIGHT, draw
from rnnkit.plots.sheet import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAGE,
    confine,
    dress,
    fan,
    fitted,
    heading,
    line,
    plain,
    sheet,
    short,
    time_ticks,
)  # fmt: skip
from rnnkit.tasks import Backtest

FOLDS = 8
"""Folds in a row at most."""
POINTS = 600
"""Steps of folds in a row at most, beyond the second fold: more cannot be told apart."""
SERIES = 4
"""Series that have a row of their own; of more the best, median and worst are shown."""
EACH = 3
"""So many of either."""


def backtest(found: Backtest, path: Path, *, rule: str | None = None) -> None:
    """The series with the forecasts of its folds over them, a baseline (the best one if None) as a thin line.

    One series: its last folds that do not overlap in a row, and below it the best, the median and the worst fold.
    Up to ``SERIES`` series: a row each. More: the best, median and worst ones by their error beside the best rule's.
    """
    with sheet(path, _height(found), PAGE) as figure:
        _draw(figure, found, rule)


def evaluation(found: Backtest, path: Path, *, rule: str | None = None) -> None:
    """One page: the backtest above, below it how well the bands hold and the error by step beside the simple rules."""
    above, below = _height(found), HEIGHT
    with sheet(path, above + below, PAGE) as figure:
        parts = figure.subfigures(2, 1, height_ratios=(above, below), squeeze=False)[:, 0]
        _draw(parts[0], found, rule)
        draw(parts[1], found)


def _used(found: Backtest) -> list[int]:
    return [int(i) for i in np.unique(found.series)]


def _height(found: Backtest) -> float:
    """Inches of the backtest's part."""
    used = len(_used(found))
    if used == 1:
        return 3.4 if len(found.cuts) <= FOLDS and len(_row(found, _used(found)[0])) == len(found.cuts) else 5.6
    return 0.6 + 2.2 * used if used <= SERIES else 6.2


def _draw(figure: Any, found: Backtest, rule: str | None) -> None:
    used, rule = _used(found), rule or views.best_baseline(found)
    if len(used) == 1:
        _single(figure, found, used[0], rule)
    elif len(used) <= SERIES:
        _few(figure, found, used, rule)
    else:
        _many(figure, found, rule)


def _row(found: Backtest, series: int) -> np.ndarray:
    """Windows that stand in a row."""
    H = found.actual.shape[1]
    cuts = np.unique(found.cuts[found.series == series])
    gap = max(H, int(np.diff(cuts).min()) if len(cuts) > 1 else H)
    return views.apart(found, series, int(np.clip(POINTS // gap, 2, FOLDS)))


def _single(figure: Any, found: Backtest, series: int, rule: str | None) -> None:
    row, total = _row(found, series), len(found.cuts)
    error = views.by_window(found)
    chosen = views.extremes(error, 1) if len(row) < total else []
    grid = figure.add_gridspec(2 if chosen else 1, 3, height_ratios=(1.25, 1) if chosen else (1,))
    first = figure.add_subplot(grid[0, :])
    _folds(first, found, row, rule, PAGE - 0.7)
    first.set_xlabel(plain(found.time_name), fontsize=9)
    dress(first)
    for place, (name, windows) in enumerate(chosen):
        for window in windows:
            axes = figure.add_subplot(grid[1, place])
            _one(axes, found, window, rule, PAGE / 3 - 0.6)
            (at,) = short(found.times(series, found.cuts[[window]]))
            text = f"{name} fold, from {at}: error {number(float(error[window]), 3)}"
            axes.set_title(fitted(text, PAGE / 3 - 0.5, 8.5), loc="left", fontsize=8.5)
            dress(axes, 7, 4)
    some = f"the last {len(row)} folds that do not overlap, of {total:,}"
    which = some if chosen else f"all {total} folds" if total > 1 else "one fold"
    heading(figure, f"{found.labels[series]}: {which}", first, PAGE)


def _few(figure: Any, found: Backtest, used: Sequence[int], rule: str | None) -> None:
    ratio = views.by_series(found, rule)
    panels = figure.subplots(len(used), 1, squeeze=False)[:, 0]
    shown = 0
    for axes, i in zip(panels, used, strict=True):
        row = _row(found, i)
        shown = max(shown, len(row))
        _folds(axes, found, row, rule, PAGE - 0.7)
        axes.set_title(fitted(_judged(found.labels[i], ratio[i], rule), PAGE - 0.6, 9), loc="left", fontsize=9)
        dress(axes, most=4)
    axes.set_xlabel(plain(found.time_name), fontsize=9)
    heading(figure, f"{len(used)} series, {_last(shown)}", panels[0], PAGE)


def _many(figure: Any, found: Backtest, rule: str | None) -> None:
    ratio = views.by_series(found, rule)
    groups = views.extremes(ratio, EACH)
    panels = figure.subplots(EACH, 3, squeeze=False)
    shown = 0
    for column, (name, chosen) in enumerate(groups):
        for down, axes in enumerate(panels[:, column]):
            if down >= len(chosen):
                axes.set_axis_off()
                continue
            row = _row(found, chosen[down])[-3:]
            shown = max(shown, len(row))
            _folds(axes, found, row, rule, PAGE / 3 - 0.6, small=True)
            text = f"{name}: {found.labels[chosen[down]]}, {number(ratio[chosen[down]], 3)}"
            axes.set_title(fitted(text, PAGE / 3 - 0.6, 8), loc="left", fontsize=8, pad=3)
            dress(axes, 7, 3)
    beside = f"{rule}'s" if rule else "the mean change"
    title = f"Best, median and worst of {len(_used(found)):,} series: error / {beside}, {_last(shown)}"
    heading(figure, title, panels[0, 0], PAGE)


def _last(shown: int) -> str:
    return f"last {shown} folds" if shown > 1 else "last fold"


def _judged(label: str, ratio: float, rule: str | None) -> str:
    if not math.isfinite(ratio):
        return label
    return (
        f"{label}: error {number(ratio, 3)} of {rule}'s"
        if rule
        else f"{label}: error {number(ratio, 3)} of the mean change"
    )


def _folds(
    axes: Any, found: Backtest, row: np.ndarray, rule: str | None, inches: float, *, small: bool = False
) -> None:
    """Folds in a row over their series; neighbours differ in colour."""
    series, H = int(found.series[row[0]]), found.actual.shape[1]
    first, last = int(found.cuts[row[0]]), int(found.cuts[row[-1]]) + H - 1
    start = max(0, first - max(H, (last - first) // 5))
    values = found.values[series]
    end = min(last + 1, len(values))
    line(axes, range(start, end), values[start:end], color=INK, linewidth=0.8 if small else 1.1, label="data", zorder=3)
    for n, window in enumerate(row):
        cut = int(found.cuts[window])
        columns = {name: column[window] for name, column in found.columns.items()}
        colour = GREEN if n % 2 else BLUE
        fan(axes, cut, columns, _value(values, cut - 1), colour=colour, width=1.0 if small else 1.5, labels=n == 0)
        axes.axvline(cut - 0.5, color="#d9d9d9", linewidth=0.8, zorder=0)
        if rule:
            style: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (3, 1.5))}
            line(axes, range(cut, cut + H), found.baselines[rule][window], label=rule if n == 0 else None, **style)
    confine(axes, [values[start:end]], {name: column[row] for name, column in found.columns.items()})
    _times(axes, found, series, (start, last), [first], inches, small)


def _one(axes: Any, found: Backtest, window: int, rule: str | None, inches: float) -> None:
    """One fold, what came in a colour of its own."""
    series, cut, H = int(found.series[window]), int(found.cuts[window]), found.actual.shape[1]
    start = max(0, cut - max(2 * H, 20))
    values = found.values[series]
    line(axes, range(start, cut), values[start:cut], color=INK, linewidth=0.9)
    columns = {name: column[window] for name, column in found.columns.items()}
    fan(axes, cut, columns, _value(values, cut - 1), width=1.2)
    if rule:
        style: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (3, 1.5))}
        line(axes, range(cut, cut + H), found.baselines[rule][window], **style)
    line(axes, range(cut, cut + H), found.actual[window], color=ORANGE, linewidth=1.0, zorder=3)
    confine(axes, [values[start:cut], found.actual[window]], columns)
    _times(axes, found, series, (start, cut + H - 1), [cut], inches, small=True)


def _value(values: np.ndarray, at: int) -> float:
    return float(values[at]) if at >= 0 else math.nan


def _times(
    axes: Any, found: Backtest, series: int, span: tuple[int, int], marks: list[int], inches: float, small: bool
) -> None:
    size, most = (7, 3) if small else (8, 6)
    time_ticks(axes, span, marks, lambda at: found.times(series, np.array(at)), inches, size=size, most=most)

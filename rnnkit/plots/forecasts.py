"""Forecasts with their fans, of one series or of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import views
from rnnkit.plots.sheet import (
    INK,
    ORANGE,
    PAGE,
    WIDE,
    confine,
    dress,
    fan,
    fitted,
    heading,
    legend,
    line,
    plain,
    sheet,
    time_ticks,
)
from rnnkit.tasks import Forecast

ROWS = 4
"""Series that have a row of their own; more stand side by side."""
MOST = 24
"""Panels of a page."""


def forecast(found: Forecast, path: Path, actual: Sequence[Sequence[float]] | None = None) -> None:
    """Each series with the end of its history, its forecast and its bands, at most ``MOST`` of them.

    ``actual[i]``: what really came of series i, drawn beside its forecast if given.
    """
    chosen, rule = views.telling(found, MOST)
    came = [None if actual is None else actual[i] for i in range(len(found.ids))]
    if len(chosen) <= ROWS:
        _rows(found, came, path)
    else:
        _page(found, came, chosen, rule, path)


def _rows(found: Forecast, came: Sequence[Any], path: Path) -> None:
    count = len(found.ids)
    with sheet(path, 2.8 * count + 0.8 if count > 1 else 4.2) as figure:
        for i, axes in enumerate(figure.subplots(count, 1, squeeze=False)[:, 0]):
            _panel(axes, found, i, came[i], WIDE - 0.7)
            label = found.labels[i] if count > 1 else found.targets[i]
            axes.set_title(fitted(label, WIDE - (5.2 if i == 0 else 0.7), 11), loc="left", fontsize=11)
            if i == 0:
                legend(axes)
            dress(axes)
        axes.set_xlabel(plain(found.time_name), fontsize=9)


def _page(found: Forecast, came: Sequence[Any], chosen: list[int], rule: str, path: Path) -> None:
    """Small panels side by side; times are written once per column where all panels have the same."""
    across = 2 if len(chosen) <= 6 else 3 if len(chosen) <= 12 else 4
    down = -(-len(chosen) // across)
    spans = [(found.times[i], len(_before(found, i, small=True))) for i in chosen]
    shared = all(span == spans[0] for span in spans)
    with sheet(path, 0.6 + (1.3 if shared else 1.45) * down + 0.2, PAGE) as figure:
        panels = figure.subplots(down, across, squeeze=False).ravel()
        for place, axes in enumerate(panels):
            if place >= len(chosen):
                axes.set_axis_off()
                continue
            i, wide = chosen[place], PAGE / across
            _panel(axes, found, i, came[i], wide - 0.5, small=True)
            axes.set_title(fitted(found.labels[i], wide - 0.7, 8), loc="left", fontsize=8, pad=3)
            dress(axes, 7, 3)
            if shared and place + across < len(chosen):
                axes.set_xticklabels([])
        target = f"{found.targets[0]}: " if len(set(found.targets)) == 1 else ""
        total = len(found.ids)
        title = f"{target}{f'{len(chosen)} of {total:,} series, {rule}' if rule else f'{total} series'}"
        heading(figure, title, panels[0], PAGE)


def _before(found: Forecast, i: int, *, small: bool) -> np.ndarray:
    """The end of a history that is shown before its forecast: five horizons, within what can be made out."""
    H = len(found.times[i])
    return found.history[i][-max(60, H, min(5 * H, 600) // (2 if small else 1)) :]


def _panel(axes: Any, found: Forecast, i: int, came: Any, inches: float, *, small: bool = False) -> None:
    """One series over the places 1 - n to H, 0 being the last known point."""
    times, history = found.times[i], _before(found, i, small=small)
    H, n = len(times), len(history)
    last = float(history[-1]) if n else math.nan
    thin = 0.7 if small else min(1.0, max(0.5, 500 / (n + H)))  # lines of many points would run into each other
    line(axes, range(1 - n, 1), history, color=INK, linewidth=1.1 * thin, label="data")
    fan(axes, 1, found.columns[i], last, width=1.6 * thin)
    if came is not None:
        style: dict[str, Any] = {"color": ORANGE, "linewidth": 1.1 * thin, "label": "what came"}
        line(axes, np.arange(1, len(came) + 1), came, **style)
    confine(axes, [history] if came is None else [history, np.asarray(came, dtype=float)], found.columns[i])
    names = [*found.history_times[i][len(found.history_times[i]) - n :], *times]
    size, most = (7, 3) if small else (8, 5)
    time_ticks(axes, (1 - n, H), [1], lambda at: [names[p + n - 1] for p in at], inches, size=size, most=most)
    axes.set_xlim(min(1 - n, 0), H)
    if small:
        axes.axvline(0.5, color="#d9d9d9", linewidth=0.8, zorder=0)

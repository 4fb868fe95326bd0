"""Many forecasts at once on a terminal: a line for each series; and how well bands hold, as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from rnnkit import views
from rnnkit.console import number
from rnnkit.tasks import Backtest, Forecast

LEVELS = ("▁▂▃▄▅▆▇█", "_.-^")
"""Heights of a spark, lowest first: in Unicode and in ASCII."""
LABEL = 20
"""Characters of a label that a narrow screen keeps."""
SPARK = 20
"""Characters of a spark at least; figures of the band make room for it."""
GAP = 3
"""Characters between the columns of a table."""


def spark(values: ArrayLike, width: int, low: float, high: float, unicode: bool) -> str:
    """Values as ``width`` marks at most, each the mean of its share; a blank where none is known.

    >>> spark([0.0, 1.0, 2.0, 3.0], 4, 0.0, 3.0, True), spark([0.0, math.nan, 3.0], 3, 0.0, 3.0, False)
    ('▁▃▆█', '_ ^')
    """
    levels = LEVELS[0 if unicode else 1]
    known = np.asarray(values, dtype=float)
    parts = np.array_split(known, min(width, len(known))) if len(known) else []
    out = ""
    for mean in map(views.mean, parts):
        share = (mean - low) / (high - low) if high > low else 0.5
        out += " " if math.isnan(mean) else levels[min(len(levels) - 1, int(share * len(levels)))]
    return out


def overview(found: Forecast, chosen: Sequence[int], *, width: int, unicode: bool) -> tuple[list[str], list[list[str]]]:
    """(headers, rows) of a table with a line for each series: spark of history and forecast, last value, end, band."""
    bands = views.bands(found.columns[0])
    headers = ["series", "history and forecast", "last", "end"] + [f"{e}{bands[-1]}" for e in ("lo", "hi") if bands]
    figures = [_figures(found, i, bands[-1:]) for i in chosen]
    label = min(LABEL, max((len(found.labels[i]) for i in chosen), default=0))

    def room(count: int) -> int:
        wide = [max(len(headers[2 + c]), *(len(row[c]) for row in figures)) for c in range(count)]
        return width - max(label, len("series")) - sum(wide) - GAP * (count + 1)

    count = len(headers) - 2 if room(len(headers) - 2) >= SPARK else 2
    sparks = [_line(found, i, max(SPARK, room(count)), unicode) for i in chosen]
    rows = [[found.labels[i], s, *row[:count]] for i, s, row in zip(chosen, sparks, figures, strict=True)]
    return headers[: 2 + count], rows


def _figures(found: Forecast, i: int, bands: Sequence[str]) -> list[str]:
    """The last known value of a series, the end of its forecast and of the band."""
    columns, history = found.columns[i], found.history[i]
    known = history[np.isfinite(history)]
    last = float(known[-1]) if len(known) else math.nan
    ends = [columns[name][-1] for name in (views.middle(columns), *(e + band for band in bands for e in ("lo", "hi")))]
    return [number(float(value)) for value in (last, *ends)]


def _line(found: Forecast, i: int, width: int, unicode: bool) -> str:
    """Spark of the end of a history and, after a rule, of the forecast, on one scale."""
    middle = found.columns[i][views.middle(found.columns[i])]
    before = found.history[i][-max(3 * len(middle), 30) :]
    ahead = min(len(middle), max(1, width // 4))
    seen = np.concatenate([before, middle])
    seen = seen[np.isfinite(seen)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
    past = spark(before, width - ahead - 1, low, high, unicode)
    return f"{past:>{width - ahead - 1}}{'┊' if unicode else '|'}{spark(middle, ahead, low, high, unicode)}"


def coverage_bars(found: Backtest, *, width: int, unicode: bool) -> list[str]:
    """Share of what came that lay in each band, over runs of steps: a bar to 100 %, a mark where it should end."""
    names = views.bands(found.columns)[::-1]
    if not names:
        return []
    windows, H = found.actual.shape
    edges = views.pools(windows, H, most=6)
    labels = [f"{a + 1}–{b}" if b > a + 1 else f"{b}" for a, b in pairwise(edges)]
    labels = labels if unicode else [label.replace("–", "-") for label in labels]
    first = max(len("steps"), *map(len, labels))
    room = max(10, min(40, (width - first) // len(names) - 9))
    head = [f"{f'inside the {band} % band':<{room + 6}}" for band in names]
    lines = [f"{'steps':<{first}}  {'  '.join(head)}".rstrip()]
    shares = [views.pooled(views.inside(found, band), edges) for band in names]
    for n, label in enumerate(labels):
        bars = [_bar(share[n], float(band) / 100, room, unicode) for share, band in zip(shares, names, strict=True)]
        lines.append(f"{label:<{first}}  {'  '.join(bars)}".rstrip())
    return lines


def _bar(share: float, nominal: float, room: int, unicode: bool) -> str:
    if math.isnan(share):
        return f"{'':{room}} {'–' if unicode else '-':>4} "
    full, mark = ("█", "│") if unicode else ("#", "|")
    cells = list(f"{full * round(share * room):<{room}}")
    cells[min(room - 1, round(nominal * room))] = mark
    return f"{''.join(cells)} {100 * share:3.0f} %"

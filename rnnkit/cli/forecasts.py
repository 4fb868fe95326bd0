"""Forecasts as CSV, as JSON, or on a terminal as a table and a chart."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import console
from rnnkit.cli import drawing
from rnnkit.cli.outlet import put
from rnnkit.tasks import Forecast

ROWS = 24
"""Rows of a forecast that a terminal shows."""


def show(
    found: Forecast, run: Path, *, json: bool = False, out: Path | None = None, plot: Path | None = None
) -> None:  # fmt: skip
    """A forecast where it was asked for: in a file, piped, or before a person's eyes."""
    for notice in found.notices:
        console.note(f"note: {notice}")
    if plot is not None:
        drawing.picture(plot, found)
    if json:
        targets = list(dict.fromkeys(found.targets))
        text = console.to_json({"run": str(run), "targets": targets, "rows": list(_records(found))}) + "\n"
    elif out is None and console.terminal(sys.stdout):
        _table(found)
        return
    else:
        text = to_csv(found)
    put(text, out)


def template(columns: dict[str, list[str]], out: Path) -> None:
    """Rows to fill in, as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    put(file.getvalue(), out)


def _labels(found: Forecast) -> list[str]:
    """The columns that say which series a row is of."""
    return ([found.id_name] if found.id_name else []) + (["target"] if len(set(found.targets)) > 1 else [])


def _names(found: Forecast) -> list[str]:
    return [*_labels(found), found.time_name, *found.columns[0]]


def _rows(found: Forecast) -> Iterator[list[Any]]:
    """Rows of (id, target, time, values): the first two only where there is a column for them, values as numbers."""
    several = len(set(found.targets)) > 1
    for name, target, times, columns in zip(found.ids, found.targets, found.times, found.columns, strict=True):
        label = ([name] if found.id_name else []) + ([target] if several else [])
        for i, at in enumerate(times):
            yield [*label, at, *(float(values[i]) for values in columns.values())]


def _records(found: Forecast) -> Iterator[dict[str, Any]]:
    names = _names(found)
    for row in _rows(found):
        yield dict(zip(names, row, strict=True))


def to_csv(found: Forecast) -> str:
    """The forecast as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_names(found))
    for row in _rows(found):
        writer.writerow([digits(v) if isinstance(v, float) else v for v in row])
    return file.getvalue()


def digits(value: float) -> str:
    """A number with the seven digits that a float32 has; nothing for what is none."""
    return np.format_float_positional(value, precision=7, fractional=False, trim="-") if math.isfinite(value) else ""


def _table(found: Forecast) -> None:
    """The first rows and a chart; of several series a line each instead."""
    if len(found.ids) > 1:
        drawing.forecast(found)
        console.write("-o FILE writes the rows of every series")
        return
    rows = list(_rows(found))
    first = len(_labels(found)) + 1
    figures = iter(console.numbers([v for row in rows[:ROWS] for v in row[first:]]))
    shown = [[*row[:first], *(next(figures) for _ in row[first:])] for row in rows[:ROWS]]
    console.table(_names(found), shown, left=first)
    if len(rows) > ROWS:
        console.write(f"… and {len(rows) - ROWS:,} more rows; -o FILE writes them all")
    drawing.forecast(found)

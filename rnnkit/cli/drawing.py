"""What a command draws: charts on the terminal, pictures in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import console, views
from rnnkit.cli.charts import backtest_chart, forecast_chart, loss_chart
from rnnkit.cli.sparklines import coverage_bars, overview
from rnnkit.run import Run
from rnnkit.tasks import Backtest, Forecast


def picture(path: Path, found: Forecast | None, run: Run | None = None) -> None:
    """A forecast, or else the losses of a run, as a file."""
    from rnnkit import plots

    if found is not None:
        plots.forecast(found, path)
    else:
        assert run is not None
        plots.loss(run.read_log(), path)
    console.note(f"wrote {path}")


def training(found: Forecast | None, run: Run) -> None:
    """The forecast of what was trained, or its losses where it forecasts nothing."""
    if found is not None:
        forecast(found)
        return
    records = [r for r in run.read_log() if r.get("selected") is not None and r.get("loss") is not None]
    if len(records) < 2:
        return
    unicode = console.unicode_output()
    steps, loss, selected = ([r[key] for r in records] for key in ("step", "loss", "selected"))
    mark = "·" if unicode else "."
    console.write(f"Loss per token over the steps: training ({mark}) and the part that selects (line)")
    _write(loss_chart(steps, loss, selected, width=console.width(), unicode=unicode))


def forecast(found: Forecast) -> None:
    """One series as a chart; several as a line each, as many as the screen shows."""
    width, unicode, ahead = console.width(), console.unicode_output(), _ahead(len(found.times[0]))
    if len(found.ids) > 1:
        chosen, rule = views.telling(found, max(5, console.height() - 6))
        some = f"{len(chosen)} of {len(found.ids):,} series, {rule}" if rule else f"{len(chosen)} series"
        console.write(f"{some}; the last known value and the forecast {ahead}:")
        headers, rows = overview(found, chosen, width=width, unicode=unicode)
        console.table(headers, rows, left=2)
        return
    columns = {name: values.tolist() for name, values in found.columns[0].items()}
    chart = forecast_chart(found.history[0].tolist(), columns, found.times[0], width=width, unicode=unicode)
    if chart:
        console.write(f"{found.labels[0]}: {ahead}{_shaded(views.bands(found.columns[0]))}")
        _write(chart)


def evaluation(found: dict[str, Any], names: Sequence[str], path: Path | None, *, seen: bool) -> None:
    """The backtest of an evaluation beside its best baseline: as a file, and where it is seen on the terminal."""
    shown, rule = views.only(found["backtest"], names), found["baseline"]
    if seen:
        console.write()
        backtest(shown, rule)
    if path is not None:
        from rnnkit import plots

        plots.evaluation(shown, path, rule=rule)
        console.note(f"wrote {path}")


def backtest(found: Backtest, rule: str | None = None) -> None:
    """The last folds of a series and how well the bands hold; of several series the median one by error over a rule's.

    rule: a baseline, the best one if None.
    """
    width, unicode = console.width(), console.unicode_output()
    used = [int(i) for i in np.unique(found.series)]
    series, which = used[0], ""
    if len(used) > 1:
        middle = dict(views.extremes(views.by_series(found, rule or views.best_baseline(found)), 1))["median"]
        series = middle[0] if middle else used[0]
        which = f", {'the median one by error' if middle else 'the first'} of {len(used):,} series"
    chart = backtest_chart(found, series, width=width, unicode=unicode)
    if chart:
        ahead = _ahead(found.actual.shape[1])
        console.write(f"{found.labels[series]}{which}: folds of {ahead}{_shaded(views.bands(found.columns))}")
        _write(chart)
    bars = coverage_bars(found, width=width, unicode=unicode)
    if bars:
        console.write()
        _write(bars)


def _ahead(steps: int) -> str:
    return f"{steps:,} step{'s' * (steps > 1)} ahead"


def _shaded(bands: Sequence[str]) -> str:
    return f", the band holding {bands[-1]} %" if bands else ""


def _write(lines: Sequence[str]) -> None:
    for line in lines:
        console.write(line)

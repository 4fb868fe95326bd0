"""What training, evaluation and forecasts print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from rnnkit import api, console
from rnnkit.cli import scores
from rnnkit.cli.charts import forecast_chart, loss_chart
from rnnkit.cli.scores import METRICS, in_order, percent, report, summary
from rnnkit.outputs import STDOUT, write
from rnnkit.run import Run
from rnnkit.tasks import Forecast, Model, TaskJob
from rnnkit.training import Finished

CHOSEN: dict[str, tuple[str, ...]] = {
    "forecast": ("cell", "hidden", "layers", "dropout", "context", "horizon", "season", "past", "batch", "steps", "lr"),
    "language": ("cell", "hidden", "layers", "embedding", "dropout", "level", "context", "batch", "steps", "lr"),
}
"""Task → the settings worth a line, most telling first."""
UNJUDGED = (
    "this run was not judged: its training was interrupted or diverged; rnnkit train --resume goes on where it stopped"
)
ROWS = 24
"""Rows of a forecast that a terminal shows."""


def chosen(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """The telling ones among the settings of a training."""
    names = CHOSEN.get(task, tuple(options))
    return {name: options[name] for name in names if options.get(name) not in (None, "", [])}


def note_unjudged(model: Model) -> None:
    """Say of a run whose training did not reach its end that no figures stand behind it."""
    if not model.meta.report:
        console.note(f"note: {UNJUDGED}")


def trained(finished: Finished, job: TaskJob, *, json: bool, plot: Path | None) -> None:
    """What a training ends with: metrics beside the baselines, the verdict, a chart, the next command."""
    run, model = finished.run, api.load(finished.run.path)
    forecast = model.predict() if model.task == "forecast" else None
    if plot is not None:
        _plot(plot, forecast, run)
    if json:
        console.write_json(**summary(run.path, model.task, finished.report), seconds=round(finished.seconds, 3))
        return
    report(finished.report)
    console.write()
    for line in _chart(forecast, run):
        console.write(line)
    console.write(f"\nUse it:  {next_command(run.path, job)}")


def quantized(found: dict[str, Any]) -> None:
    """The metrics of a run as it was trained beside those of its quantised weights."""
    forms = found["metrics"]
    rows = []
    for name in in_order(forms["float32"]):
        label = METRICS.get(name, (name, ""))[0]
        values = [metrics[name] for metrics in forms.values()]
        if name.startswith("coverage"):
            rows.append([label, *map(percent, values), ""])
        else:
            rows.append([label, *(console.number(v, 5) for v in values), f"{values[1] - values[0]:+.5f}"])
    console.write(f"On {found['part']}:")
    console.table(["", *forms, "difference"], rows)


def next_command(run: Path, job: TaskJob) -> str:
    """The exact command that uses the run; a text is gone on with from its own first words."""
    if job.task == "language":
        opening = getattr(job, "first_words", "")
        return f"rnnkit generate {shlex.quote(str(run))} --seed {shlex.quote(opening)}"
    return f"rnnkit predict {shlex.quote(str(run))}"


def _chart(forecast: Forecast | None, run: Run) -> list[str]:
    width, unicode = console.width(), console.unicode_output()
    if forecast is not None:
        return forecast_lines(forecast, width=width, unicode=unicode)
    records = [r for r in run.read_log() if r.get("selected") is not None and r.get("loss") is not None]
    if len(records) < 2:
        return []
    steps, loss, selected = ([r[key] for r in records] for key in ("step", "loss", "selected"))
    mark = "·" if unicode else "."
    head = f"Loss per token over the steps: training ({mark}) and the part that selects (line)"
    return [head, *loss_chart(steps, loss, selected, width=width, unicode=unicode)]


def forecast_lines(forecast: Forecast, *, width: int, unicode: bool) -> list[str]:
    """A chart of the first series with its heading."""
    columns = {name: values.tolist() for name, values in forecast.columns[0].items()}
    chart = forecast_chart(forecast.history[0].tolist(), columns, forecast.times[0], width=width, unicode=unicode)
    which = f" of {forecast.ids[0]}, the first of {len(forecast.ids):,} series" if len(forecast.ids) > 1 else ""
    band = ", the band holding 80 %" if "lo80" in columns else ""
    return [f"{forecast.targets[0]}{which}: {len(forecast.times[0]):,} steps ahead{band}", *chart] if chart else []


# -- forecasts ------------------------------------------------------------------------------------


def forecast(
    found: Forecast,
    run: Path,
    *,
    json: bool = False,
    out: Path | None = None,
    plot: Path | None = None,
) -> None:
    """A forecast as CSV or JSON, or on a terminal as a table and a chart."""
    for notice in found.notices:
        console.note(f"note: {notice}")
    if plot is not None:
        _plot(plot, found, None)
    if json:
        text = console.to_json({"run": str(run), "target": found.targets[0], "rows": list(_records(found))}) + "\n"
    elif out is None and console.terminal(sys.stdout):
        _show(found)
        return
    else:
        text = to_csv(found)
    if out is None or out == STDOUT:
        sys.stdout.write(text)
        return
    write(out, text.encode())
    console.note(f"wrote {out}")


def _names(found: Forecast) -> list[str]:
    return ([found.id_name] if found.id_name else []) + [found.time_name, *found.columns[0]]


def _rows(found: Forecast) -> Any:
    """Rows of (id, time, values): the id only where there is a column for it, values as numbers."""
    for name, times, columns in zip(found.ids, found.times, found.columns, strict=True):
        for i, at in enumerate(times):
            yield [*([name] if found.id_name else []), at, *(float(values[i]) for values in columns.values())]


def _records(found: Forecast) -> Any:
    names = _names(found)
    for row in _rows(found):
        yield dict(zip(names, row, strict=True))


def to_csv(found: Forecast) -> str:
    """The forecast as CSV."""
    return scores.to_csv([_names(found), *_rows(found)])


def _show(found: Forecast) -> None:
    rows = list(_rows(found))
    first = 2 if found.id_name else 1
    figures = iter(console.numbers([v for row in rows[:ROWS] for v in row[first:]]))
    shown = [[*row[:first], *(next(figures) for _ in row[first:])] for row in rows[:ROWS]]
    console.table(_names(found), shown, left=first)
    if len(rows) > ROWS:
        console.write(f"… and {len(rows) - ROWS:,} more rows; -o FILE writes them all")
    for line in forecast_lines(found, width=console.width(), unicode=console.unicode_output()):
        console.write(line)


def _plot(path: Path, found: Forecast | None, run: Run | None) -> None:
    from rnnkit import plots

    if found is not None:
        plots.forecast(found, path)
    else:
        assert run is not None
        plots.loss(run.read_log(), path)
    console.note(f"wrote {path}")

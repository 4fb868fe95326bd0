"""What training, evaluation and forecasts print."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from rnnkit import api, console, views
from rnnkit.cli.charts import forecast_chart, loss_chart
from rnnkit.cli.sparklines import overview
from rnnkit.run import Run
from rnnkit.tasks import Forecast, Model, TaskJob
from rnnkit.training import Finished

METRICS: dict[str, tuple[str, str]] = {
    "mase": ("MASE", "low"),
    "smape": ("sMAPE %", "low"),
    "owa": ("OWA", "low"),
    "rmse": ("RMSE", "low"),
    "mae": ("MAE", "low"),
    "pinball": ("pinball loss", "low"),
    "coverage80": ("inside the 80 % band", ""),
    "coverage95": ("inside the 95 % band", ""),
    "nats_per_char": ("nats per character", "low"),
    "bits_per_char": ("bits per character", "low"),
    "accuracy": ("accuracy", "high"),
    "macro_f1": ("macro F1", "high"),
    "bleu": ("BLEU", "high"),
}
"""Metric → label and which end is better."""
CHOSEN: dict[str, tuple[str, ...]] = {
    "forecast": ("cell", "hidden", "layers", "dropout", "context", "horizon", "season", "past", "batch", "steps", "lr"),
    "language": ("cell", "hidden", "layers", "embedding", "dropout", "level", "context", "batch", "steps", "lr"),
}
"""Task → the settings worth a line, most telling first."""
UNJUDGED = (
    "this run was not judged: its training was interrupted or diverged; rnnkit train --resume goes on where it stopped"
)


def chosen(task: str, options: dict[str, Any]) -> dict[str, Any]:
    """The telling ones among the settings of a training."""
    names = CHOSEN.get(task, tuple(options))
    return {name: options[name] for name in names if options.get(name) not in (None, "", [])}


def in_order(metrics: dict[str, Any]) -> list[str]:
    """The names of metrics as ``METRICS`` has them, others after."""
    return [*(name for name in METRICS if name in metrics), *(name for name in metrics if name not in METRICS)]


def note_unjudged(model: Model) -> None:
    """Say of a run whose training did not reach its end that no figures stand behind it."""
    if not model.meta.report:
        console.note(f"note: {UNJUDGED}")


def trained(finished: Finished, job: TaskJob, *, json: bool, plot: Path | None) -> None:
    """What a training ends with: metrics beside the baselines, the verdict, a chart, the next command."""
    run, model = finished.run, api.load(finished.run.path)
    forecast = model.predict() if model.task == "forecast" else None
    if plot is not None:
        draw(plot, forecast, run)
    if json:
        console.write_json(**_summary(run.path, model.task, finished.report), seconds=round(finished.seconds, 3))
        return
    report(finished.report)
    console.write()
    _draw(forecast, run)
    console.write(f"\nUse it:  {next_command(run.path, job)}")


def evaluated(run: Path, task: str, found: dict[str, Any], *, json: bool) -> None:
    """What an evaluation prints."""
    for notice in found.get("notices", []):
        console.note(f"note: {notice}")
    if json:
        console.write_json(**_summary(run, task, found), seconds=round(found.get("seconds", 0.0), 3))
    else:
        report(found)


def _summary(run: Path, task: str, found: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        k: found[k] for k in ("part", "metrics", "baselines", "verdict", "windows") if k in found
    }
    return {"run": str(run), "task": task, **figures}


def report(found: dict[str, Any]) -> None:
    """Metrics of the run beside those of the baselines, then the verdict."""
    metrics, baselines = found["metrics"], found["baselines"]
    rows, best = [], []
    for name in in_order(metrics):
        value = metrics[name]
        label, better = METRICS.get(name, (name, ""))
        if name.startswith("coverage"):
            rows.append([label, _percent(value), *(_percent(b.get(name, "")) for b in baselines.values())])
        else:
            figures = [value, *(b.get(name, "") for b in baselines.values())]
            rows.append([label, *console.numbers(figures, least=3)])
        best.append(_best([value, *(b.get(name) for b in baselines.values())], better))
    console.write(f"On {'the ' if found['part'].startswith('last') else ''}{found['part']}:")
    console.table(["", "this run", *baselines], rows, best=best)
    console.write(f"{'The run ' if found['verdict'].startswith(('beats', 'does')) else ''}{found['verdict']}.")


def quantized(found: dict[str, Any]) -> None:
    """The metrics of a run as it was trained beside those of its quantised weights."""
    forms = found["metrics"]
    rows = []
    for name in in_order(forms["float32"]):
        label = METRICS.get(name, (name, ""))[0]
        values = [metrics[name] for metrics in forms.values()]
        if name.startswith("coverage"):
            rows.append([label, *map(_percent, values), ""])
        else:
            rows.append([label, *(console.number(v, 5) for v in values), f"{values[1] - values[0]:+.5f}"])
    console.write(f"On {found['part']}:")
    console.table(["", *forms, "difference"], rows)


def _percent(share: Any) -> str:
    """A share in percent; what is no finite number as other figures have it."""
    return f"{100 * share:.0f} %" if isinstance(share, float) and math.isfinite(share) else console.number(share)


def _best(values: list[float | None], better: str) -> int | None:
    """The column of the best value, counted with the label's."""
    known = [(v, i) for i, v in enumerate(values, 1) if v is not None and math.isfinite(v)]
    if not better or len(known) < 2:
        return None
    return (min if better == "low" else max)(known)[1]


def next_command(run: Path, job: TaskJob) -> str:
    """The exact command that uses the run; a text is gone on with from its own first words."""
    if job.task == "language":
        opening = getattr(job, "first_words", "")
        return f"rnnkit generate {shlex.quote(str(run))} --seed {shlex.quote(opening)}"
    return f"rnnkit predict {shlex.quote(str(run))}"


def _draw(forecast: Forecast | None, run: Run) -> None:
    """A chart of the forecast, or of the losses of a training that forecasts nothing."""
    if forecast is not None:
        draw_forecast(forecast)
        return
    records = [r for r in run.read_log() if r.get("selected") is not None and r.get("loss") is not None]
    if len(records) < 2:
        return
    width, unicode = console.width(), console.unicode_output()
    steps, loss, selected = ([r[key] for r in records] for key in ("step", "loss", "selected"))
    console.write(
        f"Loss per token over the steps: training ({'·' if unicode else '.'}) and the part that selects (line)"
    )
    for line in loss_chart(steps, loss, selected, width=width, unicode=unicode):
        console.write(line)


def draw_forecast(found: Forecast) -> None:
    """One series as a chart, several as a line each, as many as the screen shows."""
    width, unicode, H = console.width(), console.unicode_output(), len(found.times[0])
    band = next(iter(views.bands(found.columns[0])[::-1]), "")
    if len(found.ids) > 1:
        chosen, rule = views.telling(found, max(5, console.height() - 6))
        some = f"{len(chosen)} of {len(found.ids):,} series, {rule}" if rule else f"{len(chosen)} series"
        console.write(f"{some}: {H:,} step{'s' * (H > 1)} ahead")
        headers, rows = overview(found, chosen, width=width, unicode=unicode)
        console.table(headers, rows, left=2)
        return
    columns = {name: values.tolist() for name, values in found.columns[0].items()}
    chart = forecast_chart(found.history[0].tolist(), columns, found.times[0], width=width, unicode=unicode)
    if chart:
        shade = f", the band holding {band} %" if band else ""
        console.write(f"{found.labels[0]}: {H:,} step{'s' * (H > 1)} ahead{shade}")
    for line in chart:
        console.write(line)


def draw(path: Path, found: Forecast | None, run: Run | None = None) -> None:
    """A chart of the forecast, or of the loss of a run, into a file."""
    from rnnkit import plots

    if found is not None:
        plots.forecast(found, path)
    else:
        assert run is not None
        plots.loss(run.read_log(), path)
    console.note(f"wrote {path}")

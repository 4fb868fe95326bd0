"""What training, evaluation and forecasts print."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from rnnkit import api, console
from rnnkit.cli.charts import forecast_chart, loss_chart
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
    for line in _chart(forecast, run):
        console.write(line)
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


def draw(path: Path, found: Forecast | None, run: Run | None = None) -> None:
    """A chart of the forecast, or of the loss of a run, into a file."""
    from rnnkit import plots

    if found is not None:
        plots.forecast(found, path)
    else:
        assert run is not None
        plots.loss(run.read_log(), path)
    console.note(f"wrote {path}")

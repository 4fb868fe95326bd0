"""What training, evaluation and forecasts print."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rnnkit import api, console
from rnnkit.cli import drawing
from rnnkit.cli.scores import METRICS, in_order, percent, report, summary
from rnnkit.tasks import Model, TaskJob
from rnnkit.training import Finished

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


def note_unjudged(model: Model) -> None:
    """Say of a run whose training did not reach its end that no figures stand behind it."""
    if not model.meta.report:
        console.note(f"note: {UNJUDGED}")


def trained(finished: Finished, job: TaskJob, *, json: bool, plot: Path | None) -> None:
    """What a training ends with: metrics beside the baselines, the verdict, a chart, the next command."""
    run, model = finished.run, api.load(finished.run.path)
    forecast = model.predict() if model.task == "forecast" else None
    if plot is not None:
        drawing.picture(plot, forecast, run)
    if json:
        console.write_json(**summary(run.path, model.task, finished.report), seconds=round(finished.seconds, 3))
        return
    report(finished.report)
    console.write()
    drawing.training(forecast, run)
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

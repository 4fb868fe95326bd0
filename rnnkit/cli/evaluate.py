"""``rnnkit evaluate``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnkit.cli import options
from rnnkit.errors import UsageError

if TYPE_CHECKING:
    from rnnkit.tasks import Model

EVERY = 10.0
"""Seconds between two lines on how far a long evaluation is."""


@click.command(
    epilog=options.examples(
        "rnnkit evaluate runs/energy energy.csv",
        "rnnkit evaluate runs/energy energy.csv --folds 5 --stride 24 --by step",
        "rnnkit evaluate runs/energy energy.csv --refit --folds 3 -o folds.csv",
        "rnnkit evaluate runs/energy energy.csv --plot folds.png",
        "rnnkit evaluate runs/chat chat.txt --json",
    )
)
@click.argument("run", type=options.FOLDER)
@click.argument("data")
@click.option(
    "--folds", type=options.AtLeast(1), metavar="N", help="Origins to forecast from (default: as many as in training)."
)
@click.option("--stride", type=options.AtLeast(1), metavar="N", help="Steps between origins (default: the horizon).")
@click.option("--refit", is_flag=True, help="Train anew at every origin, on what comes before it.")
@click.option(
    "--against",
    type=click.Choice(["auto", "simple", "all"]),
    help="Baselines: simple rules; AutoETS and AutoTheta too (all); or too where they are soon fitted (auto, default).",
)
@click.option("--by", type=click.Choice(["series", "step"]), help="Add the metrics of each series, or of each step.")
@click.option("-o", "--out", type=options.FILE, metavar="FILE", help="Write every forecast as CSV into FILE.")
@options.force
@options.plot
@click.option(
    "--series",
    type=options.Columns(),
    multiple=True,
    metavar="NAME",
    callback=options.split_columns,
    help="Series to draw, repeated or separated by commas, such as H1 or 'H1*'; by default the best and the worst.",
)
@options.running
@options.as_json
@click.pass_context
def evaluate(
    ctx: click.Context,
    run: Path,
    data: str,
    out: Path | None,
    force: bool,
    plot: Path | None,
    series: list[str] | None,
    threads: int | str | None,
    backend: str | None,
    json: bool,
    **settings: Any,
) -> None:
    """Score a trained run on DATA, beside the simple baselines.

    Forecasts are scored from several origins over the end of DATA, texts whole; - is standard input.

    \b
    MASE     error over that of a seasonal naive forecast of the history; below 1 beats it
    OWA      MASE and sMAPE over those of the M4 baseline, averaged; below 1 beats it
    pinball  by how far, and on which side, the quantiles miss; lower is better
    standardised  of values less the mean of their series, over its standard deviation

    The run beats a baseline only where that is certain to 95 %: of runs that are no better, at most 5 in 100 are said
    to beat it.
    """
    from rnnkit import api, console, outputs, plots
    from rnnkit.cli import drawing, results, scores

    if out is not None:
        outputs.ready(out, force)
    if plot is not None:
        plots.ready(plot)
    model = api.load(run, backend=backend or "auto", threads=threads or "auto")
    results.note_unjudged(model)
    given = {name: value for name, value in settings.items() if value}
    if model.task == "forecast":
        seen = console.terminal(sys.stdout) and not json
        keep = seen or out is not None or plot is not None
        given |= _of_forecasts(model, given, keep, {"backend": backend, "threads": threads})
    else:
        _refuse(ctx, {**given, "out": out, "plot": plot, "series": series}, model.task)
    found = model.evaluate(api.open_source(data), **given)
    if out is not None:
        scores.write_forecasts(found, out)
    scores.evaluated(run, model.task, found, json=json)
    if "backtest" in found:
        drawing.evaluation(found, series or (), plot, seen=seen)


def _of_forecasts(model: Model, given: dict[str, Any], keep: bool, running: dict[str, Any]) -> dict[str, Any]:
    """The options of a backtest, with what tells how far it is; ``keep`` the forecasts themselves."""
    from rnnkit import api

    more: dict[str, Any] = {"tell": _teller(), "keep": keep, "by": [given["by"]] if "by" in given else []}
    if "refit" in given:
        more["refit"] = api.refitter(model, _trainings(), **{k: v for k, v in running.items() if v})
    return more


def _teller() -> Callable[[int, int], None]:
    """Says now and then how many origins the models of statistics were fitted at."""
    from rnnkit.console import note

    said = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            note(f"AutoETS and AutoTheta: {done:,} of {total:,} origins")

    return tell


def _trainings() -> Callable[[int, int, Any], None]:
    """Says how far the trainings of a backtest are."""
    from rnnkit.console import Progress
    from rnnkit.training import Started, Stepped

    progress = Progress()

    def tell(fold: int, folds: int, event: Any) -> None:
        if isinstance(event, Started):
            progress.say(f"fold {fold} of {folds}: {event.plan.steps:,} steps")
        elif isinstance(event, Stepped):
            progress.step(f"fold {fold} of {folds}, {event.stage}", event.step, event.steps, event.loss)

    return tell


def _refuse(ctx: click.Context, given: dict[str, Any], task: str) -> None:
    """``UsageError`` for an option that only forecasts have."""
    for param in ctx.command.params:
        if given.get(param.name or "") is not None:
            raise UsageError(f"{param.opts[-1]} belongs to forecasts, but this run is of the task {task}; leave it out")

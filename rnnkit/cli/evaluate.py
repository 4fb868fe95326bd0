"""``rnnkit evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from rnnkit.cli import options


@click.command(
    epilog=options.examples(
        "rnnkit evaluate runs/energy energy.csv",
        "rnnkit evaluate runs/energy energy.csv --folds 5 --stride 24",
        "rnnkit evaluate runs/chat chat.txt --json",
    )
)
@click.argument("run", type=options.FOLDER)
@click.argument("data")
@click.option(
    "--folds", type=options.AtLeast(1), metavar="N", help="Origins to forecast from (default: as many as in training)."
)
@click.option("--stride", type=options.AtLeast(1), metavar="N", help="Steps between origins (default: the horizon).")
@options.running
@options.as_json
def evaluate(
    run: Path,
    data: str,
    folds: int | None,
    stride: int | None,
    threads: int | str | None,
    backend: str | None,
    json: bool,
) -> None:
    """Score a trained run on DATA, beside the simple baselines.

    Forecasts are scored from several origins over the end of DATA, texts whole; - is standard input.

    \b
    MASE     error over that of a seasonal naive forecast of the history; below 1 beats it
    OWA      MASE and sMAPE over those of the M4 baseline, averaged; below 1 beats it
    pinball  by how far, and on which side, the quantiles miss; lower is better
    """
    from rnnkit import api
    from rnnkit.cli import results

    model = api.load(run, backend=backend or "auto", threads=threads or "auto")
    results.note_unjudged(model)
    found = model.evaluate(api.open_source(data), folds=folds, stride=stride)
    results.evaluated(run, model.task, found, json=json)

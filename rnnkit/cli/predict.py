"""``rnnkit predict``."""

from __future__ import annotations

from pathlib import Path

import click

from rnnkit.cli import options


@click.command(
    epilog=options.examples(
        "rnnkit predict runs/energy",
        "rnnkit predict runs/energy -o forecast.csv",
        "rnnkit predict runs/energy energy.csv --json",
        "rnnkit predict runs/energy - < energy.csv",
    )
)
@click.argument("run", type=options.FOLDER)
@click.argument("data", required=False)
@click.option("-o", "--out", type=options.FILE, metavar="FILE", help="Write to FILE; - is stdout, also on a terminal.")
@options.force
@options.plot
@options.running
@options.as_json
def predict(
    run: Path,
    data: str | None,
    out: Path | None,
    force: bool,
    plot: Path | None,
    threads: int | str | None,
    backend: str | None,
    json: bool,
) -> None:
    """Forecast with a trained run.

    RUN is a run's folder or a model file. The forecast goes on from the end of DATA (- is standard input),
    or from the end of what the run was trained on. Piped, it is CSV; on a terminal a table and a chart.
    """
    from rnnkit import api, outputs, plots
    from rnnkit.cli import forecasts, results

    if out is not None:
        outputs.ready(out, force)
    if plot is not None:
        plots.ready(plot)
    model = api.load(run, backend=backend or "auto", threads=threads or "auto")
    results.note_unjudged(model)
    forecasts.show(model.predict(api.open_source(data)), run, json=json, out=out, plot=plot)

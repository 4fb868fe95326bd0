"""``rnnkit train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rnnkit.cli import options
from rnnkit.errors import UsageError


@click.command(
    epilog=options.examples(
        "rnnkit train energy.csv --cell gru --horizon 48",
        "rnnkit train chat.txt --cell lstm --max-time 2m -o runs/cat",
        "rnnkit train books/ --split documents --level bpe",
        "rnnkit train energy.csv -o runs/energy --force --hidden 32 --plot energy.png",
        "rnnkit train --resume -o runs/energy",
    )
)
@options.sources
@click.option("-o", "--out", type=options.FOLDER, metavar="DIR", help="Folder of the run (default runs/NAME).")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run and its settings; DATA may be left out.")
@options.force
@click.option(
    "--from", "start_from", metavar="RUN", help="Start from the weights of that run; the shape must be the same."
)
@options.reading
@options.shaping
@options.training
@options.running
@options.keeping
@options.plot
@options.as_json
@options.quiet
@click.pass_context
def train(
    ctx: click.Context,
    data: str | list[str] | None,
    out: Path | None,
    resume: bool,
    force: bool,
    plot: Path | None,
    json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a recurrent network on DATA and keep it in a run's folder.

    DATA is a table (CSV, one or many series), or a plain text, several or a folder of them; - is standard
    input. What is not said is chosen from the data, and said. Ctrl-C saves the run, --resume goes on to the
    same bytes.
    """
    from rnnkit import api
    from rnnkit.cli import results, watching
    from rnnkit.console import Reading
    from rnnkit.plots import ready

    if plot is not None:
        ready(plot)
    given = options.given(ctx, settings, resume)
    if out is not None and out.exists() and not (resume or force):
        raise UsageError(f"{out} exists; give another folder with -o, --force to replace it or --resume to go on")
    if resume:
        out = out or api.default_run(data or _missing(), resume=True)
        given = {**api.options_of(out), **given}
        if data is None and "-" in _names(given.get("data")):
            raise click.UsageError(f"{out} was trained on standard input, which cannot be read again; give DATA")
    values = {**given, "data": data or given.get("data") or _missing()}
    start_from = None if resume else values.get("start_from")
    if start_from is not None:
        api.load(start_from)  # before the data is read
    with options.naming_origin(ctx), Reading(quiet) as reading:
        job = api.prepare(values["data"], api.make_options(values), reading)
    if start_from is not None:
        api.start_weights(job, start_from)  # before the notes
    finished = watching.train(job, quiet, out=out, resume=resume, force=force)
    results.trained(finished, job, json=json, plot=plot)


def _names(data: Any) -> list[str]:
    return data if isinstance(data, list) else [data]


def _missing() -> str:
    raise click.UsageError("train needs DATA, a file to learn from (or --resume with -o and the run's folder)")

"""``rnnkit example``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from rnnkit.cli import options


@click.command(epilog=options.examples("rnnkit example", "rnnkit example energy", "rnnkit example chat --json"))
@click.argument("name", required=False)
@click.option(
    "-o", "--out", type=options.FOLDER, default=Path(), metavar="DIR", help="Folder to copy into (default: here)."
)
@options.as_json
def example(name: str | None, out: Path, json: bool) -> None:
    """Copy a bundled sample out, or list the samples.

    A file that is already there is never replaced.
    """
    from rnnkit import console
    from rnnkit.samples import SAMPLES, copy_sample

    if name is None:
        if json:
            console.write_json(samples=[dataclasses.asdict(sample) for sample in SAMPLES.values()])
            return
        for sample in SAMPLES.values():
            console.write(f"{sample.name}: {sample.about}\n  rnnkit example {sample.name} && {sample.command}")
        return
    path = copy_sample(name, out)
    if json:
        console.write_json(file=str(path), command=SAMPLES[name].command)
    else:
        console.write(f"wrote {path}\nTry it:  {SAMPLES[name].command}")

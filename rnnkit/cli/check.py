"""``rnnkit check``."""

from __future__ import annotations

from typing import Any

import click

from rnnkit.cli import options


@click.command(
    epilog=options.examples(
        "rnnkit check energy.csv",
        "rnnkit check energy.csv --horizon 48 --target load",
        "rnnkit check chat.txt --level word --json",
        "rnnkit check books/ --strip-frontmatter",
    )
)
@options.sources
@options.reading
@options.shaping
@options.keeping
@options.as_json
@click.pass_context
def check(ctx: click.Context, data: str | list[str] | None, json: bool, **settings: Any) -> None:
    """Say what a training would read in DATA (as for train), without training.

    Rows, dates, gaps and missing values or the vocabulary, what would be chosen, and the memory expected.
    """
    from rnnkit import api, console
    from rnnkit.cli.results import chosen

    if data is None:
        raise click.UsageError("check needs DATA, a file or a folder to look into")
    given = options.given(ctx, settings)
    with options.naming_origin(ctx), console.Reading(json) as reading:
        found = api.check(data, api.make_options({**given, "data": data}), reading)
    if json:
        console.write_json(data=data, task=found.task, facts=found.facts, notices=found.notices, options=found.options)
        return
    console.facts({"data": data if isinstance(data, str) else ", ".join(data), "task": found.task, **found.facts})
    if found.options:
        console.write("\nA training would take (flags change it):")
        console.facts({name: console.setting(value) for name, value in chosen(found.task, found.options).items()})
    for notice in found.notices:
        console.note(f"note: {notice}")

"""``rnnkit quantize``."""

from __future__ import annotations

from pathlib import Path

import click

from rnnkit.cli import options


@click.command(
    epilog=options.examples(
        "rnnkit quantize runs/chat",
        "rnnkit quantize runs/chat chat.txt --weights bfloat16 -o runs/half",
        "rnnkit quantize runs/energy energy.csv -o runs/small --force --json",
    )
)
@click.argument("run", type=options.FOLDER)
@click.argument("data", required=False)
@click.option(
    "--weights",
    type=click.Choice(["int8", "bfloat16"]),
    default="int8",
    help="8 bits with a scale per column (default), a quarter of the size, or bfloat16, half of it.",
)
@click.option("-o", "--out", type=options.FOLDER, metavar="DIR", help="Folder of the new run (default RUN-WEIGHTS).")
@options.force
@options.running
@options.as_json
def quantize(
    run: Path,
    data: str | None,
    weights: str,
    out: Path | None,
    force: bool,
    threads: int | str | None,
    backend: str | None,
    json: bool,
) -> None:
    """Keep a run's weights in 8 or 16 bits, and say what it costs.

    RUN is a run's folder or a model file. Both runs are measured on DATA (- is standard input): a text's first
    100,000 tokens, forecasts as evaluate scores them. Without DATA a language run is measured on a text that it writes
    itself. The new run generates in the small weights, faster; everything else works as before.
    """
    from rnnkit import api, console
    from rnnkit.cli import results

    made = api.quantize(
        run, data, out, weights=weights, force=force, backend=backend or "auto", threads=threads or "auto"
    )
    if json:
        console.write_json(**made)
        return
    before, after = made["bytes"].values()
    results.quantized(made)
    console.write(f"\n{made['run']}: {after:,} bytes, {100 * after / before:.0f} % of the {before:,} in float32")

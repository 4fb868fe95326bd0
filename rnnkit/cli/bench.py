"""``rnnkit bench``: the kernels against the reference, the processor's limit and the peers."""

from __future__ import annotations

from collections.abc import Sequence

import click

from rnnkit import console
from rnnkit._kernels import BACKENDS
from rnnkit.benchmark import QUICK, REFERENCE, SHAPES, Comparison, Setting, Shape, arena, compare, report, survey
from rnnkit.cells import CELLS
from rnnkit.cli import options
from rnnkit.cli.failures import INTERRUPTED
from rnnkit.contestants import PEERS
from rnnkit.nn.threads import resolve


@click.command(
    epilog=options.examples(
        "rnnkit bench --cell lstm --shape 32,64,64,128",
        "rnnkit bench --all --against torch --json > bench.json",
    )
)
@click.option("--cell", "cells", multiple=True, type=click.Choice(list(CELLS)), help="Cell, repeated; default all.")
@click.option("--shape", "shapes", multiple=True, metavar="B,T,I,H", help="Rows, steps, inputs, hidden; repeated.")
@click.option("--all", "everything", is_flag=True, help="All the shapes, instead of four small ones.")
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(list(BACKENDS)),
    help="Backend, repeated; default all there are.",
)
@click.option("--against", multiple=True, type=click.Choice(list(PEERS)), help="Peer to compare with, repeated.")
@click.option("--threads", default="auto", type=options.Threads(), help="Threads of every contestant.")
@click.option(
    "--rounds", default=50, type=options.AtLeast(1), metavar="N", help="Most rounds of a comparison (default 50)."
)
@click.option(
    "--seconds", default=1.5, type=options.AtLeast(0.0), metavar="S", help="Time of a comparison (default 1.5)."
)
@options.quiet
@options.as_json
def bench(
    cells: Sequence[str],
    shapes: Sequence[str],
    everything: bool,
    backends: Sequence[str],
    against: Sequence[str],
    threads: int | str,
    rounds: int,
    seconds: float,
    quiet: bool,
    json: bool,
) -> int:
    """Time the kernels: GFLOP/s, share of the processor's limit, ratio to the reference and the peers.

    Every contestant has a process of its own and must first give the reference's results; then all take
    turns. Work "infer" is a forward
    pass, "train" everything that a step of training asks of a layer. A comparison ends when its time is over,
    but not before three rounds. Ctrl-C prints what was measured.
    """
    wanted = [Shape.parse(text) for text in shapes] or (SHAPES if everything else QUICK)
    setting = survey(resolve(threads), backends, against)
    plan = [(cell, shape) for cell in cells or CELLS for shape in wanted]
    done: list[Comparison] = []
    if not quiet:
        _introduce(setting)
    try:
        with arena(setting) as lanes:
            for n, (cell, shape) in enumerate(plan, 1):
                if not quiet:
                    console.note(f"[{n}/{len(plan)}] {cell} {shape}")
                for one in compare(cell, shape, setting, lanes, rounds=rounds, seconds=seconds):
                    done.append(one)  # one by one: Ctrl-C may come in between
    except KeyboardInterrupt:
        _show(setting, done, json)
        return INTERRUPTED
    _show(setting, done, json)
    return 0


def _introduce(setting: Setting) -> None:
    """Say on stderr who takes part, who cannot, and what may disturb."""
    console.note(f"{setting.processor}; threads: {setting.threads}; limit: {setting.limit}")
    for name, what in {**setting.backends, **setting.peers}.items():
        console.note(f"{name}: {what}")
    for reason in setting.skipped.values():
        console.note(f"left out: {reason}")
    if setting.load > 0.5:
        console.note(
            f"other work runs here (load {setting.load:.1f}): times of several threads mean little, try --threads 1"
        )


def _show(setting: Setting, done: Sequence[Comparison], json: bool) -> None:
    """One line per contestant: its median, the quartiles, and how many times as fast as others it was."""
    if json:
        console.write_json(**report(setting, done))
        return
    headers = ["cell", "B T I H", "work", "by", "ms", "quartiles", "GFLOP/s", "of limit", f"× {REFERENCE}"]
    rows = []
    for one in done:
        for row in one.rows:
            ratios = [row.over_reference, *(row.over_peers.get(peer) for peer in setting.peers)]
            rows.append(
                [one.cell, str(one.shape), one.work, row.contestant, f"{row.seconds * 1e3:.3g}"]
                + [f"{row.low * 1e3:.3g}–{row.high * 1e3:.3g}", f"{row.gflops:.1f}", f"{row.of_limit:.2f}"]
                + ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
            )
    console.table([*headers, *(f"× {peer}" for peer in setting.peers)], rows, left=4)

"""``rnnkit bench``: the kernels against the reference, the processor's limit and the peers."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from rnnkit import benchmark_page, console
from rnnkit._kernels import BACKENDS
from rnnkit.benchmark import QUICK, SHAPES, Comparison, Shape, arena, compare, measure_product, survey
from rnnkit.benchmark_report import Report, read_reports
from rnnkit.cells import CELLS
from rnnkit.cli import options
from rnnkit.cli.bench_tables import introduce, show, show_all
from rnnkit.cli.failures import INTERRUPTED
from rnnkit.errors import UsageError
from rnnkit.nn.threads import resolve
from rnnkit.peers import PEERS

OUTPUT = ("saved", "page", "force", "quiet", "json")
"""Options that say nothing about what is measured."""


@click.command(
    epilog=options.examples(
        "rnnkit bench --cell lstm --shape 32,64,64,128",
        "rnnkit bench --all --against torch,onnxruntime --json > bench.json",
        "rnnkit bench --from bench.json --page results",
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
@click.option(
    "--against",
    multiple=True,
    metavar="PEERS",
    callback=options.split_names,
    help=f"Peers to compare with, repeated or separated by commas: {', '.join(PEERS)}.",
)
@click.option("--threads", default="auto", type=options.Threads(), help="Threads of every contestant.")
@click.option(
    "--rounds", default=50, type=options.AtLeast(1), metavar="N", help="Most rounds of a comparison (default 50)."
)
@click.option(
    "--seconds", default=1.5, type=options.AtLeast(0.0), metavar="S", help="Time of a comparison (default 1.5)."
)
@click.option(
    "--from",
    "saved",
    multiple=True,
    type=options.FILE,
    metavar="FILE",
    help="Show what --json saved instead of measuring; repeated, several runs.",
)
@click.option("--page", type=options.FOLDER, metavar="DIR", help="Write a page of results with pictures into DIR.")
@options.force
@options.quiet
@options.as_json
@click.pass_context
def bench(
    ctx: click.Context,
    cells: Sequence[str],
    shapes: Sequence[str],
    everything: bool,
    backends: Sequence[str],
    against: Sequence[str],
    threads: int | str,
    rounds: int,
    seconds: float,
    saved: Sequence[Path],
    page: Path | None,
    force: bool,
    quiet: bool,
    json: bool,
) -> int:
    """Time the kernels: GFLOP/s, share of the processor's limit, ratio to the reference and the peers.

    Every contestant has a process of its own and must first give the reference's results; then all take
    turns. Work "infer" is a forward
    pass, "train" everything that a step of training asks of a layer. A comparison ends when its time is over,
    but not before three rounds. Ctrl-C prints what was measured.

    With RNNKIT_ISA set to a lesser instruction set, PyTorch and NumPy's BLAS are held to it as well.
    """
    if page:
        benchmark_page.ready(page, force)
    if saved:
        _refuse_measuring(ctx)
        return _finish([report for path in saved for report in read_reports(path)], page, json, quiet)
    wanted = [Shape.parse(text) for text in shapes] or (SHAPES if everything else QUICK)
    setting = replace(survey(resolve(threads), backends, against), command=_command(ctx))
    plan = [(cell, shape) for cell in cells or CELLS for shape in wanted]
    done: list[Comparison] = []
    if not quiet:
        introduce(setting)
    try:
        with arena(setting) as lanes:
            setting = measure_product(setting, lanes)
            if not quiet and setting.product_gflops:
                console.note(f"a 1024×1024 product by NumPy's BLAS reaches {setting.product_gflops:.0f} GFLOP/s")
            for n, (cell, shape) in enumerate(plan, 1):
                if not quiet:
                    console.note(f"[{n}/{len(plan)}] {cell} {shape}")
                for one in compare(cell, shape, setting, lanes, rounds=rounds, seconds=seconds):
                    done.append(one)  # one by one: Ctrl-C may come in between
    except KeyboardInterrupt:
        show(Report(setting, tuple(done)), json)
        return INTERRUPTED
    return _finish([Report(setting, tuple(done))], page, json, quiet)


def _finish(reports: Sequence[Report], page: Path | None, json: bool, quiet: bool) -> int:
    """Show the reports and, where asked for, make a page of them."""
    show_all(reports, json)
    if page:
        path = benchmark_page.write_page(page, reports)
        if not quiet:
            console.note(f"written: {path}")
    return 0


def _refuse_measuring(ctx: click.Context) -> None:
    """``UsageError`` for an option of a measurement beside ``--from``."""
    for param in ctx.command.params:
        name = str(param.name)
        if name not in OUTPUT and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--from shows what was measured before, so {param.opts[0]} has no effect; leave one out")


def _command(ctx: click.Context) -> str:
    """The line that repeats the measurement, with its number of threads."""
    words = ["rnnkit", "bench"]
    for param in ctx.command.params:
        name = str(param.name)
        value: Any = ctx.params.get(name)
        if name in OUTPUT or name == "threads" or value in (None, ()) or value == param.get_default(ctx):
            continue
        flag = param.opts[0]
        if name == "against":
            words += [flag, ",".join(value)]
        elif isinstance(value, bool):
            words.append(flag)
        else:
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for each in values for word in (flag, f"{each:g}" if isinstance(each, float) else str(each))]
    words += ["--threads", str(resolve(ctx.params["threads"]))]
    isa = os.environ.get("RNNKIT_ISA", "")
    return (f"RNNKIT_ISA={shlex.quote(isa)} " if isa else "") + shlex.join(words)

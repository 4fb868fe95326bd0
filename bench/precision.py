"""The loss of a character model trained in bfloat16 beside float32's, after equal steps.

    python bench/precision.py --text tinyshakespeare.txt --steps 2000 --picture curves.png
    python bench/precision.py --cell gru --hidden 256 --seeds 0,1,2 --threads 1 --json

Both trainings are the real loop (``rnnkit.training.train``) with the same seed, batches, settings and number of
steps; only the factors of the recurrent layers' products differ.  ``held out`` is the loss on the part that selects,
in the precision of the training; at the end the best weights, which the run keeps, are read in float32 too, as
predictions read them.  With several seeds the losses are means over them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rnnkit import plots
from rnnkit._kernels import PRECISIONS
from rnnkit.cells import CELLS
from rnnkit.data.corpus import read_corpus
from rnnkit.errors import RnnkitError
from rnnkit.events import Evaluated, Returned
from rnnkit.run import Run
from rnnkit.samples import sample_path
from rnnkit.tasks.language import LanguageJob
from rnnkit.tasks.options import TrainOptions
from rnnkit.training import train

TOLERANCE = 0.01
"""Nats per character that bfloat16 may cost."""


class Curve(NamedTuple):
    """One training: what it logged at every evaluation, and what its best weights lose held out, read in float32."""

    points: list[Evaluated]
    kept: float


def learn(path: Path, options: TrainOptions, precision: str, say: Callable[[str], None]) -> Curve:
    """Trains in a precision; ``RnnkitError`` where the backend lacks it."""
    options = TrainOptions(**{**_settings(options), "precision": precision})
    job, points = LanguageJob(read_corpus(path), options), []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        with closing(train(job, run, save_every=math.inf)) as events:
            for event in events:
                if isinstance(event, Returned):
                    say(f"{precision}: a loss was not finite at step {event.step}")
                if isinstance(event, Evaluated):
                    points.append(event)
                    say(f"{precision:9}{event.step:7,}{event.selected:9.4f}{event.seconds:7.1f} s")
        values = Run(run).load_checkpoint()[0]["best"]
    exact = LanguageJob(read_corpus(path), TrainOptions(**{**_settings(options), "precision": "float32"}))
    network = exact.network()
    network.parameters.assign(values)
    return Curve(points, exact.select(network))


def _settings(options: TrainOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__struct_fields__}


def compare(pairs: Sequence[dict[str, Curve]]) -> list[dict[str, Any]]:
    """A row for every evaluation: its step and, by precision, the means over the seeds of losses and seconds."""
    rows = []
    for points in zip(*(curve.points for pair in pairs for curve in pair.values()), strict=True):
        row: dict[str, Any] = {"step": points[0].step}
        for place, precision in enumerate(PRECISIONS):
            own = points[place :: len(PRECISIONS)]
            row[precision] = {
                "loss": fmean(one.loss for one in own),
                "selected": fmean(one.selected for one in own),
                "seconds": fmean(one.seconds for one in own),
            }
        row["difference"] = row["bfloat16"]["selected"] - row["float32"]["selected"]
        rows.append(row)
    return rows


def _compared(losses: dict[str, float]) -> dict[str, float]:
    return {**losses, "difference": losses["bfloat16"] - losses["float32"]}


def show(rows: Sequence[dict[str, Any]], ends: Sequence[dict[str, Any]]) -> None:
    """The table, and how each seed ended."""
    print(f"{'':7}{'training loss':^22}{'held out':^20}{'':12}{'seconds':^20}".rstrip())
    both = "".join(f"{name:>10}" for name in PRECISIONS)
    print(f"{'step':>7}{both}{both}{'difference':>12}{both}")
    for row in rows:
        losses = "".join(f"{row[p][key]:10.4f}" for key in ("loss", "selected") for p in PRECISIONS)
        seconds = "".join(f"{row[p]['seconds']:10.1f}" for p in PRECISIONS)
        print(f"{row['step']:7,}{losses}{row['difference']:+12.4f}{seconds}")
    print("\nheld out after the last step, and of the best weights read in float32, in nats per character")
    for end in ends:
        print(f"seed {end['seed']}:" + ", ".join(f" {_pair(end[what])}" for what in ("last", "kept")))
    worst = max(abs(end["last"]["difference"]) for end in ends)
    print(f"the largest difference is {worst:.4f}, {'within' if worst <= TOLERANCE else 'more than'} {TOLERANCE:g}")


def _pair(losses: dict[str, float]) -> str:
    return f"{losses['float32']:.4f} and {losses['bfloat16']:.4f} ({losses['difference']:+.4f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Loss of a character model in bfloat16 beside float32's.")
    parser.add_argument("--text", type=Path, help="a text in UTF-8 (without: the small sample, too short to judge by)")
    parser.add_argument("--cell", choices=list(CELLS), default="lstm")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", default="32x32", metavar="ROWSxSTEPS")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", default="0", help="one or more, with commas between")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--picture", type=Path, help="draw the curves: a file that ends in .png or .svg")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    try:
        run(asked)
    except RnnkitError as error:
        raise SystemExit(str(error)) from error


def run(asked: argparse.Namespace) -> None:
    """Trains both for every seed, prints, draws."""
    if asked.picture:
        plots.ready(asked.picture)
    rows, steps = map(int, asked.batch.split("x"))
    path, seeds, pairs = asked.text or sample_path("chat"), [int(seed) for seed in asked.seeds.split(",")], []
    for seed in seeds:
        options = TrainOptions(
            cell=asked.cell, hidden=asked.hidden, layers=asked.layers, batch=rows, context=steps, steps=asked.steps,
            seed=seed, threads=asked.threads, backend=asked.backend,
        )  # fmt: skip
        # the demanding one first: where it is lacking, nothing is trained in vain
        found = {p: learn(path, options, p, lambda line: print(line, file=sys.stderr)) for p in reversed(PRECISIONS)}
        pairs.append({precision: found[precision] for precision in PRECISIONS})
    table = compare(pairs)
    ends = []
    for seed, pair in zip(seeds, pairs, strict=True):
        last = {precision: pair[precision].points[-1].selected for precision in PRECISIONS}
        kept = {precision: pair[precision].kept for precision in PRECISIONS}
        ends.append({"seed": seed, "last": _compared(last), "kept": _compared(kept)})
    if asked.picture:
        label = f"{asked.cell.upper()} {asked.layers} × {asked.hidden}, batches of {rows} × {steps} characters"
        logs = {p: [{"step": row["step"], **row[p]} for row in table] for p in PRECISIONS}
        plots.losses(logs, asked.picture, title=label, tolerance=TOLERANCE)
    if asked.json:
        shape = {name: getattr(asked, name) for name in ("cell", "hidden", "layers", "batch", "steps", "threads")}
        print(json.dumps({**shape, "tolerance": TOLERANCE, "results": table, "ends": ends}))
        return
    show(table, ends)


if __name__ == "__main__":
    main()

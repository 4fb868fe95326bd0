"""Does time grow in proportion to steps and rows, and do denormal numbers cost anything?

    python bench/scaling.py [--threads N] [--cell CELL]... [--against torch] [--factor N] [--seconds S] [--json]

Time per step and row over a factor of 64 in T (32 rows) and in B (32 steps), for 64 inputs and 64 hidden units; 1 is
proportion.  Then one layer whose states stay at ordinary sizes beside one whose states and gradients decay through
the denormal numbers, in alternation: the ratio of their times.  And rows of unequal length beside rows of equal
length: time for each step that exists, 1 being no work for those that do not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnnkit.benchmark import Timing, alternate
from rnnkit.cells import CELLS
from rnnkit.contestants import WORKS, KernelRun, Problem, Shape, make_problem
from rnnkit.lanes import open_lanes
from rnnkit.nn.threads import resolve
from rnnkit.peers import TorchRun

BASE = 32
UNITS = 64
KEPT = 0.97
"""What a state keeps of itself in a step of the decay: a factor of e in 33 steps."""
DENORMAL = 1e-36
"""Where the decay begins so that it is below the normal numbers, 1.2e-38, from about the 150th step on."""
STEPS = 512


def make_run(name: str, problem: Problem, threads: int) -> Any:
    """A backend or PyTorch at work on a problem."""
    return TorchRun(problem, threads) if name == "torch" else KernelRun(name, problem, threads)


def make_shaped(name: str, cell: str, shape: Shape, threads: int) -> Any:
    """The same on a problem at random."""
    return make_run(name, make_problem(cell, shape), threads)


def make_decay(name: str, cell: str, scale: float, threads: int, steps: int = STEPS) -> Any:
    """The same on a layer without inputs whose states shrink to ``KEPT`` of themselves at every step, from ``scale``.

    The gates that keep a state (LSTM f, GRU z) are held at ``KEPT`` by their bias, the minimal GRU's z at the rest, and
    the minimal LSTM's f/(f + i) by both; the RNN's R is ``KEPT`` times the identity.
    """
    problem = make_problem(cell, Shape(BASE, steps, UNITS, UNITS))
    H, gates = UNITS, problem.cell.gates
    params = {name: np.zeros_like(value) for name, value in problem.params.items()}
    if cell == "rnn":
        params["R"][...] = KEPT * np.eye(H, dtype=np.float32)
    elif cell == "minlstm":  # f = ½
        params["b"][gates.index("i") * H :][:H] = -np.log(2 * KEPT / (1 - KEPT) - 1)
    elif cell == "mingru":
        params["b"][gates.index("z") * H :][:H] = -np.log(KEPT / (1 - KEPT))
    else:
        keeper = gates.index("f" if cell == "lstm" else "z")
        params["b"][keeper * H : (keeper + 1) * H] = np.log(KEPT / (1 - KEPT))
        params["R"][...] = problem.params["R"] / 100
    fade = scale * KEPT ** np.arange(steps, dtype=np.float64)[:, None, None]
    decayed = replace(
        problem,
        params=params,
        x=np.zeros_like(problem.x),
        first=tuple((scale * first).astype(np.float32) for first in problem.first),
        dy=(fade * problem.dy).astype(np.float32),
        dlast=tuple((scale * last).astype(np.float32) for last in problem.dlast),
    )
    return make_run(name, decayed, threads)


def proportion(
    lane: Any, name: str, cell: str, work: str, along: str, factors: Sequence[int], threads: int, seconds: float
) -> dict[int, float]:
    """Time per row and step at each multiple of ``BASE``, as a share of the first."""
    found = {}
    for factor in factors:
        shape = Shape(BASE, BASE, UNITS, UNITS)._replace(**{along: factor * BASE})
        lane.ask("hold", make_shaped, name, cell, shape, threads)
        timing = alternate({name: partial(lane.ask, "sample", work)}, seconds=seconds)[name]
        found[factor] = min(timing.samples) / factor  # what else runs only adds to it
    return {factor: each / found[factors[0]] for factor, each in found.items()}


def make_ragged(name: str, cell: str, shape: Shape, threads: int) -> KernelRun:
    """A backend at work on rows of unequal length."""
    run = KernelRun(name, make_problem(cell, shape), threads)
    run.span = run.span._replace(lengths=lengths_of(shape))
    return run


def lengths_of(shape: Shape) -> np.ndarray:
    """Steps of each row, every number of them as likely."""
    return np.random.Generator(np.random.Philox(0)).integers(1, shape.T + 1, shape.B).astype(np.intp)


def ragged(lanes: dict[str, Any], name: str, cell: str, work: str, threads: int, seconds: float) -> float:
    """Time per step that exists over that of rows of equal length, the median over the rounds."""
    shape = Shape(2 * BASE, 4 * BASE, UNITS, UNITS)
    lanes["normal"].ask("hold", make_shaped, name, cell, shape, threads)
    lanes["other"].ask("hold", make_ragged, name, cell, shape, threads)
    timings: dict[str, Timing] = alternate(
        {label: partial(lanes[label].ask, "sample", work) for label in ("normal", "other")}, seconds=seconds
    )
    return timings["normal"].times(timings["other"]) * shape.T * shape.B / float(lengths_of(shape).sum())


def denormals(
    lanes: dict[str, Any], name: str, cell: str, work: str, threads: int, seconds: float, steps: int
) -> float:
    """Time of the decaying layer over that of the ordinary one, the median over the rounds."""
    for label, scale in (("normal", 1.0), ("other", DENORMAL)):
        lanes[label].ask("hold", make_decay, name, cell, scale, threads, steps)
    timings: dict[str, Timing] = alternate(
        {label: partial(lanes[label].ask, "sample", work) for label in ("normal", "other")}, seconds=seconds
    )
    return timings["normal"].times(timings["other"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Proportion to steps and rows, and the cost of denormal numbers.")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--cell", action="append", choices=list(CELLS))
    parser.add_argument("--backend", default="cython")
    parser.add_argument("--against", choices=["torch"], help="the denormals in PyTorch too")
    parser.add_argument("--factor", type=int, default=64, help="largest multiple of 32 steps and rows (default 64)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of the decay (default {STEPS})")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each figure")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    threads, cells = resolve(options.threads), options.cell or list(CELLS)
    factors = [factor for factor in (1, 4, 16, 64) if factor <= options.factor]
    rows = []
    with open_lanes(("normal", "other"), threads) as lanes:
        for cell in cells:
            for work in WORKS:
                row: dict[str, Any] = {"cell": cell, "work": work}
                for along in ("T", "B"):
                    row[along] = proportion(
                        lanes["normal"], options.backend, cell, work, along, factors, threads, options.seconds
                    )
                for name in (options.backend, *([options.against] if options.against else [])):
                    row[f"denormals {name}"] = denormals(
                        lanes, name, cell, work, threads, options.seconds, options.steps
                    )
                row["ragged"] = ragged(lanes, options.backend, cell, work, threads, options.seconds)
                rows.append(row)
    if options.json:
        print(json.dumps({"threads": threads, "factors": factors, "results": rows}))
        return
    print("time per step and row as a share of that at 32 steps and 32 rows; decaying states against ordinary ones;")
    print("rows of unequal length against equal ones, per step that exists\n")
    names = [name for name in rows[0] if name.startswith("denormals")]
    headers = [f"{along} ×{factor}" for along in ("T", "B") for factor in factors[1:]]
    print(
        f"{'cell':8}{'work':7}"
        + "".join(f"{header:>8}" for header in [*headers, *(n.split()[1] for n in names), "ragged"])
    )
    for row in rows:
        cells_ = [row[along][factor] for along in ("T", "B") for factor in factors[1:]] + [
            row[name] for name in [*names, "ragged"]
        ]
        print(f"{row['cell']:8}{row['work']:7}" + "".join(f"{value:8.2f}" for value in cells_))


if __name__ == "__main__":
    main()

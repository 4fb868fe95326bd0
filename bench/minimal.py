"""How much faster the cells without R train than a GRU of the same width: alone, and in a character model.

    python bench/minimal.py [--shape B,T,I,H]... [--backend NAME] [--threads 1,2] [--rounds N] [--json]

A layer: packing, forward, backward to the inputs and the initial state, gradients of every parameter.  A model: one
training step of a character model on token ids, which the kernels look up in a table of x W + b.  Contestants take
turns within one process; a ratio is the median over the rounds of the time of the GRU over that of the cell, by the
clock on the wall or, with one thread, by the processor's time of the process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from character import Sizes, Step

from rnnkit.benchmark import alternate
from rnnkit.cells import CELLS
from rnnkit.contestants import KernelRun, Shape, make_problem
from rnnkit.nn.threads import single_blas

BASE = "gru"
CELLS_WITHOUT_R = tuple(name for name, cell in CELLS.items() if not cell.recurrent)
SHAPES = ("32,512,64,256", "32,512,256,256")


def seconds(call: Callable[[], Any], threads: int) -> float:
    """What one call takes."""
    clock = time.process_time if threads == 1 else time.perf_counter
    began = clock()
    call()
    return clock() - began


def compare(kind: str, shape: Shape, backend: str, threads: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of the GRU and of each cell, and how many times as fast as the GRU it is."""
    calls: dict[str, Callable[[], Any]] = {}
    for cell in (BASE, *CELLS_WITHOUT_R):
        if kind == "layer":
            calls[cell] = KernelRun(backend, make_problem(cell, shape), threads).train
        else:
            calls[cell] = Step(Sizes(shape.B, shape.T, embedding=shape.I, hidden=shape.H, cell=cell), backend, threads)
    with single_blas():
        for call in calls.values():
            call()
        timings = alternate(
            {cell: partial(seconds, call, threads) for cell, call in calls.items()}, rounds=rounds, seconds=3600
        )
    return {
        "kind": kind,
        "shape": list(shape),
        "threads": threads,
        "ms": {cell: 1e3 * timing.median for cell, timing in timings.items()},
        "times_gru": {cell: timings[cell].times(timings[BASE]) for cell in CELLS_WITHOUT_R},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Cells without a recurrent matrix beside the GRU, in training.")
    parser.add_argument("--shape", action="append", help=f"B,T,I,H, repeated (default {' and '.join(SHAPES)})")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", default="1,2", help="by commas (default 1,2)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    results = [
        compare(kind, Shape.parse(shape), options.backend, int(threads), options.rounds)
        for shape in options.shape or SHAPES
        for kind in ("layer", "model")
        for threads in options.threads.split(",")
    ]
    if options.json:
        print(json.dumps({"results": results}))
        return
    print(
        f"{'':7}{'B T I H':18}{'threads':>8}{'gru ms':>9}" + "".join(f"{f'× {cell}':>12}" for cell in CELLS_WITHOUT_R)
    )
    for one in results:
        print(
            f"{one['kind']:7}{' '.join(map(str, one['shape'])):18}{one['threads']:8}{one['ms'][BASE]:9.1f}"
            + "".join(f"{one['times_gru'][cell]:12.2f}" for cell in CELLS_WITHOUT_R)
        )


if __name__ == "__main__":
    main()

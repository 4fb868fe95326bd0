"""Where the time of a training step goes, for a character model, as ``rnnkit train`` runs it.

    python bench/profile_step.py [--cell NAME] [--hidden N] [--threads N] [--steps N] [--backend NAME]

The loop is the real one (``rnnkit.training.train``) on a text of random characters; what is timed is every call of
a kernel or an operation, and of ``batch``.  ``rest`` is what remains of the step: Python, checks and copies.
Each figure is the median over the steps.  The share that is not kernels is that of optimiser, batch and rest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import _kernels
from rnnkit._kernels import Kernels, operations
from rnnkit._kernels.operations import Ops
from rnnkit.data.corpus import read_corpus
from rnnkit.events import Stepped
from rnnkit.job import Batch
from rnnkit.nn import engine
from rnnkit.tasks.language import LanguageJob
from rnnkit.tasks.options import TrainOptions
from rnnkit.training import train

SIZES = {"64x128": (64, 128), "32x32": (32, 32)}
CHARACTERS, LENGTH, EMBEDDING = 65, 600_000, 64
KERNELS = ("pack", "forward", "backward", "sums", "dense", "embedding", "loss")
PARTS = (*KERNELS, "optimiser", "batch", "rest")
PART_OF = {
    "softmax_cross_entropy": "loss", "gather": "embedding", "scatter": "embedding", "step": "optimiser",
    "square_sum": "optimiser", "prepare": "pack", "allocate": "pack", "accumulate": "sums",
    "layer_norm": "norm", "layer_norm_backward": "norm",
}  # fmt: skip


class Clock:
    """Seconds by part of the step that runs, and those of the steps before."""

    def __init__(self) -> None:
        self.now: dict[str, float] = defaultdict(float)
        self.steps: list[dict[str, float]] = []
        self.began = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to a part."""

        def call(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            result = function(*args, **options)
            self.now[part] += time.perf_counter() - began
            return result

        return call

    def end_step(self) -> None:
        total = time.perf_counter() - self.began
        self.steps.append({**self.now, "rest": total - sum(self.now.values())})

    def begin_step(self) -> None:
        self.now.clear()
        self.began = time.perf_counter()


class TimedJob(LanguageJob):
    """A language job that says when a step begins."""

    clock: Clock

    def batch(self, stage: str, step: int) -> Batch:
        self.clock.begin_step()
        batch: Batch = self.clock.timed("batch", super().batch)(stage, step)
        return batch


def time_calls(clock: Clock) -> None:
    """From now on the clock sees every kernel and operation that is loaded."""
    load, load_ops = _kernels.load, operations.load_ops

    def kernels(backend: str, variant: str) -> Kernels:
        loaded = load(backend, variant)
        calls = {name: value for name, value in loaded._asdict().items() if callable(value)}
        return loaded._replace(**{name: clock.timed(PART_OF.get(name, name), call) for name, call in calls.items()})

    def ops(backend: str = "auto") -> Ops:
        loaded = load_ops(backend)
        return Ops(**{k: clock.timed(PART_OF.get(k, "dense"), f) for k, f in loaded._asdict().items()})

    _kernels.load, engine.load_ops = kernels, ops


def profile(clock: Clock, rows: int, steps: int, count: int, asked: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds of every part."""
    rng = np.random.Generator(np.random.Philox(0))
    symbols = np.array([chr(0x41 + i) for i in range(CHARACTERS)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.txt")
        path.write_text("".join(symbols[rng.integers(0, CHARACTERS, LENGTH)]), encoding="utf-8")
        options = TrainOptions(
            cell=asked.cell, hidden=asked.hidden, embedding=EMBEDDING, batch=rows, context=steps, steps=count,
            dropout=0.0, threads=asked.threads, backend=asked.backend, val=0.02,
        )  # fmt: skip
        job = TimedJob(read_corpus(path), options)
        job.clock = clock
        clock.steps.clear()
        for event in train(job, Path(folder, "run"), save_every=1e9):
            if isinstance(event, Stepped):
                clock.end_step()
            if len(clock.steps) == count:
                break
    return {p: 1e3 * float(np.median([s.get(p, 0.0) for s in clock.steps[2:]])) for p in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the time of a character model's training step goes.")
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--steps", type=int, default=60, help="of the small batch; a quarter as many of the large one")
    asked = parser.parse_args()
    clock = Clock()
    time_calls(clock)
    print(f"{'batch':8}{'ms':>8}" + "".join(f"{part:>11}" for part in PARTS) + f"{'not kernels':>13}")
    for label, (rows, steps) in SIZES.items():
        count = max(8, asked.steps if rows < 64 else asked.steps // 4)
        found = profile(clock, rows, steps, count, asked)
        total = sum(found[part] for part in PARTS)
        other = 1 - sum(found[part] for part in KERNELS) / total
        print(f"{label:8}{total:8.2f}" + "".join(f"{found[p] / total:11.2%}" for p in PARTS) + f"{other:13.2%}")


if __name__ == "__main__":
    main()

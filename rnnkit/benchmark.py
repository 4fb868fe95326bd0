"""The shapes and the timer that ``rnnkit bench`` and the suites in bench/ share.

A comparison lets contestants (``rnnkit.contestants``) do the same work on the same arrays.  All
must first give the results of the NumPy reference; then they are timed in alternation with each
other and with the processor's limit, so that ratios are taken side by side, round by round.
"""

from __future__ import annotations

import importlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnkit import _kernels
from rnnkit._kernels import BACKENDS
from rnnkit.cells import Cell
from rnnkit.contestants import PEERS, WORKS, Contestant, KernelRun, Shape, check_equal, make_problem
from rnnkit.errors import RnnkitError, UsageError

REFERENCE = "numpy"
SETTLE = 0.06
"""Seconds that a contestant works untimed before each sample: other pools' threads spin for some 20 ms after their
turn, and a scheduler that wakes a pool's threads on one core takes tens of milliseconds to spread them; without this
two threads were measured as one."""
SAMPLE = 0.005
"""A sample repeats its call until it takes this many seconds, far above the clock's resolution."""
MIN_ROUNDS = 3
MATRIX = 1024
"""Side of the product that stands for the limit; the arrays fit a level-3 cache."""


SHAPES = (
    Shape(1, 64, 16, 64),
    Shape(32, 64, 16, 64),
    Shape(32, 64, 64, 128),
    Shape(64, 50, 128, 128),
    Shape(64, 100, 256, 256),
    Shape(32, 64, 512, 512),
    Shape(128, 32, 8, 32),
    Shape(1, 64, 128, 512),
    Shape(256, 32, 64, 64),
    Shape(37, 41, 7, 100),
    Shape(20, 35, 200, 200),
    Shape(8, 2000, 256, 256),
)
"""From one row to many, small layers to large, a few steps to thousands, and sizes that no vector length divides."""
QUICK = (SHAPES[0], SHAPES[2], SHAPES[6], SHAPES[9])
"""What ``rnnkit bench`` measures unless told otherwise."""


def flops(cell: Cell, shape: Shape, work: str = "infer") -> int:
    """Floating-point operations of the products, 2·T·B·G·H·(I+H); training needs three times as many."""
    B, T, I, H = shape  # noqa: E741
    return (3 if work == "train" else 1) * 2 * T * B * len(cell.gates) * H * (I + H)


# -- the timer -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one sample a round."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.samples))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the samples lie between these."""
        low, high = np.percentile(self.samples, (25, 75))
        return float(low), float(high)

    def times(self, other: Timing) -> float:
        """How many times as fast this is as ``other``: the median over the rounds that both ran in."""
        return float(np.median([theirs / ours for ours, theirs in zip(self.samples, other.samples, strict=True)]))


def alternate(
    contestants: Mapping[str, Callable[[], Any]], *, rounds: int = 50, seconds: float = 1.0, settle: float = SETTLE
) -> dict[str, Timing]:
    """Time every contestant once a round, each round beginning with another one.

    Ends after ``rounds``, or when ``seconds`` are over and there were at least ``MIN_ROUNDS``.
    The warm-up (compilation, first touch of memory) is not counted.
    """
    repeats = {name: _repeats(call) for name, call in contestants.items()}
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    began = time.perf_counter()
    for turn in range(rounds):
        if turn >= MIN_ROUNDS and time.perf_counter() - began > seconds:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            _work(contestants[name], settle)
            samples[name].append(_sample(contestants[name], repeats[name]))
    return {name: Timing(tuple(values)) for name, values in samples.items()}


def _work(call: Callable[[], Any], seconds: float) -> None:
    """Call, untimed, for about that long."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        call()


def _repeats(call: Callable[[], Any]) -> int:
    """Warm up, and find how many calls make a sample."""
    call()
    began = time.perf_counter()
    call()
    return max(1, math.ceil(SAMPLE / max(time.perf_counter() - began, 1e-6)))


def _sample(call: Callable[[], Any], repeats: int) -> float:
    if repeats > 1:  # wakes the threads and fills the caches; a long call pays for that itself
        call()
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


class Limit(NamedTuple):
    """What the processor can do at most: a call, the operations that it makes, and what it is."""

    name: str
    flops: int
    run: Callable[[], Any]


def limit(threads: int) -> Limit:
    """The fused-multiply-add limit: the compiled backend's loop in registers, else a large product of NumPy's BLAS.

    The loop is ``fma_peak(threads, repeats)``, which returns the operations that it made.
    """
    try:
        peak = getattr(importlib.import_module(BACKENDS["cython"]), "fma_peak", None)
    except (ImportError, RnnkitError):
        peak = None
    if peak is not None:
        repeats = 1
        while _seconds(peak, threads, repeats) < SAMPLE and repeats < 1 << 40:
            repeats *= 2
        return Limit("fused multiply-adds in registers", int(peak(threads, repeats)), lambda: peak(threads, repeats))
    a, b = (np.full((MATRIX, MATRIX), value, np.float32) for value in (0.5, 0.25))
    out = np.empty_like(a)
    return Limit(f"{MATRIX}×{MATRIX} float32 product by NumPy's BLAS", 2 * MATRIX**3, lambda: np.matmul(a, b, out=out))


def _seconds(call: Callable[..., Any], *args: Any) -> float:
    began = time.perf_counter()
    call(*args)
    return time.perf_counter() - began


# -- the comparison --------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One contestant's time for one piece of work; the ratios say how many times as fast it was.

    ``seconds`` is the median, ``low`` and ``high`` are the quartiles, ``fastest`` the best of all rounds.
    """

    contestant: str
    seconds: float
    low: float
    high: float
    fastest: float
    rounds: int
    gflops: float
    of_limit: float
    over_reference: float | None
    over_peers: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """One cell, shape and work: the limit meanwhile, and a row per contestant."""

    cell: str
    shape: Shape
    work: str
    limit_gflops: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Setting:
    """What was measured with: the machine, and who takes part and who cannot."""

    processor: str
    load: float  # processes that wanted to run during the last minute, before the measurement
    threads: int
    limit: str
    backends: dict[str, str]
    skipped: dict[str, str]
    peers: dict[str, str]


def survey(threads: int, backends: Sequence[str] = (), against: Sequence[str] = ()) -> Setting:
    """Who takes part: ``backends``, or all that can be loaded here, and the peers ``against``.

    Raises ``UsageError`` for an unknown name or a peer that is not installed, ``RnnkitError`` for
    a backend that was named and cannot be loaded.
    """
    found, skipped, peers = {}, {}, {}
    for name in backends or BACKENDS:
        try:
            found[name] = _kernels.describe(name)
        except RnnkitError as error:
            if backends:
                raise
            skipped[name] = str(error)
    for name in against:
        if name not in PEERS:
            raise UsageError(f"--against is one of {', '.join(PEERS)}, not {name!r}")
        try:
            peers[name] = str(importlib.import_module(PEERS[name].module).__version__)
        except ImportError as error:
            hint = f"pip install {PEERS[name].package}, or leave --against out"
            raise UsageError(
                f"--against {name} needs a package that cannot be imported here ({error}); {hint}"
            ) from error
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Setting(_processor(), load, threads, limit(threads).name, found, skipped, peers)


def compare(
    cell: str, shape: Shape, setting: Setting, *, rounds: int = 50, seconds: float = 1.0, works: Sequence[str] = WORKS
) -> Iterator[Comparison]:
    """Check that all contestants of ``setting`` give the reference's results, then time each kind of work.

    ``rounds`` and ``seconds`` bound each comparison as in ``alternate``.
    """
    problem = make_problem(cell, shape)
    with pools(setting.threads, setting.peers):
        runs: dict[str, Contestant] = {name: KernelRun(name, problem, setting.threads) for name in setting.backends}
        runs |= {name: PEERS[name](problem, setting.threads) for name in setting.peers}
        expected = (runs.get(REFERENCE) or KernelRun(REFERENCE, problem, setting.threads)).results()
        for name, run in runs.items():
            if name != REFERENCE:
                check_equal(name, run.results(), expected, f"a {cell} of B T I H = {shape}")
        top = limit(setting.threads)
        for work in works:
            timings = alternate(
                {"limit": top.run, **{name: getattr(run, work) for name, run in runs.items()}},
                rounds=rounds,
                seconds=seconds,
            )
            best = timings.pop("limit")
            count = flops(problem.cell, shape, work)
            rows = tuple(
                Row(
                    contestant=name,
                    seconds=timing.median,
                    low=timing.quartiles[0],
                    high=timing.quartiles[1],
                    fastest=min(timing.samples),
                    rounds=len(timing.samples),
                    gflops=count / timing.median / 1e9,
                    of_limit=timing.times(best) * count / top.flops,
                    over_reference=timing.times(timings[REFERENCE]) if REFERENCE in timings else None,
                    over_peers={peer: timing.times(timings[peer]) for peer in setting.peers if peer != name},
                )
                for name, timing in timings.items()
            )
            yield Comparison(cell, shape, work, top.flops / best.median / 1e9, rows)


@contextmanager
def pools(threads: int, peers: Sequence[str] | Mapping[str, str] = ()) -> Iterator[None]:
    """The same number of threads meanwhile for NumPy's BLAS and for the peers."""
    from threadpoolctl import threadpool_limits

    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=threads, user_api="blas"))
        if "torch" in peers:
            torch: Any = importlib.import_module("torch")
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(threads)
        yield


def report(setting: Setting, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """What ``--json`` prints: the setting, and in ``results`` one object per comparison."""
    results = [{**asdict(one), "shape": one.shape._asdict()} for one in comparisons]
    return {**asdict(setting), "results": results}


def _processor() -> str:
    """The processor's name and how many of it there are."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} logical"

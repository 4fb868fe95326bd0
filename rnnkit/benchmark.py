"""The shapes and the timer that ``rnnkit bench`` and the suites in bench/ share.

A comparison lets contestants (``rnnkit.contestants``) do the same work on the same arrays.  Each
has a process of its own (``rnnkit.lanes``).  All must first give the results of the NumPy reference; then
they are timed in alternation with each other and with the processor's limit (``rnnkit.limits``), so that ratios
are taken side by side, round by round.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

import rnnkit
from rnnkit import _kernels
from rnnkit._kernels import BACKENDS, machine
from rnnkit.cells import Cell, get_cell
from rnnkit.contestants import WORKS, Contestant, KernelRun, Shape, check_equal, make_problem
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import Lane, open_lanes
from rnnkit.limits import LIMIT, Peak, Product
from rnnkit.peers import PEERS, able, limits

REFERENCE = "numpy"
MIN_ROUNDS = 3


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
    """Operations of the products, 2·T·B·G·H·(I+H), or ·I where there is no R; training needs three times as many."""
    B, T, I, H = shape  # noqa: E741
    depth = I + H if cell.recurrent else I
    return (3 if work == "train" else 1) * 2 * T * B * len(cell.gates) * H * depth


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
    contestants: Mapping[str, Callable[[], float]], *, rounds: int = 50, seconds: float = 1.5
) -> dict[str, Timing]:
    """Take a sample of every contestant (a function that returns seconds) each round, each time in another order.

    Every round begins with another one.  Ends after ``rounds``, or when ``seconds`` are over and there were at
    least ``MIN_ROUNDS``.
    """
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    began = time.perf_counter()
    for turn in range(rounds):
        if turn >= MIN_ROUNDS and time.perf_counter() - began > seconds:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(contestants[name]())
    return {name: Timing(tuple(values)) for name, values in samples.items()}


# -- the comparison --------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One contestant's time for one piece of work; the ratios say how many times as fast it was.

    ``seconds`` is the median, ``low`` and ``high`` are the quartiles, ``fastest`` the best of all rounds.
    ``over_best`` is against whichever peer was the fastest in each round; peers themselves have none.
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
    over_best: float | None


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

    date: str  # ISO 8601, to the minute
    processor: str
    load: float  # processes that wanted to run during the last minute, before the measurement
    threads: int
    isa: str  # the compiled kernels' instruction set, empty where they are missing
    limit: str
    backends: dict[str, str]
    skipped: dict[str, str]
    peers: dict[str, str]
    versions: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)  # what holds the peers to the same instructions
    product_gflops: float | None = None  # what a large product by NumPy's BLAS reaches, where that is not the limit
    command: str = ""  # what repeats the measurement


def survey(threads: int, backends: Sequence[str] = (), against: Sequence[str] = ()) -> Setting:
    """Who takes part: ``backends``, or all that can be loaded here, and the peers ``against``.

    Raises ``UsageError`` for an unknown name or a peer that is not installed, ``RnnkitError`` for
    a backend that was named and cannot be loaded.
    """
    found, skipped = {}, {}
    for name in backends or BACKENDS:
        try:
            found[name] = _kernels.describe(name)
        except RnnkitError as error:
            if backends:
                raise
            skipped[name] = str(error)
    peers = {name: _version(name) for name in dict.fromkeys(against)}
    try:
        isa = machine.instruction_set()
        limit = f"{Peak.name}, {isa}"
    except RnnkitError:
        isa, limit = "", f"{Product.name}, as nothing is compiled here"
    return Setting(
        date=datetime.now().astimezone().isoformat(timespec="minutes"),
        processor=_processor(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        threads=threads,
        isa=isa,
        limit=limit,
        backends=found,
        skipped=skipped,
        peers=peers,
        versions={"rnnkit": rnnkit.__version__, "Python": platform.python_version(), "NumPy": np.__version__},
        environment=limits() if peers else {},
    )


def _version(peer: str) -> str:
    if peer not in PEERS:
        raise UsageError(f"--against is one of {', '.join(PEERS)}, not {peer!r}")
    packages = PEERS[peer].packages
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--against {peer} needs {' and '.join(missing)}, not installed here; "
            f"pip install {' '.join(missing)}, or leave it out"
        )
    return importlib.metadata.version(packages[0])


def arena(setting: Setting) -> AbstractContextManager[dict[str, Lane]]:
    """A lane for everyone who takes part, and for the limit and the reference in any case."""
    names = dict.fromkeys((LIMIT, *setting.backends, REFERENCE, *setting.peers))
    return open_lanes(names, setting.threads, setting.environment)


def make_limit(threads: int) -> Peak | Product:
    """The limit of this machine: the compiled loop, or else a large product."""
    try:
        return Peak(threads)
    except RnnkitError:
        return Product()


def make_contestant(name: str, cell: str, shape: Shape, threads: int) -> Contestant:
    """A peer or a backend by name, ready to work on ``make_problem(cell, shape)``."""
    problem = make_problem(cell, shape)
    return PEERS[name](problem, threads) if name in PEERS else KernelRun(name, problem, threads)


def measure_product(setting: Setting, lanes: Mapping[str, Lane], rounds: int = 5) -> Setting:
    """The setting with what a large product reaches, unless it is the limit itself."""
    if not setting.isa:
        return setting
    lane = lanes[REFERENCE]
    lane.ask("hold", Product)
    samples = [lane.ask("sample", "infer") for _ in range(rounds)]
    return replace(setting, product_gflops=lane.ask("call", "operations") / float(np.median(samples)) / 1e9)


def compare(
    cell: str,
    shape: Shape,
    setting: Setting,
    lanes: Mapping[str, Lane],
    *,
    rounds: int = 50,
    seconds: float = 1.5,
    works: Sequence[str] = WORKS,
) -> Iterator[Comparison]:
    """Check that all contestants of ``setting`` give the reference's results, then time each kind of work.

    ``lanes`` are those of ``arena(setting)``, which serve one comparison after another; ``rounds`` and
    ``seconds`` bound each as in ``alternate``.  A peer that cannot train takes part in inference alone, one without
    such a cell in nothing.
    """
    can_do = {name: able(name, cell) if name in PEERS else WORKS for name in (*setting.backends, *setting.peers)}
    lanes = {name: lane for name, lane in lanes.items() if can_do.get(name, WORKS)}
    can_do = {name: can for name, can in can_do.items() if can}
    for name, lane in lanes.items():
        if name == LIMIT:
            lane.post("hold", make_limit, setting.threads)
        else:
            lane.post("hold", make_contestant, name, cell, shape, setting.threads)
    for lane in lanes.values():
        lane.take()
    expected = lanes[REFERENCE].ask("call", "results")
    for name, can in can_do.items():
        if name != REFERENCE:
            found = lanes[name].ask("call", "results")
            wanted = expected if set(can) == set(WORKS) else {key: expected[key] for key in found}
            check_equal(name, found, wanted, f"a {cell} of B T I H = {shape}")
    top = lanes[LIMIT].ask("call", "operations")
    for work in works:
        names = [name for name, can in can_do.items() if work in can]
        samplers = {name: partial(lanes[name].ask, "sample", work) for name in (LIMIT, *names)}
        timings = alternate(samplers, rounds=rounds, seconds=seconds)
        limit = timings.pop(LIMIT)
        count = flops(get_cell(cell), shape, work)
        rows = _rows(timings, limit, count / top, count, [name for name in names if name in setting.peers])
        yield Comparison(cell, shape, work, top / limit.median / 1e9, rows)


def _rows(
    timings: Mapping[str, Timing], limit: Timing, share: float, count: int, peers: Sequence[str]
) -> tuple[Row, ...]:
    """A row for each timing; ``share`` is ``count``, the operations of the work, over those of the limit's call."""
    best = Timing(tuple(map(min, *(timings[peer].samples for peer in peers)))) if len(peers) > 1 else None
    if len(peers) == 1:
        best = timings[peers[0]]
    return tuple(
        Row(
            contestant=name,
            seconds=timing.median,
            low=timing.quartiles[0],
            high=timing.quartiles[1],
            fastest=min(timing.samples),
            rounds=len(timing.samples),
            gflops=count / timing.median / 1e9,
            of_limit=timing.times(limit) * share,
            over_reference=timing.times(timings[REFERENCE]) if REFERENCE in timings else None,
            over_peers={peer: timing.times(timings[peer]) for peer in peers if peer != name},
            over_best=timing.times(best) if best and name not in peers else None,
        )
        for name, timing in timings.items()
    )


def _processor() -> str:
    """The processor's name and how many of it there are."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} logical"

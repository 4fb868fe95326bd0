"""How much memory there is, how much a network takes, and when a layer keeps fewer gates because of it."""

from __future__ import annotations

import math
import os
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rnnkit.errors import UsageError

SHARE = 8
"""Gates that would take more than this part of the memory are recomputed, unless told otherwise."""


class Footprint(NamedTuple):
    """Bytes that a layer takes for inputs of a certain shape, and the shape of its outputs."""

    kept: int  # on the tape, from the first pass on
    passing: int  # at once on the way back, beside the gradient of its outputs
    packed: int  # weights as the kernels have them
    shape: Any  # a tuple, or a dictionary of them


def traced(make: Callable[[], object]) -> int:
    """Bytes of arrays that are alive when ``make`` has made its result."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        found = tracemalloc.get_traced_memory()[0] - before
        del made
        return max(found, 0)
    finally:
        if not running:
            tracemalloc.stop()


def give_back() -> None:
    """Return freed memory to the system where the C library can (glibc keeps what lies between arrays in use)."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    import ctypes

    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no such handle
        return None


@cache
def available() -> int:
    """Bytes of memory that the process may use: the machine's, or what a cgroup grants (v2 ``memory.max``, v1)."""
    with suppress(AttributeError, OSError, ValueError):
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
        for name in ("memory.max", "memory/memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # absent, or the word max
                found.append(int(Path("/sys/fs/cgroup", name).read_text()))
        return min(found)
    return 1 << 33


def check_recompute(recompute: int | str) -> int | str:
    """``auto``, ``off`` or a number of steps; ``UsageError`` for anything else."""
    if recompute in ("auto", "off"):
        return recompute
    try:
        steps = int(recompute)
    except ValueError:
        steps = 0
    if steps < 1:
        raise UsageError(f"--recompute is auto, off or a whole number of steps of at least 1, not {recompute!r}")
    return steps


def recompute_steps(recompute: int | str, steps: int, gates: int) -> int:
    """Steps between the states that are kept, 0 where all gates are, which would take ``gates`` bytes.

    √T of T steps: the states kept and the gates of one piece then take about the same (Chen et al. 2016).
    """
    if recompute == "off" or (recompute == "auto" and gates <= available() // SHARE):
        return 0
    return math.isqrt(max(steps - 1, 0)) + 1 if recompute == "auto" else int(recompute)

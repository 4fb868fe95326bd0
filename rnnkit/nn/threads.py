"""One number of threads for every pool that rnnkit uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from rnnkit.errors import UsageError


def available() -> int:
    """Threads worth starting: processors this process may use, less what a cgroup quota withholds."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Whole processors of CPU time that the cgroup grants (v2 ``cpu.max``, v1 ``cfs_quota``)."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return 1 << 16 if limit == "max" else max(1, int(limit) // int(period))
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        limit, period = (base / "cpu.cfs_quota_us").read_text(), (base / "cpu.cfs_period_us").read_text()
        return 1 << 16 if int(limit) < 0 else max(1, int(limit) // int(period))
    except (OSError, ValueError):
        return 1 << 16


def resolve(threads: int | str = "auto") -> int:
    """``auto`` or a positive number as a number of threads; ``UsageError`` otherwise."""
    if threads == "auto":
        return available()
    try:
        count = int(threads)
    except ValueError:
        count = 0
    if count < 1:
        raise UsageError(f"threads is auto or a whole number of at least 1, not {threads!r}")
    return count


@contextmanager
def single_blas() -> Iterator[None]:
    """One thread in every BLAS pool meanwhile: its sums then have one order, and no pool spins against ours."""
    with _pools().limit(limits=1, user_api="blas"):
        yield


@cache
def _pools() -> Any:
    """The thread pools loaded when first asked, which takes a while to find out."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""One number of threads for every pool that rnnkit uses."""

from __future__ import annotations

import os
import threading
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


def spread() -> None:
    """Move this process's other threads off the caller's processor, once; afterwards they may go anywhere again.

    Threads that sleep between passes tend to be woken where their waker runs, and Linux then takes seconds to
    part them (4 s measured, at half speed). Elsewhere, or where it is not allowed, nothing happens.
    """
    try:
        caller = threading.get_native_id()
        allowed = os.sched_getaffinity(0)
        with open(f"/proc/self/task/{caller}/stat") as stat:
            here = int(stat.read().rpartition(")")[2].split()[36])  # proc(5): the processor last run on
        others = sorted(allowed - {here})
        tasks = sorted(int(task) for task in os.listdir("/proc/self/task") if int(task) != caller)
        for i, task in enumerate(tasks if others else ()):
            os.sched_setaffinity(task, {others[i % len(others)]})
            os.sched_setaffinity(task, allowed)
    except (AttributeError, OSError, ValueError, IndexError):
        return


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

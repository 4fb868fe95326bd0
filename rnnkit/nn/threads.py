"""One number of threads for every pool that rnnkit uses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any

from rnnkit.errors import UsageError


@cache  # as it was at first: ``apart`` confines the caller for a while
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


def together(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Run both at once, ``second`` in a thread kept for that; what one raises is raised when both have ended.

    One after the other in the child of a fork, and where the thread is at work for another caller.
    """
    if _forked or not _taken.acquire(blocking=False):
        first()
        second()
        return
    try:
        waiting = _helper().submit(copy_context().run, second)
        try:
            first()
        finally:
            error = waiting.exception()
        if error is not None:
            raise error
    finally:
        _taken.release()


@cache
def _helper() -> Any:
    """One thread that waits for work as long as the process lives."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "rnnkit")


_taken, _forked = threading.Lock(), False


def forked() -> bool:
    """Whether this is the child of a fork, which has none of its parent's threads and starts none."""
    return _forked


def _alone() -> None:
    """A forked child has none of its parent's threads."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)


@contextmanager
def apart() -> Iterator[Callable[[], None]]:
    """Yields a function that holds the caller on its processor and all other threads off it, until the end.

    Threads that sleep at barriers tend to be woken where their waker runs, and Linux may leave them there for
    seconds or for good: two then run as one. A thread that the caller starts meanwhile begins on the caller's only
    processor, so the function is called again when there may be new ones (12 µs where there are none). Where affinity
    does not exist or is not allowed, nothing happens.
    """
    moved: dict[int, set[int]] = {}
    seen: set[str] = set()

    def part() -> None:
        with suppress(AttributeError, OSError, ValueError, IndexError):
            tasks = set(os.listdir("/proc/self/task"))
            if tasks <= seen:
                return
            caller = threading.get_native_id()
            everywhere = moved.get(caller) or os.sched_getaffinity(caller)
            stat = Path(f"/proc/self/task/{caller}/stat").read_text()
            here = int(stat.rpartition(")")[2].split()[36])  # proc(5): the processor last run on
            for task in map(int, tasks - seen):
                allowed = os.sched_getaffinity(task)
                if allowed == {here}:  # from the caller
                    allowed = everywhere
                place = {here} if task == caller else allowed - {here}
                if place and len(allowed) > 1:
                    moved.setdefault(task, allowed)
                    os.sched_setaffinity(task, place)
            seen.clear()
            seen.update(tasks)

    try:
        yield part
    finally:
        for task, allowed in moved.items():
            with suppress(OSError):  # it may have ended
                os.sched_setaffinity(task, allowed)


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

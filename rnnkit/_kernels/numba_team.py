"""Threads for the Numba backend: Python's own, since compiled code runs without the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

WORTH = 2_000_000
"""Floating-point operations of a share, at least: some 20 µs of work, which is what it takes to wake a thread."""


class _Team:
    """Threads that start when they are first needed; several callers may have work for them at once."""

    def __init__(self) -> None:
        self.most = max(32, os.cpu_count() or 1)
        self.pool = ThreadPoolExecutor(self.most, "rnnkit-numba")
        self.forked = False

    def after_fork(self) -> None:
        """The child of a fork has none of its parent's threads, and starts none."""
        self.forked = True

    def shares(self, threads: int, pieces: int, flops: float) -> int:
        """How many shares to cut work of so many pieces into: one where it is small, and after a fork."""
        return 1 if self.forked else max(1, min(threads, pieces, int(flops / WORTH)))

    def wake(self, threads: int) -> None:
        """Start the threads of so many shares."""
        if not self.forked:
            meeting = Barrier(min(threads, self.most))
            self.run(meeting.parties, lambda share, shares: meeting.wait())

    def run(self, shares: int, work: Callable[..., Any], *args: Any) -> None:
        """``work(share, shares, *args)`` for every share, the first in the calling thread."""
        others = [self.pool.submit(work, share, shares, *args) for share in range(1, shares)]
        try:
            work(0, shares, *args)
        finally:
            for other in others:
                other.result()


_TEAM = _Team()
shares, run, wake = _TEAM.shares, _TEAM.run, _TEAM.wake
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TEAM.after_fork)

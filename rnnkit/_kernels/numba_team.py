"""Threads for the Numba backend: Python's, since compiled code runs without the GIL."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

WORTH = 2_000_000
"""Floating-point operations of a share, at least: some 20 µs of work, about what it takes to wake a thread."""


class _Team:
    """Threads that wait for shares of work, as many as were ever asked for less the caller."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.size = 1
        self.forked = False

    def after_fork(self) -> None:
        """The child of a fork has none of its parent's threads, and starts none."""
        self.pool, self.size, self.forked = None, 1, True

    def run(self, shares: int, work: Callable[..., Any], *args: Any) -> None:
        """``work(share, shares, *args)`` for every share, the first in the calling thread."""
        if shares > self.size:
            if self.pool is not None:
                self.pool.shutdown()
            self.pool, self.size = ThreadPoolExecutor(shares - 1, "rnnkit-numba"), shares
        others = [self.pool.submit(work, k, shares, *args) for k in range(1, shares)] if self.pool is not None else []
        try:
            work(0, shares, *args)
        finally:
            for other in others:
                other.result()


_TEAM = _Team()
run = _TEAM.run
os.register_at_fork(after_in_child=_TEAM.after_fork)


def shares(threads: int, pieces: int, flops: float) -> int:
    """How many shares work of so many pieces is cut into: one where it is small, and after a fork."""
    return 1 if _TEAM.forked else max(1, min(threads, pieces, int(flops / WORTH)))

"""The next batch, made in a thread of its own while the step before it runs.

A batch is a function of its stage and step alone, so who makes it, and when, does not show in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from types import TracebackType

from rnnkit.job import Batch
from rnnkit.nn.threads import forked

Step = tuple[str, int]
"""A stage and a step of it."""
SHORT = 3e-4
"""Seconds: a batch made in less is not worth handing to another thread."""


class Prefetch:
    """The batches that ``make`` gives, at most one ahead, and none where ``ahead`` is off or they take no time.

    Only one thread at a time makes batches. Left as a context it has no thread; what went wrong in it is raised by
    the step that wants the batch.
    """

    def __init__(self, make: Callable[[str, int], Batch], ahead: bool = False) -> None:
        self.make, self.ahead = make, ahead
        self._seconds = 0.0  # that the last batch took
        self._pool: ThreadPoolExecutor | None = None
        self._next: tuple[Step, Future[Batch]] | None = None

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Waits for a batch that nobody will take, and ends the thread."""
        pool, self._pool, self._next = self._pool, None, None
        if pool is not None and not forked():
            pool.shutdown()

    def take(self, step: Step, following: Step | None = None) -> Batch:
        """The batch of ``step``; that of ``following`` is begun."""
        batch = self.look(step)
        self._next = None
        if self.ahead and following is not None and self._seconds >= SHORT and not forked():
            self._pool = self._pool or ThreadPoolExecutor(1, "rnnkit-batch")
            self._next = following, self._pool.submit(copy_context().run, self._made, following)
        return batch

    def look(self, step: Step) -> Batch:
        """The batch of ``step``, which may still be taken."""
        if self._next is not None and not forked():
            begun, batch = self._next
            if begun == step:
                return batch.result()
            wait([batch])
        return self._made(step)

    def _made(self, step: Step) -> Batch:
        began = time.perf_counter()
        batch = self.make(*step)
        self._seconds = time.perf_counter() - began
        return batch

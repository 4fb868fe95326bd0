"""Lanes: a process for each contestant, so that nobody's threads disturb another's.

Pools of several libraries in one process share its cores badly: their threads spin after their turn and are
woken on a core that is taken, and two threads are measured as one.  Here all but one sleep on a pipe, and a
lane answers only when its own threads have come to rest: OpenBLAS's spin for 100 ms after a product.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from rnnkit.errors import RnnkitError
from rnnkit.nn.threads import apart

SETTLE = 0.06
"""Seconds of untimed work before a sample, in which caches and clock frequencies come back."""
SAMPLE = 0.02
"""Seconds that a sample takes at least, far above the clock's resolution."""


def sample(call: Callable[[], Any], settle: float = SETTLE, least: float = SAMPLE) -> float:
    """Seconds per call: the mean over as many calls as take ``least``, after working untimed for ``settle``.

    The caller's thread has its processor to itself meanwhile, as while training.
    """
    with apart() as part:
        calls, began = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - began < settle:
            call()
            calls += 1
            if calls == 1:  # it woke the threads
                part()
        part()  # those that came later
        repeats = max(1, math.ceil(least * calls / (time.perf_counter() - began)))
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - began) / repeats


def rest(longest: float = 0.5) -> None:
    """Wait until this process uses next to no processor time, but not for more than that many seconds."""
    began = now = time.perf_counter()
    while now - began < longest:
        used, last = time.process_time(), now
        time.sleep(0.005)
        now = time.perf_counter()
        if time.process_time() - used < 0.2 * (now - last):
            return


class Stage:
    """The inside of a lane: holds one contestant and carries out the orders about it."""

    def __init__(self) -> None:
        self.held: Any = None

    def hold(self, make: Callable[..., Any], *args: Any) -> None:
        """Let go of what was held, and hold ``make(*args)``."""
        self.held = None
        self.held = make(*args)

    def call(self, method: str) -> Any:
        """What a method of the held contestant returns."""
        return getattr(self.held, method)()

    def sample(self, method: str) -> float:
        """Seconds per call of a method of the held contestant."""
        return sample(getattr(self.held, method))


class Lane:
    """A process in which one contestant lives; it sleeps until it is asked and ends with its parent.

    An order is the name of a method of ``Stage``; its arguments and answer are pickled, so a maker is
    something that can be imported.  As always with ``multiprocessing``, a script that opens lanes does
    so under ``if __name__ == "__main__"``.
    """

    def __init__(self, name: str, threads: int, environment: Mapping[str, str] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, name, threads), name=name, daemon=True)
        resource_tracker.ensure_running()  # else the start below does it, and lets signals through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the lane inherits this
        try:
            with _environment(environment or {}):
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def post(self, order: str, *args: Any) -> None:
        """Give an order, whose answer ``take`` waits for."""
        try:
            self.pipe.send((order, args))
        except OSError as error:
            raise self._gone() from error

    def take(self) -> Any:
        """The answer to the last order; raises the ``RnnkitError`` that it ended with, or that the process is gone."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if isinstance(answer, RnnkitError):
            raise answer
        return answer

    def ask(self, order: str, *args: Any) -> Any:
        """Give an order and wait for the answer."""
        self.post(order, *args)
        return self.take()

    def close(self) -> None:
        """End the process, whatever it does."""
        self.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()

    def _gone(self) -> RnnkitError:
        self.process.join(1)
        code = self.process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return RnnkitError(
            f"the process that ran {self.name} ended {how} before it answered; "
            "see above for a cause, or whether memory ran out and smaller shapes pass"
        )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def open_lanes(
    names: Iterable[str], threads: int, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, Lane]]:
    """A lane for each name, in order, with that many threads in its BLAS; all end with the context.

    ``environment`` is there before a lane loads anything: libraries read it once.
    """
    with ExitStack() as stack:
        yield {name: stack.enter_context(closing(Lane(name, threads, environment))) for name in names}


def _serve(pipe: Connection, name: str, threads: int) -> None:
    """Carry out orders until the parent is gone; Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    import numpy  # noqa: F401 - a limit reaches only the pools that are there
    from threadpoolctl import threadpool_limits

    stage = Stage()
    with threadpool_limits(limits=threads, user_api="blas"):
        while True:
            try:
                order, args = pipe.recv()
                answer = _answer(stage, name, order, args)
                rest()
                pipe.send(answer)
            except (EOFError, OSError):
                return


def _answer(stage: Stage, name: str, order: str, args: tuple[Any, ...]) -> Any:
    try:
        return getattr(stage, order)(*args)
    except Exception as error:
        told = (
            error
            if isinstance(error, RnnkitError)
            else RnnkitError(
                f"{name} failed where it should have been measured ({type(error).__name__}: {error}); "
                f"leave it out, or see the whole story with RNNKIT_DEBUG=1"
            )
        )
        told.add_note(traceback.format_exc())
        return told

"""One thread or several for work that comes in small portions: whichever is found to be faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

CHUNK = 64
"""Units of a portion: a stream that nobody sees stutter, and Python's share of the time is small."""
TRIAL = 16
"""Units of a trial with several threads, where each portion may take a hundred times as long as it should."""
FIRST, LONGEST = 4, 1024
"""Portions from a trial that failed to the next one, four times as many after each further failure."""


class Pace:
    """Chooses the number of threads for portion after portion, where results do not depend on it.

    Threads that wait for one another at every layer of every token gain where each has a processor, and lose all
    where one must share its own: then nobody goes on before the slowest. So several are on trial against one, and
    stay for as long as they are faster than one has been.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.threads, self.clock = threads, clock
        self.alone = math.inf  # seconds per unit with one thread, the best
        self.together = False
        self.portions, self.trial, self.wait = 0, 1, FIRST

    def run(self, units: int, work: Callable[[slice, int], bool]) -> bool:
        """``work(part, threads)`` over 0 to ``units`` in parts, for as long as it returns True."""
        at = 0
        while at < units:
            trying = self.threads > 1 and not self.together and self.portions >= self.trial
            part = slice(at, min(units, at + (TRIAL if trying else CHUNK)))
            many = trying or self.together
            began = self.clock()
            if not work(part, self.threads if many else 1):
                return False
            self._judge(many, (self.clock() - began) / (part.stop - part.start))
            at = part.stop
        return True

    def _judge(self, many: bool, seconds: float) -> None:
        self.portions += 1
        if not many:
            self.alone = min(self.alone, seconds)
        elif seconds < self.alone:
            self.together, self.wait = True, FIRST
        else:
            self.together, self.trial = False, self.portions + self.wait
            self.wait = min(4 * self.wait, LONGEST)

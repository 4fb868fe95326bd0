"""Ctrl-C and SIGTERM while training: the first asks the loop to stop and save, a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
from types import FrameType

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Interruption:
    """A context in which signals are remembered; called, it says whether one came."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Interruption:
        self.before = {number: signal.signal(number, self._receive) for number in CODES}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.received is not None

    @property
    def code(self) -> int:
        """The exit code of the signal that came."""
        return CODES[signal.Signals(self.received or signal.SIGINT)]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number

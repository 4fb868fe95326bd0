"""Letting a schedule end when its time does: how many steps there is time for is seen anew as they are made."""

from __future__ import annotations

from rnnkit.errors import UsageError

SLACK = 0.03
"""Share by which the steps that are left must differ from those that there is time for, before their number changes."""

Turns = list[tuple[int, int]]
"""(step, steps) each: from that step on, so many steps make the whole schedule."""


class Pacer:
    """``until``: seconds from the beginning of a training within which its steps are to end; 0 is no such limit."""

    def __init__(self, until: float = 0.0) -> None:
        self.until = until
        self._now, self._step = 0.0, 0  # when it was last asked, and after how many steps

    def stop(self, now: float, step: int, stop: int) -> int:
        """After which step to stop instead of ``stop``, by the seconds that the steps since it was last asked took."""
        before, first = self._now, self._step
        self._now, self._step = now, step
        if not self.until or not before or not first < step < stop:
            return stop
        left = int((self.until - now) * (step - first) / (now - before))
        return step + max(1, left) if abs(left / (stop - step) - 1) > SLACK else stop


def place(step: int, steps: int, turns: Turns) -> float:
    """Where in a schedule of ``steps`` a step stands, 0 to ``steps``; without turns it is ``step``.

    A turn at step s to S steps lets what is left of the schedule take S − s steps.

    >>> place(50, 100, [(20, 80)])    # of the other 80 steps, now to be made in 60, half
    60.0
    """
    at, since, whole = 0.0, 0, steps
    for turn, then in turns:
        if turn > step:
            break
        at, since, whole = at + (steps - at) * (turn - since) / (whole - since), turn, then
    return at + (steps - at) * (step - since) / (whole - since)


def written(turns: Turns) -> str:
    """Turns as settings keep them: ``STEP:STEPS`` with commas between."""
    return ",".join(f"{step}:{steps}" for step, steps in turns)


def read(text: str) -> Turns:
    """What ``written`` wrote; ``UsageError`` for anything else and for steps that do not go up."""
    try:
        turns = [(int(a), int(b)) for a, b in (pair.split(":") for pair in text.split(",") if pair)]
    except ValueError:
        turns = [(0, 0)]
    if any(not 0 < step < steps for step, steps in turns) or turns != sorted(set(turns)):
        raise UsageError(f"--turns is STEP:STEPS, rising and with commas between, not {text!r}")
    return turns

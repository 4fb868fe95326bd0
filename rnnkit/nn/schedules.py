"""The learning rate over a run: each schedule says by which factor the base rate is multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rnnkit.errors import UsageError
from rnnkit.nn import registry


@dataclass(frozen=True)
class Schedule(registry.Choice):
    """Factor of the base learning rate as a function of the steps taken.

    ``warmup`` is the length of a linear rise from near 0 to 1: a share of the run when below 1,
    a number of steps from 1 on (Goyal et al. 2017).
    """

    warmup: float = 0.0

    def __post_init__(self) -> None:
        self._within("warmup", "[0, inf)")

    def rate(self, step: float, steps: int) -> float:
        """The factor for the update made after ``step`` earlier ones, of ``steps`` in all."""
        warm = round(self.warmup * steps) if self.warmup < 1 else round(self.warmup)
        if step < warm:
            return (step + 1) / warm
        return self._after(min(1.0, (step - warm) / max(1, steps - 1 - warm)))

    def observe(self, loss: float) -> bool:
        """Tell the loss that selects models after an evaluation; True when the rate went down because of it."""
        return False

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep, as JSON can hold it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""

    def _after(self, progress: float) -> float:
        """The factor once warm, ``progress`` going from 0 to 1 at the last step."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The base rate throughout."""

    name: ClassVar[str] = "constant"

    def _after(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """f = final + (1 − final) (1 + cos π·progress) / 2 (Loshchilov & Hutter 2017)."""

    name: ClassVar[str] = "cosine"
    final: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("final", "[0, 1]")

    def _after(self, progress: float) -> float:
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Linear(Schedule):
    """f = 1 + (final − 1)·progress."""

    name: ClassVar[str] = "linear"
    final: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("final", "[0, 1]")

    def _after(self, progress: float) -> float:
        return 1 + (self.final - 1) * progress


@dataclass(frozen=True)
class Plateau(Schedule):
    """Multiplies the rate by ``factor`` after more than ``patience`` evaluations in a row without a new best loss.

    A loss is a new best when below the best by more than the share ``threshold`` of its size; a
    loss that is not finite never is.  The factor never goes below ``floor``.
    """

    name: ClassVar[str] = "plateau"
    factor: float = 0.5
    patience: int = 2
    threshold: float = 0.0
    floor: float = 0.01
    _memory: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("factor", "(0, 1)")
        self._within("patience", "[0, inf)")
        self._within("threshold", "[0, 1)")
        self._within("floor", "[0, 1]")
        self._memory.update(scale=1.0, best=None, waited=0)

    def observe(self, loss: float) -> bool:
        memory = self._memory
        best = memory["best"]
        if math.isfinite(loss) and (best is None or loss < best - self.threshold * abs(best)):
            memory.update(best=float(loss), waited=0)
            return False
        memory["waited"] += 1
        if memory["waited"] <= self.patience:
            return False
        before = memory["scale"]
        memory.update(scale=max(self.floor, before * self.factor), waited=0)
        return bool(memory["scale"] < before)

    def state(self) -> dict[str, Any]:
        return dict(self._memory)

    def restore(self, state: dict[str, Any]) -> None:
        if set(state) != set(self._memory):
            found = ", ".join(state) or "nothing"
            raise UsageError(f"the state of a plateau schedule has {', '.join(self._memory)}, not {found}")
        self._memory.update(state)

    def rate(self, step: float, steps: int) -> float:
        return float(self._memory["scale"]) * super().rate(step, steps)

    def _after(self, progress: float) -> float:
        return 1.0


SCHEDULES: dict[str, type[Schedule]] = {schedule.name: schedule for schedule in (Constant, Cosine, Linear, Plateau)}
"""Schedule name → class."""


def make_schedule(name: str, **options: Any) -> Schedule:
    """The schedule called ``name``; ``UsageError`` for an unknown name, option or value."""
    return registry.make("schedule", SCHEDULES, name, options)

"""What a training tells as it goes: the loop yields these and prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnkit.job import Plan
from rnnkit.run import Run


@dataclass(frozen=True)
class Started:
    """The run's folder stands and the first step comes next."""

    run: Run
    plan: Plan
    parameters: int
    resumed: int  # steps done before it was interrupted, 0 for a new run
    memory: int  # bytes that the training takes at most, by estimate
    spared: int  # bytes that recomputation spares


@dataclass(frozen=True)
class Stepped:
    """One step is done."""

    stage: str
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class Evaluated:
    """The model was scored on the part that selects."""

    stage: str
    step: int
    loss: float
    selected: float
    best: bool
    seconds: float


@dataclass(frozen=True)
class Returned:
    """A loss was not finite: back to the last good weights at half the rate."""

    stage: str
    step: int
    count: int
    lr: float


@dataclass(frozen=True)
class Judged:
    """The first stage is over and its best model was scored."""

    report: dict[str, Any]
    best_step: int
    step: int


@dataclass(frozen=True)
class Interrupted:
    """Training was asked to stop and saved all it needs to go on."""

    run: Run
    step: int


@dataclass(frozen=True)
class Finished:
    """The model is on disk."""

    run: Run
    report: dict[str, Any]
    seconds: float


Event = Started | Stepped | Evaluated | Returned | Judged | Interrupted | Finished

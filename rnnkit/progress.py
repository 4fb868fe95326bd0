"""Where a training stands: what a checkpoint holds beside its arrays."""

from __future__ import annotations

from typing import Any

import msgspec

from rnnkit.job import Plan


class Progress(msgspec.Struct, forbid_unknown_fields=True):
    """Where a training stands; every number in it decides what comes next."""

    plan: Plan
    stage: int = 0
    step: int = 0  # steps done in this stage
    steps: int = 0
    stop: int = 0
    updates: int = 0  # steps in which the optimiser moved
    best_loss: float | None = None
    lowest: float | None = None  # loss so far; that of the best weights is within the plan's tolerance of it
    best_step: int = 0
    waited: int = 0
    returns: int = 0
    rate: float = 1.0  # halved at every return
    loss_sum: float = 0.0
    loss_count: int = 0
    observed: list[float] = []  # what the first stage was selected by, evaluation by evaluation
    schedule: dict[str, Any] = {}
    report: dict[str, Any] = {}
    seconds: float = 0.0
    until: float = 0.0  # seconds from the beginning within which the steps are to end; 0: no such limit
    done: bool = False

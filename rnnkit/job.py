"""What a task gives the training loop: the plan, the batches, and what is to be selected and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.losses import Loss


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the loop runs; with the options in config.toml it repeats a training exactly."""

    steps: int
    evaluate_every: int
    lr: float
    optimizer: str = "adamw"
    optimizer_options: dict[str, Any] = {}
    schedule: str = "cosine"
    schedule_options: dict[str, Any] = {}
    clip: float = 1.0  # by norm; 0 is off
    clip_value: float = 0.0  # by value; 0 is off
    tolerance: float = 0.0  # a later evaluation is preferred that is worse by at most this share of the lowest loss
    patience: int = 0  # evaluations without a better one before stopping; 0 is never
    stop: int = 0  # stop after this many steps though the schedule is longer; 0 is never
    turns: list[tuple[int, int]] = []  # (step, steps): from that step on, so many steps make the whole schedule
    seed: int = 0

    @property
    def whole(self) -> int:
        """Steps of the whole schedule after its last turn."""
        return self.turns[-1][1] if self.turns else self.steps


@dataclass
class Batch:
    """One step's data: what goes in, what should come out, what counts, and where rows begin.

    ``fresh`` starts from a zero state, otherwise the state of the step before is carried on
    (truncated backpropagation through time: values cross the cut, gradients do not).
    """

    x: Any
    target: np.ndarray
    weight: np.ndarray | None = None
    fresh: bool = True
    lengths: np.ndarray | None = None


class Job(Protocol):
    """What a task asks the loop to do. Batches and scores are functions of their arguments alone."""

    stages: tuple[str, ...]
    plan: Plan
    loss: Loss
    fingerprint: str
    options: dict[str, Any]

    def network(self) -> Network:
        """A freshly initialised network, the same at every call."""
        ...

    def batch(self, stage: str, step: int) -> Batch:
        """The data of step ``step``, from 0 on."""
        ...

    def select(self, network: Network) -> float:
        """Loss on the part that weights are selected by; lower is better. Only in the first stage."""
        ...

    def judge(self, network: Network, stage: str, report: dict[str, Any]) -> dict[str, Any]:
        """Figures on the part that nothing chose by."""
        ...

    def last_stage(self, best_step: int) -> tuple[int, int]:
        """(steps, stop) of the stage that trains on everything, given the best step of the first."""
        ...

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        """The plan that ends within ``seconds``."""
        ...

    def memory(self, network: Network) -> int:
        """Bytes that a training with this network takes at most, beyond the interpreter and its modules."""
        ...

    def spared(self, network: Network) -> int:
        """Bytes that recomputation spares."""
        ...

    def meta(self, report: dict[str, Any], network: Network) -> ModelMeta:
        """What the model file says of ``network``."""
        ...

    def data(self) -> dict[str, np.ndarray]:
        """Arrays that the model file keeps beside the weights, their names beginning with ``data.``."""
        ...

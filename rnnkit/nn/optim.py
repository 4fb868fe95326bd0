"""Optimisers on flat vectors: p the parameters, g their gradients, η the learning rate, t the step, from 1 on.

Every update is one pass over the vectors, in place.  Moments are kept without their factor (1 − β), which saves
work: where a formula has v ← βv + (1 − β)g², the state holds v/(1 − β) and the scalars of the update make up for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn import registry
from rnnkit.nn.clipping import clip_by_value, factor, norm
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.parameters import Parameters

FLUSH_EVERY = 128
TINY = {np.dtype(np.float32): 1e-32, np.dtype(np.float64): 1e-290}
"""Every FLUSH_EVERY steps, state below TINY becomes 0: decay alone would leave the moments of parameters that
get no gradient (embedding rows of rare words) among the subnormal numbers for good, where arithmetic is slow."""


@dataclass(frozen=True)
class Optimizer(registry.Choice):
    """Hyper-parameters and update rule; the state lives with the caller, who saves and restores it."""

    rule: ClassVar[str]  # the operation that makes the update
    first: ClassVar[str] = "m"  # slot of the mean of gradients
    second: ClassVar[str] = "v"  # slot of the mean of their squares

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state vectors."""
        raise NotImplementedError

    def init(self, size: int, dtype: Any) -> dict[str, np.ndarray]:
        """State vectors ``[size]`` before the first step, by slot."""
        return {slot: np.zeros(size, dtype=dtype) for slot in self.slots}

    def step(
        self,
        params: np.ndarray,
        grads: np.ndarray,
        state: dict[str, np.ndarray],
        lr: float,
        t: int,
        decay_mask: np.ndarray | None = None,
        *,
        scale: float = 1.0,
        clear: bool = False,
        engine: Engine = ENGINE,
    ) -> None:
        """Update ``params`` [N] and ``state`` in place from ``grads`` [N], all float32 or all float64.

        ``decay_mask`` [N] (bool, or float factors) says where weight decay applies; None is
        everywhere.  Only optimisers that decay read it.  The gradients are taken ``scale`` times (see
        ``clipping.factor``) and set to zero afterwards if ``clear``.  ``UsageError`` when shapes, dtypes or t
        cannot be used.
        """
        slots = [state[slot] for slot in self.slots]
        for array in (grads, *slots):
            if array.shape != params.shape or array.dtype != params.dtype or array.ndim != 1:
                raise UsageError(
                    f"{self.name} needs gradients and state like the parameters, {params.dtype} {params.shape}, "
                    f"not {array.dtype} {array.shape}"
                )
        if params.dtype not in TINY:
            raise UsageError(f"{self.name} works on float32 or float64 parameters, not {params.dtype}")
        if not all(array.flags.c_contiguous for array in (params, grads, *slots)):
            raise UsageError(f"{self.name} needs vectors that lie in one piece, and one of these does not")
        if decay_mask is not None and decay_mask.shape != params.shape:
            raise UsageError(f"the decay mask is shaped as the parameters, {params.shape}, not {decay_mask.shape}")
        if t < 1:
            raise UsageError(f"steps of an optimiser count from 1, not {t}")
        decay, mask = self._decay(lr), None
        if decay and decay_mask is not None:
            if decay_mask.dtype == bool:
                mask = np.ascontiguousarray(decay_mask).view(np.uint8)
            else:
                params *= (1 - decay * decay_mask).astype(params.dtype)
                decay = 0.0
        tiny = TINY[params.dtype] if t % FLUSH_EVERY == 0 else 0.0
        moments = (state[slot] if slot in self.slots else None for slot in (self.first, self.second))
        scalars = self._scalars(lr, t)
        engine.ops.step(self.rule, params, grads, *moments, mask, scalars, scale, decay, tiny, clear, engine.threads)

    def _scalars(self, lr: float, t: int) -> tuple[float, float, float, float, bool]:
        """(η, ε, β of the first moment, β of the second, nesterov) of the update."""
        raise NotImplementedError

    def _decay(self, lr: float) -> float:
        """The share that the parameters lose before the update."""
        return 0.0


@dataclass(frozen=True)
class SGD(Optimizer):
    """p ← p − ηb with b ← μb + g, or p ← p − η(g + μb) with ``nesterov`` (Sutskever et al. 2013)."""

    name: ClassVar[str] = "sgd"
    rule: ClassVar[str] = "sgd"
    first: ClassVar[str] = "b"
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        self._within("momentum", "[0, 1)")
        if not isinstance(self.nesterov, bool):
            raise UsageError(f"nesterov of sgd is true or false, not {self.nesterov!r}")
        if self.nesterov and not self.momentum:
            raise UsageError("nesterov of sgd needs a momentum above 0, and momentum is 0")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("b",) if self.momentum else ()

    def _scalars(self, lr: float, t: int) -> tuple[float, float, float, float, bool]:
        return lr, 0.0, self.momentum, 0.0, self.nesterov


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v ← αv + (1 − α)g², b ← μb + g/(√v + ε), p ← p − ηb (Hinton 2012; ε outside the root, as PyTorch)."""

    name: ClassVar[str] = "rmsprop"
    rule: ClassVar[str] = "rmsprop"
    first: ClassVar[str] = "b"
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._within("alpha", "[0, 1)")
        self._within("eps", "[1e-30, 1]")
        self._within("momentum", "[0, 1)")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("v", "b") if self.momentum else ("v",)

    def _scalars(self, lr: float, t: int) -> tuple[float, float, float, float, bool]:
        k = math.sqrt(1 - self.alpha)  # √v = k √(v/(1−α))
        return lr / k, self.eps / k, self.momentum, self.alpha, False


@dataclass(frozen=True)
class Adam(Optimizer):
    """p ← p − η m̂/(√v̂ + ε), m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², each over 1 − βᵗ (Kingma & Ba 2015)."""

    name: ClassVar[str] = "adam"
    rule: ClassVar[str] = "adam"
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        self._within("b1", "[0, 1)")
        self._within("b2", "[0, 1)")
        self._within("eps", "[1e-30, 1]")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m", "v")

    def _scalars(self, lr: float, t: int) -> tuple[float, float, float, float, bool]:
        k = math.sqrt((1 - self.b2) / (1 - self.b2**t))  # √v̂ = k √(v/(1−β₂))
        return lr * (1 - self.b1) / (1 - self.b1**t) / k, self.eps / k, self.b1, self.b2, False


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam after p ← (1 − ηλ)p, the decay apart from the moments (Loshchilov & Hutter 2019)."""

    name: ClassVar[str] = "adamw"
    decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("decay", "[0, 1]")

    def _decay(self, lr: float) -> float:
        return lr * self.decay


OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.name: optimizer for optimizer in (AdamW, Adam, SGD, RMSprop)}
"""Optimiser name → class."""


def make_optimizer(name: str, **options: Any) -> Optimizer:
    """The optimiser called ``name``; ``UsageError`` for an unknown name, option or value."""
    return registry.make("optimizer", OPTIMIZERS, name, options)


def update(
    optimizer: Optimizer,
    parameters: Parameters,
    slots: dict[str, np.ndarray],
    lr: float,
    number: int,
    decay: np.ndarray,
    clips: tuple[float, float],
    engine: Engine,
) -> bool:
    """Clip the gradients by value, then by norm (``clips``: norm, value; 0 is off), and make update ``number``.

    The gradients are zero afterwards. Where their norm is no finite number nothing moves: False.
    """
    by_norm, by_value = clips
    size = norm(parameters.grads, engine)
    if by_value and math.isfinite(size):
        clip_by_value(parameters.grads, by_value)
        size = norm(parameters.grads, engine)
    if not math.isfinite(size):
        parameters.clear()
        return False
    scale = factor(size, by_norm or math.inf)
    optimizer.step(
        parameters.values, parameters.grads, slots, lr, number, decay, scale=scale, clear=True, engine=engine
    )
    parameters.touch()
    return True

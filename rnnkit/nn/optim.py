"""Optimisers on flat vectors: p the parameters, g their gradients, η the learning rate, t the step, from 1 on.

Every update runs in place over blocks that stay in cache, with one scratch block and no other
memory.  Moments are kept without their factor (1 − β), which saves a pass over each: where a
formula has v ← βv + (1 − β)g², the state holds v/(1 − β) and the scalars of the update make up for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn import registry

BLOCK = 32768
"""Elements updated at a time: four float32 vectors and the scratch take 640 KiB, within most level-2 caches."""

FLUSH_EVERY = 128
TINY = {np.dtype(np.float32): 1e-32, np.dtype(np.float64): 1e-290}
"""Every FLUSH_EVERY steps, state below TINY becomes 0: decay alone would leave the moments of parameters that
get no gradient (embedding rows of rare words) among the subnormal numbers for good, where arithmetic is slow."""


@dataclass(frozen=True)
class Optimizer(registry.Choice):
    """Hyper-parameters and update rule; the state lives with the caller, who saves and restores it."""

    _scratch: dict[Any, np.ndarray] = field(init=False, repr=False, compare=False, default_factory=dict)

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
    ) -> None:
        """Update ``params`` [N] and ``state`` in place from ``grads`` [N], all float32 or all float64.

        ``decay_mask`` [N] (bool, or float factors) says where weight decay applies; None is
        everywhere.  Only optimisers that decay read it.  ``UsageError`` when shapes, dtypes or t
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
        if decay_mask is not None and decay_mask.shape != params.shape:
            raise UsageError(f"the decay mask is shaped as the parameters, {params.shape}, not {decay_mask.shape}")
        if t < 1:
            raise UsageError(f"steps of an optimiser count from 1, not {t}")
        scratch = self._scratch.get(params.dtype)
        if scratch is None:
            scratch = self._scratch[params.dtype] = np.empty(BLOCK, dtype=params.dtype)
        # as arrays: NumPy converts a Python float again at every call, which costs more than some of the passes
        scalars = [np.array(value, dtype=params.dtype) for value in self._scalars(lr, t)]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite stays so and shows in the next loss
            for start in range(0, params.size, BLOCK):
                part = slice(start, start + BLOCK)
                p = params[part]
                if decay_mask is None:
                    self._decay(p, lr, None, scratch[: p.size])
                else:
                    self._decay(p, lr, decay_mask[part], scratch[: p.size])
                moments = [slot[part] for slot in slots]
                self._update(p, grads[part], moments, scalars, scratch[: p.size])
                if t % FLUSH_EVERY == 0:
                    for moment in moments:
                        np.abs(moment, out=scratch[: p.size])
                        moment[scratch[: p.size] < TINY[params.dtype]] = 0

    def _scalars(self, lr: float, t: int) -> tuple[float, ...]:
        """The numbers of the update, the same for all blocks."""
        raise NotImplementedError

    def _decay(self, p: np.ndarray, lr: float, mask: np.ndarray | None, s: np.ndarray) -> None:
        """Weight decay of one block, for the optimisers that have it."""

    def _update(
        self, p: np.ndarray, g: np.ndarray, moments: Sequence[np.ndarray], scalars: Sequence[np.ndarray], s: np.ndarray
    ) -> None:
        """One block: INOUT ``p`` and ``moments``, IN ``g``; ``s`` is scratch of the same length."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """p ← p − ηb with b ← μb + g, or p ← p − η(g + μb) with ``nesterov`` (Sutskever et al. 2013)."""

    name: ClassVar[str] = "sgd"
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

    def _scalars(self, lr: float, t: int) -> tuple[float, ...]:
        return lr, self.momentum

    def _update(
        self, p: np.ndarray, g: np.ndarray, moments: Sequence[np.ndarray], scalars: Sequence[np.ndarray], s: np.ndarray
    ) -> None:
        lr, momentum = scalars
        direction = g
        if self.momentum:
            (direction,) = moments
            np.multiply(direction, momentum, out=direction)
            np.add(direction, g, out=direction)
        if self.nesterov:
            np.multiply(direction, momentum, out=s)
            np.add(s, g, out=s)
            direction = s
        np.multiply(direction, lr, out=s)
        np.subtract(p, s, out=p)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v ← αv + (1 − α)g², b ← μb + g/(√v + ε), p ← p − ηb (Hinton 2012; ε outside the root, as PyTorch)."""

    name: ClassVar[str] = "rmsprop"
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

    def _scalars(self, lr: float, t: int) -> tuple[float, ...]:
        k = math.sqrt(1 - self.alpha)  # √v = k √(v/(1−α))
        return lr / k, self.eps / k, self.alpha, self.momentum

    def _update(
        self, p: np.ndarray, g: np.ndarray, moments: Sequence[np.ndarray], scalars: Sequence[np.ndarray], s: np.ndarray
    ) -> None:
        lr, eps, alpha, momentum = scalars
        v = moments[0]
        np.multiply(g, g, out=s)
        np.multiply(v, alpha, out=v)
        np.add(v, s, out=v)
        np.sqrt(v, out=s)
        np.add(s, eps, out=s)
        np.divide(g, s, out=s)
        if self.momentum:
            b = moments[1]
            np.multiply(b, momentum, out=b)
            np.add(b, s, out=b)
            np.multiply(b, lr, out=s)
        else:
            np.multiply(s, lr, out=s)
        np.subtract(p, s, out=p)


@dataclass(frozen=True)
class Adam(Optimizer):
    """p ← p − η m̂/(√v̂ + ε), m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², each over 1 − βᵗ (Kingma & Ba 2015)."""

    name: ClassVar[str] = "adam"
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

    def _scalars(self, lr: float, t: int) -> tuple[float, ...]:
        k = math.sqrt((1 - self.b2) / (1 - self.b2**t))  # √v̂ = k √(v/(1−β₂))
        return lr * (1 - self.b1) / (1 - self.b1**t) / k, self.eps / k, self.b1, self.b2

    def _update(
        self, p: np.ndarray, g: np.ndarray, moments: Sequence[np.ndarray], scalars: Sequence[np.ndarray], s: np.ndarray
    ) -> None:
        lr, eps, b1, b2 = scalars
        m, v = moments
        np.multiply(m, b1, out=m)
        np.add(m, g, out=m)
        np.multiply(g, g, out=s)
        np.multiply(v, b2, out=v)
        np.add(v, s, out=v)
        np.sqrt(v, out=s)
        np.add(s, eps, out=s)
        np.divide(m, s, out=s)
        np.multiply(s, lr, out=s)
        np.subtract(p, s, out=p)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam after p ← (1 − ηλ)p, the decay apart from the moments (Loshchilov & Hutter 2019)."""

    name: ClassVar[str] = "adamw"
    decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within("decay", "[0, 1]")

    def _decay(self, p: np.ndarray, lr: float, mask: np.ndarray | None, s: np.ndarray) -> None:
        share = lr * self.decay
        if mask is None or (mask.dtype == bool and mask.all()):
            np.multiply(p, 1 - share, out=p)
        elif mask.dtype == bool:
            if mask.any():
                np.multiply(p, 1 - share, out=p, where=mask)
        else:
            np.multiply(mask, -share, out=s)
            np.add(s, 1, out=s)
            np.multiply(p, s, out=p)


OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.name: optimizer for optimizer in (AdamW, Adam, SGD, RMSprop)}
"""Optimiser name → class."""


def make_optimizer(name: str, **options: Any) -> Optimizer:
    """The optimiser called ``name``; ``UsageError`` for an unknown name, option or value."""
    return registry.make("optimizer", OPTIMIZERS, name, options)

"""The losses, by name; what they have in common stands in ``loss.py``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn import registry
from rnnkit.nn.distributions import NegativeBinomial, StudentT
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.loss import Loss, weights

BLOCK = 16384
"""Targets that pinball treats at a time: a few arrays of them stay in the cache."""


@dataclass(frozen=True)
class MSE(Loss):
    """(p − t)²."""

    name: ClassVar[str] = "mse"

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = p - t
        return d * d, 2 * d


@dataclass(frozen=True)
class MAE(Loss):
    """|p − t|; its derivative at 0 is taken as 0."""

    name: ClassVar[str] = "mae"

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = p - t
        return np.abs(d), np.sign(d)


@dataclass(frozen=True)
class Huber(Loss):
    """½d² within ``delta`` of the target, δ(|d| − ½δ) beyond (Huber 1964)."""

    name: ClassVar[str] = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        self._within("delta", "(0, inf)")

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = p - t
        inside = np.clip(d, -self.delta, self.delta)  # d within, ±δ beyond: l = inside·(d − ½ inside)
        return inside * (d - 0.5 * inside), inside


@dataclass(frozen=True)
class Pinball(Loss):
    """max(q(t − p), (q − 1)(t − p)) for each quantile q (Koenker & Bassett 1978).

    ``prediction [..., Q]`` holds one value for each quantile, ``target [...]`` none: the mean runs over
    the quantiles too.  The derivative at p = t is taken as 0.
    """

    name: ClassVar[str] = "pinball"
    quantiles: tuple[float, ...] = (0.025, 0.1, 0.5, 0.9, 0.975)

    def __post_init__(self) -> None:
        try:
            quantiles = tuple(self.quantiles)
        except TypeError:
            quantiles = ()
        if not quantiles or not all(isinstance(q, Real) and 0 < q < 1 for q in quantiles):
            raise UsageError(f"quantiles of pinball are numbers between 0 and 1, not {self.quantiles!r}")
        object.__setattr__(self, "quantiles", quantiles)

    def __call__(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None = None,
        out: np.ndarray | None = None,
        engine: Engine = ENGINE,
    ) -> tuple[float, np.ndarray]:
        """As ``Loss`` has it; where all is finite, quantile by quantile in the precision of prediction and target."""
        self._fits(prediction, target)
        w = weights(weight, target.shape)
        count = float(target.size) if w is None else float(np.sum(w))
        if count:
            with np.errstate(over="ignore", invalid="ignore"):
                value, slopes = self._quickly(prediction, target, w, count * len(self.quantiles))
            if math.isfinite(value):
                if out is None:
                    return value, slopes
                out[...] = slopes
                return value, out
        return super().__call__(prediction, target, weight, out, engine)

    def _quickly(
        self, prediction: np.ndarray, target: np.ndarray, w: np.ndarray | None, count: float
    ) -> tuple[float, np.ndarray]:
        """Mean loss and gradient; not finite where something that counts is not, or where their precision ends."""
        dtype = np.result_type(prediction, target)
        p, t = prediction.reshape(-1, len(self.quantiles)), target.reshape(-1)
        share = None if w is None else np.ascontiguousarray(w).reshape(-1) / count
        slopes, total = np.empty(p.shape, prediction.dtype), 0.0
        for start in range(0, len(p), BLOCK):
            part = slice(start, start + BLOCK)
            by = dtype.type(1 / count) if share is None else share[part].astype(dtype)
            absent = None if share is None else share[part] == 0
            for k, q in enumerate(self.quantiles):
                d = t[part] - p[part, k]
                if absent is not None:
                    d[absent] = 0
                slope = np.subtract(d < 0, dtype.type(q), dtype=dtype)  # of p: −q below the target, 1 − q above
                slope[d == 0] = 0
                slope *= by
                slopes[part, k] = slope
                total -= float(np.sum(np.multiply(slope, d, out=d), dtype=np.float64))
        return total, slopes.reshape(prediction.shape)

    def _fits(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """``UsageError`` unless the shapes do."""
        expected = (*target.shape, len(self.quantiles))
        if prediction.shape != expected:
            raise UsageError(f"pinball needs predictions of targets × quantiles, {expected}, not {prediction.shape}")

    def _door(
        self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        w = weights(weight, target.shape)
        t = target.astype(np.float64)[..., None]
        return prediction.astype(np.float64), t, None if w is None else np.broadcast_to(w[..., None], prediction.shape)

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q = np.array(self.quantiles)
        d = t - p
        slopes = np.where(d > 0, -q, np.where(d < 0, 1 - q, 0 * d))  # 0·d: NaN stays NaN
        return np.maximum(q * d, (q - 1) * d), slopes


@dataclass(frozen=True)
class SigmoidCrossEntropy(Loss):
    """max(z, 0) − z·t + ln(1 + e^−|z|), of logits z and targets t in [0, 1]."""

    name: ClassVar[str] = "sigmoid_cross_entropy"

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = np.maximum(p, 0) - p * t + np.log1p(np.exp(-np.abs(p)))
        return values, 0.5 + 0.5 * np.tanh(0.5 * p) - t


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """ln Σ eᶻ − Σ q·z, of logits z ``[..., K]`` and class ids ``[...]``, in nats.

    q is 1 − ε at the id plus ε/K everywhere, with ε = ``label_smoothing`` (Szegedy et al. 2016).
    The gradient, softmax(z) − q, is made in the memory it is returned in.
    """

    name: ClassVar[str] = "softmax_cross_entropy"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        self._within("label_smoothing", "[0, 1)")

    def __call__(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None = None,
        out: np.ndarray | None = None,
        engine: Engine = ENGINE,
    ) -> tuple[float, np.ndarray]:
        w = weights(weight, target.shape)
        ids = self._ids(prediction, target, w)
        gradient = np.empty(prediction.shape, prediction.dtype) if out is None else out
        if not gradient.flags.c_contiguous:
            raise UsageError(f"out of {self.name} must be C-contiguous, and this one is not")
        counted = None if w is None else np.ascontiguousarray(w).reshape(-1)
        count = float(len(ids)) if counted is None else float(np.sum(counted))
        if not count:
            gradient[...] = 0
            return 0.0, gradient
        losses = np.empty(len(ids))
        z, g = _rows(prediction), gradient.reshape(-1, prediction.shape[-1])
        engine.ops.softmax_cross_entropy(z, ids, counted, 1 / count, self.label_smoothing, g, losses, engine.threads)
        return float(losses.sum()) / count, gradient

    def nats(self, prediction: np.ndarray, target: np.ndarray, engine: Engine = ENGINE) -> np.ndarray:
        """−ln softmax(z) at each id, float64 ``[...]``, without smoothing: what an evaluation sums."""
        ids = self._ids(prediction, target, None)
        result = np.empty(len(ids))
        engine.ops.softmax_cross_entropy(_rows(prediction), ids, None, 1.0, 0.0, None, result, engine.threads)
        return result.reshape(target.shape)

    def _ids(self, prediction: np.ndarray, target: np.ndarray, w: np.ndarray | None) -> np.ndarray:
        """Flat class ids (intp), 0 where nothing counts; every other one must be a class."""
        if prediction.ndim != target.ndim + 1 or prediction.shape[:-1] != target.shape:
            raise UsageError(
                f"{self.name} needs logits of targets × classes, and {prediction.shape} does not fit {target.shape}"
            )
        if target.dtype.kind not in "iu":
            raise UsageError(f"{self.name} needs integer class ids as targets, not {target.dtype}")
        ids = np.ascontiguousarray(target, np.intp).reshape(-1)
        if w is not None:
            ids = np.where(np.ravel(w) != 0, ids, 0)
        K = prediction.shape[-1]
        if ids.size and ids.view(np.uintp).max() >= K:  # without a sign, those below 0 are huge
            wrong = ids[(ids < 0) | (ids >= K)][0]
            raise UsageError(
                f"{self.name} over {K} classes needs ids from 0 to {K - 1}, not {wrong}; "
                "give what must not count the weight 0"
            )
        return ids


def _rows(logits: np.ndarray) -> np.ndarray:
    """Logits as rows of classes, in one piece of memory."""
    return np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (MSE, MAE, Huber, Pinball, StudentT, NegativeBinomial, SoftmaxCrossEntropy, SigmoidCrossEntropy)
}
"""Loss name → class."""


def make_loss(name: str, **options: Any) -> Loss:
    """The loss called ``name``; ``UsageError`` for an unknown name, option or value."""
    return registry.make("loss", LOSSES, name, options)

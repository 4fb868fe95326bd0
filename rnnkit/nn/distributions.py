"""Likelihoods of forecasts that are distributions: the losses of heads that give a distribution's parameters.

Each point has a few raw numbers, any of them; softplus makes of them what must be above 0.  The loss of a point is
−ln of the probability (density) of its target, in nats.  Models: Salinas, Flunkert, Gasthaus & Januschowski, "DeepAR:
probabilistic forecasting with autoregressive recurrent networks", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.loss import Loss, weights
from rnnkit.nn.special import HALF_LOG_2PI, digamma_rest, gamma_rest

FLOOR = 1e-6
"""Added to what softplus gives: a scale of 0 would make a likelihood infinite."""
BLOCK = 4096
"""Points treated at a time: the two dozen arrays of float64 then stay in the cache."""


class Positive(NamedTuple):
    """softplus(x) = ln(1 + eˣ) and its derivative σ(x)."""

    value: np.ndarray
    slope: np.ndarray


def softplus(x: np.ndarray) -> Positive:
    """Element by element; above 0 but where it underflows, x < −745."""
    e = np.exp(-np.abs(x))
    return Positive(np.maximum(x, 0.0) + np.log1p(e), np.where(x < 0, e, 1.0) / (1 + e))


def raw(positive: np.ndarray) -> np.ndarray:
    """The x of which softplus is ``positive``, which is above 0."""
    return positive + np.log(-np.expm1(-positive))


@dataclass(frozen=True)
class Likelihood(Loss):
    """A loss of ``prediction [..., parameters]`` and ``target [...]``, one number per point, weights as the target."""

    parameters: ClassVar[int]

    def __call__(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None = None,
        out: np.ndarray | None = None,
        engine: Engine = ENGINE,
    ) -> tuple[float, np.ndarray]:
        points = prediction.shape[:-1]
        self._fits(prediction, target)
        w = weights(weight, points)
        gradient = np.empty_like(prediction) if out is None else out
        count = float(np.prod(points)) if w is None else float(np.sum(w))
        if not count:
            gradient[...] = 0
            return 0.0, gradient
        p, t = prediction.reshape(-1, self.parameters), target.reshape(-1, *target.shape[len(points) :])
        counted = np.ones(len(p)) if w is None else np.ascontiguousarray(w).reshape(-1)
        values, slopes = np.empty(len(p)), np.empty(p.shape, prediction.dtype)
        with np.errstate(all="ignore"):  # the loss itself says what is not finite
            for start in range(0, len(p), BLOCK):
                part = slice(start, start + BLOCK)
                here = counted[part]
                x = p[part].T.astype(np.float64)
                value, slope = self._points(x, t[part].T.astype(np.float64), here != 0)
                value[~np.isfinite(x).all(axis=0)] = np.nan
                values[part] = np.where(here != 0, value * here, 0.0)
                slopes[part] = np.where(here != 0, slope * (here / count), 0.0).T
        gradient[...] = slopes.reshape(prediction.shape)
        return float(np.sum(values)) / count, gradient

    def _fits(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """``UsageError`` unless the shapes do."""
        expected = (*target.shape, self.parameters)
        if prediction.shape != expected:
            raise UsageError(
                f"{self.name} needs predictions of targets × {self.parameters} parameters, {expected}, "
                f"not {prediction.shape}"
            )

    def _points(self, p: np.ndarray, t: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Losses ``[n]`` and slopes ``[parameters, n]`` of ``p [parameters, n]`` and the targets."""
        raise NotImplementedError


@dataclass(frozen=True)
class StudentT(Likelihood):
    """Student's t: location, scale softplus(·) + FLOOR, degrees of freedom 2 + softplus(·), so that it has a variance.

    With z = (target − location) / scale and h half the degrees of freedom the loss is
    ln scale + ½ ln π2h + ln Γ(h) − ln Γ(h + ½) + (h + ½) ln(1 + z² / 2h).
    """

    name: ClassVar[str] = "student_t"
    parameters: ClassVar[int] = 3

    @staticmethod
    def distribution(p: np.ndarray) -> tuple[np.ndarray, Positive, Positive]:
        """Location, scale and half the degrees of freedom of raw ``p [3, ...]``, the latter two with their slopes."""
        scale, more = softplus(p[1]), softplus(p[2])
        half = Positive(1 + 0.5 * more.value, 0.5 * more.slope)
        return p[0], Positive(scale.value + FLOOR, scale.slope), half

    def _points(self, p: np.ndarray, t: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        location, (scale, dscale), (h, dh) = self.distribution(p)
        z = (t - location) / scale
        share = z * z / (2 * h)
        spread = np.log1p(share)
        bend = np.log1p(0.5 / h)
        # ln Γ(h) − ln Γ(h + ½) + ½ ln h = ½ − h ln(1 + 1/2h) + what the series leave
        gammas = 0.5 - h * bend + gamma_rest(h) - gamma_rest(h + 0.5)
        value = np.log(scale) + HALF_LOG_2PI + gammas + (h + 0.5) * spread
        pull = (h + 0.5) / (h + 0.5 * z * z) * z  # of (h + ½) ln(1 + z² / 2h) by z
        slope = np.empty_like(p)
        slope[0] = -pull / scale
        slope[1] = (1 - pull * z) / scale * dscale
        # ψ(h) − ψ(h + ½) + 1/2h + ln(1 + z²/2h) − z pull / 2h
        slope[2] = (digamma_rest(h) - digamma_rest(h + 0.5) - bend + 0.5 / h + spread - 0.5 * z * pull / h) * dh
        return value, slope


@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """Counts: raw mean and raw dispersion of ``target [..., 2]``, a count beside the scale s of its window.

    The mean is s·(softplus(·) + FLOOR) and the variance mean + α mean², α = (softplus(·) + FLOOR) / √s, as in DeepAR.
    With r = 1/α and d = count − mean the loss is ln Γ(r) + ln Γ(count + 1) − ln Γ(count + r) − r ln(r / (r + mean))
    − count ln(mean / (r + mean)).  ``UsageError`` for a target that is no count or a scale that is not above 0; NaN
    stays NaN.
    """

    name: ClassVar[str] = "negative_binomial"
    parameters: ClassVar[int] = 2

    @staticmethod
    def distribution(p: np.ndarray, s: np.ndarray | float) -> tuple[Positive, Positive]:
        """Mean and shape r of raw ``p [2, ...]`` with their slopes."""
        mean, alpha = softplus(p[0]), softplus(p[1])
        shape = np.sqrt(s) / (alpha.value + FLOOR)
        return Positive(s * (mean.value + FLOOR), s * mean.slope), Positive(
            shape, -shape / (alpha.value + FLOOR) * alpha.slope
        )

    def _fits(self, prediction: np.ndarray, target: np.ndarray) -> None:
        if target.ndim == 0 or target.shape[-1] != 2:
            raise UsageError(
                f"{self.name} needs targets of pairs, a count and its scale, [..., 2], not {list(target.shape)}"
            )
        super()._fits(prediction, target[..., 0])

    def _points(self, p: np.ndarray, t: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k, s = t
        wrong = counted & ((k < 0) | (k != np.floor(k)) | np.isinf(k)) & ~np.isnan(k)
        if wrong.any():
            raise UsageError(
                f"{self.name} needs counts as targets, whole numbers of at least 0, not {k[wrong][0]:g}; "
                "choose another output for such data"
            )
        if (counted & (s <= 0)).any():
            raise UsageError(f"{self.name} needs scales above 0, not {s[counted & (s <= 0)][0]:g}")
        (mean, dmean), (r, dr) = self.distribution(p, s)
        d = k - mean
        total = r + mean
        u = d / total
        grown = np.where(u < -0.5, np.log((k + r) / total), np.log1p(u))
        some = np.maximum(k, 1.0)
        # of count 0: r ln(1 + mean / r); else Γ(count + r) / Γ(r) and Γ(count) by their leading terms and rests
        value = some * np.log(some / mean) - (k + r) * grown + 0.5 * np.log(some * (1 + k / r)) + HALF_LOG_2PI
        value += gamma_rest(r) + gamma_rest(some) - gamma_rest(k + r)
        value = np.where(k == 0, r * np.log1p(mean / r), value)
        slope = np.empty_like(p)
        slope[0] = -d / mean * (r / total) * dmean
        slope[1] = (digamma_rest(r) - digamma_rest(k + r) + u - grown) * dr
        return value, slope

"""What a forecasting head gives for each point, and what a forecast reads from it: quantiles, a mean, a distribution.

A network works in scaled units: its targets are y / scale, with one scale per window; a level, where there is one, is
taken off before and added after.  ``scale`` broadcasts to the points ``[...]``, the shape of the prediction without
its last axis; what is given back is float64 and in the units of y.  Counts have no level: their zero means none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn import registry
from rnnkit.nn.distributions import FLOOR, NegativeBinomial, StudentT, raw, softplus
from rnnkit.nn.loss import Loss
from rnnkit.nn.losses import MSE, Pinball
from rnnkit.nn.quantiles import negative_binomial_quantile, student_t_quantile

Scale = np.ndarray | float
DOFS = (2.05, 2.2, 2.5, 3.0, 4.0, 6.0, 10.0)
"""Degrees of freedom that a start is chosen from; training would take long to come back from many more."""
LEAST = 1e-3
"""A start's smallest scale, mean and dispersion, in scaled units."""


@dataclass(frozen=True)
class Output(registry.Choice):
    """One kind of head: ``loss`` of its prediction ``[..., parameters]`` and of what ``examples`` makes of y.

    ``moving [parameters]``: 1 for what moves with the location of the forecast, to which a network may add a common
    part; 0 for what tells its spread. ``counts``: y are whole numbers, as they are in the file.
    """

    counts: ClassVar[bool] = False

    @property
    def loss(self) -> Loss:
        """The loss to train with."""
        raise NotImplementedError

    @property
    def moving(self) -> tuple[int, ...]:
        """1 for each parameter that moves with the location, 0 for the others."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """Numbers that the head gives for each point."""
        return len(self.moving)

    def examples(self, y: np.ndarray, weight: np.ndarray, scale: Scale = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Targets and weights as the loss takes them, of y ``[...]``, its level taken off, and weights ``[...]``."""
        return y / scale, weight

    def start(self, y: np.ndarray, scale: Scale = 1.0, base: Scale = 0.0) -> np.ndarray:
        """Bias ``[parameters]`` of a head that fits a sample, NaN passed over.

        ``base``: what a network adds to the parameters that move, in scaled units; ``UsageError`` if nothing is left.
        """
        return self._start(*_sample(y, scale, base))

    def _start(self, y: np.ndarray, s: np.ndarray, base: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def quantiles(self, prediction: np.ndarray, levels: Sequence[float], scale: Scale = 1.0) -> np.ndarray:
        """Values ``[..., levels]`` below which y lies with these probabilities, growing with the level."""
        p = self._parameters(prediction)
        for level in levels:
            if not (isinstance(level, Real) and 0 < level < 1):
                raise UsageError(f"levels of quantiles are numbers between 0 and 1, not {level!r}")
        return self._quantiles(p, levels, np.broadcast_to(scale, p.shape[1:]))

    def _quantiles(self, p: np.ndarray, levels: Sequence[float], s: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def mean(self, prediction: np.ndarray, scale: Scale = 1.0) -> np.ndarray:
        """The expected y ``[...]``."""
        p = self._parameters(prediction)
        return self._mean(p, np.broadcast_to(scale, p.shape[1:]))

    def _mean(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _parameters(self, prediction: np.ndarray) -> np.ndarray:
        """``[parameters, ...]`` in float64."""
        if prediction.ndim == 0 or prediction.shape[-1] != self.parameters:
            raise UsageError(
                f"{self.name} needs predictions of {self.parameters} parameters per point, [..., {self.parameters}], "
                f"not {list(prediction.shape)}"
            )
        return np.moveaxis(prediction, -1, 0).astype(np.float64)


def _sample(y: np.ndarray, scale: Scale, base: Scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers among y, and scale and base of each."""
    s, b = np.broadcast_to(scale, y.shape), np.broadcast_to(base, y.shape)
    known = np.isfinite(y)
    if not known.any():
        raise UsageError("a head starts from a sample of at least one number, and there is none")
    return y[known].astype(np.float64), s[known].astype(np.float64), b[known].astype(np.float64)


@dataclass(frozen=True)
class Quantile(Output):
    """One number per level, trained by the pinball loss; only the levels that were trained can be asked for."""

    name: ClassVar[str] = "quantile"
    levels: tuple[float, ...] = Pinball.quantiles

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", Pinball(quantiles=self.levels).quantiles)
        if list(self.levels) != sorted(set(self.levels)):
            raise UsageError(f"levels of {self.name} are ascending, and {self.levels} are not")

    @property
    def loss(self) -> Loss:
        return Pinball(quantiles=self.levels)

    @property
    def moving(self) -> tuple[int, ...]:
        return (1,) * len(self.levels)

    def _start(self, y: np.ndarray, s: np.ndarray, base: np.ndarray) -> np.ndarray:
        return np.quantile(y / s - base, self.levels)

    def _quantiles(self, p: np.ndarray, levels: Sequence[float], s: np.ndarray) -> np.ndarray:
        for level in levels:
            if level not in self.levels:
                raise UsageError(
                    f"this network was trained for the levels {', '.join(map(str, self.levels))}, not for {level}; "
                    "train again to have it"
                )
        ordered = np.sort(p, axis=0)
        return np.stack([ordered[self.levels.index(level)] * s for level in levels], axis=-1)

    def _mean(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        """∫ of the quantile function, linear between the levels and constant beyond."""
        between = np.convolve((0.0, *self.levels, 1.0), (0.5, 0.5), mode="valid")
        between[[0, -1]] = 0, 1
        return np.tensordot(np.diff(between), np.sort(p, axis=0), axes=1) * s


@dataclass(frozen=True)
class Mean(Output):
    """The mean alone, trained by the squared error."""

    name: ClassVar[str] = "mean"

    @property
    def loss(self) -> Loss:
        return MSE()

    @property
    def moving(self) -> tuple[int, ...]:
        return (1,)

    def examples(self, y: np.ndarray, weight: np.ndarray, scale: Scale = 1.0) -> tuple[np.ndarray, np.ndarray]:
        return (y / scale)[..., None], weight[..., None]

    def _start(self, y: np.ndarray, s: np.ndarray, base: np.ndarray) -> np.ndarray:
        return np.array([np.mean(y / s - base)])

    def _quantiles(self, p: np.ndarray, levels: Sequence[float], s: np.ndarray) -> np.ndarray:
        raise UsageError("a network that was trained for the mean has no quantiles; train again with another --output")

    def _mean(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        return p[0] * s


@dataclass(frozen=True)
class Student(Output):
    """Student's t distribution around a location (``distributions.StudentT``)."""

    name: ClassVar[str] = "student-t"

    @property
    def loss(self) -> Loss:
        return StudentT()

    @property
    def moving(self) -> tuple[int, ...]:
        return (1, 0, 0)

    def _start(self, y: np.ndarray, s: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Median and quartiles as they are; of some degrees of freedom the likeliest."""
        values = y / s - base
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        half = 0.5 * (high - low) or float(np.abs(values - middle).mean())
        dofs = np.array(DOFS)
        scales = np.maximum(half / student_t_quantile(0.75, dofs), LEAST)
        choices = np.stack([np.full_like(dofs, middle), raw(scales), raw(dofs - 2)], axis=1)
        losses = [self.loss(np.broadcast_to(one, (*values.shape, 3)), values)[0] for one in choices]
        return choices[np.argmin(losses)]

    def _quantiles(self, p: np.ndarray, levels: Sequence[float], s: np.ndarray) -> np.ndarray:
        location, scale, half = StudentT.distribution(p)
        dof = 2 * half.value.ravel()
        units = {abs(level - 0.5): student_t_quantile(0.5 + abs(level - 0.5), dof).reshape(s.shape) for level in levels}
        sided = [np.copysign(units[abs(level - 0.5)], level - 0.5) for level in levels]
        return np.stack([(location + scale.value * t) * s for t in sided], axis=-1)

    def _mean(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        return p[0] * s


@dataclass(frozen=True)
class Count(Output):
    """The negative binomial distribution (``distributions.NegativeBinomial``), for counts."""

    name: ClassVar[str] = "negative-binomial"
    counts: ClassVar[bool] = True

    @property
    def loss(self) -> Loss:
        return NegativeBinomial()

    @property
    def moving(self) -> tuple[int, ...]:
        return (1, 0)

    def examples(self, y: np.ndarray, weight: np.ndarray, scale: Scale = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Each count beside its scale."""
        return np.stack([y, np.broadcast_to(scale, y.shape)], axis=-1), weight

    def _start(self, y: np.ndarray, s: np.ndarray, base: np.ndarray) -> np.ndarray:
        """The mean, and the dispersion by moments: (y − mean)² / mean is 1 + α mean on average."""
        wanted = max(float(np.mean(y / s)), LEAST)
        bias = wanted - float(np.mean(base))
        for _ in range(50):  # Newton's method, from above on a convex function: it comes down to the root
            one = softplus(base + bias)
            bias -= (float(np.mean(one.value)) - wanted) / float(np.mean(one.slope))
        mean = softplus(base + bias).value * s
        alpha = np.sum((y - mean) ** 2 / mean - 1) / np.sum(mean / np.sqrt(s))
        return np.array([bias, raw(np.maximum(alpha, LEAST))])

    def _quantiles(self, p: np.ndarray, levels: Sequence[float], s: np.ndarray) -> np.ndarray:
        mean, shape = (part.value.ravel() for part in NegativeBinomial.distribution(p, s))
        found = [negative_binomial_quantile(level, mean, shape).reshape(s.shape) for level in levels]
        return np.stack(found, axis=-1)

    def _mean(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        return s * (softplus(p[0]).value + FLOOR)


OUTPUTS: dict[str, type[Output]] = {output.name: output for output in (Quantile, Mean, Student, Count)}
"""Name of an output → class."""


def make_output(name: str, **options: Any) -> Output:
    """The output called ``name``; ``UsageError`` for an unknown name, option or value."""
    return registry.make("output", OUTPUTS, name, options)

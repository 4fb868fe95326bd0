"""Forecasts scored beside the simple rules that they must beat, from rolling origins.

Notation: W windows, H points of horizon, Q quantile levels, S series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit import baselines, metrics
from rnnkit.tasks.verdict import Verdict, Windows, judge, together

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(series [W], cuts [W]) → forecasts [W, H, Q] in the file's units of the points from each cut on."""
REFERENCE = "naive2"
"""What OWA is relative to: M4's reference, no rival of its own."""


@dataclass
class Target:
    """What W windows are scored against: their place, what came [W, H] (NaN where missing), and units to score in."""

    series: np.ndarray  # [W]
    cuts: np.ndarray  # [W]
    actual: np.ndarray  # [W, H]
    scale: np.ndarray  # [W]: seasonal naive error before the series' first origin, the unit of MASE
    spread: np.ndarray  # [W]: standard deviation of the series before it
    windows: Windows


@dataclass
class Scores:
    """One forecast's: ``window`` has for each metric [W], ``step`` [H]; ``whole`` figures over all points at once."""

    window: dict[str, np.ndarray]
    step: dict[str, np.ndarray]
    whole: dict[str, float]


@dataclass
class Scored:
    """A model and its rivals over the same windows."""

    target: Target
    levels: list[float]
    answer: np.ndarray  # [W, H, Q]
    scores: dict[str, Scores]  # of the model ("model"), of every rival and of the reference
    verdict: Verdict
    rivals: dict[str, np.ndarray] = field(default_factory=dict)  # forecasts [W, H], where they were to be kept

    @property
    def names(self) -> list[str]:
        """The rivals."""
        return [name for name in self.scores if name not in ("model", REFERENCE)]

    def report(self) -> dict[str, Any]:
        """Metrics of the model and of its rivals, and the verdict with what it was made of."""
        table = {name: _finite(self._means(name)) for name in ("model", *self.names)}
        return {
            "metrics": table.pop("model"),
            "baselines": table,
            "windows": len(self.target.cuts),
            **self.verdict._asdict(),
        }

    def _means(self, name: str, rows: np.ndarray | slice = slice(None)) -> dict[str, float]:
        """Means over windows; OWA against the competition's Naive2 (Makridakis et al. 2020)."""
        own, reference = self.scores[name], self.scores[REFERENCE]
        mase, smape, mse = (metrics.mean_over(own.window[m][rows]) for m in ("mase", "smape", "mse"))
        less = (metrics.mean_over(reference.window[m][rows]) for m in ("smape", "mase"))
        with np.errstate(divide="ignore", invalid="ignore"):
            owa = 0.5 * (smape / next(less) + mase / next(less))
        figures = {"mase": mase, "smape": smape, "owa": owa, "rmse": np.sqrt(mse)}
        return {k: float(v) for k, v in figures.items()} | (own.whole if isinstance(rows, slice) else {})

    def by_series(self, labels: Sequence[str]) -> list[dict[str, Any]]:
        """The metrics of each series, with the MASE of the rivals."""
        rows, series = [], self.target.series
        order = np.argsort(series, kind="stable")
        for at in np.split(order, np.flatnonzero(np.diff(series[order])) + 1):
            own = self._means("model", at)
            own |= {k: float(metrics.mean_over(v[at])) for k, v in self.scores["model"].window.items() if k not in own}
            own.pop("mse")
            rivals = {name: float(metrics.mean_over(self.scores[name].window["mase"][at])) for name in self.names}
            rows.append(
                {"series": labels[int(series[at[0]])], "windows": len(at), **_finite(own), "baselines": _finite(rivals)}
            )
        return rows

    def by_step(self) -> list[dict[str, Any]]:
        """The metrics of each step of the horizon, with the MASE of the rivals."""
        own = self.scores["model"].step
        return [
            {
                "step": h + 1,
                **_finite({name: float(values[h]) for name, values in own.items()}),
                "baselines": _finite({name: float(self.scores[name].step["mase"][h]) for name in self.names}),
            }
            for h in range(self.target.actual.shape[1])
        ]


def report(
    predict: Predict,
    levels: Sequence[float],
    values: Sequence[np.ndarray],
    cuts: Sequence[np.ndarray],
    horizon: int,
    periods: Sequence[int] = (),
) -> dict[str, Any]:
    """Metrics of a model and of the simple rules over the same windows, and a verdict: ``score`` as a mapping."""
    return score(predict, levels, values, cuts, horizon, periods).report()


def score(
    predict: Predict,
    levels: Sequence[float],
    values: Sequence[np.ndarray],
    cuts: Sequence[np.ndarray],
    horizon: int,
    periods: Sequence[int] = (),
    *,
    spread: Sequence[float] | None = None,
    more: Mapping[str, np.ndarray] | None = None,
    keep: bool = False,
) -> Scored:
    """A model scored beside the simple rules over the same windows.

    ``levels``: quantile levels of the forecasts, ascending, or none of a single forecast [W, H, 1]; ``values[i]``
    series i [n], NaN where missing; ``cuts[i]``: origins in series i. MASE is scaled by the seasonal naive errors
    before the series' first origin, ``spread`` [S] standardises (by default the standard deviation there); means go
    over windows that have at least one real value. ``more``: forecasts [W, H] of further rivals, windows in the order
    of series and cuts; ``keep``: keep the forecasts of all rivals.
    """
    target = target_of(values, cuts, horizon, periods, spread)
    answer = predict(target.series, target.cuts)
    middle = answer[:, :, list(levels).index(0.5)] if len(levels) else answer[:, :, 0]
    scores = {"model": _scores(target, middle)}
    _add_bands(scores["model"], target, answer, levels)
    losses = _losses(target, middle)
    correlations: dict[str, float] = {}
    kept: dict[str, np.ndarray] = {}
    for name, forecast in (rivals_of(values, target, periods) | dict(more or {})).items():
        scores[name] = _scores(target, forecast)
        if name != REFERENCE:
            correlations[name] = together(_losses(target, forecast) - losses, target.windows)
            kept |= {name: forecast} if keep else {}
    mase = {name: own.window["mase"] for name, own in scores.items() if name != REFERENCE}
    found = judge(mase.pop("model"), mase, target.windows, correlations)
    return Scored(target, list(levels), answer, scores, found, kept)


def target_of(
    values: Sequence[np.ndarray],
    cuts: Sequence[np.ndarray],
    horizon: int,
    periods: Sequence[int],
    spread: Sequence[float] | None = None,
) -> Target:
    """What windows from these origins are scored against; series are taken to end at the same time."""
    series = np.repeat(np.arange(len(cuts)), [len(c) for c in cuts])
    at = np.concatenate(list(cuts)).astype(np.int64)
    t = np.arange(horizon)
    actual = np.concatenate(
        [np.append(v, np.nan)[np.minimum(c[:, None] + t, len(v))] for v, c in zip(values, cuts, strict=True)]
    )  # NaN after the end
    before = [v[: c[0]] for v, c in zip(values, cuts, strict=True)]
    scale = np.array([metrics.seasonal_scale(b, periods[0] if len(periods) else 1) for b in before])
    sizes = np.array([np.nanstd(b) for b in before]) if spread is None else np.asarray(spread, dtype=np.float64)
    sizes = np.where(sizes > 0, sizes, np.nan)
    ends = np.array([len(v) for v in values])[series]
    return Target(series, at, actual, scale[series], sizes[series], Windows(series, at - ends, horizon))


def rivals_of(values: Sequence[np.ndarray], target: Target, periods: Sequence[int]) -> dict[str, np.ndarray]:
    """Forecasts [W, H] of the simple rules for the windows of ``target``, and of the reference."""
    m = periods[0] if len(periods) else 1
    names = ["naive", *(["seasonal naive", "seasonal mean"] if m > 1 else []), "drift", "mean", "theta", REFERENCE]
    place = (values, target.series, target.cuts, target.actual.shape[1])
    found = baselines.forecasts(names, *place, m)
    for long in periods[1:]:
        found[f"seasonal naive {long}"] = baselines.forecasts(["seasonal naive"], *place, long)["seasonal naive"]
    return found


def _losses(target: Target, forecast: np.ndarray) -> np.ndarray:
    """Absolute errors [W, H] in the unit of MASE."""
    return np.abs(target.actual - forecast) / target.scale[:, None]


def _scores(target: Target, forecast: np.ndarray) -> Scores:
    """The metrics of point forecasts [W, H]."""
    loss, error = _losses(target, forecast), target.actual - forecast
    terms = {"mase": loss, "smape": metrics.percentages(target.actual, forecast), "mse": error * error}
    z = error / target.spread[:, None]
    whole = {
        "mse_standardised": float(metrics.mean_over(z * z)),
        "mae_standardised": float(metrics.mean_over(np.abs(z))),
    }
    step = {name: metrics.mean_over(values, 0) for name, values in terms.items()}
    step["rmse"] = np.sqrt(step.pop("mse"))
    return Scores({name: metrics.mean_over(values, 1) for name, values in terms.items()}, step, whole)


def _add_bands(scores: Scores, target: Target, answer: np.ndarray, levels: Sequence[float]) -> None:
    """Adds the pinball loss of quantiles [W, H, Q], and how often what came lies within each pair of them."""
    if not len(levels):
        return
    losses = sum(metrics.pinballs(target.actual, answer[:, :, k], q) for k, q in enumerate(levels)) / len(levels)
    terms = {"pinball": np.asarray(losses)}
    for k, low in enumerate(levels):
        high = [j for j, q in enumerate(levels) if low < 0.5 and abs(low + q - 1) < 1e-9]
        if high:
            name = f"coverage{100 * (1 - 2 * low):g}"
            terms[name] = metrics.inside(target.actual, answer[:, :, k], answer[:, :, high[0]])
    for name in ("pinball", *sorted(terms.keys() - {"pinball"})):
        scores.window[name] = metrics.mean_over(terms[name], 1)
        scores.step[name] = metrics.mean_over(terms[name], 0)
        scores.whole[name] = float(metrics.mean_over(terms[name]))


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """None, as JSON can hold it, where a score is not defined (a series that does not vary)."""
    return {name: value if np.isfinite(value) else None for name, value in scores.items()}

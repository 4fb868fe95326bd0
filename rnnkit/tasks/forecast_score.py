"""Forecasts scored beside the simple rules that they must beat, from rolling origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit import baselines, metrics
from rnnkit.tasks.predictor import Predictor
from rnnkit.tasks.windows import Pool


def origins(length: int, horizon: int, folds: int, stride: int) -> np.ndarray:
    """The last ``folds`` origins of a series, ``stride`` apart, the last one ``horizon`` before its end."""
    return length - horizon - stride * np.arange(folds)[::-1]


def report(
    predict: Predictor,
    pool: Pool,
    values: Sequence[np.ndarray],
    cuts: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Metrics of the network and of the baselines over the same windows, and a verdict.

    ``cuts[i]``: origins in series i. MASE is scaled by the seasonal-naive errors before the
    series' first origin; means go over windows that have at least one real value.
    """
    window = pool.window
    series = np.concatenate([np.full(len(c), i) for i, c in enumerate(cuts)])
    at = np.concatenate(list(cuts)).astype(np.int64)
    answer = predict(series, at)
    actual = pool.targets(series, at)
    Q = window.quantiles
    middle = answer[:, :, Q.index(0.5)] if Q else answer[:, :, 0]
    m = window.season
    known = [values[i][:c] for i, c in zip(series, at, strict=True)]
    rules = {
        name: np.stack([baselines.FORECASTS[name](v, window.horizon, m) for v in known])
        for name in ("naive", "seasonal naive" if m > 1 else "drift", "naive2")
    }
    before = [values[i][: cuts[i][0]] for i in series]
    scores = {name: _scores(actual, f, before, m) for name, f in {"model": middle, **rules}.items()}
    reference = scores.pop("naive2")
    table = {name: _means(one, reference) for name, one in scores.items()}
    if Q:
        inside = table["model"]
        inside["pinball"] = float(np.mean([metrics.pinball(actual, answer[:, :, k], q) for k, q in enumerate(Q)]))
        for name, low, high in [("coverage80", 0.1, 0.9), ("coverage95", 0.025, 0.975)]:
            if low in Q and high in Q:
                inside[name] = metrics.coverage(actual, answer[:, :, Q.index(low)], answer[:, :, Q.index(high)])
    model = table.pop("model")
    best = min(table, key=lambda name: np.nan_to_num(table[name]["mase"], nan=np.inf))
    return {
        "metrics": _finite(model),
        "baselines": {name: _finite(one) for name, one in table.items()},
        "windows": len(at),
        "verdict": verdict(scores["model"]["mase"], scores[best]["mase"], best),
    }


def _scores(actual: np.ndarray, f: np.ndarray, before: Sequence[np.ndarray], m: int) -> dict[str, np.ndarray]:
    """Per window: MASE, sMAPE and mean squared error."""
    rows = range(len(actual))
    return {
        "mase": np.array([metrics.mase(actual[i], f[i], before[i], m) for i in rows]),
        "smape": np.array([metrics.smape(actual[i], f[i]) for i in rows]),
        "mse": np.array([metrics.mse(actual[i], f[i]) for i in rows]),
    }


def _means(one: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over windows; OWA against the competition's Naive2 (Makridakis et al. 2020)."""
    mase, smape = _mean(one["mase"]), _mean(one["smape"])
    with np.errstate(divide="ignore", invalid="ignore"):
        owa = float(metrics.owa(smape, mase, _mean(reference["smape"]), _mean(reference["mase"])))
    return {"mase": float(mase), "smape": float(smape), "owa": owa, "rmse": float(np.sqrt(_mean(one["mse"])))}


def _finite(scores: dict[str, float]) -> dict[str, float | None]:
    """None, as JSON can hold it, where a score is not defined (a series that does not vary)."""
    return {name: value if np.isfinite(value) else None for name, value in scores.items()}


def _mean(values: np.ndarray) -> np.float64:
    """Mean of the finite ones, NaN where there is none; a NumPy number, which may be divided by 0."""
    finite = values[np.isfinite(values)]
    return np.float64(finite.mean() if len(finite) else np.nan)


def verdict(model: np.ndarray, baseline: np.ndarray, name: str) -> str:
    """One sentence: does the model beat the best baseline, by how much, on how much evidence."""
    both = np.isfinite(model) & np.isfinite(baseline)
    if not both.any():
        return "no verdict: the series does not vary, so errors have no scale"
    a, b = float(model[both].mean()), float(baseline[both].mean())
    windows, wins = int(both.sum()), int((model[both] < baseline[both]).sum())
    evidence = f"MASE {a:.3f} against {b:.3f}, better in {wins} of {windows} window{'s' if windows > 1 else ''}"
    weak = "; one window is weak evidence" if windows == 1 else ""
    if a < b:
        return f"beats {name} by {100 * (1 - a / b):.0f} % ({evidence}){weak}"
    return f"does not beat {name} ({evidence}); the simple rule is the better forecast here{weak}"

"""Models of statistics as opponents: exponential smoothing and Theta, fitted at every origin (statsforecast)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.baselines.rules import Floats, known_at, naive
from rnnkit.errors import UsageError

MODELS = ("AutoETS", "AutoTheta")
"""Hyndman et al. 2002, and Fiorucci et al. 2016, as statsforecast chooses and fits them."""
AFFORDABLE = 10_000
"""Points fitted, over all origins, that are done unasked: each takes both models about a millisecond."""


def available() -> bool:
    """Whether statsforecast is installed."""
    return find_spec("statsforecast") is not None


def points(cuts: NDArray[np.integer]) -> int:
    """How many points the fits at these origins read."""
    return int(np.sum(cuts))


def fitted(
    values: Sequence[Floats],
    series: NDArray[np.integer],
    cuts: NDArray[np.integer],
    horizon: int,
    m: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Floats], int]:
    """([W, H] by name, how many fits failed) for W windows, the points of ``values[series]`` from ``cuts`` on.

    Missing values are drawn as straight lines. Where a model cannot be fitted its forecast is the last value.
    ``tell(done, total)`` is called after each window. Raises UsageError where statsforecast is not installed.
    """
    try:
        from statsforecast import models
    except ImportError as error:
        raise UsageError("AutoETS and AutoTheta need statsforecast; pip install 'rnnkit[stats]'") from error
    out = {name: np.empty((len(cuts), horizon)) for name in MODELS}
    failed = 0
    for w, (i, cut) in enumerate(zip(series, cuts, strict=True)):
        y, at = known_at(values[i][:cut])
        whole = np.interp(np.arange(at[0], len(y)), at, y[at])
        for name, forecast in _forecasts(models, whole, horizon, m):
            good = forecast is not None and bool(np.isfinite(forecast).all())
            failed += not good
            out[name][w] = forecast if good else naive(y, horizon)
        tell(w + 1, len(cuts))
    return out, failed


def _forecasts(models: Any, y: Floats, horizon: int, m: int) -> Iterator[tuple[str, Floats | None]]:
    """Each model's forecast [H] of a history [n]; None where it could not be fitted, for whatever reason it gives."""
    for name in MODELS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield name, np.asarray(getattr(models, name)(season_length=m).forecast(y=y, h=horizon)["mean"])
            except Exception:
                yield name, None

"""The honest opponents: forecasts without learning, models of statistics, and an n-gram model of tokens."""

from rnnkit.baselines.ngram import NGram, best_ngram
from rnnkit.baselines.rolling import forecasts
from rnnkit.baselines.rules import (
    FORECASTS,
    drift,
    mean,
    naive,
    naive2,
    seasonal_mean,
    seasonal_naive,
    theta,
)

__all__ = [
    "FORECASTS",
    "NGram",
    "best_ngram",
    "drift",
    "forecasts",
    "mean",
    "naive",
    "naive2",
    "seasonal_mean",
    "seasonal_naive",
    "theta",
]

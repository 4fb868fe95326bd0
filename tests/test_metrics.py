"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnnkit import metrics

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (metrics.mae([1, NAN, 5], [2, 9, 3]), 1.5),
        (metrics.mse([1, NAN, 5], [2, 9, 3]), 2.5),
        (metrics.rmse([1, NAN, 5], [2, 9, 3]), math.sqrt(2.5)),
        (metrics.smape([100, 0, NAN, 50], [50, 0, 1, 150]), 200 * (50 / 150 + 0 + 100 / 200) / 3),
        (metrics.mase([10, 12], [9, 9], [1, 3, 2, 6], 1), 2 / (7 / 3)),
        (metrics.mase([10, NAN], [9, 9], [1, 3, NAN, 6, 5], 2), 1 / 3),
        (metrics.owa(12, 1.5, 16, 3), 0.625),
        (metrics.pinball([10, 10, NAN], [8, 13, 0], 0.9), (0.9 * 2 + 0.1 * 3) / 2),
        (metrics.coverage([1, 2, 3, NAN], [1, 3, 0, 0], [1, 4, 9, 9]), 2 / 3),
        (metrics.nats_per_char(30.0, 20), 1.5),
        (metrics.bits(1.5), 1.5 / math.log(2)),
        (metrics.perplexity(math.log(8)), 8.0),
        (metrics.accuracy(["a", "b", "b"], ["a", "b", "c"]), 2 / 3),
        (metrics.macro_f1([0, 0, 1, 2], [0, 1, 1, 3]), (2 / 3 + 2 / 3 + 0 + 0) / 4),
        (metrics.log_loss([0, 1], [[0.5, 0.5], [0.75, 0.25]]), (math.log(2) + math.log(4)) / 2),
    ],
)
def test_worked_examples(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, rel=1e-12)


def test_the_median_has_the_pinball_loss_of_half_the_absolute_error(rng: np.random.Generator) -> None:
    y, q = rng.standard_normal((2, 50))
    assert metrics.pinball(y, q, 0.5) == pytest.approx(metrics.mae(y, q) / 2, rel=1e-12)


def test_nothing_to_judge_is_nan_and_impossible_is_infinite() -> None:
    assert math.isnan(metrics.mae([NAN], [1.0]))
    assert math.isnan(metrics.rmse([NAN], [1.0]))
    assert math.isnan(metrics.mase([1.0], [2.0], [3.0, 3.0, 3.0], 1))
    assert math.isnan(metrics.mase([1.0], [2.0], [3.0, 4.0], 2))
    assert math.isnan(metrics.nats_per_char(1.0, 0))
    assert metrics.log_loss([0], [[0.0, 1.0]]) == math.inf
    assert metrics.perplexity(1e4) == math.inf


def test_terms_of_many_windows_have_the_metrics_as_means(rng: np.random.Generator) -> None:
    y, f, low, high = rng.standard_normal((4, 6, 5))
    y[rng.random(y.shape) < 0.3] = NAN
    y[2] = NAN
    y[0, 0] = f[0, 0] = 0.0
    for i in range(6):
        pairs = [
            (metrics.mean_over(metrics.percentages(y, f), 1)[i], metrics.smape(y[i], f[i])),
            (metrics.mean_over(np.abs(y - f), 1)[i], metrics.mae(y[i], f[i])),
            (metrics.mean_over(metrics.pinballs(y, f, 0.9), 1)[i], metrics.pinball(y[i], f[i], 0.9)),
            (metrics.mean_over(metrics.inside(y, low, high), 1)[i], metrics.coverage(y[i], low[i], high[i])),
        ]
        for actual, expected in pairs:
            assert actual == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert metrics.mean_over(y) == pytest.approx(np.nanmean(y))

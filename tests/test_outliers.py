"""Outliers are named and left alone; measurements, however they vary, have none."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest

from rnnkit.data.outliers import find_outliers
from rnnkit.data.series import read_series

Rng = np.random.Generator


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=1000),
        lambda rng: rng.normal(size=30),
        lambda rng: rng.normal(size=1000).cumsum(),
        lambda rng: np.exp(rng.normal(size=1000)),
        lambda rng: rng.exponential(size=1000),
        lambda rng: rng.poisson(0.3, 1000).astype(float),
        lambda rng: 100 * np.maximum(0, np.sin(np.arange(1000) / 4)) ** 4 + rng.normal(size=1000),
        lambda rng: np.where(np.arange(500) < 490, 10.0, 90.0) + rng.normal(size=500),  # a new level
        lambda rng: np.full(100, 3.0),
        lambda rng: np.full(100, np.nan),
    ],
)
def test_what_varies_has_none(draw: Callable[[Rng], np.ndarray]) -> None:
    assert sum(len(find_outliers(draw(np.random.default_rng(seed)))) for seed in range(50)) == 0


@pytest.mark.parametrize("n", [40, 1000])
def test_a_slipped_decimal_mark_and_a_dead_sensor_are_found(n: int) -> None:
    rng = np.random.default_rng(4)
    x = 50 + 10 * np.sin(np.arange(n) / 4) + rng.normal(size=n)
    x[7], x[n - 1], x[20] = 5200.0, -400.0, np.nan
    assert find_outliers(x).tolist() == [7, n - 1]
    assert find_outliers(x[:15]).tolist() == []  # too few to tell
    positive = np.exp(rng.normal(size=n))
    positive[3] *= 1e6
    assert find_outliers(positive).tolist() == [3]


def test_outliers_are_named_counted_and_left(rng: Rng) -> None:
    values = 20 + rng.normal(size=300)
    values[[10, 50, 90, 130]] = 2000, 3000, 4000, -5000
    rows = "".join(f"{i},{v:.2f},{w:.2f}\n" for i, (v, w) in enumerate(zip(values, rng.normal(size=300), strict=True)))
    series = read_series(io.BytesIO(f"t,y,wind\n{rows}".encode()), target="y")
    assert (
        "column 'y': 4 outliers, far from all else (2000.00 on line 12, 3000.00 on line 52, 4000.00 on line 92, …), "
        "left as they are" in series.notices
    )
    assert series.outliers == 4
    assert series.values[0][[10, 130]].tolist() == [2000.0, -5000.0]
    assert not any("'wind'" in n for n in series.notices)

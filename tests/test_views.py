"""What of forecasts and backtests is shown: numbers against ones worked out another way."""

import math
from itertools import pairwise

import numpy as np
import pytest
from backtests import made

from rnnkit import metrics, views
from rnnkit.errors import UsageError


def test_bands_are_named_from_the_widest():
    columns = {"median": 0, "lo80": 0, "hi80": 0, "lo99.5": 0, "hi99.5": 0, "lo95": 0, "hi95": 0, "lo50": 0}
    assert views.bands(columns) == ["99.5", "95", "80"]
    assert views.bands({"mean": 0}) == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], [0, 1]),
        (["b · load"], [2]),
        (["* · price"], [1, 3]),
        (["?  · load", "b"], None),
        (["b", "a · load"], [0, 2, 3]),
    ],
)
def test_series_are_chosen_by_name_or_pattern(names, expected):
    labels = ["a · load", "a · price", "b · load", "b · price"]
    if expected is None:
        with pytest.raises(UsageError, match=r"no series is called '\?  · load'; there are 4: a · load, a · price"):
            views.matching(labels, names)
    else:
        assert views.matching(labels, names) == expected


def test_only_keeps_the_windows_of_the_chosen_series():
    found = made(series=5, folds=3)
    kept = views.only(found, ["s3", "s1"])
    assert kept.labels == ["s1", "s3"]
    assert kept.series.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(kept.actual, found.actual[(found.series == 1) | (found.series == 3)])
    np.testing.assert_array_equal(kept.baselines["naive"][3:], found.baselines["naive"][found.series == 3])
    assert kept.values[1] is found.values[3]
    assert kept.times(1, np.array([7])) == ["7"]
    assert views.only(found, []) is found


@pytest.mark.parametrize(("stride", "gap"), [(1, 4), (3, 6), (4, 4), (9, 9)])
def test_windows_apart_do_not_overlap_and_end_with_the_last(stride, gap):
    found = made(series=2, folds=20, stride=stride)
    row = views.apart(found, 1, 5)
    assert len(row) == 5
    assert set(found.series[row]) == {1}
    assert found.cuts[row[-1]] == found.cuts[found.series == 1].max()
    assert all(b - a == gap for a, b in pairwise(found.cuts[row]))
    assert views.independent(found) == 2 * len(range(0, 20 * stride, gap))


def test_errors_by_series_window_and_step():
    found = made(series=3, folds=5)
    found.actual[2, 1] = found.actual[7] = np.nan
    middle = found.columns["median"]
    for i in range(3):
        mine = found.series == i
        ratio = metrics.mae(found.actual[mine], middle[mine]) / metrics.mae(
            found.actual[mine], found.baselines["drift"][mine]
        )
        assert views.by_series(found, "drift")[i] == pytest.approx(ratio)
    windows = views.by_window(found)
    assert windows[2] == pytest.approx(metrics.mae(found.actual[2], middle[2]))
    assert math.isnan(windows[7])
    scale = [np.abs(np.diff(v[: found.cuts.min()])).mean() for v in found.values]
    np.testing.assert_allclose(views.scales(found), scale)
    by_step = views.error_by_step(found, np.arange(5))
    for step in range(4):
        parts = np.abs(middle[:, step] - found.actual[:, step]) / np.array(scale)[found.series]
        assert by_step[""][step] == pytest.approx(np.nanmean(parts))
    assert list(by_step) == ["", "naive", "drift"]


def test_the_best_rule_is_found_over_series_of_any_size():
    found = made(series=2, folds=4)
    found.baselines["naive"] = found.actual + np.where(found.series == 0, 0.01, 900.0)[:, None]
    assert views.ranked(found) == ["drift", "naive"]
    assert views.best_baseline(found) == "drift"
    found.values[1] = found.values[1] * 1e6  # its changes are so large that 900 is nothing
    assert views.best_baseline(found) == "naive"
    assert views.best_baseline(made(rules=())) is None


def test_the_extremes_are_the_best_the_middle_and_the_worst():
    values = np.array([5.0, np.nan, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0])
    assert views.extremes(values, 1) == [("best", [2]), ("median", [3]), ("worst", [6])]
    assert views.extremes(values, 2) == [("best", [2, 4]), ("median", [5, 3]), ("worst", [7, 6])]
    assert views.extremes(values[:4], 9) == [("best", [2]), ("median", [3]), ("worst", [0])]
    assert views.extremes(np.full(3, np.nan), 2) == [("best", []), ("median", []), ("worst", [])]


@pytest.mark.parametrize(
    ("windows", "H", "most", "expected"),
    [
        (1, 12, None, [0, 12]),
        (6, 12, None, [0, 4, 8, 12]),
        (100, 6, None, [0, 1, 2, 3, 4, 5, 6]),
        (5000, 720, 6, [0, 120, 240, 360, 480, 600, 720]),
        (1, 1, None, [0, 1]),
        (900, 2, 6, [0, 1, 2]),
    ],
)
def test_steps_are_taken_together_until_there_are_values_enough(windows, H, most, expected):
    assert views.pools(windows, H, most).tolist() == expected


def test_coverage_by_step_is_that_of_metrics():
    found = made(series=2, folds=30)
    found.actual[3, 2] = np.nan
    edges = np.array([0, 1, 4])
    shares = views.pooled(views.inside(found, "80"), edges)
    low, high = found.columns["lo80"], found.columns["hi80"]
    expected = [
        metrics.coverage(found.actual[:, part], low[:, part], high[:, part]) for part in (slice(1), slice(1, 4))
    ]
    np.testing.assert_allclose(shares, expected)
    levels, below = zip(*views.below(found), strict=True)
    np.testing.assert_allclose(levels, [0.025, 0.1, 0.5, 0.9, 0.975])
    known = np.isfinite(found.actual)
    assert below[1] == pytest.approx((found.actual <= low)[known].mean())
    assert np.all(np.abs(np.array(below) - levels) < 0.12)

"""Bands of any level from five quantiles."""

from __future__ import annotations

from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest

from rnnkit.errors import UsageError
from rnnkit.tasks.intervals import at_levels, check_levels, interval_columns

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]
MANY = [0.1, 1, 20, 50, 60, 80, 90, 95, 97, 99, 99.9]


def quantiles(distribution, shape=(2, 3)):
    """The five quantiles of a distribution, [*shape, 5]."""
    return np.broadcast_to([distribution.inv_cdf(level) for level in LEVELS], (*shape, len(LEVELS)))


def test_trained_levels_come_back_to_the_bit(rng):
    answer = np.sort(rng.standard_normal((4, 6, 5)), axis=2)
    found = interval_columns(answer, LEVELS)
    assert list(found) == ["median", "lo80", "hi80", "lo95", "hi95"]
    for name, k in {"median": 2, "lo80": 1, "hi80": 3, "lo95": 0, "hi95": 4}.items():
        np.testing.assert_array_equal(found[name], answer[:, :, k])


def test_of_normal_errors_every_level_is_exact():
    normal = NormalDist(100, 7)
    found = interval_columns(quantiles(normal), LEVELS, MANY)
    for level in MANY:
        np.testing.assert_allclose(found[f"lo{level:g}"], normal.inv_cdf((1 - level / 100) / 2), rtol=1e-12)
        np.testing.assert_allclose(found[f"hi{level:g}"], normal.inv_cdf((1 + level / 100) / 2), rtol=1e-12)


def test_of_lognormal_errors_every_level_is_exact_and_above_zero():
    normal = NormalDist(0.0, 2.0)
    found = interval_columns(np.exp(quantiles(normal)), LEVELS, [50, 99.9], log=True)
    np.testing.assert_allclose(found["hi50"], np.exp(normal.inv_cdf(0.75)), rtol=1e-12)
    np.testing.assert_allclose(found["lo99.9"], np.exp(normal.inv_cdf(0.0005)), rtol=1e-12)
    assert found["lo99.9"].min() > 0
    assert interval_columns(np.exp(quantiles(normal)), LEVELS, [99.9])["lo99.9"].max() < 0  # which is what log is for


def test_wider_bands_never_lie_inside_narrower_ones(rng):
    answer = np.sort(rng.standard_cauchy((50, 8, 5)), axis=2)
    answer[0] = 3.0  # no width at all
    found = interval_columns(answer, LEVELS, MANY)
    for narrow, wide in pairwise(MANY):
        assert np.all(found[f"lo{wide:g}"] <= found[f"lo{narrow:g}"])
        assert np.all(found[f"hi{wide:g}"] >= found[f"hi{narrow:g}"])
    assert np.all(found["lo0.1"] <= found["median"])
    assert np.all(found["median"] <= found["hi0.1"])
    np.testing.assert_array_equal(found["hi99.9"][0], 3.0)


def test_columns_come_in_the_order_asked_for():
    assert list(interval_columns(quantiles(NormalDist()), LEVELS, [99, 50])) == [
        "median",
        "lo99",
        "hi99",
        "lo50",
        "hi50",
    ]
    assert list(interval_columns(quantiles(NormalDist()), LEVELS, [])) == ["median"]


def test_a_level_between_two_trained_ones_lies_between_their_quantiles():
    found = at_levels(np.array([[[0.0, 1.0, 10.0, 11.0, 20.0]]]), LEVELS, [0.3, 0.95])[0, 0]
    assert 1.0 < found[0] < 10.0
    score = NormalDist().inv_cdf
    share = (score(0.3) - score(0.1)) / (score(0.5) - score(0.1))
    np.testing.assert_allclose(found[0], 1.0 + 9.0 * share)
    share = (score(0.95) - score(0.9)) / (score(0.975) - score(0.9))
    np.testing.assert_allclose(found[1], 11.0 + 9.0 * share)


@pytest.mark.parametrize("wrong", [0, 100, -5, 120, float("nan")])
def test_what_is_no_level_is_refused(wrong):
    with pytest.raises(UsageError, match="--interval takes levels in percent"):
        check_levels([80, wrong])

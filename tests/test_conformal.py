"""Bands stretched until they hold what they say."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.tasks.conformal import FEW, MOST, NOISE, Calibration, calibrate
from rnnkit.tasks.windows import QUANTILES

LEVELS = list(QUANTILES)
NORMAL = np.array([-1.96, -1.2816, 0.0, 1.2816, 1.96])


def windows(count, horizon, spread, seed=0):
    """What came, standard normal, and bands as if its deviation were ``spread``."""
    actual = np.random.default_rng(seed).standard_normal((count, horizon))
    return actual, np.broadcast_to(NORMAL * spread, (count, horizon, 5))


def held(actual, answer, low, high):
    return np.nanmean((answer[:, :, low] <= actual) & (actual <= answer[:, :, high]))


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.5])
def test_bands_hold_what_they_say_on_fresh_windows(spread):
    found = calibrate(*windows(4000, 3, spread), LEVELS, independent=4000)
    actual, answer = windows(4000, 3, spread, seed=1)
    after = found(answer, LEVELS)
    assert held(actual, after, 1, 3) == pytest.approx(0.80, abs=0.015)
    assert held(actual, after, 0, 4) == pytest.approx(0.95, abs=0.01)
    np.testing.assert_array_equal(after[:, :, 2], answer[:, :, 2])


def test_each_step_has_a_stretch_of_its_own():
    actual, answer = windows(3000, 20, 1.0)
    actual[:, 10:] *= 3
    found = calibrate(actual, answer, LEVELS, independent=3000)
    stretch = np.array(found.stretch[0])
    assert stretch[:7] == pytest.approx(1, abs=0.06)
    assert stretch[13:] == pytest.approx(3, abs=0.2)
    assert np.all(np.diff(stretch[7:13]) > -0.1)


def test_few_windows_change_little():
    actual, answer = windows(200, 4, 0.7)
    many, few = (calibrate(actual, answer, LEVELS, independent=n) for n in (2000, 2))
    assert np.log(many.stretch[0]) == pytest.approx(-np.log(0.7), abs=0.15)
    found = -np.log(0.7)
    trust = max(2 / (2 + FEW), 1 - NOISE**2 / (2 * found**2))
    assert np.log(few.stretch[0]) == pytest.approx(trust * found, rel=0.25)
    assert trust < 0.1


@pytest.mark.parametrize(("independent", "times"), [(1, 2.0), (4, 2.0), (9, 2.0), (9, 6.0), (400, 1.2)])
def test_what_is_found_counts_by_the_windows_or_by_its_size(independent, times):
    """All values lie ``times`` as far out as the edges, so that every quantile of the scores is that."""
    answer = np.broadcast_to([-2.0, -1.0, 0.0, 1.0, 2.0], (40, 1, 5))
    found = calibrate(np.full((40, 1), times), answer, LEVELS, independent)
    assert found.shares == [0.8, 0.95]
    for stretch, ratio in zip(found.stretch, (times, times / 2), strict=True):
        size = max(independent * np.log(ratio) ** 2, 1e-9)
        trust = max(independent / (independent + FEW), 1 - NOISE**2 / size)
        assert stretch == pytest.approx([ratio**trust])


def test_nothing_to_tell_by_changes_nothing():
    actual, answer = windows(5, 4, 1.0)
    found = calibrate(np.full_like(actual, np.nan), answer, LEVELS, independent=5)
    np.testing.assert_array_equal(found(answer, LEVELS), answer)
    np.testing.assert_array_equal(Calibration()(answer, LEVELS), answer)


def test_missing_values_are_passed_over():
    actual, answer = windows(2000, 4, 0.5)
    actual[::3] = np.nan
    whole = calibrate(*windows(2000, 4, 0.5), LEVELS, independent=2000)
    found = calibrate(actual, answer, LEVELS, independent=2000)
    np.testing.assert_allclose(found.stretch, whole.stretch, rtol=0.12)


def test_a_band_of_no_width_is_stretched_so_far_and_no_further():
    actual, answer = windows(300, 2, 1.0)
    found = calibrate(actual, np.zeros_like(answer), LEVELS, independent=300)
    assert 1 < np.max(found.stretch) <= MOST
    assert np.isfinite(found(np.zeros_like(answer), LEVELS)).all()


def test_skewed_bands_stay_skewed_and_in_order():
    actual, _ = windows(1000, 2, 1.0)
    answer = np.broadcast_to([-0.2, -0.1, 0.0, 1.0, 3.0], (1000, 2, 5))
    after = calibrate(actual, answer, LEVELS, independent=1000)(answer, LEVELS)
    assert np.all(np.diff(after, axis=2) >= 0)
    assert after[0, 0, 3] / -after[0, 0, 1] == pytest.approx(10)
    assert held(actual, after, 1, 3) == pytest.approx(0.8, abs=0.02)


def test_steps_beyond_those_held_out_have_the_stretch_of_the_last():
    found = Calibration([0.8, 0.95], [[1.0, 2.0], [1.0, 3.0]])
    answer = np.broadcast_to(NORMAL, (1, 4, 5))
    after = found(answer, LEVELS)
    np.testing.assert_allclose(after[0, :, 3], 1.2816 * np.array([1, 2, 2, 2]))
    np.testing.assert_allclose(after[0, :, 4], 1.96 * np.array([1, 3, 3, 3]))

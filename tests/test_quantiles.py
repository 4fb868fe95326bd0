"""Quantiles of Student's t and the negative binomial: closed forms, tables, sums, round trips, SciPy where it is."""

import math
from fractions import Fraction

import numpy as np
import pytest

from rnnkit.nn.quantiles import negative_binomial, negative_binomial_quantile, student_t_quantile
from rnnkit.nn.special import beta

LEVELS = (1e-4, 0.001, 0.025, 0.1, 0.25, 0.4, 0.499, 0.501, 0.75, 0.9, 0.975, 0.9999)


def share(t, dof):
    """P(T ≤ t)."""
    square = t * t
    sides = beta(0.5 * dof, np.full_like(dof, 0.5), dof / (dof + square), square / (dof + square))
    return np.where(t < 0, 0.5 * sides.below, 0.5 + 0.5 * sides.above)


@pytest.mark.parametrize("level", LEVELS)
def test_t_of_one_two_and_four_degrees_has_a_closed_form(level):
    """Shaw 2006: with a = 4p(1 − p), tan π(p − ½), (2p − 1)√(2/a), ± 2√(cos(arccos(√a) / 3) / √a − 1)."""
    a = 4 * level * (1 - level)
    four = math.copysign(2 * math.sqrt(math.cos(math.acos(math.sqrt(a)) / 3) / math.sqrt(a) - 1), level - 0.5)
    expected = [math.tan(math.pi * (level - 0.5)), (2 * level - 1) * math.sqrt(2 / a), four]
    np.testing.assert_allclose(student_t_quantile(level, np.array([1.0, 2.0, 4.0])), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("dof", "level", "expected"),
    [
        (3, 0.975, 3.18244630528371),
        (5, 0.975, 2.57058183563632),
        (10, 0.95, 1.81246112281168),
        (10, 0.995, 3.16927267261695),
        (30, 0.9, 1.3104150253914),
        (120, 0.975, 1.97993040508244),
    ],
)
def test_t_as_tables_have_it(dof, level, expected):
    assert student_t_quantile(level, np.array([float(dof)]))[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_t_goes_back_to_its_level(level, rng):
    dof = 2 + 10 ** rng.uniform(-8, 8, 2000)
    t = student_t_quantile(level, dof)
    np.testing.assert_allclose(share(t, dof), level, rtol=1e-12)
    np.testing.assert_array_equal(student_t_quantile(1 - level, dof), -student_t_quantile(1 - (1 - level), dof))


def test_t_grows_with_the_level_and_its_middle_is_zero():
    dof = 2 + 10 ** np.linspace(-8, 8, 200)
    t = np.array([student_t_quantile(level, dof) for level in sorted((*LEVELS, 0.5))])
    assert (np.diff(t, axis=0) > 0).all()
    assert (student_t_quantile(0.5, dof) == 0).all()


def test_t_of_many_degrees_is_normal():
    found = student_t_quantile(0.975, np.array([1e12, 1e20, 1e38]))
    np.testing.assert_allclose(found, 1.959963984540054, rtol=1e-11)


def test_t_of_nan_is_nan_and_of_others_beside_it_is_not():
    found = student_t_quantile(0.9, np.array([np.nan, 2.0, np.inf]))
    assert np.isnan(found).tolist() == [True, False, True]
    assert student_t_quantile(0.9, np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("r", [1, 2, 5, 40])
@pytest.mark.parametrize("p", [Fraction(1, 2), Fraction(1, 4), Fraction(3, 4)])
def test_counts_whose_share_is_exactly_the_level(r, p):
    """The smallest k with P(X ≤ k) ≥ level is k itself there, and k + 1 a little above."""
    exact, mean = Fraction(0), float(r * (1 - p) / p)
    for k in range(40):
        exact += math.comb(k + r - 1, k) * p**r * (1 - p) ** k
        level = float(exact)
        if 1e-4 < level < 0.9999:
            at = [np.array([value]) for value in (float(k), mean, float(r))]
            assert negative_binomial(*at).below[0] == pytest.approx(level, rel=2e-14)
            assert negative_binomial_quantile(level, *at[1:])[0] == k
            assert negative_binomial_quantile(level + 1e-9, *at[1:])[0] == k + 1


def counted(level, mean, shape):
    """The quantile by adding probabilities up, in Python's exact sums."""
    log_first = -shape * math.log1p(mean / shape)
    one, parts, k = math.exp(log_first), [math.exp(log_first)], 0
    while math.fsum(parts) < level:
        one *= (k + shape) / (k + 1) * mean / (mean + shape)
        parts.append(one)
        k += 1
    return k


@pytest.mark.parametrize("level", [1e-4, 0.025, 0.1, 0.5, 0.9, 0.975, 0.9999])
def test_counts_by_adding_up(level, rng):
    mean, shape = 10 ** rng.uniform(-2, 1.5, 40), 10 ** rng.uniform(-1, 3, 40)
    expected = [counted(level, m, r) for m, r in zip(mean, shape, strict=True)]
    np.testing.assert_array_equal(negative_binomial_quantile(level, mean, shape), expected)


@pytest.mark.parametrize("high", [1, 3, 5])
def test_counts_are_the_smallest_that_reach_the_level(high, rng):
    mean, shape = 10 ** rng.uniform(-3, high, 800), 10 ** rng.uniform(-2, 6, 800)
    before = np.full(800, -1.0)
    for level in LEVELS:
        k = negative_binomial_quantile(level, mean, shape)
        at = negative_binomial(k, mean, shape)
        assert (at.below >= level * (1 - 1e-12)).all()
        assert (at.below - at.here <= level * (1 + 1e-12))[k > 0].all()
        assert (k == np.floor(k)).all()
        assert (k >= np.maximum(before, 0)).all()
        before = k


def test_probabilities_of_counts_add_up(rng):
    mean, shape = 10 ** rng.uniform(-1, 2, 50), 10 ** rng.uniform(-2, 4, 50)
    total = np.zeros(50)
    for k in range(30):
        at = negative_binomial(np.full(50, float(k)), mean, shape)
        total += at.here
        np.testing.assert_allclose(at.below, total, rtol=1e-11)
        np.testing.assert_allclose(at.after, negative_binomial(np.full(50, k + 1.0), mean, shape).here, rtol=1e-11)


def test_counts_of_a_large_shape_are_poisson():
    assert negative_binomial_quantile(0.975, np.array([5.0]), np.array([1e200]))[0] == 10
    at = negative_binomial(np.array([10.0]), np.array([5.0]), np.array([1e15]))
    assert at.below[0] == pytest.approx(sum(math.exp(-5) * 5**k / math.factorial(k) for k in range(11)), rel=1e-12)


def test_counts_of_any_size_are_found(rng):
    """What float32 can hold: finite, whole, growing."""
    mean, shape = 10 ** rng.uniform(-38, 40, 500), 10 ** rng.uniform(-38, 8, 500)
    found = np.array([negative_binomial_quantile(level, mean, shape) for level in (0.025, 0.5, 0.975)])
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=0) >= 0).all()
    huge = negative_binomial_quantile(0.5, np.array([1e38]), np.array([1.0]))[0]
    assert huge == pytest.approx(1e38 * math.log(2), rel=1e-9)  # exponential


def test_counts_of_nan_are_nan_and_others_beside_are_not():
    found = negative_binomial_quantile(0.5, np.array([np.nan, 4.0, np.inf]), np.array([1.0, 1.0, 1.0]))
    assert np.isnan(found).tolist() == [True, False, True]
    assert negative_binomial_quantile(0.5, np.zeros(0), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("level", LEVELS)
def test_t_agrees_with_scipy(level, rng):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    dof = 2 + 10 ** rng.uniform(-6, 6, 500)
    np.testing.assert_allclose(student_t_quantile(level, dof), stats.t.ppf(level, dof), rtol=2e-12)


@pytest.mark.parametrize("level", [1e-4, 0.025, 0.1, 0.5, 0.9, 0.975])
def test_counts_agree_with_scipy(level, rng):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    mean, shape = 10 ** rng.uniform(-3, 5, 500), 10 ** rng.uniform(-2, 5, 500)
    expected = stats.nbinom.ppf(level, shape, shape / (shape + mean))
    np.testing.assert_array_equal(negative_binomial_quantile(level, mean, shape), expected)

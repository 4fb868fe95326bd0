"""Gamma and incomplete beta functions against values known exactly, against sums, and against SciPy where it is."""

import math
from fractions import Fraction

import numpy as np
import pytest

from rnnkit.nn import special
from rnnkit.nn.special import HALF_LOG_2PI, beta, digamma_rest, gamma_rest

EULER = 0.57721566490153286


def array(*values):
    return np.array(values, dtype=np.float64)


def sides(a, b, x, y=None):
    return beta(array(a), array(b), array(x), array(1 - x if y is None else y))


def log_gamma(x: np.ndarray) -> np.ndarray:
    """ln Γ(x), for x > 0."""
    return (x - 0.5) * np.log(x) - x + HALF_LOG_2PI + gamma_rest(x)


def digamma(x: np.ndarray) -> np.ndarray:
    """ψ(x) = Γ'(x) / Γ(x), for x > 0."""
    return np.log(x) + digamma_rest(x)


def test_log_gamma_of_whole_and_half_numbers():
    n = range(1, 40)
    factorials = [math.log(math.factorial(k - 1)) for k in n]
    np.testing.assert_allclose(log_gamma(array(*n)), factorials, rtol=1e-15, atol=5e-15)
    halves = [math.log(math.factorial(2 * k) / (4**k * math.factorial(k))) + 0.5 * math.log(math.pi) for k in n]
    np.testing.assert_allclose(log_gamma(array(*n) + 0.5), halves, rtol=1e-15, atol=5e-15)


def test_log_gamma_agrees_with_the_standard_library():
    x = 10 ** np.linspace(-30, 15, 2000)
    expected = [math.lgamma(value) for value in x]
    np.testing.assert_allclose(log_gamma(x), expected, rtol=1e-14, atol=1e-14)


def test_digamma_of_whole_and_half_numbers():
    n = np.arange(1, 30)
    harmonic = [float(sum(Fraction(1, k) for k in range(1, m))) for m in n]
    np.testing.assert_allclose(digamma(n.astype(float)), np.array(harmonic) - EULER, rtol=1e-15, atol=5e-15)
    odd = [float(sum(Fraction(2, 2 * k - 1) for k in range(1, m + 1))) for m in n]
    np.testing.assert_allclose(digamma(n + 0.5), np.array(odd) - EULER - 2 * math.log(2), rtol=1e-14, atol=5e-15)


def test_digamma_is_the_slope_of_log_gamma():
    x = 10 ** np.linspace(-2, 3, 200)
    step = 1e-5 * x
    slope = (log_gamma(x + step) - log_gamma(x - step)) / (2 * step)
    np.testing.assert_allclose(digamma(x), slope, rtol=1e-7, atol=1e-7)


def test_rests_keep_their_digits_where_the_functions_have_none_left():
    x = array(1e6, 1e12, 1e30, 1e38)
    np.testing.assert_allclose(gamma_rest(x), 1 / (12 * x), rtol=1e-12)
    np.testing.assert_allclose(digamma_rest(x), -1 / (2 * x) - 1 / (12 * x * x), rtol=1e-12)


def test_rests_have_no_seam():
    x = special.SHIFT * (1 + array(-1e-12, 1e-12))
    for rest in (gamma_rest, digamma_rest):
        below, above = rest(x)
        assert below == pytest.approx(above, rel=1e-11)


def test_beta_of_one_parameter_is_a_power():
    a, x = 10 ** np.linspace(-1, 4, 50), np.linspace(0.02, 0.99, 50)
    ones = np.ones(50)
    np.testing.assert_allclose(beta(a, ones, x, 1 - x).below, x**a, rtol=1e-11)
    np.testing.assert_allclose(beta(ones, a, x, 1 - x).above, (1 - x) ** a, rtol=1e-11)


@pytest.mark.parametrize(("n", "k"), [(5, 2), (20, 1), (20, 19), (60, 30)])
def test_beta_is_a_binomial_sum(n, k):
    """I_x(k, n − k + 1) is the probability of at least k of n."""
    x = Fraction(3, 10)
    exact = sum(Fraction(math.comb(n, j)) * x**j * (1 - x) ** (n - j) for j in range(k, n + 1))
    found = sides(float(k), float(n - k + 1), 0.3, 0.7)
    assert found.below[0] == pytest.approx(float(exact), rel=1e-12)
    assert found.above[0] == pytest.approx(float(1 - exact), rel=1e-12)


def test_beta_of_equal_parameters_is_half_in_the_middle():
    a = 10 ** np.linspace(0, 9, 40)
    half = np.full(40, 0.5)
    found = beta(a, a, half, half)
    np.testing.assert_allclose(found.below, 0.5, rtol=2e-12)
    np.testing.assert_allclose(found.above, 0.5, rtol=2e-12)


def test_sides_change_places_with_the_parameters(rng):
    a, b = 10 ** rng.uniform(-1, 5, (2, 300))
    x = np.clip(a / (a + b) * np.exp(rng.normal(0, 1, 300) / np.sqrt(a)), 1e-9, 1 - 1e-9)
    one, other = beta(a, b, x, 1 - x), beta(b, a, 1 - x, x)
    np.testing.assert_array_equal(one.below, other.above)
    np.testing.assert_allclose(one.density, other.density, rtol=1e-14)
    assert ((one.below >= 0) & (one.below <= 1)).all()


def test_density_is_the_slope_by_the_logit():
    a, b, u = array(0.7, 3, 40, 5e4), array(2, 0.5, 70, 2e4), array(-1, 0.4, -0.5, 0.915)
    step = 1e-5 / np.sqrt(a)

    def below(u):
        return beta(a, b, 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))).below

    slope = (below(u + step) - below(u - step)) / (2 * step)
    np.testing.assert_allclose(beta(a, b, 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))).density, slope, rtol=1e-7)


def test_blocks_do_not_show(monkeypatch, rng):
    a, b, x = 1 + rng.random(50), 1 + rng.random(50), rng.random(50)
    whole = beta(a, b, x, 1 - x)
    monkeypatch.setattr(special, "BLOCK", 7)
    for one, other in zip(whole, beta(a, b, x, 1 - x), strict=True):
        np.testing.assert_array_equal(one, other)
    assert beta(a[:0], b[:0], x[:0], x[:0]).below.shape == (0,)


def test_beta_of_nan_is_nan():
    assert np.isnan(sides(np.nan, 1.0, 0.5).below[0])


def test_gammas_agree_with_scipy(rng):
    scipy = pytest.importorskip("scipy.special", reason="scipy is not installed")
    x = 10 ** rng.uniform(-8, 8, 3000)
    np.testing.assert_allclose(log_gamma(x), scipy.gammaln(x), rtol=2e-14, atol=2e-14)
    np.testing.assert_allclose(digamma(x), scipy.digamma(x), rtol=2e-14, atol=2e-14)


@pytest.mark.parametrize("high", [0.5, 2, 5, 8])
def test_beta_agrees_with_scipy(high, rng):
    scipy = pytest.importorskip("scipy.special", reason="scipy is not installed")
    a, b = 10 ** rng.uniform(-0.3, high, (2, 2000))
    spread = np.sqrt(scipy.polygamma(1, a) + scipy.polygamma(1, b))  # of the logit
    u = np.log(a / b) + 1.5 * spread * rng.standard_normal(2000)
    x, y = 1 / (1 + np.exp(-u)), 1 / (1 + np.exp(u))
    found = beta(a, b, x, y)
    below = np.where(x < y, scipy.betainc(a, b, x), scipy.betaincc(b, a, y))
    above = np.where(x < y, scipy.betaincc(a, b, x), scipy.betainc(b, a, y))
    np.testing.assert_allclose(found.below, below, rtol=1e-9, atol=3e-12)
    np.testing.assert_allclose(found.above, above, rtol=1e-9, atol=3e-12)

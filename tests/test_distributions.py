"""Likelihoods: limits that are known, gradients everywhere, safety of what float32 can hold, SciPy where it is."""

import math

import numpy as np
import pytest

from rnnkit.nn.distributions import FLOOR, Likelihood, raw, softplus
from rnnkit.nn.losses import LOSSES, make_loss

LIKELIHOODS = [name for name, loss in LOSSES.items() if issubclass(loss, Likelihood)]
BIG = float(np.finfo(np.float32).max)


def points(name, rng, n):
    """Raw parameters of all sizes and targets of all sizes."""
    p = rng.standard_normal((n, make_loss(name).parameters)) * 4
    if name == "negative_binomial":
        return p, np.stack([np.floor(10 ** rng.uniform(-1, 5, n)), 10 ** rng.uniform(-1, 4, n)], axis=-1)
    return p, rng.standard_normal(n) * 10 ** rng.uniform(-2, 3, n)


def each(loss, p, t):
    """The loss of every point by itself."""
    return np.array([loss(p[i : i + 1], t[i : i + 1])[0] for i in range(len(p))])


def inverse(positive):
    return math.log(math.expm1(positive))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradient_agrees_with_central_differences_of_many_points(name, rng):
    loss = make_loss(name)
    p, t = points(name, rng, 150)
    _, gradient = loss(p, t)
    values = np.abs(each(loss, p, t))
    for j in range(loss.parameters):
        step = np.zeros(loss.parameters)
        step[j] = 1e-4
        slope = (each(loss, p + step, t) - each(loss, p - step, t)) / 2e-4
        error = np.abs(len(p) * gradient[:, j] - slope)
        assert (error <= 1e-6 * np.maximum(np.abs(slope), 1) + 1e-10 * values).all()


def test_student_t_near_its_limits():
    """Many degrees of freedom: normal. Two: (1 + z²/2)^(−3/2) / √8."""
    loss = make_loss("student_t")
    z, scale = 1.7, 0.5 + FLOOR
    value, _ = loss(np.array([[0.3, inverse(0.5), 1e12]]), np.array([0.3 + z * scale]))
    assert value == pytest.approx(0.5 * z * z + math.log(scale) + 0.5 * math.log(2 * math.pi), rel=1e-11)
    value, _ = loss(np.array([[0.3, inverse(0.5), -800.0]]), np.array([0.3 + z * scale]))
    assert value == pytest.approx(math.log(scale) + 0.5 * math.log(8) + 1.5 * math.log1p(z * z / 2), rel=1e-13)


def test_negative_binomial_near_its_limits():
    """No dispersion: Poisson. Shape 1: geometric."""
    loss, s = make_loss("negative_binomial"), 4.0
    mean = s * (math.log(2) + FLOOR)
    value, _ = loss(np.array([[0.0, -800.0]]), np.array([[3.0, s]]))
    assert value == pytest.approx(mean - 3 * math.log(mean) + math.log(6), rel=2e-5)  # FLOOR is some dispersion
    value, _ = loss(np.array([[0.0, inverse(2 - FLOOR)]]), np.array([[3.0, s]]))
    assert value == pytest.approx(-3 * math.log(mean / (1 + mean)) + math.log1p(mean), rel=1e-13)


def test_probabilities_of_counts_add_up_to_one():
    loss = make_loss("negative_binomial")
    k = np.arange(500.0)
    p = np.broadcast_to([0.5, 0.2], (500, 2))
    assert np.exp(-each(loss, p, np.stack([k, np.full(500, 9.0)], axis=-1))).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_what_float32_can_hold_gives_finite_losses_and_gradients(name, dtype):
    loss = make_loss(name)
    sizes = [0.0, 1e-38, 1.0, 90.0, 800.0, 1e6, BIG]
    sizes = [*sizes, *(-size for size in sizes)]
    p = np.array(np.meshgrid(*[sizes] * loss.parameters)).reshape(loss.parameters, -1).T.astype(dtype)
    for y in (0.0, 1.0, 7.0, 1e5):
        for scale in (1e-3, 1.0, 1e6) if name == "negative_binomial" else (None,):
            t = np.full(len(p), y) if scale is None else np.tile([y, scale], (len(p), 1))
            value, gradient = loss(p, t)
            assert math.isfinite(value)
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_any_parameter_that_is_not_finite_shows_in_the_value(name, bad, rng):
    loss = make_loss(name)
    for j in range(loss.parameters):
        p, t = points(name, rng, 5)
        p[2, j] = bad
        assert math.isnan(loss(p, t)[0])


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_blocks_and_axes_do_not_show(name, rng, monkeypatch):
    loss = make_loss(name)
    p, t = points(name, rng, 60)
    weight = rng.uniform(0, 1, 60)
    value, gradient = loss(p, t, weight)
    monkeypatch.setattr("rnnkit.nn.distributions.BLOCK", 7)
    again, other = loss(p.reshape(3, 4, 5, -1), t.reshape(3, 4, 5, *t.shape[1:]), weight.reshape(3, 4, 5))
    assert again == value
    np.testing.assert_array_equal(other.reshape(gradient.shape), gradient)
    back, shuffled = loss(p[::-1].reshape(60, -1), t[::-1], weight[::-1])
    assert back == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(shuffled[::-1], gradient, rtol=1e-12)


def test_gradients_go_where_they_are_told(rng):
    loss = make_loss("student_t")
    p, t = points("student_t", rng, 12)
    _, gradient = loss(p, t)
    out = np.zeros((3, 12)).T  # not in one piece
    assert loss(p, t, out=out)[1] is out
    np.testing.assert_array_equal(out, gradient)


def test_raw_is_the_inverse_of_softplus():
    x = np.array([-30.0, -1.0, 0.0, 3.0, 50.0, 1e6])
    np.testing.assert_allclose(raw(softplus(x).value), x, rtol=1e-9, atol=1e-15)


def test_student_t_agrees_with_scipy(rng):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    p, t = points("student_t", rng, 200)
    scale, dof = np.logaddexp(0, p[:, 1]) + FLOOR, 2 + np.logaddexp(0, p[:, 2])
    expected = -stats.t.logpdf(t, dof, p[:, 0], scale)
    np.testing.assert_allclose(each(make_loss("student_t"), p, t), expected, rtol=1e-12, atol=1e-12)


def test_negative_binomial_agrees_with_scipy(rng):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    p, t = points("negative_binomial", rng, 200)
    (k, s), mean = t.T, t[:, 1] * (np.logaddexp(0, p[:, 0]) + FLOOR)
    shape = np.sqrt(s) / (np.logaddexp(0, p[:, 1]) + FLOOR)
    expected = -stats.nbinom.logpmf(k, shape, shape / (shape + mean))
    np.testing.assert_allclose(each(make_loss("negative_binomial"), p, t), expected, rtol=1e-7)  # SciPy cancels

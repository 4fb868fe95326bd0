"""Outputs: every one trains with its examples, starts where its sample is, and answers in the units of its sample."""

import json
import math

import numpy as np
import pytest

from rnnkit.errors import UsageError
from rnnkit.nn.distributions import FLOOR
from rnnkit.nn.losses import LOSSES
from rnnkit.nn.outputs import OUTPUTS, make_output

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
SPREAD = [name for name in OUTPUTS if name != "mean"]
"""Outputs that have quantiles."""


def inverse(positive):
    """Of softplus."""
    return math.log(math.expm1(positive))


def head(output, rng, shape):
    """A prediction of an output and the scale of each window."""
    return rng.standard_normal((*shape, output.parameters)), rng.uniform(1, 30, (*shape[:-1], 1))


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_trains_with_its_examples(name, rng):
    """Some steps of gradient descent on the bias alone lower the loss; weights of 0 do not count."""
    output = make_output(name)
    y, scale = rng.poisson(12, (40, 6)).astype(float), rng.uniform(5, 20, (40, 1))
    weight = np.ones((40, 6))
    y[3], weight[3] = np.nan, 0
    target, w = output.examples(y, weight, scale)
    bias, losses = np.zeros(output.parameters), []
    for _ in range(30):
        prediction = np.tile(bias, (40, 6, 1))
        value, gradient = output.loss(prediction, target, w)
        losses.append(value)
        bias -= 0.3 * gradient.sum(axis=(0, 1))
    assert losses[-1] < losses[0] - 0.05
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_start_is_near_the_best_bias(name, rng):
    """No parameter alone, moved by a little, makes the loss of the sample much better."""
    output = make_output(name)
    y, scale = rng.negative_binomial(3, 0.2, (400, 2)).astype(float), np.full((400, 1), 12.0)
    y[0] = np.nan
    start = output.start(y, scale)
    target, weight = output.examples(y, np.isfinite(y).astype(float), scale)

    def loss(bias):
        return output.loss(np.tile(bias, (400, 2, 1)), target, weight)[0]

    for j in range(output.parameters):
        for move in (-0.2, 0.2):
            assert loss(start + move * np.eye(output.parameters)[j]) > loss(start) - 0.005


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_start_counts_on_what_is_added_to_the_location(name, rng):
    """With ``base`` under the parameters that move the head fits as well as without."""
    output = make_output(name)
    base = rng.uniform(0.5, 2, (500, 1))
    scale = rng.uniform(5, 50, (500, 1))
    y = rng.poisson(scale * base, (500, 4)).astype(float)
    bias = output.start(y, scale, base)
    prediction = np.broadcast_to(bias + np.array(output.moving) * base[..., None], (500, 4, output.parameters))
    # softplus bends what is added: a mean of 0.5 lies further below than one of 2 is moved
    assert output.mean(prediction, scale).sum() == pytest.approx(y.sum(), rel=0.05)
    plain = np.broadcast_to(output.start(y, scale), prediction.shape)
    target, weight = output.examples(y, np.ones(y.shape), scale)
    assert output.loss(prediction, target, weight)[0] < output.loss(plain, target, weight)[0]


@pytest.mark.parametrize("name", SPREAD)
def test_quantiles_of_a_start_hold_their_share_of_the_sample(name, rng):
    output = make_output(name)
    draws = {"student-t": lambda: 5 + 40 * rng.standard_t(4, 5000)}
    y = draws.get(name, lambda: rng.negative_binomial(3, 0.02, 5000).astype(float))()
    found = output.quantiles(output.start(y, 30.0).astype(np.float32), LEVELS, 30.0)
    assert found.dtype == np.float64
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose((y[:, None] <= found).mean(axis=0), LEVELS, atol=0.015)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("shape", [(3, 1), (2, 4, 5), (0, 6)])
def test_outputs_of_any_shape(name, shape, rng):
    output = make_output(name)
    prediction, scale = head(output, rng, shape)
    mean = output.mean(prediction, scale)
    assert mean.shape == shape
    if name != "mean":
        found = output.quantiles(prediction, (0.1, 0.9), scale)
        assert found.shape == (*shape, 2)
        at = (0,) * len(shape)
        if mean.size:
            one = output.quantiles(prediction[at], (0.1, 0.9), float(scale[(*at[:-1], 0)]))
            np.testing.assert_array_equal(one, found[at])


@pytest.mark.parametrize("name", SPREAD)
def test_a_mean_is_the_mean_of_the_quantiles(name, rng):
    levels = tuple(np.round(np.linspace(0.0025, 0.9975, 200), 7).tolist())
    output = make_output(name, **({"levels": levels} if name == "quantile" else {}))
    prediction = np.sort(rng.standard_normal((3, output.parameters)), axis=-1)
    if name == "student-t":
        prediction[:, 2] = 8  # the quantiles left out weigh little
    scale = np.array([1.0, 40.0, 300.0])
    found = output.quantiles(prediction, levels, scale).mean(axis=-1)
    np.testing.assert_allclose(output.mean(prediction, scale), found, rtol=0.02, atol=0.02)


def test_student_t_quantiles_are_those_of_tables():
    output = make_output("student-t")
    prediction = np.array([2.0, inverse(1.5 - FLOOR), inverse(8.0)])  # 10 degrees of freedom
    expected = 10 * (2 + 1.5 * 1.81246112281168 * np.array([-1, 0, 1]))
    np.testing.assert_allclose(output.quantiles(prediction, (0.05, 0.5, 0.95), 10.0), expected, rtol=1e-12)


def test_counts_are_those_of_the_geometric_distribution():
    """Mean 4 and shape 1: P(X ≤ k) = 1 − 0.8^(k + 1)."""
    output = make_output("negative-binomial")
    prediction = np.array([inverse(2 - FLOOR), inverse(math.sqrt(2) - FLOOR)])
    expected = [math.ceil(math.log(1 - level) / math.log(0.8) - 1) for level in (0.1, 0.5, 0.9, 0.99)]
    np.testing.assert_array_equal(output.quantiles(prediction, (0.1, 0.5, 0.9, 0.99), 2.0), expected)
    assert output.mean(prediction, 2.0) == pytest.approx(4, rel=1e-12)


def test_quantiles_cross_no_more():
    found = make_output("quantile").quantiles(np.array([3.0, 1.0, 2.0, 5.0, 4.0]), (0.1, 0.975, 0.5), 2.0)
    np.testing.assert_array_equal(found, [4, 10, 6])


@pytest.mark.parametrize("name", OUTPUTS)
def test_nan_stays_nan(name, rng):
    output = make_output(name)
    prediction, scale = head(output, rng, (4, 2))
    prediction[1, 1] = np.nan
    assert np.isnan(output.mean(prediction, scale)).sum() == 1
    if name != "mean":
        assert np.isnan(output.quantiles(prediction, LEVELS, scale)).all(axis=-1).tolist()[1] == [False, True]


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_come_back_through_json(name):
    output = make_output(name)
    assert make_output(name, **json.loads(json.dumps(output.options()))) == output
    assert len(output.moving) == output.parameters
    assert output.loss.name in LOSSES


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="output is one of quantile, mean, student-t, negative-binomial, not 'normal'"):
        make_output("normal")
    with pytest.raises(UsageError, match="between 0 and 1"):
        make_output("quantile", levels=(0.5, 1.5))
    with pytest.raises(UsageError, match="ascending"):
        make_output("quantile", levels=(0.5, 0.1))
    with pytest.raises(UsageError, match=r"trained for the levels 0.1, 0.5, not for 0.9"):
        make_output("quantile", levels=(0.1, 0.5)).quantiles(np.zeros(2), [0.9])
    with pytest.raises(UsageError, match="has no quantiles"):
        make_output("mean").quantiles(np.zeros(1), [0.5])
    with pytest.raises(UsageError, match=r"levels of quantiles .* not 1"):
        make_output("student-t").quantiles(np.zeros(3), [1])
    with pytest.raises(UsageError, match=r"3 parameters per point, \[..., 3\], not \[4, 2\]"):
        make_output("student-t").mean(np.zeros((4, 2)))
    with pytest.raises(UsageError, match="at least one number"):
        make_output("student-t").start(np.full(3, np.nan))

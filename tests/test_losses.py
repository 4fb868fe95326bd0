"""Losses against their formulas written out, gradients against central differences in float64."""

import json
import math

import numpy as np
import pytest

from rnnkit._kernels import reference_ops
from rnnkit.errors import UsageError
from rnnkit.nn import losses
from rnnkit.nn.engine import Engine
from rnnkit.nn.losses import LOSSES, make_loss

OPTIONS = {
    "mse": [{}],
    "mae": [{}],
    "huber": [{}, {"delta": 0.3}],
    "pinball": [{}, {"quantiles": (0.5,)}, {"quantiles": [0.1, 0.8]}],
    "student_t": [{}],
    "negative_binomial": [{}],
    "softmax_cross_entropy": [{}, {"label_smoothing": 0.2}],
    "sigmoid_cross_entropy": [{}],
}
CASES = [(name, options) for name in LOSSES for options in OPTIONS[name]]
SHAPE = (4, 3)
CLASSES = 7


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(5))


def example(loss, rng, dtype=np.float64):
    """A prediction and a target of SHAPE for this loss."""
    if loss.name == "softmax_cross_entropy":
        return rng.standard_normal((*SHAPE, CLASSES)).astype(dtype) * 3, rng.integers(0, CLASSES, SHAPE)
    if loss.name == "sigmoid_cross_entropy":
        return rng.standard_normal(SHAPE).astype(dtype) * 3, rng.integers(0, 2, SHAPE).astype(dtype)
    if loss.name == "pinball":
        return rng.standard_normal((*SHAPE, len(loss.quantiles))).astype(dtype), rng.standard_normal(SHAPE).astype(
            dtype
        )
    if loss.name == "student_t":
        return rng.standard_normal((*SHAPE, 3)).astype(dtype), rng.standard_normal(SHAPE).astype(dtype)
    if loss.name == "negative_binomial":
        scale = rng.uniform(1, 9, SHAPE)
        return rng.standard_normal((*SHAPE, 2)).astype(dtype), np.stack([rng.poisson(scale), scale], -1).astype(dtype)
    return rng.standard_normal(SHAPE).astype(dtype), rng.standard_normal(SHAPE).astype(dtype)


def softplus(x):
    return math.log1p(math.exp(x))


def naive(loss, prediction, target):
    """Each target's loss in Python scalars, straight from the definitions."""
    result = np.empty(SHAPE)
    for at in np.ndindex(SHAPE):
        p, t = prediction[at], target[at]
        if loss.name == "mse":
            result[at] = (p - t) ** 2
        elif loss.name == "mae":
            result[at] = abs(p - t)
        elif loss.name == "huber":
            d = abs(p - t)
            result[at] = d * d / 2 if d <= loss.delta else loss.delta * (d - loss.delta / 2)
        elif loss.name == "pinball":
            parts = [q * (t - x) if t >= x else (1 - q) * (x - t) for q, x in zip(loss.quantiles, p, strict=True)]
            result[at] = sum(parts) / len(parts)
        elif loss.name == "student_t":
            scale, nu = softplus(p[1]) + 1e-6, 2 + softplus(p[2])
            density = math.gamma((nu + 1) / 2) / math.gamma(nu / 2) / math.sqrt(math.pi * nu) / scale
            density *= (1 + ((t - p[0]) / scale) ** 2 / nu) ** (-(nu + 1) / 2)
            result[at] = -math.log(density)
        elif loss.name == "negative_binomial":
            (k, s), r = t, math.sqrt(t[1]) / (softplus(p[1]) + 1e-6)
            mean = s * (softplus(p[0]) + 1e-6)
            probability = math.gamma(k + r) / math.gamma(r) / math.gamma(k + 1)
            result[at] = -math.log(probability * (r / (r + mean)) ** r * (mean / (r + mean)) ** k)
        elif loss.name == "sigmoid_cross_entropy":
            s = 1 / (1 + math.exp(-p))
            result[at] = -(t * math.log(s) + (1 - t) * math.log(1 - s))
        else:
            probabilities = [math.exp(z) / sum(math.exp(y) for y in p) for z in p]
            eps = loss.label_smoothing
            result[at] = -sum(
                ((1 - eps) * (k == t) + eps / len(p)) * math.log(probability)
                for k, probability in enumerate(probabilities)
            )
    return result


def differences(loss, prediction, target, weight):
    """Central differences of the loss for every element of the prediction."""
    step = 1e-6
    result = np.empty_like(prediction)
    for at in np.ndindex(prediction.shape):
        moved = prediction.copy()
        moved[at] += step
        above = loss(moved, target, weight)[0]
        moved[at] -= 2 * step
        result[at] = (above - loss(moved, target, weight)[0]) / (2 * step)
    return result


def test_every_loss_is_tested():
    assert set(OPTIONS) == set(LOSSES)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_value_is_the_mean_of_the_definition(name, options, weighted):
    rng = generator()
    loss = make_loss(name, **options)
    prediction, target = example(loss, rng)
    weight = rng.uniform(0, 2, SHAPE) if weighted else np.ones(SHAPE)
    weight[1, 2] = 0 if weighted else 1
    expected = np.sum(weight * naive(loss, prediction, target)) / np.sum(weight)
    actual, _ = loss(prediction, target, weight if weighted else None)
    assert actual == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradient_agrees_with_central_differences(name, options, weighted):
    rng = generator()
    loss = make_loss(name, **options)
    prediction, target = example(loss, rng)
    weight = rng.uniform(0, 2, (SHAPE[0], 1)) if weighted else None
    if weight is not None:
        weight[2] = 0
    _, gradient = loss(prediction, target, weight)
    np.testing.assert_allclose(gradient, differences(loss, prediction, target, weight), rtol=0, atol=1e-8)
    if weight is not None:
        assert (gradient[2] == 0).all()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_float32_agrees_with_float64_and_keeps_its_type(name, options):
    loss = make_loss(name, **options)
    prediction, target = example(loss, generator(), np.float32)
    value, gradient = loss(prediction, target)
    expected, slopes = loss(prediction.astype(np.float64), target)
    assert gradient.dtype == np.float32
    assert value == pytest.approx(expected, rel=2e-6)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_has_weight_zero_does_not_exist(name, options):
    """NaN there changes neither the value nor any other gradient; its own gradient is 0."""
    loss = make_loss(name, **options)
    prediction, target = example(loss, generator())
    weight = np.ones(SHAPE)
    weight[0, 1] = weight[3] = 0
    expected, slopes = loss(prediction, target, weight)
    prediction[weight == 0] = np.nan
    target = target.copy()
    target[weight == 0] = -1 if target.dtype.kind == "i" else np.nan
    value, gradient = loss(prediction, target, weight)
    assert value == expected
    np.testing.assert_array_equal(gradient, slopes)
    assert (gradient[weight == 0] == 0).all()
    assert np.abs(gradient[weight == 1]).max() > 0


@pytest.mark.parametrize(("name", "options"), CASES)
def test_nothing_counted_is_zero(name, options):
    loss = make_loss(name, **options)
    prediction, target = example(loss, generator())
    value, gradient = loss(prediction, target, np.zeros(SHAPE))
    assert value == 0.0
    assert (gradient == 0).all()
    value, gradient = loss(prediction[:0], target[:0])
    assert value == 0.0
    assert gradient.shape == prediction[:0].shape


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_prediction_that_is_not_finite_shows_in_the_value(name, options, bad):
    loss = make_loss(name, **options)
    prediction, target = example(loss, generator(), np.float32)
    if name == "sigmoid_cross_entropy":
        target[0, 0] = 1 if bad < 0 else 0  # the side on which the loss is infinite
    if name == "softmax_cross_entropy":
        target[0, 0] = 0
    prediction[(0,) * prediction.ndim] = bad
    assert not math.isfinite(loss(prediction, target)[0])


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "softmax_cross_entropy"])
def test_a_counted_nan_target_shows_in_the_value_and_gradient(name):
    loss = make_loss(name)
    prediction, target = example(loss, generator())
    target[1, 1] = np.nan
    value, gradient = loss(prediction, target)
    assert math.isnan(value)
    assert np.isnan(gradient[1, 1]).all()
    assert np.isfinite(gradient[0]).all()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradient_may_be_written_over_the_prediction(name, options):
    loss = make_loss(name, **options)
    prediction, target = example(loss, generator())
    value, gradient = loss(prediction, target)
    again, written = loss(prediction, target, None, prediction)
    assert again == value
    assert written is prediction
    np.testing.assert_array_equal(written, gradient)


def test_softmax_survives_huge_logits():
    loss = make_loss("softmax_cross_entropy")
    prediction = np.array([[1e30, 0, -1e30], [-1e4, 0, -1e4]], np.float32)
    value, gradient = loss(prediction, np.array([0, 1]))
    assert value == 0.0
    assert (gradient == 0).all()
    value, gradient = loss(np.array([[1000.0, 0.0]]), np.array([1]))
    assert value == 1000.0
    np.testing.assert_array_equal(gradient, [[1, -1]])


def test_sigmoid_survives_huge_logits():
    value, gradient = make_loss("sigmoid_cross_entropy")(np.array([900.0, -900.0]), np.array([0.0, 0.0]))
    assert value == 450.0
    np.testing.assert_array_equal(gradient, [0.5, 0.0])


@pytest.mark.parametrize("classes", [65, 1000])
def test_softmax_in_chunks_agrees_with_one_piece(classes, monkeypatch):
    rng = generator()
    prediction, target = rng.standard_normal((50, classes)), rng.integers(0, classes, 50)
    loss, numpy = make_loss("softmax_cross_entropy"), Engine("numpy")
    value, gradient = loss(prediction, target, engine=numpy)
    nats = loss.nats(prediction, target, numpy)
    monkeypatch.setattr(reference_ops, "CHUNK", 200)
    again, parts = loss(prediction, target, engine=numpy)
    assert again == value
    np.testing.assert_array_equal(parts, gradient)
    np.testing.assert_array_equal(loss.nats(prediction, target, numpy), nats)


def test_nats_are_the_unsmoothed_losses():
    loss = make_loss("softmax_cross_entropy", label_smoothing=0.3)
    prediction, target = example(loss, generator())
    nats = loss.nats(prediction, target)
    assert nats.dtype == np.float64
    np.testing.assert_allclose(nats, naive(make_loss("softmax_cross_entropy"), prediction, target), rtol=1e-12)
    uniform = loss.nats(np.zeros((2, 8), np.float32), np.array([0, 7]))
    np.testing.assert_allclose(uniform, math.log(8), rtol=1e-6)


def test_pinball_pulls_each_quantile_to_its_share():
    """At the best constant forecast the derivative is 0: q of the targets lie below it."""
    targets = generator().standard_normal(2001)
    loss = make_loss("pinball", quantiles=(0.1, 0.5, 0.9))
    best = np.quantile(targets, loss.quantiles)
    _, gradient = loss(np.tile(best, (len(targets), 1)), targets)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pinball_in_blocks_agrees_with_one_piece(dtype, monkeypatch):
    rng, loss = generator(), make_loss("pinball")
    prediction, target = rng.standard_normal((50, 3, 5)).astype(dtype), rng.standard_normal((50, 3)).astype(dtype)
    prediction[7, 1] = target[7, 1]  # where the slope is 0
    weight = rng.integers(0, 2, (50, 3)).astype(dtype)
    value, gradient = loss(prediction, target, weight)
    monkeypatch.setattr(losses, "BLOCK", 7)
    again, other = loss(prediction, target, weight)
    assert again == pytest.approx(value, rel=1e-14)
    np.testing.assert_array_equal(other, gradient)
    assert (gradient[7, 1] == 0).all()


def test_pinball_does_not_end_where_differences_of_float32_do():
    loss = make_loss("pinball", quantiles=(0.5, 0.9))
    prediction, target = np.full((2, 2), 3e38, np.float32), np.array([-3e38, 0], np.float32)
    value, gradient = loss(prediction, target)
    assert value == pytest.approx((0.5 + 0.1) * 9e38 / 4, rel=1e-6)
    np.testing.assert_allclose(gradient, [[0.125, 0.025]] * 2, rtol=1e-6)


def test_pinball_over_its_prediction_reports_what_is_not_finite():
    loss = make_loss("pinball", quantiles=(0.5, 0.9))
    prediction, target = np.zeros((3, 2), np.float32), np.array([1, np.nan, -1], np.float32)
    value, gradient = loss(prediction, target, None, prediction)
    assert math.isnan(value)
    assert gradient is prediction
    np.testing.assert_allclose(gradient[[0, 2]], np.array([[-0.5, -0.9], [0.5, 0.1]]) / 6, rtol=1e-6)
    assert np.isnan(gradient[1]).all()


@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    functions = {
        "mse": torch.nn.functional.mse_loss,
        "mae": torch.nn.functional.l1_loss,
        "huber": torch.nn.functional.huber_loss,
        "sigmoid_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
        "softmax_cross_entropy": lambda p, t: torch.nn.functional.cross_entropy(p.flatten(0, -2), t.flatten()),
    }
    if name not in functions:
        pytest.skip(f"torch has no {name} loss")
    loss = make_loss(name)
    prediction, target = example(loss, generator())
    p = torch.tensor(prediction, requires_grad=True)
    expected = functions[name](p, torch.tensor(target))
    expected.backward()
    value, gradient = loss(prediction, target)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_options_come_back_through_json(name, options):
    loss = make_loss(name, **options)
    assert make_loss(name, **json.loads(json.dumps(loss.options()))) == loss


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("l2", {}, "loss is one of mse, mae, huber, .*, not 'l2'"),
        ("mse", {"delta": 1}, "the mse loss has no option 'delta'; it has none"),
        ("huber", {"delta": 0}, r"delta of huber is a number in \(0, inf\), not 0"),
        ("huber", {"delta": "1"}, "not '1'"),
        ("huber", {"delta": math.nan}, "not nan"),
        ("pinball", {"quantiles": (0.5, 1.0)}, "between 0 and 1"),
        ("pinball", {"quantiles": ()}, "between 0 and 1"),
        ("pinball", {"quantiles": 0.5}, "between 0 and 1"),
        ("softmax_cross_entropy", {"label_smoothing": 1}, r"in \[0, 1\), not 1"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        make_loss(name, **options)


@pytest.mark.parametrize(
    ("name", "prediction", "target", "weight", "message"),
    [
        ("mse", np.zeros((3, 1)), np.zeros(3), None, r"shaped as the predictions, \(3, 1\), not \(3,\)"),
        ("mse", np.zeros(3), np.zeros(3), np.ones(2), r"broadcast to the targets, \(3,\), and \(2,\) does not"),
        ("mse", np.zeros(3), np.zeros(3), np.array([1, -1, 1]), "not negative"),
        ("mse", np.zeros(3), np.zeros(3), np.array([1, np.nan, 1]), "finite"),
        ("pinball", np.zeros((3, 4)), np.zeros(3), None, r"\(3, 5\), not \(3, 4\)"),
        ("student_t", np.zeros((3, 2)), np.zeros(3), None, r"3 parameters, \(3, 3\), not \(3, 2\)"),
        ("negative_binomial", np.zeros((3, 3)), np.ones((3, 2)), None, r"2 parameters, \(3, 2\), not \(3, 3\)"),
        ("negative_binomial", np.zeros((3, 2)), np.ones(3), None, r"a count and its scale, .*, not \[3\]"),
        ("negative_binomial", np.zeros((2, 2)), np.array([[1, 1], [2.5, 1]]), None, "whole numbers .*, not 2.5"),
        ("negative_binomial", np.zeros((2, 2)), np.array([[1, 1], [-2, 1]]), None, "whole numbers .*, not -2"),
        ("negative_binomial", np.zeros((2, 2)), np.array([[1, 1], [2, 0]]), None, "scales above 0, not 0"),
        ("softmax_cross_entropy", np.zeros((3, 4)), np.zeros((3, 1), int), None, r"\(3, 4\) does not fit \(3, 1\)"),
        ("softmax_cross_entropy", np.zeros((2, 4)), np.array([0, 4]), None, "ids from 0 to 3, not 4"),
        ("softmax_cross_entropy", np.zeros((2, 4)), np.array([0, -1]), None, "not -1"),
        ("softmax_cross_entropy", np.zeros((2, 4)), np.array([0.0, 1.0]), None, "integer class ids"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, prediction, target, weight, message):
    with pytest.raises(UsageError, match=message):
        make_loss(name)(prediction, target, weight)


def test_softmax_wants_contiguous_memory_for_its_gradient():
    loss = make_loss("softmax_cross_entropy")
    prediction, target = example(loss, generator())
    view = prediction.transpose(1, 0, 2)
    with pytest.raises(UsageError, match="C-contiguous"):
        loss(view, target.T, None, view)
    value, _ = loss(view, target.T)
    assert value == pytest.approx(loss(prediction, target)[0], rel=1e-14)

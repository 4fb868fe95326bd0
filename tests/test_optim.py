"""Optimisers against the papers' formulas in plain float64, and against PyTorch; clipping of their gradients."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from rnnkit._kernels import reference_ops
from rnnkit.errors import UsageError
from rnnkit.nn import optim
from rnnkit.nn.clipping import clip_by_norm, clip_by_value, factor, norm
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.optim import OPTIMIZERS, make_optimizer

OPTIONS = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True}],
    "rmsprop": [{}, {"alpha": 0.9, "momentum": 0.5}],
    "adam": [{}, {"b1": 0.8, "b2": 0.9, "eps": 1e-3}],
    "adamw": [{}, {"decay": 0.1}],
}
CASES = [(name, options) for name in OPTIMIZERS for options in OPTIONS[name]]
RTOL = {np.float32: 2e-5, np.float64: 1e-12}
SIZE = 37


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(9))


def naive(optimizer, params, gradients, rates, mask):
    """The formulas of the papers, every moment with its own factor, all in float64."""
    p = params.astype(np.float64)
    b, m, v = (np.zeros_like(p) for _ in range(3))
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = g.astype(np.float64)
        if optimizer.name == "sgd":
            b = optimizer.momentum * b + g
            p = p - lr * (g + optimizer.momentum * b if optimizer.nesterov else b)
        elif optimizer.name == "rmsprop":
            v = optimizer.alpha * v + (1 - optimizer.alpha) * g**2
            b = optimizer.momentum * b + g / (np.sqrt(v) + optimizer.eps)
            p = p - lr * b
        else:
            if optimizer.name == "adamw":
                p = p - lr * optimizer.decay * p * mask
            m = optimizer.b1 * m + (1 - optimizer.b1) * g
            v = optimizer.b2 * v + (1 - optimizer.b2) * g**2
            m_hat, v_hat = m / (1 - optimizer.b1**t), v / (1 - optimizer.b2**t)
            p = p - lr * m_hat / (np.sqrt(v_hat) + optimizer.eps)
    return p


def run(optimizer, params, gradients, rates, mask=None, dtype=np.float64, engine=ENGINE):
    """The parameters after these steps."""
    p = params.astype(dtype)
    state = optimizer.init(p.size, dtype)
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        optimizer.step(p, g.astype(dtype), state, lr, t, mask, engine=engine)
    return p


def problem(size=SIZE, steps=25):
    rng = generator()
    gradients = rng.standard_normal((steps, size)) * np.geomspace(1e-4, 1e2, size)
    gradients[:, 0] = 0  # a parameter that nothing pulls at
    return rng.standard_normal(size), gradients, np.linspace(0.01, 0.001, steps)


def test_every_optimiser_is_tested():
    assert set(OPTIONS) == set(OPTIMIZERS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("masked", [None, bool, float])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_agrees_with_the_formulas(name, options, masked, dtype):
    optimizer = make_optimizer(name, **options)
    params, gradients, rates = problem()
    mask = None if masked is None else (np.arange(SIZE) % 3 > 0).astype(masked)
    if masked is float:
        mask[5] = 0.25
    expected = naive(optimizer, params, gradients, rates, 1.0 if mask is None else mask.astype(np.float64))
    actual = run(optimizer, params, gradients, rates, mask, dtype)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize(("name", "options"), CASES)
def test_agrees_with_pytorch(name, options):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    optimizer = make_optimizer(name, **options)
    params, gradients, _ = problem()
    p = torch.tensor(params, requires_grad=True)
    if name in ("adam", "adamw"):
        own = {"betas": (optimizer.b1, optimizer.b2), "eps": optimizer.eps}
        own |= {"weight_decay": optimizer.decay} if name == "adamw" else {}
        peer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]([p], lr=0.01, **own)
    else:
        peer = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}[name]([p], lr=0.01, **optimizer.options())
    for g in gradients:
        p.grad = torch.tensor(g)
        peer.step()
    actual = run(optimizer, params, gradients, [0.01] * len(gradients))
    np.testing.assert_allclose(actual, p.detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_blocks_do_not_change_a_bit(name, options, monkeypatch):
    params, gradients, rates = problem(size=100, steps=5)
    mask = np.arange(100) % 7 > 2
    numpy = Engine("numpy")
    whole = run(make_optimizer(name, **options), params, gradients, rates, mask, np.float32, numpy)
    monkeypatch.setattr(reference_ops, "BLOCK", 9)
    parts = run(make_optimizer(name, **options), params, gradients, rates, mask, np.float32, numpy)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_going_on_from_copied_state_gives_the_same_bits(name, options):
    params, gradients, _ = problem()
    optimizer = make_optimizer(name, **options)
    p, state = params.copy(), optimizer.init(SIZE, np.float64)
    assert tuple(state) == optimizer.slots
    for t, g in enumerate(gradients, start=1):
        if t == 11:
            optimizer = make_optimizer(name, **json.loads(json.dumps(optimizer.options())))
            p, state = p.copy(), {slot: values.copy() for slot, values in state.items()}
        optimizer.step(p, g, state, 0.01, t)
    np.testing.assert_array_equal(p, run(optimizer, params, gradients, [0.01] * len(gradients)))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_allocate_next_to_nothing(name, options):
    optimizer = make_optimizer(name, **options)
    p, g = np.ones(200_000, np.float32), np.full(200_000, 0.1, np.float32)
    state = optimizer.init(p.size, p.dtype)
    optimizer.step(p, g, state, 0.01, 1)
    tracemalloc.start()
    optimizer.step(p, g, state, 0.01, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_moments_without_gradient_end_at_zero_not_among_subnormals(name, options, dtype):
    optimizer = make_optimizer(name, **options)
    p, state = np.ones(4, dtype), optimizer.init(4, dtype)
    scale = dtype(1e-9)
    optimizer.step(p, np.array([1, -1, 0, 0.5], dtype) * scale, state, 0.01, 1)
    zero = np.zeros(4, dtype)
    for t in range(2, 20_000):
        optimizer.step(p, zero, state, 0.01, t)
    smallest = np.finfo(dtype).smallest_normal
    for slot, values in state.items():
        assert ((values == 0) | (np.abs(values) >= smallest)).all(), slot
    for slot in {"b", "m"} & set(state):
        assert (state[slot] == 0).all()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_is_not_finite_stays_to_be_seen(name, options):
    optimizer = make_optimizer(name, **options)
    p = np.ones(3, np.float32)
    state = optimizer.init(3, np.float32)
    optimizer.step(p, np.array([np.nan, 1, np.inf], np.float32), state, 0.01, optim.FLUSH_EVERY)
    assert np.isnan(p[0])
    assert np.isfinite(p[1])
    assert not np.isfinite(p[2])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_finds_the_bottom_of_a_bowl(name):
    optimizer = make_optimizer(name)
    goal, p = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    state = optimizer.init(3, np.float64)
    for t in range(1, 801):
        optimizer.step(p, p - goal, state, 0.05 * (1 - t / 801), t, np.zeros(3, bool))
    np.testing.assert_allclose(p, goal, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lion", {}, "optimizer is one of adamw, adam, sgd, rmsprop, not 'lion'"),
        ("adam", {"beta": 0.9}, "the adam optimizer has no option 'beta'; it has b1, b2, eps"),
        ("adam", {"b1": 1.0}, r"b1 of adam is a number in \[0, 1\), not 1.0"),
        ("adam", {"b2": True}, "not True"),
        ("adam", {"eps": 0}, "eps of adam"),
        ("adamw", {"decay": -0.1}, "decay of adamw"),
        ("sgd", {"momentum": math.nan}, "momentum of sgd"),
        ("sgd", {"nesterov": True}, "needs a momentum above 0"),
        ("sgd", {"nesterov": 1, "momentum": 0.9}, "true or false, not 1"),
        ("rmsprop", {"alpha": "0.9"}, "alpha of rmsprop .* not '0.9'"),
    ],
)
def test_hyper_parameters_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        make_optimizer(name, **options)


def test_vectors_that_do_not_fit_are_refused():
    adam = make_optimizer("adam")
    p, state = np.ones(3), adam.init(3, np.float64)
    with pytest.raises(UsageError, match=r"float64 \(3,\), not float32 \(3,\)"):
        adam.step(p, p.astype(np.float32), state, 0.1, 1)
    with pytest.raises(UsageError, match=r"not float64 \(4,\)"):
        adam.step(p, np.ones(4), state, 0.1, 1)
    with pytest.raises(UsageError, match="lie in one piece"):
        adam.step(np.ones(6)[::2], p, state, 0.1, 1)
    with pytest.raises(UsageError, match="float32 or float64"):
        adam.step(p.astype(np.float16), p.astype(np.float16), adam.init(3, np.float16), 0.1, 1)
    with pytest.raises(UsageError, match="count from 1, not 0"):
        adam.step(p, p, state, 0.1, 0)
    with pytest.raises(UsageError, match=r"mask .* \(3,\), not \(2,\)"):
        adam.step(p, p, state, 0.1, 1, np.ones(2, bool))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norm_is_exact_to_rounding_whatever_the_blocks(dtype, monkeypatch):
    g = generator().standard_normal(100_003).astype(dtype)
    expected = math.sqrt(math.fsum(float(x) ** 2 for x in g))
    assert norm(g) == pytest.approx(expected, rel=1e-13)
    assert norm(g, Engine("numpy")) == pytest.approx(expected, rel=1e-13)
    monkeypatch.setattr(reference_ops, "BLOCK", 1000)
    assert norm(g, Engine("numpy")) == pytest.approx(expected, rel=1e-13)
    assert norm(g[:0]) == 0.0


def test_norm_of_large_float32_does_not_overflow():
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-6)


def test_clip_by_norm_scales_what_is_too_long_only():
    g = np.array([3.0, 4.0])
    assert clip_by_norm(g, 6.0) == 5.0
    np.testing.assert_array_equal(g, [3, 4])
    assert clip_by_norm(g, 1.0) == 5.0
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-15)
    assert clip_by_norm(np.zeros(3), 1.0) == 0.0
    assert clip_by_norm(g, math.inf) == pytest.approx(1.0, rel=1e-15)


def test_a_step_scales_and_clears_in_passing():
    """Clipped in a pass of its own or by the step, the parameters come out the same, to a bit."""
    optimizer = make_optimizer("adamw")
    params, gradients, _ = problem()
    clipped, g = gradients[0].astype(np.float32), gradients[0].astype(np.float32)
    clip_by_norm(clipped, 1.0)
    p, q = params.astype(np.float32), params.astype(np.float32)
    optimizer.step(p, clipped, optimizer.init(SIZE, np.float32), 0.01, 1)
    optimizer.step(q, g, optimizer.init(SIZE, np.float32), 0.01, 1, scale=factor(norm(g), 1.0), clear=True)
    np.testing.assert_array_equal(p, q)
    assert clipped.any()
    assert not g.any()
    assert factor(2.0, 4.0) == factor(math.inf, 4.0) == 1.0
    assert factor(8.0, 4.0) == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clip_by_norm_leaves_what_is_not_finite_alone(bad):
    g = np.array([3.0, bad, 4.0], np.float32)
    assert not math.isfinite(clip_by_norm(g, 1.0))
    np.testing.assert_array_equal(g, np.array([3.0, bad, 4.0], np.float32))


def test_clip_by_value_keeps_nan():
    g = np.array([-3.0, 0.2, np.nan, 5.0, np.inf])
    clip_by_value(g, 1.0)
    np.testing.assert_array_equal(g, [-1, 0.2, np.nan, 1, 1])


@pytest.mark.parametrize("limit", [0, -1.0, math.nan])
def test_a_limit_must_be_positive(limit):
    for clip in (clip_by_norm, clip_by_value):
        with pytest.raises(UsageError, match="clip is a number above 0"):
            clip(np.ones(2), limit)

"""Every backend's operations against the NumPy definition: values, every gradient, both dtypes, odd sizes, promises."""

import numpy as np
import pytest

from rnnkit._kernels import operations
from rnnkit._kernels.operations import PARTS, load_ops
from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent, Tape
from rnnkit.nn.losses import make_loss

DENSE = [  # N, K, V: single rows, inputs and outputs; around the widths of groups, panels, tiles and chunks
    (1, 1, 1),
    (1, 256, 65),
    (7, 5, 2),
    (40, 1, 17),
    (100, 33, 66),
    (300, 64, 65),
    (523, 20, 128),
    (13, 600, 31),
    (9, 3, 10_007),
    (2, 1030, 1),
]
LOGITS = [(1, 1), (3, 2), (5, 16), (64, 65), (7, 513), (2, 10_007)]
NORMS = [(1, 1), (1, 7), (5, 1), (7, 16), (40, 33), (513, 64), (3, 700)]
VECTORS = [1, 15, 16, 37, 100_003]
RULES = {"sgd": (0, 0), "rmsprop": (0, 1), "adam": (1, 1), "sgd with momentum": (1, 0), "rmsprop with momentum": (1, 1)}
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
THREADS = (2, 3, 4)


@pytest.fixture
def ops(backend):
    return load_ops(backend)


@pytest.fixture
def truth():
    return load_ops("numpy")


def close(actual, expected, room=1.0):
    """Equal to the tolerance of the dtype times the scale of the values and ``room``."""
    assert actual.dtype == expected.dtype
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=room * scale * TOLERANCE[expected.dtype.name])


def dense_results(ops, arrays, activation="linear", threads=1, dx=True):
    """y, dW, db and dx of one layer."""
    W, b, x, da, start = arrays
    weights = ops.dense(W, b)
    y = np.full_like(da, 7)
    ops.dense_forward(weights, x, activation, y, threads)
    dW, db, back = start.copy(), b.copy(), np.full_like(x, 7) if dx else None
    ops.dense_backward(weights, x, da, dW, db, back, threads)
    return [y, dW, db] + ([back] if dx else [])


def dense_arrays(rng, shape, dtype):
    N, K, V = shape
    shapes = (K, V), (V,), (N, K), (N, V), (K, V)
    return [rng.standard_normal(shape).astype(dtype) / np.sqrt(shape[0], dtype=dtype) for shape in shapes]


def test_every_backend_has_operations(backend):
    assert all(map(callable, operations.load_ops(backend)))


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("shape", DENSE, ids=str)
def test_dense_equals_the_definition(ops, truth, dtype, shape, activation, rng):
    arrays = dense_arrays(rng, shape, dtype)
    pairs = zip(dense_results(ops, arrays, activation), dense_results(truth, arrays, activation), strict=True)
    for actual, expected in pairs:
        close(actual, expected, room=4)


@pytest.mark.parametrize("shape", [*DENSE, (2000, 64, 65), (2000, 65, 64), (3, 600, 700)], ids=str)
def test_dense_has_the_same_bytes_at_any_number_of_threads(ops, backend, shape, rng):
    if backend != "cython":
        pytest.skip(f"{backend}: dense layers are NumPy's, whose BLAS is outside the same-bits promise")
    arrays = dense_arrays(rng, shape, np.float32)
    expected = [result.tobytes() for result in dense_results(ops, arrays)]
    for threads in THREADS:
        assert [result.tobytes() for result in dense_results(ops, arrays, threads=threads)] == expected
    assert [result.tobytes() for result in dense_results(ops, arrays, dx=False)] == expected[:3]


def test_a_row_has_the_same_bytes_in_any_batch(ops, backend, rng):
    if backend != "cython":
        pytest.skip(f"{backend}: dense layers are NumPy's, whose BLAS is outside the same-bits promise")
    W, b, x, da, start = dense_arrays(rng, (50, 37, 65), np.float32)
    whole = dense_results(ops, (W, b, x, da, start))[0]
    for row in (0, 7, 49):
        alone = dense_results(ops, (W, b, x[row : row + 1].copy(), da[row : row + 1].copy(), start))[0]
        assert alone.tobytes() == whole[row].tobytes()


def test_no_rows_change_nothing(ops, dtype, rng):
    arrays = dense_arrays(rng, (1, 4, 5), dtype)
    W, b, x, da, start = arrays
    y, dW, db, dx = dense_results(ops, (W, b, x[:0], da[:0], start))
    assert y.shape == (0, 5)
    assert dx.shape == (0, 4)
    np.testing.assert_array_equal(dW, start)
    np.testing.assert_array_equal(db, b)
    norm = norm_arrays(rng, (0, 4), dtype)
    np.testing.assert_array_equal(norm_results(ops, *norm)[3], norm[4])


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid"])
def test_dense_keeps_what_is_not_finite(ops, dtype, activation, rng):
    """A NaN in a row shows in all of that row and in no other; the columns beyond whole groups included."""
    W, b, x, da, start = dense_arrays(rng, (20, 6, 65), dtype)
    x[3, 2] = np.nan
    y, dW, _, _ = dense_results(ops, (W, b, x, da, start), activation)
    assert np.isnan(y[3]).all()
    assert np.isfinite(np.delete(y, 3, axis=0)).all()
    assert np.isnan(dW[2]).all()
    assert np.isfinite(np.delete(dW, 2, axis=0)).all()


@pytest.mark.parametrize(("N", "width", "size"), [(1, 1, 1), (40, 7, 5), (3000, 64, 65), (9, 100, 10_007)])
def test_embeddings_gather_and_add_in_order(ops, truth, dtype, N, width, size, rng):
    ids = rng.integers(0, size, N).astype(np.intp)
    table, dy = (rng.standard_normal((rows, width)).astype(dtype) for rows in (size, N))
    y = np.empty_like(dy)
    ops.gather(table, ids, y, 1)
    np.testing.assert_array_equal(y, table[ids])
    actual, expected = table.copy(), table.astype(np.float64)
    ops.scatter(dy, ids, actual, 1)
    np.add.at(expected, ids, dy.astype(np.float64))
    close(actual, expected.astype(dtype), room=4)
    for threads in THREADS:
        again, rows = table.copy(), np.empty_like(dy)
        ops.scatter(dy, ids, again, threads)
        ops.gather(table, ids, rows, threads)
        assert again.tobytes() == actual.tobytes()
        assert rows.tobytes() == y.tobytes()


def loss_results(ops, z, ids, weight=None, smooth=0.0, threads=1, gradient=True):
    g, losses = np.full_like(z, 7), np.full(len(ids), 7.0)
    ops.softmax_cross_entropy(z, ids, weight, 1 / len(ids), smooth, g if gradient else None, losses, threads)
    return losses, g


@pytest.mark.parametrize("smooth", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", LOGITS, ids=str)
def test_softmax_equals_the_definition(ops, truth, dtype, shape, weighted, smooth, rng):
    z = (4 * rng.standard_normal(shape)).astype(dtype)
    ids = rng.integers(0, shape[1], shape[0]).astype(np.intp)
    weight = rng.integers(0, 3, shape[0]).astype(np.float64) if weighted else None
    losses, g = loss_results(ops, z, ids, weight, smooth)
    expected = loss_results(truth, z.astype(np.float64), ids, weight, smooth)
    np.testing.assert_allclose(losses, expected[0], rtol=0, atol=20 * TOLERANCE[dtype.name])
    close(g, expected[1].astype(dtype))
    alone, _ = loss_results(ops, z, ids, weight, smooth, gradient=False)
    np.testing.assert_array_equal(alone, losses)
    over = z.copy()
    ops.softmax_cross_entropy(over, ids, weight, 1 / len(ids), smooth, over, losses, 1)
    np.testing.assert_array_equal(over, g)


def test_softmax_has_the_same_bytes_at_any_number_of_threads(ops, rng):
    z, ids = rng.standard_normal((999, 65)).astype(np.float32), rng.integers(0, 65, 999)
    expected = [result.tobytes() for result in loss_results(ops, z, ids)]
    for threads in THREADS:
        assert [result.tobytes() for result in loss_results(ops, z, ids, threads=threads)] == expected


def test_exponentials_are_exact_to_rounding(ops):
    """In float32 to 2e-7 of the value: of two classes, the smaller one's probability is e^−d/(1 + e^−d)."""
    d = np.linspace(0, 86, 40_001).astype(np.float32)
    z = np.stack([np.zeros_like(d), -d], axis=1)
    g = np.empty_like(z)
    ops.softmax_cross_entropy(z, np.zeros(len(d), np.intp), None, 1.0, 0.0, g, np.empty(len(d)), 1)
    e = np.exp(-d.astype(np.float64))
    np.testing.assert_allclose(g[:, 1], e / (1 + e), rtol=3.5e-7)  # with the rounding of a sum and a product


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 15, 40, 64])
def test_logits_that_are_not_finite_show_in_their_row(ops, dtype, bad, at, rng):
    z, ids = rng.standard_normal((6, 65)).astype(dtype), np.full(6, at, np.intp)
    z[2, at] = bad
    losses, g = loss_results(ops, z, ids)
    assert not np.isfinite(losses[2])
    assert np.isfinite(np.delete(losses, 2)).all()
    assert np.isfinite(np.delete(g, 2, axis=0)).all()
    assert np.isnan(g[2]).any() or bad == -np.inf
    weight = np.ones(6)
    weight[2] = 0
    losses, g = loss_results(ops, z, ids, weight)
    assert losses[2] == 0
    assert not g[2].any()


def norm_results(ops, x, gain, shift, dy, start, threads=1, over=False):
    """y, stats, dx, dgain and dshift, the last two added to ``start``."""
    y, stats, dx = np.full_like(x, 7), np.full((len(x), 2), 7, x.dtype), dy.copy() if over else np.full_like(x, 7)
    ops.layer_norm(x, gain, shift, y, stats, threads)
    dgain, dshift = start.copy(), 2 * start
    sums = np.full((PARTS, 2, x.shape[1]), 7, x.dtype)
    ops.layer_norm_backward(x, gain, stats, dx if over else dy, dx, sums, dgain, dshift, threads)
    return [y, stats, dx, dgain, dshift]


def norm_arrays(rng, shape, dtype):
    x, dy = (rng.standard_normal(shape) for _ in range(2))
    rest = (rng.standard_normal(shape[1]) for _ in range(3))
    gain, shift, start = rest
    return [a.astype(dtype) for a in (3 * x + 2, gain, shift, dy, start)]


@pytest.mark.parametrize("shape", NORMS, ids=str)
def test_layer_norm_equals_the_definition(ops, truth, dtype, shape, rng):
    arrays = norm_arrays(rng, shape, dtype)
    actual = norm_results(ops, *arrays)
    expected = norm_results(truth, *(a.astype(np.float64) for a in arrays))
    for a, b in zip(actual, expected, strict=True):
        close(a, b.astype(dtype), room=8 if shape[1] > 1 else 400)  # one number: dx is the difference of equal sums
    over = norm_results(ops, *arrays, over=True)
    assert [a.tobytes() for a in over] == [a.tobytes() for a in actual]


def test_layer_norm_is_what_it_says(truth):
    """By hand: rows of mean 2 and variance 1 or 0."""
    x = np.array([[1.0, 3.0], [2.0, 2.0]])
    y, stats, dx, dgain, dshift = norm_results(
        truth, x, np.array([2.0, 1.0]), np.array([0.5, 0.0]), np.ones((2, 2)), np.zeros(2)
    )
    r = 1 / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(stats, [[2, r], [2, 1 / np.sqrt(1e-5)]])
    np.testing.assert_allclose(y, [[0.5 - 2 * r, r], [0.5, 0]])
    np.testing.assert_allclose(dgain, [-r, r])
    np.testing.assert_allclose(dshift, [2, 2])
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-12)


def test_layer_norm_has_the_same_bytes_at_any_number_of_threads(ops, dtype, rng):
    arrays = norm_arrays(rng, (999, 130), dtype)
    expected = [a.tobytes() for a in norm_results(ops, *arrays)]
    for threads in THREADS:
        assert [a.tobytes() for a in norm_results(ops, *arrays, threads=threads)] == expected


def test_layer_norm_keeps_what_is_not_finite_in_its_row(ops, dtype, rng):
    x, gain, shift, dy, start = norm_arrays(rng, (5, 37), dtype)
    x[2, 36] = np.nan
    y, _, dx, dgain, _ = norm_results(ops, x, gain, shift, dy, start)
    assert np.isnan(y[2]).all()
    assert np.isnan(dx[2]).all()
    assert np.isnan(dgain).all()
    assert np.isfinite(np.delete(y, 2, axis=0)).all()
    assert np.isfinite(np.delete(dx, 2, axis=0)).all()


def test_layer_norm_equals_torch(ops, dtype, rng):
    torch = pytest.importorskip("torch")
    x, gain, shift, dy, _ = norm_arrays(rng, (23, 45), dtype)
    layer = torch.nn.LayerNorm(45, dtype=getattr(torch, dtype.name))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(gain))
        layer.bias.copy_(torch.from_numpy(shift))
    inputs = torch.tensor(x, requires_grad=True)
    outputs = layer(inputs)
    outputs.backward(torch.from_numpy(dy))
    y, _, dx, dgain, dshift = norm_results(ops, x, gain, shift, dy, np.zeros(45, dtype))
    theirs = (outputs.detach(), inputs.grad, layer.weight.grad, layer.bias.grad)
    for actual, expected in zip((y, dx, dgain, dshift), theirs, strict=True):
        close(actual, expected.numpy(), room=8)


def step_arrays(rng, n, dtype, rule):
    p, g, m, v = (rng.standard_normal(n).astype(dtype) for _ in range(4))
    has_m, has_v = RULES[rule]
    return p, g, m if has_m else None, abs(v) if has_v else None


def stepped(ops, rule, arrays, threads=1, mask=None, nesterov=False, clear=False):
    """p, g, m and v after a step."""
    p, g, m, v = (None if a is None else a.copy() for a in arrays)
    scalars = (0.01, 1e-8, 0.9, 0.99, nesterov)
    ops.step(rule.split()[0], p, g, m, v, mask, scalars, 0.5, 0.1, 1e-3, clear, threads)
    return [a for a in (p, g, m, v) if a is not None]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", VECTORS)
def test_steps_equal_the_definition(ops, truth, dtype, n, rule, masked, rng):
    arrays = step_arrays(rng, n, dtype, rule)
    mask = (np.arange(n) % 3 > 0).view(np.uint8) if masked else None
    for nesterov in (False, True) if rule == "sgd with momentum" else (False,):
        actual = stepped(ops, rule, arrays, mask=mask, nesterov=nesterov)
        expected = stepped(truth, rule, arrays, mask=mask, nesterov=nesterov)
        for a, b in zip(actual, expected, strict=True):
            close(a, b)
        for threads in THREADS:
            again = stepped(ops, rule, arrays, threads, mask, nesterov)
            assert [a.tobytes() for a in again] == [a.tobytes() for a in actual]
    cleared = stepped(ops, rule, arrays, mask=mask, clear=True)
    assert not cleared[1].any()


def test_small_moments_become_zero(ops, dtype, rng):
    p, g = (rng.standard_normal(20).astype(dtype) for _ in range(2))
    g[:10] = 0
    m, v = np.full(20, -1e-4, dtype), np.full(20, 1e-5, dtype)
    ops.step("adam", p, g, m, v, None, (0.01, 1e-8, 0.9, 0.99, False), 1.0, 0.0, 1e-3, False, 1)
    assert not m[:10].any()
    assert not v[:10].any()
    assert m[10:].all()


@pytest.mark.parametrize("n", [0, *VECTORS])
def test_norm_has_the_same_bytes_at_any_number_of_threads(ops, dtype, n, rng):
    g = rng.standard_normal(n).astype(dtype)
    expected = ops.square_sum(g, 1)
    assert expected == pytest.approx(float(np.sum(g.astype(np.float64) ** 2)), rel=1e-12)
    assert {ops.square_sum(g, threads) for threads in THREADS} == {expected}
    if n:
        g[-1] = np.nan
        assert np.isnan(ops.square_sum(g, 2))


def test_a_network_hands_its_backend_and_threads_to_every_layer(backend):
    network = Network(Chain((Embedding(5, 3), Recurrent("gru", 3, 4), Dense(4, 5)))).configure(backend, 3)
    embedding, recurrent, dense = network.root.layers
    for engine in (network.engine, embedding.engine, dense.engine):
        assert engine.ops is load_ops(backend)
        assert engine.threads == 3
    assert recurrent.threads == network.threads == 3


def test_a_gradient_written_over_the_output_changes_no_gradient(backend, rng):
    """Layers that allow it do not read what they returned; those that read it say so."""
    network = Network(Chain((Embedding(5, 3), Recurrent("gru", 3, 4), Dense(4, 6)))).configure(backend, 1)
    loss, ids = make_loss("softmax_cross_entropy"), rng.integers(0, 5, (7, 2))
    found = []
    for over in (False, True):
        network.parameters.clear()
        tape = Tape()
        y, _ = network.forward(ids, tape=tape)
        _, dy = loss(y, ids, out=y if over else None, engine=network.engine)
        network.backward(dy, tape)
        found.append(network.parameters.grads.copy())
    np.testing.assert_array_equal(*found)
    assert network.root.spares_output()
    assert not Dense(3, 4, "tanh").spares_output()
    assert not Recurrent("gru", 3, 4).spares_output()

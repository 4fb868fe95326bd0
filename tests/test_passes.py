"""Recomputation, both directions at once, and rounded products: what they may change, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit._kernels import PRECISIONS, load
from rnnkit._kernels.quantization import rounded
from rnnkit.errors import UsageError
from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent, Tape, memory, passes
from rnnkit.nn.memory import recompute_steps
from rnnkit.nn.passes import Pass, piece_steps, unit_steps
from rnnkit.nn.threads import together

T, B, H = 23, 5, 6
LENGTHS = [None, np.array([23, 0, 9, 12, 1])]


def results(layer, x, lengths=None, **configuration):
    """Bytes of every output, final state and gradient of two passes on one tape."""
    layer.configure(**{"threads": 1, **configuration})
    tape = Tape(seed=2)
    for step in range(2):
        layer.bound().clear()
        state = tuple(np.full_like(s, 0.3) for s in layer.zero_state(x.shape[1]))
        y, final = layer.forward(x, state, tape.begin(step, lengths=lengths))
        dy = np.cos(np.arange(y.size, dtype="f4")).reshape(y.shape)
        output = y.copy()
        dx, dstate = layer.backward(dy, tape, tuple(0.1 * s for s in final))
    arrays = [output, *final, dx, *dstate, layer.parameters.grads]
    return [array.tobytes() for array in arrays]


@pytest.fixture
def small_units(monkeypatch):
    """Units of three steps, so that short sequences have many."""
    monkeypatch.setattr(passes, "ROWS", 3 * B)
    monkeypatch.setattr(passes, "TABLES", 1)


@pytest.mark.parametrize("lengths", LENGTHS, ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_recomputing_changes_no_bit(backend, variant, bidirectional, lengths, small_units):
    layer = Recurrent(
        variant.cell.name, 4, H, layers=2, bidirectional=bidirectional, dropout=0.2,
        recurrent_dropout=0.3 if variant.cell.recurrent else 0.0, options=dict(variant.options),
    ).init(seed=1)  # fmt: skip
    x = np.random.default_rng(0).standard_normal((T, B, 4)).astype("f4")
    expected = results(layer, x, lengths, backend=backend, recompute="off")
    for steps in (1, 6, 7, T, 100):
        assert results(layer, x, lengths, backend=backend, recompute=steps) == expected


def test_recomputing_keeps_fewer_gates(small_units):
    def gates(recompute):
        layer = Recurrent("lstm", 4, H).init().configure("numpy", 1, recompute)
        tape = Tape()
        layer.forward(np.ones((T, B, 4), np.float32), None, tape.begin())
        return next(len(walk.kept.saved) for walk in tape._kept.values() if isinstance(walk, Pass))

    assert [gates(steps) for steps in ("off", 1, 4, 100)] == [T, 3, 6, T]


def test_recomputing_with_token_ids(small_units):
    ids = np.random.default_rng(0).integers(0, 7, (T, B))

    def gradients(backend, recompute):
        tree = Chain((Embedding(7, 4), Recurrent("gru", 4, H, bidirectional=True), Dense(2 * H, 3)))
        network = Network(tree, seed=1).configure(backend, 1, recompute)
        tape = Tape()
        y, _ = network.forward(ids, None, tape.begin())
        network.backward(np.cos(y), tape)
        return network.parameters.grads.tobytes()

    assert gradients("numpy", 1) == gradients("numpy", "off")
    assert gradients("auto", 4) == gradients("auto", "off")


def test_what_is_recomputed():
    assert recompute_steps("off", 10_000, 1 << 60) == 0
    assert recompute_steps("auto", 10_000, 1000) == 0
    assert recompute_steps("auto", 10_000, memory.available()) == 100
    assert recompute_steps(7, 10_000, 0) == 7
    assert unit_steps(32) * 32 >= passes.ROWS > (unit_steps(32) - 1) * 32
    assert unit_steps(1, 1000) == passes.TABLES * 1000
    assert piece_steps(0, 100, 7) == 100
    assert piece_steps(10, 100, 7) == 14
    assert piece_steps(1, 5, 7) == 5


@pytest.mark.parametrize("wrong", [0, -3, "some", "1.5"])
def test_wrong_settings_are_one_sentence(wrong):
    with pytest.raises(UsageError, match="--recompute is auto, off or a whole number of steps"):
        Recurrent("gru", 2, 3).configure(recompute=wrong)
    with pytest.raises(UsageError, match="--precision is one of float32, bfloat16, not 'half'"):
        Recurrent("gru", 2, 3).configure(precision="half")


# -- both directions at once --------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_both_directions_at_once_change_no_bit(backend, variant, threads, monkeypatch):
    if not load(backend, variant.name).concurrent:
        pytest.skip(f"{backend}: its passes run in one thread")
    layer = Recurrent(variant.cell.name, 4, 20, layers=2, bidirectional=True, options=dict(variant.options)).init(1)
    x = np.random.default_rng(0).standard_normal((9, 40, 4)).astype("f4")
    expected = results(layer, x, backend=backend)
    seen = []
    for least in (0, 1 << 60):
        monkeypatch.setattr(passes, "TOGETHER", least)
        monkeypatch.setattr("rnnkit.nn.recurrent.threads_.together", lambda a, b: seen.append(a) or together(a, b))
        assert results(layer, x, backend=backend, threads=threads) == expected
    assert len(seen) == 2 * 2 * 2  # levels, ways and steps of the first round alone


def test_small_passes_and_single_threads_go_one_after_the_other():
    layer = Recurrent("gru", 4, 5, bidirectional=True).init()
    layer.forward(np.ones((3, 2, 4), np.float32), None, tape := Tape())
    small = tape.pop(layer)[1][0][0][0]
    assert isinstance(small, Pass)
    assert not small.together(2)
    large = Recurrent("gru", 64, 256, bidirectional=True).init().configure("cython", 2)
    sizes = large._sizes(0, 100, 8, 0, True)
    assert sizes.steps * sizes.rows * sizes.cost > passes.TOGETHER


# -- rounded products ---------------------------------------------------------------------------


def low(array):
    return rounded(array, "bfloat16")


def test_rounding_to_bfloat16():
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -(1 + 2**-9), 3e38, 0, np.inf, np.nan], "f4")
    expected = np.array([1, 1, 1 + 2**-6, 1 + 2**-7, -1, 3.0041e38, 0, np.inf, np.nan], "f4")
    np.testing.assert_allclose(low(values), expected, rtol=1e-4)
    np.testing.assert_array_equal(low(values[:5]), expected[:5])
    assert low(np.array([-0.0], "f4")).tobytes() == np.array([-0.0], "f4").tobytes()


def cuts_of(array):
    """The largest distance to the numbers that bfloat16 has, relative."""
    return np.abs(array - low(array)).max()


def test_bfloat16_is_near_float32_and_not_it(backend, variant, make_layer):
    if "bfloat16" not in load(backend, variant.name).precisions:
        pytest.skip(f"{backend}: it has no bfloat16 products")
    layer = make_layer(variant, (6, 5, 9, 12), "float32", masked=True)
    exact, cut = layer.run("numpy"), layer.run(backend, precision="bfloat16")
    for name, value in exact.items():
        scale = np.abs(value).max()
        error = np.abs(cut[name] - value).max() / scale
        assert 1e-5 < error < 0.06, (name, error)
    assert cuts_of(cut["h"][1:]) > 0  # states are not rounded


def test_bfloat16_equals_the_reference(backend, variant, make_layer):
    if "bfloat16" not in load(backend, variant.name).precisions:
        pytest.skip(f"{backend}: it has no bfloat16 products")
    layer = make_layer(variant, (6, 5, 9, 12), "float32", ragged=True, reverse=True)
    expected, actual = layer.run("numpy", precision="bfloat16"), layer.run(backend, precision="bfloat16")
    for name, value in expected.items():  # a sum in another order may round a factor the other way
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=4e-3 * np.abs(value).max(), err_msg=name)


def test_products_of_bfloat16_numbers_are_exact(make_layer, assert_close):
    layer = make_layer("lstm", (1, 5, 9, 12), "float32")
    layer.x = low(layer.x)
    layer.initial[0] = low(layer.initial[0])
    layer.params |= {name: low(layer.params[name]) for name in "WR"}
    exact, cut = layer.run("numpy"), layer.run("numpy", precision="bfloat16")
    assert_close({name: cut[name] for name in "hc"}, {name: exact[name] for name in "hc"})


def test_bfloat16_wants_float32(backend):
    kernels = load(backend, "lstm")
    if "bfloat16" in kernels.precisions:
        params = {"W": np.ones((1, 4)), "R": np.ones((1, 4)), "b": np.ones(4)}
        with pytest.raises(UsageError, match="bfloat16"):
            kernels.prepare(params, None, "bfloat16")
        return
    with pytest.raises(UsageError, match=f"the {backend} backend has no bfloat16 products") as caught:
        Recurrent("lstm", 2, 3).init().configure(backend, 1, precision="bfloat16")
    assert "\n" not in str(caught.value)


def test_layers_use_the_precision():
    x = np.random.default_rng(0).standard_normal((5, 3, 4)).astype("f4")
    layer = Recurrent("gru", 4, 6).init(seed=1)
    exact, rounded = (layer.configure("numpy", 1, precision=p).forward(x)[0].copy() for p in PRECISIONS)
    assert 1e-5 < np.abs(exact - rounded).max() < 0.02

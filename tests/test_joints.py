"""Layer normalisation, residual sums and tied weights: gradients, backends, buffers, files, and writing with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jobs import one_by_one

from rnnkit._kernels.generation import TABLE
from rnnkit._kernels.quantization import WEIGHTS
from rnnkit.errors import UsageError
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent, Tape, gradcheck, layer_from, passes
from rnnkit.nn.generation import Writer
from rnnkit.nn.memory import traced

GRADIENT = 1e-6  # relative error of gradients in float64
LENGTHS = [None, np.array([3, 0, 4])]
JOINTS = [(True, False), (False, True), (True, True)]
NAMES = ["norm", "residual", "both"]
WRITING = {"float32": 1e-5, "bfloat16": 1e-5, "int8": 0.02}  # int8: a last bit may tip a number to the next


def shaken(layer, dtype="float64", backend="numpy", threads=1):
    """The layer or network with every parameter away from where it starts."""
    network = Network(layer.init(3, dtype)).configure(backend, threads)
    rng = np.random.default_rng(11)
    for name in network.parameters:
        value = network.parameters.value(name)
        value += 0.2 * rng.standard_normal(value.shape)
    network.parameters.touch()
    return network


def stack(variant, inputs, hidden, **more):
    return Recurrent(variant.cell.name, inputs, hidden, options=dict(variant.options), **more)


def language(variant, norm=True, residual=True, tied=True, V=30, H=20, layers=3, **more):
    """A network that can write, with dropout wherever there may be some."""
    recurrent = stack(variant, H, H, layers=layers, dropout=0.2, norm=norm, residual=residual, **more)
    return Chain((Embedding(V, H), Dropout(0.1), recurrent, Dropout(0.3), Dense(H, V, tied="0.E" if tied else "")))


# -- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", LENGTHS, ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize(("norm", "residual"), JOINTS, ids=NAMES)
def test_gradients(variant, norm, residual, bidirectional, lengths):
    rng = np.random.default_rng(5)
    layer = stack(variant, 2, 3, layers=2, bidirectional=bidirectional, dropout=0.3, norm=norm, residual=residual)
    network = shaken(layer)
    state = tuple(rng.standard_normal(s.shape) for s in layer.zero_state(3))
    errors = gradcheck(network, rng.standard_normal((4, 3, 2)), state, lengths=lengths)
    assert set(errors) == {*network.parameters, "x", *(f"state.{i}" for i in range(len(state)))}
    assert ("norm2.gain" in errors) == norm
    assert max(errors.values()) <= GRADIENT, errors


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (4, 1, 7)], ids=str)
def test_gradients_of_odd_shapes(shape):
    T, B, H = shape
    network = shaken(Recurrent("gru", H, H, layers=3, norm=True, residual=True))
    errors = gradcheck(network, np.random.default_rng(2).standard_normal((T, B, H)))
    assert max(errors.values()) <= GRADIENT * (1 if H > 1 else 100), errors


def test_gradients_of_a_tied_table(variant):
    ids = np.random.default_rng(1).integers(0, 7, (5, 2))
    for norm, residual in [(False, False), (True, True)]:
        network = shaken(language(variant, norm, residual, V=7, H=4, layers=2))
        errors = gradcheck(network, ids)
        assert {"0.E", "4.b"} <= set(errors)
        assert "4.W" not in errors
        assert max(errors.values()) <= GRADIENT, errors


def test_both_users_of_a_table_add_to_its_gradient(backend, variant):
    """The gradient of the table is that of an embedding and of weights apart, the latter turned."""
    ids = np.random.default_rng(1).integers(0, 7, (6, 4))
    tied = shaken(language(variant, V=7, H=5), backend=backend)
    apart = Network(language(variant, tied=False, V=7, H=5), dtype="float64").configure(backend, 1)
    for name in apart.parameters:
        apart.parameters.value(name)[...] = tied.parameters.value(name)
    apart.parameters.touch()
    outputs = []
    for network in (tied, apart):
        tape = Tape(seed=3)
        y, _ = network.forward(ids, None, tape.begin(step=2))
        network.backward(np.cos(np.arange(y.size)).reshape(y.shape), tape)
        outputs.append(y)
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-12)
    both = apart.parameters.grad("0.E") + apart.parameters.grad("4.W").T
    np.testing.assert_allclose(tied.parameters.grad("0.E"), both, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tied.parameters.grad("2.l0.W"), apart.parameters.grad("2.l0.W"), rtol=0, atol=1e-12)


# -- backends and promises -----------------------------------------------------------------------


def results(layer, x, lengths=None, dtype="float64", **how):
    """y, final state and gradients of a second pass on one tape."""
    network = shaken(layer, dtype).configure(**{"threads": 1, **how})
    tape = Tape(seed=2)
    for step in range(2):
        network.parameters.clear()
        y, final = network.forward(x, None, tape.begin(step, lengths=lengths))
        output = y.copy()
        dy = np.cos(np.arange(y.size, dtype=dtype)).reshape(y.shape)
        if lengths is not None:
            dy[np.arange(len(y))[:, None] >= lengths] = np.nan
        dx, dstate = network.backward(dy, tape, tuple(0.1 * s for s in final), True)
    return {"y": output, "h": final[0], "dx": dx, "dh": dstate[0], "grads": network.parameters.grads}


@pytest.mark.parametrize("lengths", LENGTHS, ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize(("norm", "residual"), JOINTS, ids=NAMES)
def test_backends_equal_the_reference(backend, dtype, bidirectional, norm, residual, lengths, assert_close):
    """Whatever stands past a row's end, on either way, reaches nothing."""
    x = np.random.default_rng(0).standard_normal((4, 3, 5)).astype(dtype)
    if lengths is not None:
        x[np.arange(4)[:, None] >= lengths] = 50
    layer = Recurrent("lstm", 5, 7, layers=3, bidirectional=bidirectional, dropout=0.2, norm=norm, residual=residual)
    actual = results(layer, x, lengths, dtype.name, backend=backend)
    expected = results(layer, x, lengths, dtype.name, backend="numpy")
    if lengths is not None:
        alive = np.arange(4)[:, None] < lengths
        for name in ("y", "dx"):
            actual[name], expected[name] = actual[name][alive], expected[name][alive]
    assert all(np.isfinite(value).all() for value in expected.values())
    assert_close(actual, expected)


def test_recomputing_changes_no_bit(backend, variant, monkeypatch):
    monkeypatch.setattr(passes, "ROWS", 12)
    x = np.random.default_rng(0).standard_normal((23, 4, 6)).astype(np.float32)
    layer = stack(variant, 6, 6, layers=3, dropout=0.2, norm=True, residual=True)
    expected = results(layer, x, dtype="float32", backend=backend, recompute="off")
    again = results(layer, x, dtype="float32", backend=backend, recompute=6)
    assert [a.tobytes() for a in again.values()] == [a.tobytes() for a in expected.values()]


def test_same_bits_at_any_number_of_threads():
    pytest.importorskip("rnnkit._kernels.cython_kernels")
    x = np.random.default_rng(0).standard_normal((16, 40, 64)).astype(np.float32)
    layer = Recurrent("gru", 64, 64, layers=2, norm=True, residual=True)
    one = results(layer, x, dtype="float32", backend="cython")
    for threads in (2, 3):
        more = results(layer, x, dtype="float32", backend="cython", threads=threads)
        assert [a.tobytes() for a in more.values()] == [a.tobytes() for a in one.values()]


def test_a_stack_is_its_levels_in_turn():
    """By hand: levels of their own, sums and norms in NumPy."""
    network = shaken(Recurrent("gru", 3, 4, layers=2, norm=True, residual=True))
    p, x = network.root.p, np.random.default_rng(0).standard_normal((5, 2, 3))

    def level(number, inputs, x):
        one = Recurrent("gru", inputs, 4).init(dtype="float64").configure("numpy", 1)
        for name in ("W", "R", "b", "bn"):
            one.p[f"l0.{name}"][...] = p[f"l{number}.{name}"]
        return one.forward(x)[0]

    def normalised(number, u):
        hat = (u - u.mean(-1, keepdims=True)) / np.sqrt(u.var(-1, keepdims=True) + 1e-5)
        return hat * p[f"norm{number}.gain"] + p[f"norm{number}.shift"]

    u0 = level(0, 3, x)
    u1 = level(1, 4, normalised(1, u0)) + u0
    np.testing.assert_allclose(network.forward(x)[0], normalised(2, u1), rtol=0, atol=1e-12)


def test_steps_one_by_one_equal_the_whole(backend, variant):
    network = shaken(stack(variant, 7, 7, layers=3, norm=True, residual=True), "float32", backend)
    x = np.random.default_rng(0).standard_normal((6, 2, 7)).astype(np.float32)
    whole, final = network.forward(x)
    rows, state = one_by_one(network, x)
    np.testing.assert_allclose(rows, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state[0], final[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("norm", "residual"), JOINTS, ids=NAMES)
def test_the_estimate_is_what_a_tape_allocates_and_passes_allocate_no_more(norm, residual, bidirectional, training):
    recurrent = Recurrent(
        "lstm", 32, 32, layers=3, dropout=0.2, bidirectional=bidirectional, norm=norm, residual=residual
    )
    tied = "0.E" if recurrent.outputs == 32 else ""
    root = Chain((Embedding(50, 32), Dropout(0.1), recurrent, Dropout(0.3), Dense(recurrent.outputs, 50, tied=tied)))
    network = Network(root).configure("auto", 1)
    ids = np.random.default_rng(0).integers(0, 50, (128, 16))

    def run(tape):
        y, _ = network.forward(ids, None, tape.begin())
        if training:
            network.backward(np.ones_like(y), tape)
        return tape

    run(Tape(training=training))  # packed weights are made before
    tape = Tape(training=training)
    assert network.memory(ids.shape, training).kept == pytest.approx(traced(lambda: run(tape)), rel=0.05)
    buffers = {key: id(value) for key, value in tape._kept.items()}
    run(tape)
    assert {key: id(value) for key, value in tape._kept.items()} == buffers


# -- descriptions --------------------------------------------------------------------------------


def test_networks_without_them_are_described_as_before():
    tree = Chain((Embedding(5, 4), Recurrent("gru", 4, 4), Dense(4, 5)))
    fields = {key for layer in tree.describe()["layers"] for key in layer}
    assert not {"norm", "residual", "tied"} & fields
    tree = Chain((Embedding(5, 4), Recurrent("gru", 4, 4, norm=True, residual=True), Dense(4, 5, tied="0.E")))
    again = layer_from(json.loads(json.dumps(tree.describe())))
    assert again.describe() == tree.describe()
    assert again.layers[1].norm
    assert again.layers[1].residual
    assert again.layers[2].tied == "0.E"


def test_they_are_counted_and_told():
    network = Network(Chain((Embedding(9, 4), Recurrent("gru", 4, 4, layers=2, norm=True), Dense(4, 9, tied="0.E"))))
    rows = network.summary()
    assert [row["parameters"] for row in rows] == [36, 2 * (2 * 48 + 12 + 4) + 16, 9]
    assert sum(row["parameters"] for row in rows) == len(network.parameters)
    assert network.root.count_params() == len(network.parameters.entries)
    assert "layer norm" in rows[1]["what"]
    assert "weights of 0.E" in rows[2]["what"]


def test_norms_begin_neutral_and_do_not_decay():
    network = Network(Recurrent("gru", 3, 4, layers=2, norm=True))
    p = network.parameters
    for number in (1, 2):
        np.testing.assert_array_equal(p.value(f"norm{number}.gain"), 1)
        np.testing.assert_array_equal(p.value(f"norm{number}.shift"), 0)
    decays = p.decay_mask()
    offset = p.entries["norm1.gain"].offset
    assert decays[:offset].any()
    assert not decays[offset:].any()


def test_a_tied_table_is_one_array_that_decays_once():
    network = Network(Chain((Embedding(9, 4), Dense(4, 9, tied="0.E"))))
    p = network.parameters
    assert set(p) == {"0.E", "1.b"}
    assert np.shares_memory(p.value("1.W"), p.value("0.E"))
    np.testing.assert_array_equal(p.value("1.W"), p.value("0.E").T)
    assert p.decay_mask().sum() == 36


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (Chain((Embedding(9, 3), Dense(4, 9, tied="0.E"))), r"1.W needs a .* 0.E of shape \[9, 4\] .* one of \[9, 3\]"),
        (Chain((Embedding(9, 4), Dense(4, 9, tied="0.W"))), r"0.W of shape \[9, 4\] to share, found none"),
        (Chain((Embedding(4, 4), Dense(4, 4, tied="2.W"), Dense(4, 4, tied="0.E"))), "2.W .* found none"),
    ],
    ids=["width", "name", "tied itself"],
)
def test_what_does_not_fit_is_not_tied(tree, words):
    with pytest.raises(UsageError, match=words) as caught:
        Network(tree)
    assert "\n" not in str(caught.value)


# -- writing -------------------------------------------------------------------------------------


def read(network, backend, ids, weights="float32", threads=1):
    """Logits after each of the ids, and what the next are."""
    writer = Writer(network.configure(backend, threads), len(ids) + 50, weights=weights)
    return writer.logits(ids), writer.write(np.random.default_rng(5).random(50))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(
    ("norm", "residual", "hidden", "layers"),
    [(True, False, 7, 2), (True, False, 64, 1), (False, True, 20, 3), (True, True, 33, 3), (True, True, 1, 2)],
)
def test_writing_equals_the_definition(backend, variant, rng, norm, residual, hidden, layers, weights):
    network = shaken(language(variant, norm, residual, H=hidden, layers=layers), "float32")
    ids = rng.integers(0, 30, 20)
    logits, _ = read(network, backend, ids, weights)
    expected, _ = read(network, "numpy", ids, weights)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=WRITING[weights] * np.abs(expected).max())


@pytest.mark.parametrize("V", [30, TABLE + 5], ids=["table", "rows"])
@pytest.mark.parametrize(("norm", "residual"), [(False, False), *JOINTS], ids=["tied", *NAMES])
def test_writing_equals_the_network(backend, variant, rng, norm, residual, V):
    network = shaken(language(variant, norm, residual, V=V), "float32", backend)
    ids = rng.integers(0, V, 30)
    expected, _ = network.forward(ids[:, None])
    logits, _ = read(network, backend, ids)
    np.testing.assert_allclose(logits, expected[:, 0], rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("weights", WEIGHTS)
def test_writing_has_the_same_bits_at_any_number_of_threads(variant, rng, weights):
    pytest.importorskip("rnnkit._kernels.cython_generation")
    network, ids = shaken(language(variant, V=1100, H=400, layers=2), "float32"), rng.integers(0, 1100, 6)
    one = read(network, "cython", ids, weights)
    for threads in (2, 3):
        writer = Writer(network.configure("cython", threads), 100, weights=weights)
        writer._pace.together, writer._pace.alone = True, np.inf  # however busy the machine is
        assert writer.logits(ids).tobytes() == one[0].tobytes()
        assert writer.write(np.random.default_rng(5).random(50)).tobytes() == one[1].tobytes()

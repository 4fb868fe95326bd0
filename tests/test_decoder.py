"""Encoders, decoders and ensembles: every gradient against central differences, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_nn import TOLERANCE, with_reference
from test_windows import window_of

from rnnkit.cells import CELLS
from rnnkit.errors import UsageError
from rnnkit.nn import (
    Chain,
    Decode,
    Dense,
    Dropout,
    Members,
    Network,
    Recurrent,
    Share,
    Tape,
    Unfold,
    gradcheck,
    layer_from,
)
from rnnkit.tasks.forecast_network import build_network, gates, heads

SHAPES = {"code": (3, 4), "steps": (5, 3, 2)}  # rows 3, hidden 4, steps 5, inputs 2


def drawn(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_of_decoding(cell, layers):
    layer = Decode("code", "steps", Recurrent(cell, 2, 4, layers=layers, dropout=0.3 if layers > 1 else 0.0))
    errors = gradcheck(with_reference(layer), drawn(1, **SHAPES))
    assert {"code", "steps"} < set(errors)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize(("points", "outputs"), [(12, 1), (10, 1), (7, 1), (6, 2), (5, 2), (2, 6)])
def test_gradients_of_unfolding(points, outputs):
    x = np.random.default_rng(2).standard_normal((3, 2, 4 if points > 2 else 6))
    assert max(gradcheck(Unfold(points, outputs).init(dtype="float64"), x).values()) <= TOLERANCE


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (1, 0, 0), (1, -1, 0, 2)])
def test_gradients_of_sharing(weights):
    x = np.random.default_rng(3).standard_normal((2, 3, 1))
    assert max(gradcheck(Share(weights).init(dtype="float64"), x).values()) <= TOLERANCE


def test_gradients_of_members():
    layer = with_reference(
        Members((Chain((Dense(3, 4, "tanh"), Dropout(0.4), Dense(4, 2))), Dense(3, 2, "sigmoid"), Dense(3, 2)))
    )
    errors = gradcheck(layer, np.random.default_rng(4).standard_normal((5, 3)))
    assert set(errors) == {*layer.parameters, "x"}
    assert max(errors.values()) <= TOLERANCE, errors


def test_gradients_of_members_of_inputs_by_name():
    """Each member takes what it wants of the inputs, and the gradients of what two take are added."""
    members = tuple(Decode("code", "steps", Recurrent(cell, 2, 4)) for cell in CELLS)
    errors = gradcheck(with_reference(Members(members)), drawn(5, **SHAPES))
    assert {"code", "steps"} < set(errors)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("bidirectional", "skip", "output"), [(False, True, "student-t"), (True, False, "mean")], ids=["skip", "both"]
)
def test_gradients_of_a_forecasting_network(cell, bidirectional, skip, output):
    window = window_of(4, 3, 2, (2,), output=output, members=2, future=1)
    layer = with_reference(build_network(window, {"cell": cell, "bidirectional": bidirectional}, 2, 0.2, skip=skip))
    shapes = {}
    for scaling in window.scalings:
        shapes |= {
            f"patches/{scaling}": (2, 2, window.patch_width),
            f"segments/{scaling}": (2, 2, window.segment_width),
            f"bases/{scaling}": (2, window.rules, 3),
        }
    shapes |= {"window/difference": (2, 4)} if skip else {}
    errors = gradcheck(layer, drawn(6, **shapes))
    assert set(errors) == {*layer.parameters, *shapes}
    assert max(errors.values()) <= TOLERANCE, {k: e for k, e in errors.items() if e > TOLERANCE}


# -- what the layers do --------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_every_level_starts_from_the_code(cell):
    layer = Decode("code", "steps", Recurrent(cell, 2, 4, layers=2)).init(seed=1, dtype="float64")
    x = drawn(7, **SHAPES)
    first = [np.zeros_like(s) for s in layer.layer.zero_state(3)]
    first[0][:] = x["code"]
    np.testing.assert_array_equal(layer.forward(x)[0], layer.layer.forward(x["steps"], tuple(first))[0])


def test_steps_unfold_in_order_and_the_rest_is_cut_off():
    x = np.arange(3 * 2 * 4).reshape(3, 2, 4)  # 3 steps of 2 points of 2 outputs, for 2 rows
    y, _ = Unfold(5, 2).forward(x)
    assert y.shape == (2, 5, 2)
    np.testing.assert_array_equal(y[0], [[0, 1], [2, 3], [8, 9], [10, 11], [16, 17]])
    np.testing.assert_array_equal(y[1], y[0] + 4)


def test_members_stand_side_by_side():
    layers = [Dense(3, 2).init(seed=k, dtype="float64") for k in range(3)]
    x = np.random.default_rng(8).standard_normal((5, 3))
    wanted = np.stack([layer.forward(x)[0] for layer in layers], axis=1)
    together = Members(tuple(Dense(3, 2) for _ in layers)).init(dtype="float64")
    for k, layer in enumerate(layers):
        for name in ("W", "b"):
            together.parameters.value(f"{k}.{name}")[...] = layer.parameters.value(name)
    np.testing.assert_array_equal(together.forward(x)[0], wanted)


def test_members_start_from_weights_of_their_own():
    network = Network(build_network(window_of(members=4), {"cell": "gru"}, 5, 0.0, skip=True), seed=1)
    recurrent = [name for name in network.parameters if name.endswith(".l0.R")]
    assert len(recurrent) == 8  # an encoder and a decoder each
    values = [network.parameters.value(name).ravel() for name in recurrent]
    assert len({value.tobytes() for value in values}) == 8


def test_gates_and_heads_are_those_of_each_member():
    window = window_of(24, 12, 6, members=3)
    network = Network(build_network(window, {"cell": "lstm"}, 5, 0.0, skip=False), seed=1)
    for names, width in ((gates(network.root), window.rules * 2), (heads(network.root), 6 * 5)):
        assert len(names) == 3
        assert [network.parameters.value(name).shape for name in names] == [(width,)] * 3


def test_trees_survive_json():
    tree = build_network(window_of(members=3, future=1), {"cell": "lstm", "layers": 2}, 5, 0.1, skip=True)
    text = json.dumps(tree.describe())
    again = layer_from(json.loads(text))
    assert json.dumps(again.describe()) == text
    a, b = tree.init(seed=9), again.init(seed=9)
    np.testing.assert_array_equal(a.parameters.values, b.parameters.values)


def test_the_reverse_half_of_a_code_sees_the_early_steps():
    window = window_of(48, 12, 12, members=1)
    network = Network(build_network(window, {"cell": "gru", "bidirectional": True}, 5, 0.0, skip=False), seed=1)
    encoder = network.root.layers[0].layers[0].layer
    x = np.random.default_rng(0).standard_normal((4, 2, window.patch_width)).astype(np.float32)
    changed = x.copy()
    changed[0] += 1
    code, other = encoder.forward(x)[0].copy(), encoder.forward(changed)[0].copy()
    recurrent = encoder.layers[1]
    np.testing.assert_array_equal(code[:, 5:], recurrent.forward(encoder.layers[0].forward(x)[0])[1][0][1])
    assert np.abs(code - other)[:, 5:].max() > 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Decode("code", "steps", Dense(2, 4)), "recurrent layer of one direction .* found another"),
        (lambda: Decode("code", "steps", Recurrent("gru", 2, 4, bidirectional=True)), "one direction"),
        (lambda: Decode("code", "steps", Recurrent("gru", 2, 5)).init().forward(drawn(0, **SHAPES)), "code"),
        (lambda: Unfold(7, 2).forward(np.ones((3, 1, 4))), "7 points of 2 were expected, found 3 steps of 4"),
        (lambda: Unfold(2, 3).forward(np.ones((3, 1, 4))), "2 points of 3 were expected, found 3 steps of 4"),
        (lambda: Share((1, 1)).forward(np.ones((3, 2))), r"\[3, 1\].*found \[3, 2\]"),
        (lambda: Members(()), "at least one network was expected, found none"),
    ],
)
def test_wrong_use_is_one_sentence(call, words):
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: Unfold(5, 2), (3, 2, 4)),
        (lambda: Share((1, 0, 1)), (3, 2, 1)),
        (lambda: Members((Dense(3, 2), Dense(3, 2))), (4, 3)),
    ],
    ids=["unfold", "share", "members"],
)
def test_memory_knows_the_shape_of_the_output(layer, shape):
    layer = layer().init()
    x = np.ones(shape, np.float32)
    assert layer.memory(shape).shape == layer.forward(x, None, Tape().begin())[0].shape

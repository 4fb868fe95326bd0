"""Layers: every gradient against central differences, trees as JSON, masks, lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rnnkit.cells import CELLS
from rnnkit.errors import ModelFileError, RnnkitError, UsageError
from rnnkit.nn import (
    LAYERS,
    At,
    Chain,
    Dense,
    Dropout,
    Embedding,
    Last,
    Mixture,
    Network,
    Recurrent,
    Reshape,
    Sum,
    Take,
    Tape,
    gradcheck,
    layer_from,
)
from rnnkit.nn.dense import ACTIVATIONS

TOLERANCE = 1e-6  # relative error of gradients in float64
OPTIONS = [
    (name, dict([choice]) if choice else {})
    for name, cell in CELLS.items()
    for choice in ([(k, v) for k, values in cell.options.items() for v in values] or [None])
]


def with_reference(layer):
    """The layer on the NumPy backend, in float64, every parameter away from zero."""
    layer.init(seed=3, dtype="float64")
    rng = np.random.default_rng(11)
    for name in layer.parameters:
        value = layer.parameters.value(name)
        value += 0.2 * rng.standard_normal(value.shape)
    for _, part in layer.walk():
        if isinstance(part, Recurrent):
            part.configure("numpy", 1)
    return layer


@pytest.mark.parametrize(("cell", "options"), OPTIONS, ids=lambda v: v if isinstance(v, str) else "-".join(v.values()))
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("lengths", [None, (3, 0, 4)], ids=["full", "lengths"])
@pytest.mark.parametrize("dropout", [0.0, 0.4], ids=["", "dropout"])
def test_recurrent_gradients(cell, options, bidirectional, lengths, dropout):
    rng = np.random.default_rng(5)
    layer = with_reference(
        Recurrent(
            cell,
            3,
            4,
            layers=2,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=dropout,
            options=options,
        )
    )
    state = tuple(rng.standard_normal(s.shape) for s in layer.zero_state(3))
    errors = gradcheck(
        layer, rng.standard_normal((4, 3, 3)), state, lengths=None if lengths is None else np.array(lengths)
    )
    assert set(errors) == {*layer.parameters, "x", *(f"state.{i}" for i in range(len(state)))}
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_gradients(activation):
    x = np.random.default_rng(0).standard_normal((4, 2, 3))
    assert max(gradcheck(with_reference(Dense(3, 5, activation)), x).values()) <= TOLERANCE


@pytest.mark.parametrize("per", ["sequence", "element"])
def test_language_tree_gradients(per):
    tree = Chain((Embedding(7, 3), Dropout(0.3, per), Recurrent("lstm", 3, 4), Dropout(0.5, per), Dense(4, 7)))
    ids = np.random.default_rng(1).integers(0, 7, (5, 2))
    assert max(gradcheck(with_reference(tree), ids).values()) <= TOLERANCE


def forecast_tree():
    encoder = Chain((Dense(4, 5, "relu"), Recurrent("gru", 5, 6), Last()))
    head = Chain((Take("past"), Dense(6, 14, "tanh"), Reshape((7, 2))))
    return Chain((At("past", encoder), Sum((head, Mixture("past", "bases", 6, 3, 2, 2)))))


def test_forecast_tree_gradients():
    rng = np.random.default_rng(2)
    x = {"past": rng.standard_normal((4, 3, 4)), "bases": rng.standard_normal((3, 3, 7))}
    errors = gradcheck(with_reference(forecast_tree()), x)
    assert {"past", "bases"} <= set(errors)
    assert max(errors.values()) <= TOLERANCE, errors


def test_last_takes_each_rows_own_end():
    x = np.arange(4 * 3 * 2, dtype=float).reshape(4, 3, 2)
    tape = Tape().begin(lengths=np.array([2, 0, 4]))
    y, _ = Last().forward(x, None, tape)
    np.testing.assert_array_equal(y, [x[1, 0], [0, 0], x[3, 2]])
    dx, _ = Last().backward(np.ones((3, 2)), tape)
    assert dx.sum() == 4
    assert dx[1, 0].tolist() == [1, 1]


def test_mixture_starts_at_the_mean():
    layer = Mixture("code", "values", 4, 3, 2).init(seed=0)
    values = np.random.default_rng(0).standard_normal((2, 3, 6)).astype(np.float32)
    y, _ = layer.forward({"code": np.ones((2, 4), np.float32), "values": values})
    np.testing.assert_allclose(y[:, :, 0], values.mean(axis=1), atol=1e-6)


def test_stacked_layers_equal_single_ones_in_turn():
    stack = Recurrent("gru", 3, 4, layers=2).init(seed=1, dtype="float64")
    lower, upper = Recurrent("gru", 3, 4).init(dtype="float64"), Recurrent("gru", 4, 4).init(dtype="float64")
    for name in ("W", "R", "b", "bn"):
        lower.p[f"l0.{name}"][...] = stack.p[f"l0.{name}"]
        upper.p[f"l0.{name}"][...] = stack.p[f"l1.{name}"]
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    y, (h,) = stack.forward(x)
    z, (h0,) = lower.forward(x)
    z, (h1,) = upper.forward(z)
    np.testing.assert_allclose(y, z, atol=1e-12)
    np.testing.assert_allclose(h, np.concatenate([h0, h1]), atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_one_by_one_equal_the_whole(cell):
    layer = Recurrent(cell, 3, 5, layers=2).init(seed=1)
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    whole, final = layer.forward(x)
    state, rows = None, []
    for t in range(len(x)):
        y, state = layer.forward(x[t : t + 1], state)
        rows.append(y[0])
    np.testing.assert_allclose(rows, whole, rtol=1e-5, atol=1e-6)
    for a, b in zip(state, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_new_pass_without_a_tape_leaves_the_last_answer_alone():
    layer = Recurrent("rnn", 2, 3).init(seed=0)
    first, _ = layer.forward(np.ones((2, 1, 2), np.float32))
    kept = first.copy()
    layer.forward(np.zeros((2, 1, 2), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_masks_depend_on_the_global_row_alone():
    tape = Tape(seed=4)
    whole = tape.begin(step=7).mask("a", 6, 10, 0.3, np.float32)
    part = tape.begin(step=7, row=2).mask("a", 3, 10, 0.3, np.float32)
    np.testing.assert_array_equal(part, whole[2:5])
    assert not np.array_equal(whole, tape.begin(step=8).mask("a", 6, 10, 0.3, np.float32))
    assert not np.array_equal(whole, tape.begin(step=7).mask("b", 6, 10, 0.3, np.float32))


def test_masks_keep_their_rate():
    mask = Tape(seed=1).begin().mask("a", 500, 200, 0.25, np.float64)
    assert set(np.unique(mask)) == {0.0, 1 / 0.75}
    assert abs((mask == 0).mean() - 0.25) < 0.005


def test_dropout_does_nothing_in_inference():
    layer = Chain((Dropout(0.5), Dropout(0.5, "element")))
    x = np.ones((2, 3, 4))
    assert layer.forward(x)[0] is x


@pytest.mark.parametrize(
    "tree",
    [Recurrent("lstm", 3, 4, layers=2, bidirectional=True, dropout=0.1), forecast_tree(), Embedding(5, 2)],
    ids=lambda t: t.kind,
)
def test_trees_survive_json(tree):
    text = json.dumps(tree.describe())
    again = layer_from(json.loads(text))
    assert json.dumps(again.describe()) == text
    a, b = tree.init(seed=9), again.init(seed=9)
    np.testing.assert_array_equal(a.parameters.values, b.parameters.values)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "os.system"}, "kinds"),
        ({"kind": ""}, "kinds"),
        ([1], "kinds"),
        ({"kind": "dense", "inputs": 3, "outputs": 2, "hook": "x"}, "hook"),
        ({"kind": "dense", "inputs": "3", "outputs": 2}, "inputs"),
        ({"kind": "dense", "inputs": 3}, "cannot be built"),
        ({"kind": "recurrent", "cell": "lstm", "inputs": 1, "hidden": 0}, "hidden"),
        ({"kind": "recurrent", "cell": "elman", "inputs": 1, "hidden": 1}, "cell"),
        ({"kind": "chain", "layers": [{"kind": "nothing"}]}, "kinds"),
    ],
)
def test_foreign_trees_are_refused(description, words):
    with pytest.raises(ModelFileError, match=words):
        layer_from(description)


def test_every_layer_is_registered_under_its_kind():
    assert {kind: cls.kind for kind, cls in LAYERS.items()} == {kind: kind for kind in LAYERS}


def test_summary_counts_parameters():
    network = Network(Chain((Embedding(10, 4), Recurrent("gru", 4, 3), Dense(3, 10))))
    rows = network.summary()
    assert [row["parameters"] for row in rows] == [40, 4 * 9 + 3 * 9 + 9 + 3, 40]
    assert sum(row["parameters"] for row in rows) == len(network.parameters)


def test_initial_values_do_not_depend_on_other_layers():
    small = Chain((Embedding(5, 4), Dense(4, 3))).init(seed=2)
    large = Chain((Embedding(5, 4), Dense(4, 3), Dense(3, 3))).init(seed=2)
    np.testing.assert_array_equal(small.parameters.value("1.W"), large.parameters.value("1.W"))


def test_forget_gate_bias_starts_at_one():
    layer = Recurrent("lstm", 2, 3).init(seed=0)
    np.testing.assert_array_equal(layer.p["l0.b"], [0] * 3 + [1] * 3 + [0] * 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Recurrent("lstm", 3, 0), "hidden"),
        (lambda: Recurrent("lsmt", 3, 2), "cell"),
        (lambda: Recurrent("gru", 3, 2, options={"reset": "never"}), "reset"),
        (lambda: Recurrent("rnn", 3, 2, dropout=1.0), "dropout"),
        (lambda: Dense(3, 2, "gelu"), "activation"),
        (lambda: Recurrent("rnn", 3, 2).init().forward(np.ones((2, 1, 4))), r"\[steps, rows, 3\]"),
        (lambda: Recurrent("rnn", 3, 2).init().forward(np.ones((2, 1, 3)), (np.ones((1, 2, 2)),)), "state"),
        (lambda: Recurrent("rnn", 3, 2).init().forward(np.ones((2, 1, 3)), None, Tape().begin(lengths=[3])), "lengths"),
        (lambda: Embedding(4, 2).init().forward(np.array([[4]])), "ids from 0 to 3"),
    ],
)
def test_wrong_use_is_one_sentence(call, words):
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_layer_without_parameters_says_what_to_do():
    with pytest.raises(RnnkitError, match=r"\.init"):
        Dense(2, 2).forward(np.ones((1, 2)))


def test_gradients_are_not_computed_where_nobody_asks():
    layer = Recurrent("gru", 3, 4).init(seed=0)
    tape = Tape()
    y, _ = layer.forward(np.ones((2, 1, 3), np.float32), None, tape.begin())
    dx, dstate = layer.backward(np.ones_like(y), tape, want_dx=False)
    assert dx is None
    assert dstate[0].shape == (1, 1, 4)

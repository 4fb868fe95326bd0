"""Layers: every gradient against central differences, trees as JSON, masks, lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jobs import one_by_one

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
    Share,
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
            recurrent_dropout=dropout if CELLS[cell].recurrent else 0.0,
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
    return Chain((At("past", encoder), Sum((head, Chain((Mixture("past", "bases", 6, 3, 2), Share((1, 1))))))))


def test_forecast_tree_gradients():
    rng = np.random.default_rng(2)
    x = {"past": rng.standard_normal((4, 3, 4)), "bases": rng.standard_normal((3, 3, 7))}
    errors = gradcheck(with_reference(forecast_tree()), x)
    assert {"past", "bases"} <= set(errors)
    assert max(errors.values()) <= TOLERANCE, errors


def test_last_takes_each_rows_own_end():
    x = np.arange(4 * 3 * 2, dtype=float).reshape(4, 3, 2)
    tape = Tape().begin(lengths=np.array([2, 0, 4]))
    layer = Last()
    y, _ = layer.forward(x, None, tape)
    np.testing.assert_array_equal(y, [x[1, 0], [0, 0], x[3, 2]])
    dx, _ = layer.backward(np.ones((3, 2)), tape)
    assert dx.sum() == 4
    assert dx[1, 0].tolist() == [1, 1]


def test_last_of_both_directions_takes_each_ones_own_end():
    x = np.arange(4 * 3 * 4, dtype=float).reshape(4, 3, 4)
    x[:, 1] = np.nan  # a row of length 0 is zeros whatever it holds
    tape = Tape().begin(lengths=np.array([2, 0, 4]))
    layer = Last(both=True)
    y, _ = layer.forward(x, None, tape)
    np.testing.assert_array_equal(y, [[*x[1, 0, :2], *x[0, 0, 2:]], [0] * 4, [*x[3, 2, :2], *x[0, 2, 2:]]])
    dx, _ = layer.backward(np.ones((3, 4)), tape)
    assert dx.sum() == 8
    assert dx[:, 0].tolist() == [[0, 0, 1, 1], [1, 1, 0, 0], [0] * 4, [0] * 4]


@pytest.mark.parametrize("lengths", [None, (3, 0, 4)], ids=["full", "lengths"])
def test_last_of_both_directions_gradients(lengths):
    tree = Chain((Recurrent("gru", 3, 4, bidirectional=True), Last(both=True), Dense(8, 2)))
    x = np.random.default_rng(3).standard_normal((4, 3, 3))
    errors = gradcheck(with_reference(tree), x, lengths=None if lengths is None else np.array(lengths))
    assert max(errors.values()) <= TOLERANCE, errors


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
    rows, state = one_by_one(layer, x)
    np.testing.assert_allclose(rows, whole, rtol=1e-5, atol=1e-6)
    for a, b in zip(state, final, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_new_pass_without_a_tape_leaves_the_last_answer_alone():
    layer = Recurrent("rnn", 2, 3).init(seed=0)
    first, _ = layer.forward(np.ones((2, 1, 2), np.float32))
    kept = first.copy()
    layer.forward(np.zeros((2, 1, 2), np.float32))
    np.testing.assert_array_equal(first, kept)


def test_cells_without_a_recurrent_matrix_refuse_its_dropout(cell):
    if cell.recurrent:
        assert Recurrent(cell.name, 3, 4, recurrent_dropout=0.1).recurrent_dropout == 0.1
        return
    said = f"--recurrent-dropout masks the h that enters h·R, and the {cell.name} cell has no R; leave it out and take"
    with pytest.raises(UsageError, match=said):
        Recurrent(cell.name, 3, 4, recurrent_dropout=0.1)
    assert [param.name for param in Recurrent(cell.name, 3, 4, layers=2).params()] == ["l0.W", "l0.b", "l1.W", "l1.b"]


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
        ({"kind": "chain", "layers": 3}, "list of layers, not a int"),
        ({"kind": "sum", "layers": {"kind": "take", "part": "x"}}, "list of layers, not a dict"),
        ({"kind": "sum", "layers": None}, "list of layers"),
        ({"kind": "sum", "layers": []}, "at least one"),
        ({"kind": "at", "part": "x", "layer": [1]}, "kinds"),
    ],
)
def test_foreign_trees_are_refused(description, words):
    with pytest.raises(ModelFileError, match=words):
        layer_from(description)


@pytest.mark.parametrize("shape", ["layer", "layers", "kind", "field"])
def test_bottomless_trees_are_refused(shape):
    tree: object = {"kind": "take", "part": "x"}
    for _ in range(20_000):
        tree = {
            "layer": {"kind": "at", "part": "x", "layer": tree},
            "layers": {"kind": "chain", "layers": [tree]},
        }.get(shape, {"kind": tree})
    description = {"kind": "chain", "layers": tree} if shape == "field" else tree
    with pytest.raises(ModelFileError) as caught:
        layer_from(description)
    assert len(str(caught.value)) < 200


def test_parameters_are_counted_without_being_declared():
    tree = Chain((Embedding(7, 3), Recurrent("gru", 3, 4, layers=2, bidirectional=True), Dense(8, 2), Dropout(0.1)))
    assert tree.count_params() == len(tree.declared()) == 1 + 2 * 2 * 4 + 2
    assert forecast_tree().count_params() == len(forecast_tree().declared())
    huge = Chain((Recurrent("lstm", 1, 1, layers=2_000_000),))
    assert huge.count_params() == 6_000_000  # at once: nothing is built


def test_an_empty_network_draws_nothing(monkeypatch):
    monkeypatch.setattr("rnnkit.nn.layer.fill", None)
    network = Network.empty(layer_from(forecast_tree().describe()), "float64")
    assert not network.parameters.values.any()
    monkeypatch.undo()
    full = Network(forecast_tree(), seed=4, dtype="float64")
    network.parameters.assign(full.parameters.values)
    rng = np.random.default_rng(0)
    x = {"past": rng.standard_normal((4, 3, 4)), "bases": rng.standard_normal((3, 3, 7))}
    np.testing.assert_array_equal(network.forward(x)[0], full.forward(x)[0])


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
        (lambda: Embedding(4, 2).init().forward(np.array([[4]])), "ids from 0 to 3 were expected, found 4"),
        (lambda: Embedding(4, 2).init().forward(np.array([[1, -1]])), "ids from 0 to 3 were expected, found -1"),
        (lambda: Embedding(4, 2).init().forward(np.array([1.0])), "integer type were expected, found float64"),
        (lambda: Embedding(4, 2).init().forward(np.array([True])), "integer type were expected, found bool"),
        (lambda: Dense(3, 2).init().forward(np.ones((2, 4))), r"\[..., 3\] was expected, found \[2, 4\]"),
        (lambda: Dense(3, 2).init().forward(1.0), r"\[..., 3\] was expected, found \[\]"),
        (lambda: Dense(3, 2).init(dtype="float16"), "float32 or float64, not float16"),
        (lambda: Network(Dense(3, 2), dtype="whole"), "float32 or float64, not whole"),
        (lambda: Dropout(0.5).forward(np.ones(3), None, Tape()), r"found \[3\]"),
        (lambda: Last(both=True).forward(np.ones((2, 1, 3))), r"even number .* found \[2, 1, 3\]"),
    ],
)
def test_wrong_use_is_one_sentence(call, words):
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def passed(layer, x):
    """The layer with a tape on which one forward stands."""
    tape = Tape()
    layer.forward(x, None, tape.begin())
    return layer, tape


@pytest.mark.parametrize(
    ("make", "x", "dy"),
    [
        (lambda: Recurrent("lstm", 3, 4, layers=2, bidirectional=True), np.ones((5, 2, 3)), (5, 2, 8)),
        (lambda: Recurrent("gru", 3, 4), np.ones((5, 2, 3)), (5, 2, 4)),
        (lambda: Dense(3, 4), np.ones((5, 2, 3)), (5, 2, 4)),
        (lambda: Embedding(3, 4), np.ones((5, 2), int), (5, 2, 4)),
        (lambda: Last(), np.ones((5, 2, 4)), (2, 4)),
    ],
    ids=["both", "one", "dense", "embedding", "last"],
)
def test_backward_wants_the_shape_that_forward_gave(make, x, dy):
    wrong = [(dy[0] + 1, *dy[1:]), (*dy[:-1], dy[-1] - 1), dy[:-1], (*dy[:-2], dy[-1], dy[-2])]
    for shape in wrong:
        layer, tape = passed(make().init(), x)
        with pytest.raises(UsageError) as caught:
            layer.backward(np.ones(shape, np.float32), tape)
        assert str(caught.value) == f"dy of shape {list(dy)} was expected, found {list(shape)}"
    layer, tape = passed(make().init(), x)
    layer.backward(np.ones(dy, np.float32), tape)


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_backward_wants_the_gradient_of_each_state(backend):
    x, dy = np.ones((5, 2, 3), np.float32), np.ones((5, 2, 4), np.float32)
    right = np.ones((2, 2, 4), np.float32)
    for wrong in [(), (right,), (right, right[:1]), (right, right[:, :1]), (right, right[..., :3]), (right,) * 3]:
        layer, tape = passed(Recurrent("lstm", 3, 4, layers=2).init().configure(backend, 1), x)
        with pytest.raises(UsageError, match=r"dstate of 2 arrays of shape \[2, 2, 4\] was expected, found") as caught:
            layer.backward(dy, tape, wrong)
        assert "\n" not in str(caught.value)
    results = []
    for given in (right, np.asfortranarray(right), right.tolist()):
        layer, tape = passed(Recurrent("lstm", 3, 4, layers=2).init().configure(backend, 1), x)
        results.append(layer.backward(dy, tape, (given, given))[0].copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Recurrent("rnn", 3, 2), np.ones((2, 1, 3))),
        (Dense(3, 2), np.ones((2, 3))),
        (Embedding(4, 2), np.ones(2, int)),
        (Dropout(0.5), np.ones((2, 2))),
        (Last(), np.ones((2, 1, 2))),
        (Chain((Dense(3, 2), Dense(2, 2))), np.ones((2, 3))),
    ],
    ids=lambda v: v.kind if hasattr(v, "kind") else "",
)
def test_backward_without_a_forward_is_one_sentence(layer, x):
    layer.init()
    y, _ = layer.forward(x)  # without a tape
    for tape in (Tape(), Tape(training=False)):
        with pytest.raises(RnnkitError, match="run forward"):
            layer.backward(np.ones_like(y), tape)
    tape = Tape()
    layer.forward(x, None, tape)
    layer.backward(np.ones_like(y), tape)
    with pytest.raises(RnnkitError, match="found none"):
        layer.backward(np.ones_like(y), tape)


def test_backward_in_the_wrong_order_is_one_sentence():
    lower, upper = Recurrent("rnn", 9, 4).init(), Recurrent("rnn", 4, 4).init()
    tape = Tape()
    y, _ = lower.forward(np.ones((2, 1, 9)), None, tape)
    upper.forward(y, None, tape)
    with pytest.raises(RnnkitError, match="found that of a recurrent layer"):
        lower.backward(np.ones((2, 1, 4)), tape)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Recurrent("gru", 3, 2), [[[1, 2, 3]], [[4, 5, 6]]]),
        (Dense(3, 2, "sigmoid"), [[1, 2, 3], [4, 5, 6]]),
        (Embedding(4, 2), [[1, 3], [0, 2]]),
        (Dropout(0.25), [[1, 2, 3], [4, 5, 6]]),
        (Dropout(0.25, "element"), [[[1, 2, 3]], [[4, 5, 6]]]),
        (Last(), [[[1, 2, 3]], [[4, 5, 6]]]),
        (Reshape((3, 1)), [[1, 2, 3]]),
    ],
    ids=lambda v: v.kind if hasattr(v, "kind") else "",
)
def test_lists_of_whole_numbers_are_numbers(layer, x):
    layer.init(seed=1)
    like = np.array(x, np.uint16 if isinstance(layer, Embedding) else np.float32)
    for training in (False, True):
        expected, _ = layer.forward(like, None, Tape(training=training))
        y, _ = layer.forward(x, None, Tape(training=training))
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(layer.forward(np.array(x), None, Tape(training=training))[0], expected)
    if layer.has_params():
        assert y.dtype == np.float32


def test_a_list_of_layers_is_a_chain():
    tree = Chain([Embedding(4, 2), Dense(2, 3)]).init(seed=5)
    np.testing.assert_array_equal(
        tree.parameters.values, Chain((Embedding(4, 2), Dense(2, 3))).init(seed=5).parameters.values
    )


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_new_initial_values_are_used_at_once(backend):
    x = np.ones((3, 2, 3), np.float32)
    layer = Recurrent("lstm", 3, 4).configure(backend, 1).init(seed=1)
    first = layer.forward(x)[0].copy()
    again = layer.init(seed=2).forward(x)[0].copy()
    fresh = Recurrent("lstm", 3, 4).configure(backend, 1).init(seed=2).forward(x)[0]
    np.testing.assert_array_equal(again, fresh)
    assert np.abs(again - first).max() > 0.01
    wide = layer.init(seed=2, dtype="float64").forward(x)[0]
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, fresh, rtol=1e-5, atol=1e-6)


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

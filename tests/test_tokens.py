"""Token ids in place of their rows: in the kernels that take them, and through a tree of layers."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit._kernels import load
from rnnkit.errors import UsageError
from rnnkit.nn import At, Chain, Dense, Dropout, Embedding, Network, Recurrent, Take, Tape, gradcheck
from rnnkit.nn.tokens import Tokens, table_pays

SHAPES = [(1, 1, 1, 1), (7, 3, 5, 7), (40, 13, 8, 24), (4, 37, 41, 70)]  # T, B, I, H
OPTIONS = ["", "reverse masked", "ragged", "ragged reverse masked"]


def needs_ids(backend, name):
    if not load(backend, name).tokens:
        pytest.skip(f"{backend}: its kernels look no token ids up")


def with_ids(layer, rng, symbols):
    """(ids, table) whose rows the layer's x becomes; the last symbol does not occur."""
    T, B, I, _ = layer.shape  # noqa: E741
    table, ids = layer.draw(rng, symbols, I), rng.integers(0, symbols - 1, (T, B))
    layer.x = table[ids]
    return ids, table


def by_token(dx, ids, symbols):
    """Gradient of the table from that of the rows looked up."""
    total = np.zeros((symbols, dx.shape[2]), dx.dtype)
    np.add.at(total, ids, dx)
    return total


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS)
def test_ids_give_what_their_rows_give(backend, variant, dtype, shape, options, make_layer, rng, assert_close):
    needs_ids(backend, variant.name)
    layer = make_layer(variant, shape, dtype, **dict.fromkeys(options.split(), True))
    ids, table = with_ids(layer, rng, 9)
    expected = layer.run("numpy")
    expected["dE"] = by_token(expected.pop("dx"), ids, 9)
    actual = layer.run(backend, ids=ids, table=table)
    assert_close(actual, expected)
    assert not actual["dE"][8].any()


@pytest.mark.parametrize("options", OPTIONS[::3])
def test_ids_piece_by_piece_equal_the_whole(backend, variant, options, make_layer, rng, assert_close):
    needs_ids(backend, variant.name)
    layer = make_layer(variant, (9, 7, 3, 18), "float32", **dict.fromkeys(options.split(), True))
    ids, table = with_ids(layer, rng, 5)
    assert_close(layer.run(backend, ids=ids, table=table, cuts=(1, 4, 4)), layer.run(backend, ids=ids, table=table))


def test_ids_give_the_same_bytes_at_any_number_of_threads(backend, variant, make_layer, rng):
    needs_ids(backend, variant.name)
    if backend == "numpy":
        pytest.skip("numpy: its BLAS is outside the same-bits promise")
    layer = make_layer(variant, (8, 64, 32, 64), "float32", ragged=True)
    ids, table = with_ids(layer, rng, 30)
    expected = layer.run(backend, ids=ids, table=table)
    for threads in (2, 3, 4):
        actual = layer.run(backend, ids=ids, table=table, threads=threads)
        assert [name for name, value in actual.items() if value.tobytes() != expected[name].tobytes()] == []


def test_the_tables_gradient_is_added_to_and_only_when_asked_for(backend, variant, make_layer, rng, assert_close):
    needs_ids(backend, variant.name)
    layer = make_layer(variant, (6, 5, 3, 9), "float32")
    ids, table = with_ids(layer, rng, 6)
    alone = layer.run(backend, ids=ids, table=table)
    start = {name: layer.draw(rng, *value.shape) for name, value in (layer.params | {"E": table}).items()}
    added = layer.run(backend, ids=ids, table=table, start=start)
    assert_close(added, alone | {f"d{name}": alone[f"d{name}"] + value for name, value in start.items()})
    without = layer.run(backend, ids=ids, table=table, start={n: np.zeros_like(v) for n, v in layer.params.items()})
    assert alone.keys() - without.keys() == {"dE"}


# -- through the layers -------------------------------------------------------------------------


@pytest.fixture
def spied(monkeypatch):
    """The inputs that recurrent layers were given."""
    seen = []
    forward = Recurrent.forward

    def spy(self, x, state=None, tape=None):
        seen.append(x)
        return forward(self, x, state, tape)

    monkeypatch.setattr(Recurrent, "forward", spy)
    return seen


def language_tree(cell="lstm", rate=0.0, **options):
    return Chain(
        (Embedding(7, 3), Dropout(rate), Recurrent(cell, 3, 4, layers=2, **options), Dense(4 * (1 + bool(options)), 5))
    )


def prepared(tree, backend="numpy", dtype="float64"):
    return Network(tree, seed=3, dtype=dtype).configure(backend, 1)


IDS = np.random.default_rng(1).integers(0, 7, (6, 4))


@pytest.mark.parametrize("lengths", [None, (6, 0, 3, 5)], ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_gradients_of_ids(cell, bidirectional, lengths, spied):
    tree = prepared(language_tree(cell.name, **({"bidirectional": True} if bidirectional else {})))
    errors = gradcheck(tree, IDS, lengths=None if lengths is None else np.array(lengths))
    assert isinstance(spied[0], Tokens)
    assert "0.E" in errors
    assert max(errors.values()) <= 1e-6, errors


@pytest.mark.parametrize(
    ("tree", "ids", "training", "taken"),
    [
        (language_tree(), IDS, True, True),
        (language_tree(rate=0.5), IDS, False, True),  # dropout does nothing in inference
        (language_tree(rate=0.5), IDS, True, False),
        (language_tree(), IDS[:1], True, False),  # more symbols than tokens
        (Chain((Embedding(7, 3), Dense(3, 3), Recurrent("gru", 3, 4))), IDS, True, False),
    ],
    ids=["plain", "inference", "dropout", "few", "dense"],
)
def test_ids_are_taken_where_that_pays(tree, ids, training, taken, spied):
    network = prepared(tree)
    y, _ = network.forward(ids, None, Tape(training=training).begin())
    assert isinstance(spied[0], Tokens) == taken
    table = network.root.layers[0]
    rows, x = table.forward(ids)[0], None
    for layer in network.root.layers[1:]:
        rows, _ = layer.forward(rows, None, x)
    if not training or not network.root.layers[1].describe().get("rate"):
        np.testing.assert_allclose(y, rows, rtol=0, atol=1e-12)


def test_backends_without_ids_get_rows(backend, spied):
    network = prepared(language_tree(), backend)
    y, _ = network.forward(IDS)
    assert isinstance(spied[0], Tokens) == load(backend, "lstm").tokens
    np.testing.assert_allclose(y, prepared(language_tree()).forward(IDS)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("want_dx", [False, True])
def test_gradients_equal_those_of_the_rows(want_dx, monkeypatch):
    def gradients():
        network = prepared(language_tree(bidirectional=True))
        tape = Tape()
        y, _ = network.forward(IDS, None, tape.begin())
        dx, _ = network.backward(np.cos(np.arange(y.size)).reshape(y.shape), tape, want_dx=want_dx)
        assert dx is None
        return network.parameters.grads.copy()

    taken = gradients()
    monkeypatch.setattr("rnnkit.nn.recurrent.table_pays", lambda symbols, tokens: False)
    np.testing.assert_allclose(taken, gradients(), rtol=0, atol=1e-12)


def test_a_changed_table_is_projected_again():
    network = prepared(language_tree())
    before = network.forward(IDS)[0].copy()
    network.parameters.value("0.E")[...] *= 2
    network.parameters.touch()
    fresh = prepared(language_tree())
    fresh.parameters.assign(network.parameters.values)
    after = network.forward(IDS)[0]
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_array_equal(after, fresh.forward(IDS)[0])


def test_the_table_is_projected_once_per_version(monkeypatch):
    network = prepared(language_tree())
    recurrent, calls = network.root.layers[2], []
    kernels = recurrent._loaded()
    recurrent._kernels = kernels._replace(
        prepare=lambda params, table, *more: calls.append(table is not None) or kernels.prepare(params, table, *more)
    )
    for _ in range(3):
        network.forward(IDS)
    assert calls == [True, False]
    network.parameters.touch()
    network.forward(IDS)
    assert calls == [True, False] * 2


def test_ids_inside_a_part_of_a_dictionary(spied):
    tree = Chain((At("words", Chain((Embedding(7, 3), Recurrent("gru", 3, 4)))), Take("words"), Dense(4, 2)))
    errors = gradcheck(prepared(tree), {"words": IDS})
    assert isinstance(spied[0], Tokens)
    assert max(errors.values()) <= 1e-6


def test_alone_an_embedding_gives_rows():
    layer = Embedding(7, 3).init()
    y, _ = layer.forward(IDS)
    assert isinstance(y, np.ndarray)
    tokens = layer.tokens(IDS)
    assert tokens.shape == y.shape
    np.testing.assert_array_equal(np.asarray(tokens), y)


@pytest.mark.parametrize("wrong", [IDS + 7, IDS - 7, IDS * 1.0])
def test_wrong_ids_are_refused_as_before(wrong):
    tree = prepared(language_tree())
    messages = []
    for call in (tree.forward, tree.root.layers[0].forward):
        with pytest.raises(UsageError) as caught:
            call(wrong)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_a_width_that_does_not_fit_is_refused_as_before():
    tree = prepared(Chain((Embedding(7, 2), Recurrent("gru", 3, 4))))
    with pytest.raises(UsageError, match=r"x of shape \[steps, rows, 3\] was expected, found \[6, 4, 2\]"):
        tree.forward(IDS)


def test_the_rule():
    assert table_pays(65, 64 * 128)
    assert not table_pays(20_000, 32 * 32)
    assert not table_pays(65, 1)

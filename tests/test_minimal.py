"""The cells without a recurrent matrix: steps taken together are steps one by one, gates share what there is."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit._kernels import Span, load
from rnnkit._kernels.reference import shares, sigmoid
from rnnkit.cells import CELLS

MINIMAL = [name for name, cell in CELLS.items() if not cell.recurrent]
SHAPES = [(9, 1, 5, 7), (11, 3, 4, 33), (400, 2, 3, 20), (5, 200, 3, 16), (6, 70, 9, 130)]
"""T, B, I, H: one row and many, more steps or rows than are walked at a time, odd units."""


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_sequence_is_its_steps(backend, minimal, dtype, shape, reverse, threads, make_layer):
    """From an initial state that is not zero, to the bit where sums have one order."""
    T, B, _, _ = shape
    layer = make_layer(minimal, shape, dtype, reverse=reverse)
    whole = layer.run(backend, threads=threads)["h"]
    kernels = load(backend, minimal.name)
    weights = kernels.prepare(layer.params)
    tape = kernels.allocate(weights, 1, B, False)
    h = layer.initial[0].copy()
    for t in reversed(range(T)) if reverse else range(T):
        states = (np.empty((2, *h.shape), dtype),)
        states[0][int(reverse)] = h
        kernels.forward(weights, layer.x[t : t + 1], states, tape, Span(0, 1, reverse))
        h = states[0][int(not reverse)]
        expected = whole[t if reverse else t + 1]
        if backend == "numpy":
            np.testing.assert_allclose(h, expected, rtol=0, atol=1e-5)
        else:
            assert h.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", ["", "ragged", "ragged reverse"])
def test_pieces_of_a_walk_equal_the_reference(backend, minimal, shape, options, make_layer, assert_close):
    layer = make_layer(minimal, shape, "float32", **dict.fromkeys(options.split(), True))
    assert_close(layer.run(backend, threads=2), layer.run("numpy"))


def test_what_a_unit_keeps_and_takes_is_all_there_is(minimal, make_layer):
    """Of a candidate that is 1 from a state that is 1 comes 1, whatever the gates."""
    layer = make_layer(minimal, (5, 4, 3, 6), "float64")
    H = 6
    layer.params["W"][:, -H:], layer.params["b"][-H:] = 0, 1 if minimal.options["activation"] == "linear" else 0.5
    layer.initial[0][...] = 1
    np.testing.assert_allclose(layer.run("numpy")["h"], 1, rtol=0, atol=1e-14)


def test_the_positive_candidate_is_positive_and_whole(backend, make_layer):
    """g(a) = a + ½ from 0 on and σ(a) below, as a state that takes all shows."""
    layer = make_layer("mingru_positive", (9, 1, 1, 1), "float64")
    layer.params["W"][...], layer.params["b"][...] = [[0.0, 1.0]], [60.0, 0.0]  # z = 1, n = g(x)
    layer.x[:, 0, 0] = a = np.array([-40.0, -3.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 2.0, 300.0])
    h = layer.run(backend)["h"][1:, 0, 0]
    np.testing.assert_allclose(h, np.where(a >= 0, a + 0.5, sigmoid(np.minimum(a, 0))), rtol=1e-9, atol=1e-12)


PAIRS = [
    (0, 0),
    (3, -2),
    (-200, -190),
    (-1e4, -2e4),
    (800, 900),
    (1e30, -1e30),
    (-1e30, -2e30),
    (-np.inf, 4),
    (7, -np.inf),
]


@pytest.mark.parametrize(("f", "i"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shares_of_gates_that_are_next_to_nothing(f, i, dtype):
    keep, take = (float(a[0]) for a in shares(np.array([f], dtype), np.array([i], dtype)))
    with np.errstate(over="ignore"):
        log_ratio = float(np.logaddexp(0, -np.float64(i)) - np.logaddexp(0, -np.float64(f)))  # log(f/i)
        expected = 1 / (1 + np.exp(-log_ratio)), 1 / (1 + np.exp(log_ratio))
    np.testing.assert_allclose((keep, take), expected, rtol=1e-6 if dtype == "float32" else 1e-13, atol=1e-37)
    assert keep + take == pytest.approx(1)


@pytest.mark.parametrize(("f", "i"), PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_backend_shares_so(backend, f, i, dtype, make_layer, assert_close):
    layer = make_layer("minlstm_linear", (3, 2, 1, 5), dtype)
    layer.params["b"][:5], layer.params["b"][5:10] = f, i
    layer.params["W"][:, :10] = 0
    assert_close(layer.run(backend), layer.run("numpy"))


@pytest.mark.parametrize("cell", MINIMAL)
def test_a_nan_gate_is_seen(backend, cell, make_layer):
    name = f"{cell}_positive"
    for gate in range(len(CELLS[cell].gates)):
        layer = make_layer(name, (2, 3, 2, 7), "float32")
        layer.params["b"][gate * 7] = np.nan
        h = layer.run(backend)["h"][1:]
        assert np.isnan(h[:, :, 0]).all()
        assert np.isfinite(h[:, :, 1:]).all()

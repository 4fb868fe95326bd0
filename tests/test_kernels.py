"""Every backend against the reference: values and every gradient, both dtypes, odd shapes, and the promises."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnkit._kernels import describe, load

SHAPES = [  # T, B, I, H: single steps, rows, inputs and units; below, at and above the widths of vectors and tiles
    (1, 1, 1, 1),
    (1, 6, 4, 16),
    (7, 1, 5, 7),
    (5, 3, 1, 7),
    (4, 37, 41, 7),
    (3, 35, 20, 100),
    (2, 6, 64, 64),
    (9, 2, 3, 33),
    (40, 13, 8, 24),
]
OPTIONS = [{}, {"ragged": True, "reverse": True, "masked": True}, {"ragged": True}, {"reverse": True}, {"masked": True}]
names = "-".join


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS[:2], ids=lambda options: names(options) or "plain")
def test_equals_reference(backend, variant, dtype, shape, options, make_layer, assert_close):
    layer = make_layer(variant, shape, dtype, **options)
    assert_close(layer.run(backend), layer.run("numpy"))


@pytest.mark.parametrize("options", OPTIONS[2:], ids=names)
def test_equals_reference_with_one_option(backend, variant, dtype, options, make_layer, assert_close):
    layer = make_layer(variant, (6, 8, 5, 20), dtype, **options)
    assert_close(layer.run(backend), layer.run("numpy"))


@pytest.mark.parametrize("options", OPTIONS[:2], ids=lambda options: names(options) or "plain")
def test_piece_by_piece_equals_the_whole(backend, variant, dtype, options, make_layer, assert_close):
    layer = make_layer(variant, (9, 7, 3, 18), dtype, **options)
    assert_close(layer.run(backend, cuts=(1, 4, 4)), layer.run(backend))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_lengths_need_not_be_sorted(backend, variant, masked, make_layer, rng, assert_close):
    layer = make_layer(variant, (7, 12, 5, 18), "float32", ragged=True, masked=masked)
    layer.lengths = rng.permutation(layer.lengths)
    assert_close(layer.run(backend, threads=3), layer.run("numpy"))


def test_without_training_the_states_are_the_same(backend, variant, dtype, make_layer):
    layer = make_layer(variant, (30, 11, 3, 10), dtype, ragged=True)
    kernels = load(backend, variant.name)
    weights = kernels.prepare(layer.params)
    states = layer.states()
    kernels.forward(weights, layer.x, states, kernels.allocate(weights, 30, 11, False), layer.span())
    trained = layer.run(backend)
    for name, state in zip(variant.cell.states, states, strict=True):
        np.testing.assert_array_equal(state, trained[name])


def test_input_gradient_only_when_asked_for(backend, variant, make_layer):
    layer = make_layer(variant, (3, 4, 5, 6), "float32")
    asked = layer.run(backend)
    assert np.abs(asked.pop("dx")).max() > 0
    spared = layer.run(backend, dx=False)
    assert asked.keys() == spared.keys()
    assert all(spared[name].tobytes() == value.tobytes() for name, value in asked.items())


def test_parameter_gradients_are_added_to(backend, variant, dtype, make_layer, rng, assert_close):
    layer = make_layer(variant, (4, 5, 3, 9), dtype)
    start = {name: layer.draw(rng, *value.shape) for name, value in layer.params.items()}
    alone, added = layer.run(backend), layer.run(backend, start=start)
    assert_close(added, alone | {f"d{name}": alone[f"d{name}"] + value for name, value in start.items()})


def test_no_steps_change_nothing(backend, variant, dtype, make_layer):
    layer = make_layer(variant, (4, 5, 3, 9), dtype)
    kernels = load(backend, variant.name)
    weights = kernels.prepare(layer.params)
    tape, states, span = kernels.allocate(weights, 4, 5, True), layer.states(), layer.span(2, 2)
    dstates = tuple(d.copy() for d in layer.dfinal)
    dx, grads = np.ones_like(layer.x), {name: np.ones_like(value) for name, value in layer.params.items()}
    kernels.forward(weights, layer.x, states, tape, span)
    kernels.backward(weights, layer.x, states, tape, layer.dy, dstates, dx, span)
    kernels.accumulate(weights, layer.x, states, tape, grads, span)
    untouched = [*zip(states, layer.states(), strict=True), *zip(dstates, layer.dfinal, strict=True)]
    assert all(np.array_equal(actual, expected) for actual, expected in untouched)
    assert all(np.all(value == 1) for value in (dx, *grads.values()))


def test_changed_parameters_are_prepared_again(backend, variant, dtype, make_layer, assert_close):
    layer = make_layer(variant, (4, 5, 3, 9), dtype)
    before = layer.run(backend)
    for value in layer.params.values():
        value *= 0.5
    after = layer.run(backend)
    assert np.abs(after["h"] - before["h"]).max() > 0.01
    assert_close(after, layer.run("numpy"))


def test_inputs_may_be_read_only(backend, variant, make_layer):
    layer = make_layer(variant, (3, 4, 5, 6), "float32", masked=True)
    expected = layer.run(backend)
    for array in (layer.x, layer.dy, layer.mask):
        array.flags.writeable = False
    assert all(np.array_equal(value, expected[name]) for name, value in layer.run(backend).items())


@pytest.mark.parametrize("shape", [(8, 64, 32, 64), (12, 1, 16, 256), (5, 37, 7, 100)], ids=str)
def test_same_bytes_at_any_number_of_threads(backend, variant, shape, make_layer):
    if backend == "numpy":
        pytest.skip("numpy: its BLAS is outside the same-bits promise")
    layer = make_layer(variant, shape, "float32", ragged=shape[1] > 1)
    expected = layer.run(backend)
    for threads in (2, 3, 4):
        actual = layer.run(backend, threads=threads)
        assert [name for name, value in actual.items() if value.tobytes() != expected[name].tobytes()] == []


def test_numba_shares_work_only_where_it_is_large_enough():
    numba_team = pytest.importorskip("rnnkit._kernels.numba_team")
    team = numba_team._Team()
    assert team.shares(4, 16, 100 * numba_team.WORTH) == 4
    assert team.shares(4, 3, 100 * numba_team.WORTH) == 3
    assert team.shares(4, 16, 2 * numba_team.WORTH) == 2
    assert team.shares(4, 16, 0) == team.shares(4, 0, 1e12) == 1
    team.after_fork()
    assert team.shares(4, 16, 1e12) == 1


def test_numba_runs_every_share_once_and_tells_of_an_error():
    team = pytest.importorskip("rnnkit._kernels.numba_team")._Team()
    seen = []
    team.run(3, lambda share, shares, out: out.append((share, shares)), seen)
    assert sorted(seen) == [(0, 3), (1, 3), (2, 3)]
    with pytest.raises(ZeroDivisionError):
        team.run(2, lambda share, shares: 1 // (1 - share))


def test_a_row_has_the_same_bytes_in_any_batch(backend, variant, make_layer):
    if backend == "numpy":
        pytest.skip("numpy: its BLAS is outside the same-bits promise")
    layer = make_layer(variant, (6, 20, 5, 24), "float32")
    whole = layer.run(backend)["h"]
    layer.shape = (6, 7, 5, 24)
    layer.x = np.ascontiguousarray(layer.x[:, :7])
    layer.dy = np.ascontiguousarray(layer.dy[:, :7])
    layer.initial, layer.dfinal = ([d[:7].copy() for d in arrays] for arrays in (layer.initial, layer.dfinal))
    assert layer.run(backend)["h"].tobytes() == np.ascontiguousarray(whole[:, :7]).tobytes()


def test_nan_is_never_hidden(backend, variant, dtype, make_layer):
    layer = make_layer(variant, (6, 9, 5, 20), dtype)
    layer.x[2, 4, 1] = np.nan
    actual = layer.run(backend)
    assert np.isnan(actual["h"][3:, 4]).all()
    assert np.isfinite(np.delete(actual["h"], 4, axis=1)).all()
    expected = layer.run("numpy")
    lost = {"h", "dW", "dR"} if variant.cell.recurrent else {"h", "dW"}
    assert {name for name, value in actual.items() if np.isnan(value).any()} >= lost
    for name, value in expected.items():
        np.testing.assert_array_equal(np.isnan(actual[name]), np.isnan(value), err_msg=name)


@pytest.mark.parametrize("name", ["W", "R", "b"])
def test_nan_in_a_parameter_reaches_the_output(backend, variant, name, make_layer):
    layer = make_layer(variant, (3, 2, 5, 7), "float32")
    if name not in layer.params:
        pytest.skip(f"{variant.name}: it has no {name}")
    layer.params[name][..., 0] = np.nan
    assert np.isnan(layer.run(backend)["h"][-1, :, 0]).all()


def test_infinite_inputs_give_what_the_reference_gives(backend, variant, dtype, make_layer, as_far_as_known):
    layer = make_layer(variant, (5, 4, 3, 7), dtype)
    layer.x[1, 0, 0], layer.x[2, 1, 1], layer.x[3, 2] = np.inf, -np.inf, np.inf
    with np.errstate(all="ignore"):
        actual, expected = layer.run(backend), layer.run("numpy")
    for state in variant.cell.states:
        found, wanted = (as_far_as_known(variant, result[state]) for result in (actual, expected))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=state)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_large_inputs_saturate(backend, variant, dtype, scale, make_layer, assert_close):
    if variant.name == "rnn_relu":
        pytest.skip("rnn_relu: nothing saturates")
    layer = make_layer(variant, (4, 3, 5, 7), dtype)
    layer.x *= dtype.type(scale)
    with np.errstate(all="ignore"):
        actual, expected = layer.run(backend), layer.run("numpy")
    for state in variant.cell.states:
        assert_close({state: actual[state]}, {state: expected[state]})


def test_decaying_states_stay_right_and_denormals_stay_on(backend, variant, make_layer, assert_close):
    layer = make_layer(variant, (60, 4, 3, 7), "float32")
    for name, value in layer.params.items():
        value *= np.float32(0.1 if name in "WR" else 0)
    layer.x[5:] = 0
    layer.dy *= np.float32(1e-38)
    for array in layer.dfinal:
        array *= np.float32(1e-38)
    assert_close(layer.run(backend, threads=2), layer.run("numpy"))
    assert np.finfo("f4").smallest_subnormal > 0
    smallest = np.array([np.finfo("f4").smallest_normal])
    assert (smallest / 4 > 0).all()


def test_description_is_one_line(backend):
    assert len(describe(backend).splitlines()) == 1
    assert len(describe(backend)) > len(backend)


def test_numba_keeps_its_code_where_only_the_user_writes(tmp_path, monkeypatch):
    numba_jit = pytest.importorskip("rnnkit._kernels.numba_jit")
    monkeypatch.setattr(numba_jit.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = Path(numba_jit._cache_folder())
    assert folder.parent == tmp_path / "rnnkit"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert numba_jit._cache_folder() == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    assert numba_jit._cache_folder() == ""
    monkeypatch.setattr(numba_jit.config, "CACHE_DIR", str(tmp_path / "named"))
    assert Path(numba_jit._cache_folder()).parent == tmp_path / "named"


FORK = """
import os, sys
import numpy as np
from rnnkit._kernels import Span, load
from rnnkit.cells import CELLS

rng = np.random.default_rng(3)
params = {p.name: rng.standard_normal(p.shape).astype("f4") / 8 for p in CELLS["lstm"].params(32, 64)}
x = rng.standard_normal((6, 48, 32)).astype("f4")
kernels = load(sys.argv[1], "lstm")
weights = kernels.prepare(params)

def run():
    states = tuple(np.zeros((7, 48, 64), "f4") for _ in "hc")
    kernels.forward(weights, x, states, kernels.allocate(weights, 6, 48, True), Span(0, 6, threads=2))
    return states[0].tobytes()

expected = run()
child = os.fork()
if child == 0:
    os._exit(0 if run() == expected else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert run() == expected
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_computes_the_same(backend):
    command = [sys.executable, "-P", "-W", "ignore", "-c", FORK, backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

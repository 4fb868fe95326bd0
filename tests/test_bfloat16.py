"""Products of factors rounded to bfloat16, where a backend has them: the reference's results, and every promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api
from rnnkit._kernels import load
from rnnkit._kernels.quantization import rounded
from rnnkit.cli import commands
from rnnkit.errors import UsageError
from rnnkit.nn import Recurrent
from rnnkit.samples import sample_path

SHAPES = [  # T, B, I, H: single steps, rows, inputs and units; odd ones, whose last number has none to pair with
    (1, 1, 1, 1),
    (1, 6, 4, 16),
    (7, 1, 5, 7),
    (5, 3, 1, 7),
    (4, 37, 41, 7),
    (3, 35, 20, 100),
    (6, 5, 130, 17),
    (40, 13, 8, 24),
    (3, 300, 7, 9),  # more rows than are summed at a time
]
OPTIONS = ["", "ragged reverse masked"]
LOW = {"precision": "bfloat16"}
TIPPED = 6e-3
"""What a factor that another order of sums rounds the other way may change, as a share of the largest number."""


@pytest.fixture
def make(backend, variant, make_layer, rng):
    """``make(shape, options, tokens=False, exact=False)`` → a layer and what goes to its passes with it.

    ``exact`` ones have parameters, inputs and states that bfloat16 holds exactly.
    """
    if "bfloat16" not in load(backend, variant.name).precisions:
        pytest.skip(f"{backend}: it has no bfloat16 products of {variant.name}")

    def build(shape, options="", tokens=False, exact=False):
        layer = make_layer(variant, shape, "float32", **dict.fromkeys(options.split(), True))
        if exact:
            layer.params |= {n: rounded(value, "bfloat16") for n, value in layer.params.items() if n in "WR"}
            layer.x = rounded(layer.x, "bfloat16")
            layer.initial[0] = rounded(layer.initial[0], "bfloat16")
        if not tokens:
            return layer, LOW
        return layer, {**LOW, "table": layer.draw(rng, 9, shape[2]), "ids": rng.integers(0, 8, shape[:2])}

    return build


def different(actual, expected):
    """Names of results whose bytes differ."""
    return [name for name, value in expected.items() if actual[name].tobytes() != value.tobytes()]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "all"])
@pytest.mark.parametrize("tokens", [False, True], ids=["x", "ids"])
def test_equals_the_reference(backend, make, shape, options, tokens):
    check_reference(backend, *make(shape, options, tokens))


@pytest.mark.parametrize("option", ["ragged", "reverse", "masked"])
def test_equals_the_reference_with_one_option(backend, make, option):
    check_reference(backend, *make((6, 8, 5, 20), option))


def check_reference(backend, layer, given):
    """Fails unless every result is the reference's but for factors that were rounded the other way."""
    actual, expected = layer.run(backend, **given), layer.run("numpy", **given)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=TIPPED * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("shape", [(1, 5, 9, 12), (1, 3, 1, 7), (1, 7, 33, 100)], ids=str)
def test_numbers_that_bfloat16_has_are_not_changed(backend, variant, make, shape, assert_close):
    if variant.name == "gru_before":
        pytest.skip("gru_before: it makes another factor, r ⊙ h, within the step")
    layer, given = make(shape, exact=True)
    actual, expected = layer.run(backend, **given), layer.run("numpy")
    assert_close(*({state: found[state] for state in variant.cell.states} for found in (actual, expected)))


@pytest.mark.parametrize("tokens", [False, True], ids=["x", "ids"])
def test_every_factor_of_one_step_is_rounded(backend, make, tokens, assert_close):
    """Of one step hardly a factor is tipped, so that the results are the reference's to the last digits."""
    layer, given = make((1, 2, 5, 7), "", tokens)
    assert_close(layer.run(backend, **given), layer.run("numpy", **given))


@pytest.mark.parametrize("shape", [(8, 64, 32, 64), (12, 1, 16, 256), (5, 37, 7, 100), (9, 40, 1, 65)], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "all"])
@pytest.mark.parametrize("tokens", [False, True], ids=["x", "ids"])
def test_same_bytes_at_any_number_of_threads(backend, make, shape, options, tokens):
    if backend == "numpy":
        pytest.skip("numpy: its BLAS is outside the same-bits promise")
    layer, given = make(shape, options, tokens)
    expected = layer.run(backend, **given)
    for threads in (2, 3, 4):
        assert different(layer.run(backend, threads=threads, **given), expected) == []


def test_piece_by_piece_equals_the_whole(backend, make, assert_close):
    layer, given = make((9, 7, 3, 18), "ragged reverse masked")
    whole, pieces = layer.run(backend, **given), layer.run(backend, cuts=(1, 4, 4), **given)
    assert_close(pieces, whole)


def test_a_row_has_the_same_bytes_in_any_batch(backend, make):
    if backend == "numpy":
        pytest.skip("numpy: its BLAS is outside the same-bits promise")
    layer, given = make((6, 20, 5, 24))
    whole = layer.run(backend, **given)["h"]
    layer.shape = (6, 7, 5, 24)
    layer.x, layer.dy = (np.ascontiguousarray(array[:, :7]) for array in (layer.x, layer.dy))
    layer.initial, layer.dfinal = ([d[:7].copy() for d in arrays] for arrays in (layer.initial, layer.dfinal))
    assert layer.run(backend, **given)["h"].tobytes() == np.ascontiguousarray(whole[:, :7]).tobytes()


@pytest.mark.parametrize("shape", [(6, 9, 5, 20), (4, 3, 1, 7)], ids=str)
@pytest.mark.parametrize("place", ["x", "dy", "R", "b"])
def test_nan_is_where_the_reference_has_it(backend, variant, make, shape, place):
    layer, given = make(shape)
    if place == "R" and not variant.cell.recurrent:
        pytest.skip(f"{variant.name}: it has no R")
    if place in layer.params:
        layer.params[place][..., 0] = np.nan
    else:
        getattr(layer, place)[2, :2] = np.nan  # of every unit: a dead one hides it
    actual, expected = layer.run(backend, **given), layer.run("numpy", **given)
    assert any(np.isnan(value).any() for value in expected.values())
    for name, value in expected.items():
        np.testing.assert_array_equal(np.isnan(actual[name]), np.isnan(value), err_msg=name)


@pytest.mark.parametrize("huge", [np.inf, 3.4e38], ids=["infinity", "rounded to infinity"])
def test_infinite_inputs_give_what_the_reference_gives(backend, variant, make, huge, as_far_as_known):
    layer, given = make((5, 4, 3, 7))
    layer.x[1, 0, 0], layer.x[2, 1, 1], layer.x[3, 2] = huge, -huge, huge
    with np.errstate(all="ignore"):
        actual, expected = layer.run(backend, **given), layer.run("numpy", **given)
    for state in variant.cell.states:
        found, wanted = (as_far_as_known(variant, result[state]) for result in (actual, expected))
        np.testing.assert_allclose(found, wanted, rtol=TIPPED, atol=TIPPED, err_msg=state)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "chat.txt"
    path.write_text(sample_path("chat").read_text(encoding="utf-8")[:12000], encoding="utf-8")
    return path


def test_resumed_at_any_step_and_with_any_threads_ends_in_the_same_bytes(backend, cell, text, tmp_path):
    if "bfloat16" not in load(backend, cell.variant({})).precisions:
        pytest.skip(f"{backend}: it has no bfloat16 products")
    settings = {"cell": cell.name, "steps": 6, "hidden": 24, "batch": 8, "context": 16, "dropout": 0.2, **LOW}
    options = api.make_options({"data": str(text), "backend": backend, "threads": 1, **settings})
    list(api.train_events(api.prepare(text, options), tmp_path / "whole"))
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    for k, threads in ((1, 1), (3, 1 if backend == "numpy" else 2), (5, 1)):
        asked = iter(range(1000))
        path = tmp_path / str(k)
        options.threads = threads
        cut = lambda k=k, asked=asked: next(asked) >= k  # noqa: E731
        list(api.train_events(api.prepare(text, options), path, interrupted=cut))
        rnnkit.train(text, path, resume=True)
        assert (path / "model.safetensors").read_bytes() == expected


# -- refused by name where it is lacking --------------------------------------------------------


def test_a_build_without_it_says_what_it_takes(text, tmp_path):
    pytest.importorskip("rnnkit._kernels.cython_kernels", exc_type=ImportError)
    command = [sys.executable, "-P", "-m", "rnnkit", "train", os.fspath(text), "-o", os.fspath(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--precision", "bfloat16", "--backend", "cython"],
        env={**os.environ, "RNNKIT_ISA": "baseline", "PYTHONPATH": os.fspath(Path(rnnkit.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    said = done.stderr.strip().splitlines()[-1]
    assert "the cython backend has no bfloat16 products here, which take a processor with AVX512-BF16 and" in said
    assert "the build for x86-64-v4 (the one for baseline runs, named by RNNKIT_ISA); leave --precision out" in said
    assert not (tmp_path / "run").exists()


def test_a_processor_without_it_is_named(monkeypatch):
    cython_kernels = pytest.importorskip("rnnkit._kernels.cython_kernels", exc_type=ImportError)

    class Lacking:
        bfloat16 = staticmethod(lambda: False)

    monkeypatch.setitem(cython_kernels._MODULES, np.dtype(np.float32), Lacking)
    monkeypatch.setattr(cython_kernels, "_ISA", "x86-64-v4")
    with pytest.raises(UsageError, match=r"x86-64-v4 \(this processor lacks AVX512-BF16\); leave --precision out"):
        Recurrent("lstm", 2, 3).init().configure("cython", 1, precision="bfloat16")


def test_a_cell_without_it_is_named(text, tmp_path):
    if "bfloat16" not in load("auto", "gru_after").precisions or "bfloat16" in load("auto", "gru_before").precisions:
        pytest.skip("bfloat16 is there for both kinds of GRU, or for none")
    words = ["train", str(text), "-o", str(tmp_path / "run"), "--cell", "gru", "--reset", "before"]
    done = CliRunner().invoke(commands, [*words, "--precision", "bfloat16"])
    assert done.exit_code == 2
    assert "no bfloat16 products of the GRU with --reset before; take --reset after or --backend numpy" in done.stderr
    assert not (tmp_path / "run").exists()

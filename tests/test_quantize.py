"""Weights in fewer bits: the rounding, the file, the command, and what still works on such a run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api, modelfile
from rnnkit._kernels import quantization
from rnnkit._kernels.quantization import WEIGHTS, from_bfloat16, from_int8, rounded, to_bfloat16, to_int8
from rnnkit.cli import commands
from rnnkit.errors import ModelFileError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.nn.quantized import shrink, widen
from rnnkit.samples import sample_path

FORMS = WEIGHTS[1:]


def run(*args, code=0):
    result = CliRunner().invoke(commands, [str(a) for a in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A text with a run of it, and a run of a forecaster."""
    folder = tmp_path_factory.mktemp("house")
    text = sample_path("chat").read_text(encoding="utf-8")[:20000]
    (folder / "chat.txt").write_text(text, encoding="utf-8")
    rnnkit.train(folder / "chat.txt", folder / "chat", cell="gru", hidden=32, layers=2, steps=150)
    shutil.copy(sample_path("energy"), folder / "energy.csv")
    rnnkit.train(folder / "energy.csv", folder / "energy", horizon=4, season="24", hidden=8, steps=20)
    return folder


# -- rounding -------------------------------------------------------------------------------------


def test_bfloat16_rounds_to_nearest_even():
    values = np.array([1.0, 1.00390625, 1.01171875, -3.3e38, 0.0, np.inf, np.nan, 1e-40], np.float32)
    back = from_bfloat16(to_bfloat16(values))
    np.testing.assert_array_equal(back[:3], np.array([1.0, 1.0, 1.015625], np.float32))  # ties: to even
    assert np.isinf(back[5])
    assert np.isnan(back[6])
    finite = values[[0, 1, 2, 3, 7]]
    assert (np.abs(back[[0, 1, 2, 3, 7]] - finite) <= np.abs(finite) / 256 + 1e-40).all()


def test_int8_is_within_half_a_scale(rng):
    values = rng.standard_normal((50, 30)).astype(np.float32) * np.exp(rng.standard_normal(30)).astype(np.float32)
    values[:, 3] = 0
    numbers, scale = to_int8(values)
    assert np.abs(numbers).max(axis=0)[[0, 1, 2]].tolist() == [127] * 3
    assert scale[3] == 0
    assert (np.abs(from_int8(numbers, scale) - values) <= scale * 0.5001).all()


@pytest.mark.parametrize("weights", FORMS)
def test_what_was_rounded_rounds_to_itself(rng, weights):
    once = rounded(rng.standard_normal((400, 300)).astype(np.float32), weights)
    np.testing.assert_allclose(rounded(once, weights), once, rtol=2e-7)
    if weights == "int8":
        np.testing.assert_array_equal(to_int8(once)[0], to_int8(rounded(once, weights))[0])


def test_a_column_that_is_not_finite_stays_in_sight():
    values = np.ones((3, 2), np.float32)
    values[1, 1] = np.inf
    back = rounded(values, "int8")
    assert np.isnan(back[:, 1]).all()
    np.testing.assert_array_equal(back[:, 0], 1)


def test_shrunk_arrays_come_back(rng):
    arrays = {"W": rng.standard_normal((6, 4)).astype(np.float32), "b": rng.standard_normal(4).astype(np.float32)}
    for weights in WEIGHTS:
        back, form = widen(shrink(arrays, weights))
        assert form == weights
        np.testing.assert_array_equal(back["W"], rounded(arrays["W"], weights))
        np.testing.assert_array_equal(back["b"], arrays["b"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale.W": np.ones(3, np.float32)}, r"float32 scale per column, found float32 \[3\]"),
        ({"scale.W": np.ones(4)}, "found float64"),
        ({"scale.V": np.ones(4, np.float32)}, "scales no int8 matrix"),
        ({"W": np.ones((2, 3, 4), np.int8)}, "float32 scale per column"),
    ],
)
def test_scales_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ModelFileError, match=words):
        widen({"W": np.ones((6, 4), np.int8), "scale.W": np.ones(4, np.float32)} | change)
    with pytest.raises(ModelFileError, match="found none"):
        widen({"W": np.ones((6, 4), np.int8)})


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", FORMS)
def test_a_quantised_run_serves(here, weights):
    made = json.loads(run("quantize", "chat", "chat.txt", "--weights", weights, "--json").stdout)
    assert (made["schema"], made["run"], made["weights"]) == (1, f"chat-{weights}", weights)
    assert made["part"] == f"chat.txt, {len((here / 'chat.txt').read_text(encoding='utf-8')):,} characters"
    nats = {form: metrics["nats_per_char"] for form, metrics in made["metrics"].items()}
    assert nats.keys() == {"float32", weights}
    assert 0 < abs(nats[weights] - nats["float32"]) < 0.01
    whole, small = (here / name / "model.safetensors" for name in ("chat", made["run"]))
    assert made["bytes"] == {"before": whole.stat().st_size, "after": small.stat().st_size}
    assert made["bytes"]["after"] < made["bytes"]["before"] * {"int8": 0.4, "bfloat16": 0.6}[weights]
    model = rnnkit.load(made["run"])
    assert model.network.weights == weights
    assert "".join(model.generate("Le chat", length=40)).startswith("Le chat")
    scored = [rnnkit.load(name).evaluate("chat.txt")["metrics"]["nats_per_char"] for name in (made["run"], "chat")]
    assert scored[0] == pytest.approx(scored[1], abs=0.01)
    assert f"weights in {weights}" in run("info", made["run"]).stdout
    assert json.loads(run("info", made["run"], "--json").stdout)["weights"] == weights


def test_without_data_a_text_of_its_own_is_measured(here):
    shown = run("quantize", "chat", "-o", "small").stdout
    assert shown.startswith("On a text that the run wrote itself, ")
    assert "nats per character" in shown
    assert shown.splitlines()[-1].startswith("small: ")


def test_measured_as_it_generates(here, backend):
    """Text, nats and backends agree: reading one by one is what generation does."""
    model = rnnkit.load("chat", backend=backend, threads=1)
    _, found = model.measure("chat.txt")
    assert found["nats_per_char"] == pytest.approx(model.evaluate("chat.txt")["metrics"]["nats_per_char"], abs=1e-4)


def test_forecasters_are_measured_on_a_table(here):
    made = json.loads(run("quantize", "energy", "energy.csv", "--json").stdout)
    assert made["metrics"]["int8"]["mase"] == pytest.approx(made["metrics"]["float32"]["mase"], rel=0.05)
    assert run("predict", "energy-int8").stdout
    assert "name it: rnnkit quantize RUN DATA" in run("quantize", "energy", code=2).stderr


def test_what_exists_is_kept_unless_forced(here):
    run("quantize", "chat", "chat.txt", "-o", "small")
    assert "small exists" in run("quantize", "chat", "chat.txt", "-o", "small", code=2).stderr
    run("quantize", "chat", "chat.txt", "-o", "small", "--weights", "bfloat16", "--force")
    assert rnnkit.load("small").network.weights == "bfloat16"
    assert "small" not in run("quantize", "chat", "chat.txt", "--json").stdout
    assert json.loads(run("quantize", "chat", "chat.txt", "--json").stdout)["run"] == "chat-int8-2"


def test_what_is_quantised_is_not_quantised_again(here):
    run("quantize", "chat", "chat.txt", "-o", "small")
    said = run("quantize", "small", "chat.txt", code=2).stderr
    assert "int8 already" in said
    assert "has none to go on from" in run("train", "--resume", "-o", "small", code=2).stderr


def test_a_model_file_is_quantised_too(here):
    shutil.copy("chat/model.safetensors", "lone.safetensors")
    made = api.quantize("lone.safetensors", "chat.txt")
    assert made["run"] == "lone-int8"
    for wrong in ("int4", "float32"):
        with pytest.raises(UsageError, match=f"bfloat16, int8, not '{wrong}'"):
            api.quantize("chat", "chat.txt", "other", weights=wrong)


# -- the file -------------------------------------------------------------------------------------


def test_the_file_says_which_format_it_needs(here):
    run("quantize", "chat", "chat.txt", "-o", "small")
    versions = [modelfile.load(here / name / "model.safetensors", ModelMeta)[1].version for name in ("chat", "small")]
    assert versions == [1, 2]


def test_bfloat16_is_called_so(here):
    run("quantize", "chat", "chat.txt", "-o", "small", "--weights", "bfloat16")
    content = (here / "small" / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert header["0.E"]["dtype"] == "BF16"
    assert size % 8 == 0
    arrays, _ = modelfile.load(here / "small" / "model.safetensors", ModelMeta)
    original, _ = modelfile.load(here / "chat" / "model.safetensors", ModelMeta)
    np.testing.assert_array_equal(arrays["0.E"], quantization.to_bfloat16(original["0.E"]))


def test_the_same_run_gives_the_same_bytes(here):
    for name in ("a", "b"):
        run("quantize", "chat", "chat.txt", "-o", name)
    assert (here / "a" / "model.safetensors").read_bytes() == (here / "b" / "model.safetensors").read_bytes()

"""Runs with layer norms, residual sums and tied weights: their files, resumed, quantised, gone on from, refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api, modelfile
from rnnkit._kernels.quantization import WEIGHTS
from rnnkit.cli import commands
from rnnkit.errors import ModelFileError
from rnnkit.nn.generation import Writer
from rnnkit.nn.losses import make_loss
from rnnkit.samples import sample_path
from rnnkit.tasks.language_network import network_of

CHOSEN = {"cell": "gru", "hidden": 24, "layers": 2, "norm": True, "residual": True, "tied": True, "dropout": 0.1}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    text = sample_path("chat").read_text(encoding="utf-8")[:12000]
    (folder / "chat.txt").write_text(text, encoding="utf-8")
    rnnkit.train(folder / "chat.txt", folder / "chat", steps=60, **CHOSEN)
    return folder


def command(*args, code=0):
    result = CliRunner().invoke(commands, [str(a) for a in args])
    assert result.exit_code == code, result.output
    return result.output


def test_a_file_holds_one_table_and_serves(here):
    arrays, meta = api.read_model(here / "chat")
    assert {"0.E", "4.b", "2.norm1.gain", "2.norm2.shift"} <= set(arrays)
    assert "4.W" not in arrays
    assert meta.network["layers"][4]["tied"] == "0.E"
    model = rnnkit.load("chat")
    assert len("".join(model.generate("Le chat", length=40, rng=1))) >= 40
    rows = json.loads(command("info", "chat", "--json"))["layers"]
    assert any("residual, layer norm" in row["what"] for row in rows)


def test_a_resumed_training_equals_an_uninterrupted_one(here):
    options = api.make_options({"data": "chat.txt", **CHOSEN, "steps": 60})
    asked = iter(range(100))
    list(api.train_events(api.prepare("chat.txt", options), "half", interrupted=lambda: next(asked) >= 25))
    assert json.loads((here / "half" / "log.jsonl").read_text().splitlines()[-1])["step"] < 60
    list(api.train_events(api.prepare("chat.txt", options), "half", resume=True))
    whole, half = ((here / name / "model.safetensors").read_bytes() for name in ("chat", "half"))
    assert whole == half


@pytest.mark.parametrize("more", [{"norm": True, "residual": True}, {}], ids=["joints", "alone"])
def test_a_tied_network_begins_with_guesses_that_are_no_bets(more):
    """Its first loss is near that of even odds, or within a few nats of it."""
    options = api.make_options({"hidden": 128, "layers": 2, "embedding": 128, "dropout": 0.0, "tied": True, **more})
    network = network_of(options, 60)
    ids = np.random.default_rng(0).integers(0, 60, (32, 4))
    logits, _ = network.forward(ids)
    loss, _ = make_loss("softmax_cross_entropy")(logits, ids)
    assert loss == pytest.approx(np.log(60), abs=0.5 if more else 3)


@pytest.mark.parametrize("form", WEIGHTS[1:])
def test_quantising_rounds_a_tied_table_once(here, form):
    report = api.quantize("chat", "chat.txt", weights=form)
    whole, small = report["metrics"]["float32"], report["metrics"][form]
    assert small["nats_per_char"] == pytest.approx(whole["nats_per_char"], abs=0.05)
    model = rnnkit.load(report["run"])
    arrays, _ = api.read_model(here / report["run"])
    assert ("scale.0.E" in arrays) == (form == "int8")
    if form == "int8":
        assert arrays["scale.0.E"].shape == (model.vocabulary.size, 1)
    writer = Writer(model.network.configure("numpy", 1), 10)
    stack = writer._stack(*_parts(model.network))
    np.testing.assert_allclose(stack.W, model.network.parameters.value("4.W"), rtol=3e-7)
    np.testing.assert_array_equal(stack.W.T, stack.E)


def _parts(network):
    layers = network.root.layers
    return layers[0], layers[2], layers[4]


def test_a_training_goes_on_from_such_a_run_and_from_no_other(here):
    command("train", "chat.txt", "-o", "more", "--config", "chat/config.toml", "--from", "chat", "--steps", 3)
    words = command(
        "train", "chat.txt", "-o", "other", "--config", "chat/config.toml", "--untied", "--from", "chat", code=2
    )
    assert "--from needs a run with the same network" in words


def test_runs_of_before_go_on(here):
    """Their options know nothing of what came later."""
    options = api.make_options({"data": "chat.txt", "hidden": 8, "steps": 12})
    stops = iter([False] * 4 + [True] * 99)
    list(api.train_events(api.prepare("chat.txt", options), "old", interrupted=lambda: next(stops)))
    path = here / "old" / "checkpoint.safetensors"
    arrays, meta = modelfile.load(path, modelfile.CheckpointMeta)
    assert meta.progress["step"] < 12
    for name in ("norm", "residual"):
        del meta.options[name]
    modelfile.save(path, dict(arrays), meta)
    words = command("train", "chat.txt", "-o", "old", "--hidden", 8, "--steps", 12, "--norm", "--resume", code=2)
    assert "where norm is False, but True was given" in words
    command("train", "chat.txt", "-o", "old", "--hidden", 8, "--steps", 12, "--resume")


def test_a_width_that_cannot_be_shared_is_one_sentence(here):
    words = command("train", "chat.txt", "-o", "x", "--tied", "--embedding", 8, "--hidden", 24, code=2)
    assert "--embedding is --hidden, 24, not 8" in words
    shutil.copy(sample_path("energy"), here / "energy.csv")
    for flag in ("--tied", "--norm", "--residual"):
        words = command("train", "energy.csv", "-o", "x", flag, code=2)
        assert f"{flag} belongs to --task language" in words


def test_a_file_whose_ties_do_not_hold_is_refused(here):
    arrays, meta = api.read_model(here / "chat")
    meta.network["layers"][4]["tied"] = "2.l0.R"
    modelfile.save(here / "chat" / "model.safetensors", dict(arrays), meta)
    with pytest.raises(ModelFileError, match=r"4\.W needs a parameter 2\.l0\.R"):
        rnnkit.load("chat")

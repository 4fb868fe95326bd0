"""Settings of how the work is done: those that shape the result are kept with a run, those that do not are not."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api
from rnnkit._kernels import BACKENDS, load
from rnnkit.cli import commands
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.run import Run
from rnnkit.samples import sample_path


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "chat.txt"
    path.write_text(sample_path("chat").read_text(encoding="utf-8")[:9000], encoding="utf-8")
    return path


SMALL = {"steps": 3, "hidden": 8, "context": 64, "batch": 2, "cell": "lstm"}


def trained(text, out, **options):
    rnnkit.train(text, out, **{**SMALL, **options})
    return (out / "model.safetensors").read_bytes()


def test_recompute_changes_no_byte_of_a_model(text, tmp_path, monkeypatch):
    monkeypatch.setattr("rnnkit.nn.passes.ROWS", 8)
    monkeypatch.setattr("rnnkit.nn.passes.TABLES", 0)
    assert trained(text, tmp_path / "a", recompute=8) == trained(text, tmp_path / "b", recompute="off")
    assert "recompute = 8" in (tmp_path / "a" / "config.toml").read_text()


def test_a_run_may_be_resumed_with_another_recompute(text, tmp_path):
    options = api.make_options({"data": str(text), **SMALL})
    asked = iter(range(1000))
    list(api.train_events(api.prepare(text, options), tmp_path / "r", interrupted=lambda: next(asked) >= 2))
    rnnkit.train(text, tmp_path / "r", resume=True, recompute=4)
    assert Run(tmp_path / "r").load_model()[1].report


def test_bfloat16_shapes_the_result_and_is_kept_with_it(text, tmp_path):
    exact = trained(text, tmp_path / "f32", backend="numpy")
    rounded = trained(text, tmp_path / "bf16", backend="numpy", precision="bfloat16")
    assert exact != rounded
    assert Run(tmp_path / "bf16").load_model()[1].options["precision"] == "bfloat16"
    assert 'precision = "bfloat16"' in (tmp_path / "bf16" / "config.toml").read_text()
    with pytest.raises(UsageError, match="precision is bfloat16, but float32 was given"):
        rnnkit.train(text, tmp_path / "bf16", resume=True, precision="float32")
    rnnkit.train(text, tmp_path / "bf16", resume=True)


def test_a_run_from_before_the_option_is_one_in_float32(text, tmp_path):
    trained(text, tmp_path / "r")
    run = Run(tmp_path / "r")
    arrays, meta = run.load_checkpoint()
    del meta.options["precision"]
    run.save_checkpoint(arrays, meta)
    rnnkit.train(text, tmp_path / "r", resume=True, **SMALL)


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_without_bfloat16_refuse_it_before_anything_is_written(backend, text, tmp_path):
    try:
        if "bfloat16" in load(backend, "lstm").precisions:
            pytest.skip(f"{backend}: it has bfloat16 products")
    except RnnkitError as error:
        pytest.skip(str(error))
    out = tmp_path / "r"
    command = [
        "train",
        text,
        "-o",
        out,
        "--steps",
        2,
        "--cell",
        "lstm",
        "--backend",
        backend,
        "--precision",
        "bfloat16",
    ]
    done = CliRunner().invoke(commands, [str(word) for word in command])
    assert done.exit_code == 2
    assert f"the {backend} backend has no bfloat16 products" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("wrong", ["0", "-1", "on", "1.5"])
def test_recompute_is_checked(wrong, text):
    done = CliRunner().invoke(commands, ["train", str(text), f"--recompute={wrong}"])
    assert done.exit_code == 2
    assert re.search("neither auto nor off nor a whole number", done.stderr)
    with pytest.raises(UsageError, match="--recompute"):
        api.make_options({"recompute": wrong})

"""Files of weights: what is damaged, foreign or newer is refused in one sentence."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest

from rnnkit import modelfile
from rnnkit.errors import ModelFileError, RnnkitError, UsageError
from rnnkit.modelfile import CheckpointMeta, ModelMeta
from rnnkit.run import Run, free_path, list_runs, to_toml

ARRAYS = {"a.W": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5, -2.0])}
META = ModelMeta("language", {"kind": "dense", "inputs": 2, "outputs": 3}, {"é": "Où"}, {"seed": 1}, {"metrics": {}})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    modelfile.save(path, ARRAYS, META)
    return path


def test_what_was_saved_comes_back(file):
    arrays, meta = modelfile.load(file, ModelMeta)
    assert meta == META
    assert list(arrays) == list(ARRAYS)
    for name in ARRAYS:
        np.testing.assert_array_equal(arrays[name], ARRAYS[name])
        assert arrays[name].dtype == ARRAYS[name].dtype


def test_same_content_same_bytes(file, tmp_path):
    other = tmp_path / "other"
    modelfile.save(other, dict(reversed(ARRAYS.items())), META)
    assert other.read_bytes() == file.read_bytes()


def test_only_the_file_itself_is_left(file):
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_every_truncation_is_refused(file):
    content = file.read_bytes()
    for size in range(len(content)):
        file.write_bytes(content[:size])
        with pytest.raises(ModelFileError, match=r"rnnkit file was expected|damaged"):
            modelfile.load(file, ModelMeta)


def test_a_flipped_bit_anywhere_is_refused(file):
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        garbled = bytearray(content)
        garbled[rng.integers(0, len(content))] ^= 1 << rng.integers(0, 8)
        file.write_bytes(garbled)
        with pytest.raises(ModelFileError):
            modelfile.load(file, ModelMeta)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    head = {
        "huge": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]},
        "__metadata__": {"rnnkit": "{}"},
    }
    text = json.dumps(head).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 64)
    with pytest.raises(ModelFileError, match=r"rnnkit file was expected|damaged"):
        modelfile.load(path, ModelMeta)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(3)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match=r"rnnkit file was expected|damaged"):
        modelfile.load(tmp_path / "x.safetensors", ModelMeta)


def with_meta(path, **changes):
    from safetensors.numpy import save_file

    text = json.dumps({**json.loads(json.dumps({f: getattr(META, f) for f in META.__struct_fields__})), **changes})
    save_file(ARRAYS, path, {"rnnkit": modelfile.seal(ARRAYS, text)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 99}, "format 99"),
        ({"version": 99, "surprise": 1}, "pip install -U rnnkit"),
        ({"format": "rnnkit.checkpoint"}, "rnnkit.model was expected"),
        ({"surprise": 1}, "surprise"),
        ({"task": 3}, "task"),
        ({"version": "one"}, "rnnkit file was expected"),
    ],
)
def test_metadata_is_checked(tmp_path, changes, words):
    path = tmp_path / "model.safetensors"
    with_meta(path, **changes)
    with pytest.raises(ModelFileError, match=words) as caught:
        modelfile.load(path, ModelMeta)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        modelfile.load(tmp_path / "none", ModelMeta)


def make_run(path):
    return Run.create(path, {"cell": "gru"}, (ARRAYS, META), (ARRAYS, CheckpointMeta("f", {}, {"n": 1})))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    run = make_run(tmp_path / "r")
    run.save_checkpoint(ARRAYS, CheckpointMeta("f", {}, {"n": 2}))
    assert run.load_checkpoint()[1].progress == {"n": 2}
    (run.path / "checkpoint.safetensors").write_bytes(b"half")
    assert run.load_checkpoint()[1].progress == {"n": 1}


def test_a_folder_without_a_model_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"holds no model\.safetensors"):
        Run(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        Run(tmp_path / "none")


@pytest.mark.parametrize(
    ("number", "words"), [(28, "disk is full"), (30, "read-only"), (13, "read-only"), (5, "could not be written")]
)
def test_a_write_that_fails_leaves_the_old_file(file, monkeypatch, number, words):
    before = file.read_bytes()

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RnnkitError, match=words):
        modelfile.save(file, {}, META)
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_force_replaces_only_a_run(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="--force"):
        Run.create(tmp_path / "precious", {}, (ARRAYS, META), (ARRAYS, CheckpointMeta("f", {}, {})), replace=True)
    assert (tmp_path / "precious" / "thesis.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_force_replaces_no_other_folder_with_a_model(tmp_path):
    (tmp_path / "foreign").mkdir()
    for name in ("model.safetensors", "thesis.tex"):
        (tmp_path / "foreign" / name).write_text("x")
    with pytest.raises(UsageError, match="--force"):
        Run.create(tmp_path / "foreign", {}, (ARRAYS, META), (ARRAYS, CheckpointMeta("f", {}, {})), replace=True)
    assert (tmp_path / "foreign" / "thesis.tex").exists()


def test_a_replacement_that_fails_leaves_the_old_run(tmp_path, monkeypatch):
    make_run(tmp_path / "r")
    replace, calls = os.replace, []

    def second_fails(a, b):
        calls.append(a)
        if len(
            [c for c in calls if str(c).startswith(str(tmp_path / ".r")) and os.path.isdir(c)]
        ) == 1 and os.path.isdir(a):
            calls.append(tmp_path / ".r-done")
            raise OSError(5, "Input/output error")
        replace(a, b)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(RnnkitError, match="could not be written"):
        Run.create(tmp_path / "r", {}, (ARRAYS, META), (ARRAYS, CheckpointMeta("f", {}, {})), replace=True)
    monkeypatch.undo()
    Run(tmp_path / "r").load_model()
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_a_damaged_checkpoint_is_not_kept_as_the_previous_one(tmp_path):
    run = make_run(tmp_path / "r")
    run.save_checkpoint(ARRAYS, CheckpointMeta("f", {}, {"n": 2}))
    (run.path / "checkpoint.safetensors").write_bytes(b"half")
    run.load_checkpoint()
    run.save_checkpoint(ARRAYS, CheckpointMeta("f", {}, {"n": 3}))
    (run.path / "checkpoint.safetensors").write_bytes(b"half again")
    assert run.load_checkpoint()[1].progress == {"n": 1}


def test_halves_of_runs_are_not_listed_and_leftovers_are_removed(tmp_path):
    run = make_run(tmp_path / "r")
    make_run(tmp_path / ".r.x1")
    assert list_runs(tmp_path) == [tmp_path / "r"]
    (run.path / ".model.safetensors.x2").write_text("half")
    run.clear_leftovers()
    assert not list(run.path.glob(".*"))


def test_metadata_nested_without_end_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file(ARRAYS, path, {"rnnkit": "[" * 100_000})
    with pytest.raises(ModelFileError):
        modelfile.load(path, ModelMeta)
    text = ("{" + '"a":[' * 50_000).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelFileError):
        modelfile.load(path, ModelMeta)


def test_runs_are_listed_newest_first_and_names_counted_on(tmp_path):
    for i, name in enumerate(("x", "x-2")):
        run = make_run(tmp_path / name)
        os.utime(run.path / "model.safetensors", (i, i))
    assert [p.name for p in list_runs(tmp_path)] == ["x-2", "x"]
    assert free_path(tmp_path / "x").name == "x-3"
    assert free_path(tmp_path / "y").name == "y"


def test_toml_reads_back():
    import tomllib

    values = {"a": 'C:\\x "é" \u0007 \x7f', "b": 3, "c": 0.25, "d": True, "e": ["x", "y"], "f": None, "g": 1e-7}
    assert tomllib.loads(to_toml(values)) == {k: v for k, v in values.items() if v is not None}

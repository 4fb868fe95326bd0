"""What the file of a forecaster says of itself, each fact and array wrong in turn."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import rnnkit
from rnnkit import modelfile
from rnnkit.errors import ModelFileError

WRONG = [
    ("context", 0), ("context", 10**15), ("patch", 0), ("patch", 7), ("horizon", 0), ("horizon", 13),
    ("horizon", 10**15), ("periods", [1]), ("periods", [12, 10**15]), ("periods", [12, 12]), ("log_floor", -1.0),
    ("spread", 0.0), ("quantiles", [0.5]), ("quantiles", [0.1, 0.9]), ("quantiles", [0.9, 0.5]),
    ("quantiles", [0.25, 0.5]), ("past_mean", []), ("past_scale", [1.0, 1.0]), ("past_scale", [0.0]),
    ("past_names", []), ("ids", []), ("ids", ["a", "b"]), ("folds", 0), ("gaps", "perhaps"), ("time_name", None),
    ("freq", {"unit": "moon", "count": 1}),
]  # fmt: skip
WRONG_DATA = [
    ("known", lambda a: a * 0 - 1), ("known", lambda a: a + 1), ("known", lambda a: a.astype(np.float64)),
    ("values", lambda a: a * np.nan), ("values", lambda a: a.astype(np.float32)), ("values", lambda a: a[:, 1:]),
    ("real", lambda a: a.astype(np.int64)), ("past", lambda a: a * np.inf), ("past", lambda a: a[:, :, :0]),
    ("times", lambda a: a[:, ::-1]), ("times", lambda a: a.astype(np.float64)), ("known", lambda a: a[:0]),
]  # fmt: skip


@pytest.fixture(scope="module")
def good_file(tmp_path_factory):
    """A model file's arrays and metadata."""
    folder = tmp_path_factory.mktemp("facts")
    rng = np.random.default_rng(0)
    months = np.datetime64("2001-01", "M") + np.arange(150)
    sales = 100 + 20 * np.sin(2 * np.pi * np.arange(150) / 12) + rng.standard_normal(150)
    rows = [f"{m},{v:.3f},{p:.3f}" for m, v, p in zip(months, sales, 5 + rng.random(150), strict=True)]
    (folder / "sales.csv").write_text("month,sales,price\n" + "\n".join(rows) + "\n")
    rnnkit.train(folder / "sales.csv", folder / "run", target="sales", horizon=12, steps=2)
    return modelfile.load(folder / "run" / "model.safetensors", modelfile.ModelMeta)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_absurd_facts_are_refused(good_file, tmp_path, name, value):
    arrays, meta = good_file[0], copy.deepcopy(good_file[1])
    place = meta.facts if name in meta.facts else meta.facts["window"]
    assert name in place
    place[name] = value
    modelfile.save(tmp_path / "model.safetensors", arrays, meta)
    with pytest.raises(ModelFileError, match="train again") as caught:
        rnnkit.load(tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "change"), WRONG_DATA)
def test_absurd_arrays_are_refused(good_file, tmp_path, name, change):
    arrays = {**good_file[0], f"data.{name}": change(good_file[0][f"data.{name}"])}
    modelfile.save(tmp_path / "model.safetensors", arrays, good_file[1])
    with pytest.raises(ModelFileError, match=f"data.{name} of a forecasting model was expected to be"):
        rnnkit.load(tmp_path / "model.safetensors")

"""What the file of a forecaster says of itself, each fact and array wrong in turn."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import rnnkit
from rnnkit import modelfile
from rnnkit.errors import ModelFileError

ONES = [1.0] * 12
WRONG = [
    ("horizon", 0), ("horizon", 11), ("horizon", 13), ("horizon", 10**15), ("time_name", None),
    ("window.horizon", 0), ("window.horizon", 13), ("window.horizon", 6), ("window.horizon", 10**15),
    ("window.context", 0), ("window.context", 10**15), ("window.patch", 0), ("window.patch", 7),
    ("window.periods", [1]), ("window.periods", [12, 10**15]), ("window.periods", [12, 12]),
    ("window.log_floor", -1.0), ("window.log_floor", float("inf")), ("window.spread", 0.0),
    ("window.quantiles", [0.5]), ("window.quantiles", [0.1, 0.9]), ("window.quantiles", [0.025, 0.1, 0.5, 0.9]),
    ("window.quantiles", [0.025, 0.1, 0.5, 0.975, 0.9]), ("window.quantiles", [0.05, 0.1, 0.5, 0.9, 0.95]),
    ("window.output", "guess"), ("window.output", "mean"), ("window.scalings", []), ("window.scalings", ["size"]),
    ("window.scalings", ["difference"] * 2), ("window.scalings", ["deviation", "difference"]),
    ("window.level", float("nan")), ("window.level_scale", -1.0), ("window.level_scale", float("inf")),
    ("window.past.mean", []), ("window.past.mean", [float("nan")]), ("window.past.scale", [1.0, 1.0]),
    ("window.past.scale", [0.0]), ("window.future", {"mean": [], "scale": []}), ("window.future.scale", [-1.0]),
    ("window.static.mean", [0.0]), ("window.static", {"mean": [0.0], "scale": [1.0]}),
    ("past_names", []), ("past_names", ["price", "wind"]), ("future_names", []), ("static_names", ["size"]),
    ("ids", []), ("ids", ["a", "b"]), ("targets", []), ("targets", ["sales", "sales"]), ("folds", 0),
    ("gaps", "perhaps"), ("freq", {"unit": "moon", "count": 1}),
    ("calibration.shares", [0.8]), ("calibration.shares", [0.95, 0.8]), ("calibration.shares", [0.8, 0.8]),
    ("calibration.shares", [0.8, 0.9]), ("calibration.shares", []), ("calibration.stretch", []),
    ("calibration.stretch", [ONES]), ("calibration.stretch", [ONES, ONES, ONES]),
    ("calibration.stretch", [ONES, ONES[1:]]), ("calibration.stretch", [[*ONES, 1.0], ONES]),
    ("calibration.stretch", [ONES, []]), ("calibration.stretch", [[*ONES[1:], float("nan")], ONES]),
    ("calibration.stretch", [ONES, [float("inf"), *ONES[1:]]]), ("calibration.stretch", [[*ONES[1:], -1.0], ONES]),
    ("calibration.stretch", [ONES, [0.0, *ONES[1:]]]),
]  # fmt: skip
WRONG_DATA = [
    ("known", lambda a: a * 0 - 1), ("known", lambda a: a + 1), ("known", lambda a: a.astype(np.float64)),
    ("values", lambda a: a * np.nan), ("values", lambda a: a.astype(np.float32)), ("values", lambda a: a[:, 1:]),
    ("real", lambda a: a.astype(np.int64)), ("past", lambda a: a[:, :, :0]),
    ("past", lambda a: np.full_like(a, np.inf)),
    ("times", lambda a: a[:, ::-1]), ("times", lambda a: a.astype(np.float64)), ("known", lambda a: a[:0]),
    ("future", lambda a: a[:, 1:]), ("future", lambda a: a[:, :, :0]), ("future", lambda a: a.astype(np.float32)),
    ("future", lambda a: np.full_like(a, np.inf)), ("static", lambda a: np.ones((1, 1))), ("static", lambda a: a[:0]),
    ("static", lambda a: a.astype(np.float32)),
]  # fmt: skip


@pytest.fixture(scope="module")
def good_file(tmp_path_factory):
    """A model file's arrays and metadata."""
    folder = tmp_path_factory.mktemp("facts")
    rng = np.random.default_rng(0)
    months = np.datetime64("2001-01", "M") + np.arange(150)
    sales = 100 + 20 * np.sin(2 * np.pi * np.arange(150) / 12) + rng.standard_normal(150)
    rows = [
        f"{m},{v:.3f},{p:.3f},{i % 3}" for i, (m, v, p) in enumerate(zip(months, sales, rng.random(150), strict=True))
    ]
    (folder / "sales.csv").write_text("month,sales,price,offer\n" + "\n".join(rows) + "\n")
    rnnkit.train(folder / "sales.csv", folder / "run", target="sales", future=["offer"], horizon=12, steps=2, members=2,
                 hidden=4)  # fmt: skip
    return modelfile.load(folder / "run" / "model.safetensors", modelfile.ModelMeta)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_absurd_facts_are_refused(good_file, tmp_path, name, value):
    arrays, meta = good_file[0], copy.deepcopy(good_file[1])
    place = meta.facts
    *within, last = name.split(".")
    for part in within:
        place = place[part]
    assert last in place
    assert place[last] != value
    place[last] = value
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


def test_what_was_never_judged_has_no_calibration(good_file, tmp_path):
    meta = copy.deepcopy(good_file[1])
    assert meta.facts["calibration"]["shares"] == [0.8, 0.95]
    assert np.shape(meta.facts["calibration"]["stretch"]) == (2, 12)
    meta.facts["calibration"] = {"shares": [], "stretch": []}
    modelfile.save(tmp_path / "model.safetensors", good_file[0], meta)
    forecast = rnnkit.load(tmp_path / "model.safetensors").predict()
    assert all(np.isfinite(column).all() for column in forecast.columns[0].values())


def test_a_series_is_a_target_of_an_id(good_file, tmp_path):
    """Two targets of one id are two series, and the same pair twice is none."""
    arrays, meta = good_file[0], copy.deepcopy(good_file[1])
    arrays = {**arrays, **{name: np.repeat(a, 2, axis=0) for name, a in arrays.items() if name.startswith("data.")}}
    meta.facts |= {"ids": ["", ""], "targets": ["sales", "returns"]}
    modelfile.save(tmp_path / "good.safetensors", arrays, meta)
    assert len(rnnkit.load(tmp_path / "good.safetensors").predict().columns) == 2
    for targets in (["sales", "sales"], ["sales"], ["sales", "returns", "both"]):
        meta.facts["targets"] = targets
        modelfile.save(tmp_path / "bad.safetensors", arrays, meta)
        with pytest.raises(ModelFileError, match="ids of a forecasting model was expected to be the different names"):
            rnnkit.load(tmp_path / "bad.safetensors")

"""Backtests of a small trained forecaster: origins, tables, files, new trainings, models of statistics."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api
from rnnkit.baselines import fitted
from rnnkit.cli import commands
from rnnkit.data.series import read_series
from rnnkit.errors import UsageError
from rnnkit.tasks.backtest import before
from rnnkit.training import Finished, Started

FAST = {"steps": 10, "horizon": 6, "hidden": 8, "threads": 1}


def shops(path, names, n=120):
    """Days of sales of some shops, a week's shape, one value missing."""
    rng, rows = np.random.default_rng(5), ["shop,day,sales"]
    for k, name in enumerate(names):
        y = 50 + 10 * k + 8 * np.sin(2 * np.pi * np.arange(n) / 7) + rng.standard_normal(n)
        cells = [f"{v:.3f}" for v in y]
        cells[-3] = "" if k else cells[-3]
        rows += [f"{name},{np.datetime64('2023-01-02') + i},{cells[i]}" for i in range(n)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shops and a run trained on them, up to a day before which it knows nothing of what is evaluated."""
    folder = tmp_path_factory.mktemp("backtest")
    shops(folder / "shops.csv", ["north", "south"])
    known = [line for line in (folder / "shops.csv").read_text().splitlines() if line.split(",")[1] < "2023-04-01"]
    (folder / "known.csv").write_text("\n".join(["shop,day,sales", *known]) + "\n")
    rnnkit.train(folder / "known.csv", folder / "run", id="shop", time="day", target="sales", **FAST)
    return folder


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def run(*args):
    result = CliRunner().invoke(commands, [str(a) for a in args])
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result


def test_windows_of_many_origins_are_those_of_each_alone(folder):
    model, series = rnnkit.load(folder / "run"), read_series(folder / "shops.csv", id="shop")
    found = model.evaluate(folder / "shops.csv", folds=4, stride=3, keep=True, against="simple")
    backtest = found["backtest"]
    assert backtest.cuts.tolist() == [105, 108, 111, 114] * 2
    assert not found["in_sample"]
    for w in (0, 6):
        i, cut = int(backtest.series[w]), int(backtest.cuts[w])
        alone = model.predictor(before(series, [cut, cut], 6), 6)(np.array([i]), np.array([cut]))
        np.testing.assert_allclose(alone[0, :, 2], backtest.columns["median"][w], rtol=1e-5)
        np.testing.assert_array_equal(backtest.actual[w], series.values[i][cut : cut + 6])
    assert list(backtest.columns) == ["median", "lo95", "lo80", "hi80", "hi95"]
    assert backtest.baselines.keys() == found["baselines"].keys()
    assert backtest.times(0, np.array([0, 119])) == ["2023-01-02", "2023-05-01"]
    assert backtest.labels == ["north", "south"]


def test_every_forecast_goes_into_a_file(folder, tmp_path):
    out = tmp_path / "folds.csv"
    run("evaluate", folder / "run", folder / "shops.csv", "--folds", 2, "--against", "simple", "-o", out)
    rows = table(out)
    assert list(rows[0]) == ["shop", "origin", "day", "step", "actual", "median", "lo95", "lo80", "hi80", "hi95"]
    assert len(rows) == 2 * 2 * 6
    assert [rows[0][name] for name in ("shop", "origin", "day", "step")] == ["north", "2023-04-19", "2023-04-20", "1"]
    actual = {(row["shop"], row["day"]): row["sales"] for row in table(folder / "shops.csv")}
    for row in rows:
        came = actual[row["shop"], row["day"]]
        assert row["actual"] == came == "" or float(row["actual"]) == pytest.approx(float(came))
        assert float(row["lo95"]) <= float(row["lo80"]) <= float(row["median"]) <= float(row["hi80"])
    assert sum(row["actual"] == "" for row in rows) == 1
    again = CliRunner().invoke(commands, ["evaluate", str(folder / "run"), str(folder / "shops.csv"), "-o", str(out)])
    assert again.exit_code == 2
    assert "exists" in again.stderr


def test_tables_by_series_and_by_step(folder):
    place = ("evaluate", folder / "run", folder / "shops.csv", "--folds", 3, "--against", "simple")
    shown = run(*place, "--by", "series").stdout
    assert shown.index("MASE of the others") < shown.index("\nseries")
    assert {"north", "south"} <= {line.split()[0] for line in shown.splitlines() if line.strip()}
    assert max(map(len, shown.splitlines()[:12])) <= 80
    shown = run(*place, "--by", "step").stdout
    assert [line.split()[0] for line in shown.splitlines()[-6:]] == list("123456")
    found = json.loads(run(*place, "--by", "step", "--json").stdout)
    assert [row["step"] for row in found["by_step"]] == [1, 2, 3, 4, 5, 6]
    assert found["by_step"][0]["baselines"].keys() == found["baselines"].keys()
    pieces = {"verdict", "beats", "baseline", "improvement", "certainty", "beaten"}
    assert pieces <= found.keys()
    assert found["baseline"] in found["baselines"]


def test_new_trainings_see_nothing_of_what_follows(folder):
    model = rnnkit.load(folder / "run")
    heard = []
    refit = api.refitter(model, lambda fold, folds, event: heard.append((fold, folds, event)), threads=1)
    found = model.evaluate(folder / "shops.csv", folds=2, refit=refit, keep=True, against="simple")
    assert [(k, n) for k, n, event in heard if isinstance(event, Started)] == [(1, 2), (2, 2)]
    gone = [event.run.path for *_, event in heard if isinstance(event, Finished)]
    assert len(gone) == 2
    assert not any(path.exists() for path in gone)
    assert not found["in_sample"]
    series = read_series(folder / "shops.csv", id="shop")
    ends = [len(v) - 6 for v in series.values]
    alone = refit(before(series, ends, 6), 1, 1)
    answer = alone.predictor(before(series, ends, 6), 6)(np.arange(2), np.array(ends))
    last = found["backtest"].columns["median"][[1, 3]]
    np.testing.assert_allclose(answer[:, :, 2], last, rtol=1e-5)
    plain = model.evaluate(folder / "shops.csv", folds=2, keep=True, against="simple")
    assert not np.allclose(last, plain["backtest"].columns["median"][[1, 3]], rtol=1e-3)


def test_the_command_trains_anew_and_says_so(folder):
    result = run("evaluate", folder / "run", folder / "shops.csv", "--folds", 2, "--refit", "--against", "simple")
    assert "fold 2 of 2: 10 steps" in result.stderr
    assert "trained on" not in result.stderr
    assert "On 2 origins 6 apart, 6 points each, 2 series:" in result.stdout


def test_series_as_they_were(folder):
    series = read_series(folder / "shops.csv", id="shop")
    series.future = [np.arange(120.0)[:, None] for _ in range(2)]
    known = before(series, [100, 110], 6)
    assert [len(v) for v in known.values] == [len(t) for t in known.times] == [100, 110]
    assert [len(f) for f in known.future] == [106, 116]
    np.testing.assert_array_equal(known.ahead[1], series.times[1][110:116])
    assert (len(series.values[0]), len(series.times[1]), len(series.ahead[0])) == (120, 120, 0)
    assert len(before(series, [118, 118], 6).ahead[0]) == 2


def test_models_of_statistics_stand_beside_the_rules(folder):
    pytest.importorskip("statsforecast")
    model = rnnkit.load(folder / "run")
    found = model.evaluate(folder / "shops.csv", folds=1)
    assert {"AutoETS", "AutoTheta"} <= found["baselines"].keys()
    assert found["baselines"]["AutoETS"]["mase"] < found["baselines"]["naive"]["mase"]
    assert any("AutoETS and AutoTheta were fitted anew at each of 2 origins of 2 series" in n for n in found["notices"])
    assert "AutoETS" not in model.evaluate(folder / "shops.csv", folds=1, against="simple")["baselines"]
    with pytest.raises(UsageError, match="--against is one of auto, simple, all"):
        model.evaluate(folder / "shops.csv", against="everything")


def test_what_takes_long_is_left_out_unasked(folder, monkeypatch):
    monkeypatch.setattr(fitted, "available", lambda: True)
    monkeypatch.setattr(fitted, "AFFORDABLE", 200)
    found = rnnkit.load(folder / "run").evaluate(folder / "shops.csv", folds=1)
    assert "AutoETS" not in found["baselines"]
    assert any("left out: 2 fits to 228 points" in n and "--against all" in n for n in found["notices"])


def test_without_the_package_its_models_are_asked_for_in_vain(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(UsageError, match=r"pip install 'rnnkit\[stats\]'"):
        rnnkit.load(folder / "run").evaluate(folder / "shops.csv", folds=1, against="all")


def test_a_model_that_cannot_be_fitted_counts_as_the_last_value():
    pytest.importorskip("statsforecast")
    found, failed = fitted.fitted([np.array([3.0, np.nan, 4.0])], np.array([0]), np.array([3]), 2, 12)
    assert failed <= len(fitted.MODELS)
    assert all(np.isfinite(f).all() for f in found.values())

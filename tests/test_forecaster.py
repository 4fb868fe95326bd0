"""``rnnkit.Forecaster``: frames and arrays in, the same kind out, and nothing left behind."""

from __future__ import annotations

import copy
import doctest
import inspect
import pickle
import tempfile

import numpy as np
import pandas as pd
import pytest

import rnnkit
from rnnkit import Forecaster, forecaster
from rnnkit.errors import DataError, ModelFileError, UsageError

FAST = {"steps": 15, "hidden": 8}
BANDS = ["median", "lo80", "hi80", "lo95", "hi95"]


def week(n, start=0, level=20.0):
    """A week's shape, slightly uneven."""
    i = np.arange(start, start + n)
    return level + 3.0 * (i % 7) + (i * 37 % 11) / 10


def days(n, start=0, **more):
    return pd.DataFrame(
        {"day": pd.date_range("2024-01-01", periods=start + n)[start:], "sales": week(n, start), **more}
    )


def shops(n, start=0):
    """Two shops with whole numbers for names."""
    parts = [days(n, start).assign(sales=week(n, start, level), shop=k) for k, level in ((7, 20.0), (3, 50.0))]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(horizon=7, **FAST).fit(days(150))


@pytest.fixture(scope="module")
def two():
    return Forecaster(horizon=5, **FAST).fit(shops(120), "sales", time="day", id="shop")


# -- settings --------------------------------------------------------------------------------------------


def test_the_examples_run():
    """Those of the documentation."""
    tests = doctest.DocTestFinder().find(Forecaster, globs={})
    assert sum(len(test.examples) for test in tests) > 8
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0, test.name


def test_settings_come_back_as_the_same_objects():
    """What scikit-learn's clone asks of an estimator."""
    period = "".join(["2", "4"])
    first = Forecaster(horizon=3, season=period, steps=9)
    params = first.get_params(deep=False)
    assert params == {"horizon": 3, "cell": "gru", "season": "24", "max_time": None, "seed": 0, "steps": 9}
    again = type(first)(**params)
    assert all(again.get_params(deep=False)[name] is value for name, value in params.items())
    assert repr(again) == repr(first) == "Forecaster(horizon=3, season='24', steps=9)"
    assert again.set_params(horizon=4, hidden=5) is again
    assert first.get_params()["horizon"] == 3
    assert again.get_params()["hidden"] == 5


def test_clone():
    sklearn = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    assert sklearn.clone(Forecaster(horizon=3, steps=9)).get_params() == Forecaster(horizon=3, steps=9).get_params()


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"horizn": 3}, "did you mean horizon"),
        ({"target": "y"}, r"belongs to fit: fit\(data, target=...\)"),
        ({"data": "a.csv"}, "is no setting of a Forecaster"),
        ({"task": "language"}, "is no setting of a Forecaster"),
    ],
)
def test_unknown_settings_are_refused_at_once(wrong, what):
    with pytest.raises(UsageError, match=what):
        Forecaster(**wrong)
    with pytest.raises(UsageError, match=what):
        Forecaster().set_params(**wrong)


def test_values_are_checked_by_fit():
    with pytest.raises(UsageError, match="--horizon is a whole number"):
        Forecaster(horizon=-1).fit(days(100))
    with pytest.raises(UsageError, match="cell"):
        Forecaster(cell="gro").fit(days(100))


def test_before_fit_it_says_so():
    for call in (lambda f: f.predict(), lambda f: f.model_, lambda f: f.report_, lambda f: f.save("x")):
        with pytest.raises(UsageError, match="call fit first"):
            call(Forecaster())


def test_the_signature_shows_the_settings():
    assert list(inspect.signature(Forecaster).parameters)[:5] == ["horizon", "cell", "season", "max_time", "seed"]


# -- frames -----------------------------------------------------------------------------------------------


def test_a_frame_gives_a_frame(fitted):
    found = fitted.predict()
    assert list(found.columns) == ["day", *BANDS]
    assert found["day"].tolist() == pd.date_range("2024-05-30", periods=7).tolist()
    assert found["day"].dtype == "datetime64[ns]"
    expected = fitted.model_.predict()
    np.testing.assert_array_equal(found["hi95"], expected.columns[0]["hi95"])
    assert "column 'day' is the time" in fitted.notices_
    assert fitted.verdict_ == fitted.report_["verdict"]
    assert {"metrics", "baselines", "part"} <= set(fitted.report_)


def test_bands_and_steps(fitted):
    found = fitted.predict(horizon=2, interval=[50])
    assert list(found.columns) == ["day", "median", "lo50", "hi50"]
    assert len(found) == 2
    assert len(fitted.predict(horizon=9)) == 9
    with pytest.raises(UsageError, match="--horizon is from 1 to"):
        fitted.predict(horizon=0)


def test_an_index_of_times_stays_the_index():
    series = days(150).set_index("day")["sales"]
    found = Forecaster(horizon=7, **FAST).fit(series).predict()
    assert isinstance(found.index, pd.DatetimeIndex)
    assert found.index.name == "day"
    assert list(found.columns) == BANDS


def test_names_keep_their_type(two):
    found = two.predict()
    assert list(found.columns) == ["shop", "day", *BANDS]
    assert found["shop"].tolist() == [7] * 5 + [3] * 5
    assert found["shop"].dtype.kind == "i"


def test_times_as_text_as_numbers_and_with_a_zone():
    frame = days(150)
    text = Forecaster(horizon=3, **FAST).fit(frame.assign(day=frame["day"].dt.strftime("%d.%m.%Y"))).predict()
    assert text["day"].tolist() == ["30.05.2024", "31.05.2024", "01.06.2024"]
    count = Forecaster(horizon=3, **FAST).fit({"t": np.arange(150), "y": week(150)}).predict()
    assert count["t"].tolist() == [150, 151, 152]
    hours = pd.date_range("2024-03-28", periods=150, freq="h", tz="Europe/Paris")
    zoned = Forecaster(horizon=3, **FAST).fit(pd.DataFrame({"at": hours, "y": week(150)})).predict()
    assert zoned["at"].tolist() == pd.date_range(hours[-1], periods=4, freq="h")[1:].tolist()


def test_other_frames_come_back_as_they_are(two):
    pytest.importorskip("narwhals", reason="the frames extra is not installed")
    pa = pytest.importorskip("pyarrow", reason="the frames extra is not installed")
    table = pa.Table.from_pandas(shops(120))
    found = Forecaster(horizon=5, **FAST).fit(table, "sales", time="day", id="shop").predict()
    assert isinstance(found, pa.Table)
    assert found.column_names == ["shop", "day", *BANDS]
    assert found["shop"].to_pylist() == [7] * 5 + [3] * 5
    np.testing.assert_allclose(found["median"].to_numpy(), two.predict()["median"], rtol=1e-6)


def test_new_rows_and_new_series(two):
    later = two.predict(shops(4, start=120), horizon=1)
    whole = two.predict(shops(124), horizon=1)
    assert later["day"].tolist() == whole["day"].tolist() == [pd.Timestamp("2024-05-04")] * 2
    np.testing.assert_allclose(later[BANDS], whole[BANDS], rtol=1e-5)
    new = two.predict(shops(60).assign(shop=lambda frame: frame["shop"] + 100))
    assert new["shop"].unique().tolist() == [107, 103]
    with pytest.raises(DataError, match="points of sales are needed to forecast 9, found 2"):
        two.predict(days(2).assign(shop=9))


# -- arrays -----------------------------------------------------------------------------------------------


def test_arrays_give_arrays():
    one = Forecaster(horizon=4, **FAST).fit(week(120))
    assert {name: values.shape for name, values in one.predict().items()} == dict.fromkeys(BANDS, (4,))
    again = one.predict(week(120))
    np.testing.assert_array_equal(again["median"], one.predict()["median"])
    assert one.predict(np.stack([week(50), week(50, 3)]))["median"].shape == (2, 4)
    many = Forecaster(horizon=4, **FAST).fit([week(120), week(100, level=50.0)])
    assert many.predict()["lo80"].shape == (2, 4)
    assert many.predict()["median"][1].mean() > many.predict()["median"][0].mean() + 15
    assert many.predict(week(80))["median"].shape == (4,)
    assert many.predict([week(80)])["median"].shape == (1, 4)
    assert many.predict(list(week(80)))["median"].shape == (4,)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (np.zeros((2, 3, 4)), "3 dimensions"),
        ([], "at least one row"),
        ([np.zeros(3), 4.0], "other things in a list"),
        (["a", "b"], "arrays of numbers"),
        ("nowhere.csv", "nowhere.csv"),
        (pd.DataFrame(), "at least one row"),
        (42, "expected a path"),
    ],
)
def test_other_things_are_refused(data, what):
    with pytest.raises((UsageError, DataError), match=what):
        Forecaster(**FAST).fit(data)


def test_arrays_have_no_columns(fitted):
    with pytest.raises(UsageError, match="time names columns, and arrays have none"):
        Forecaster(**FAST).fit(week(100), time="day")
    with pytest.raises(UsageError, match="arrays have no inputs known in advance"):
        Forecaster(horizon=3, **FAST).fit(week(100)).predict(future=days(3))
    with pytest.raises(UsageError, match="no column 'day'"):
        fitted.predict(week(50))


def test_a_file_is_data_too(tmp_path):
    days(150).to_csv(tmp_path / "a.csv", index=False)
    found = Forecaster(horizon=2, **FAST).fit(tmp_path / "a.csv").predict()
    assert found["day"].tolist() == pd.date_range("2024-05-30", periods=2).tolist()


# -- scores, files ------------------------------------------------------------------------------------------


def test_score_is_the_skill_over_the_best_rule(fitted):
    found = fitted.evaluate(days(150), folds=3)
    assert found["part"].startswith("3 origins 7 apart")
    whole = fitted.evaluate(days(150))
    best = min(one["mase"] for one in whole["baselines"].values())
    assert fitted.score(days(150)) == pytest.approx(1 - whole["metrics"]["mase"] / best)


def test_saved_and_loaded_is_the_same(two, tmp_path):
    path = two.save(tmp_path / "run")
    again = Forecaster.load(path)
    assert again.verdict_ == two.verdict_
    assert again.get_params()["horizon"] == 5
    pd.testing.assert_frame_equal(again.predict().astype({"shop": int}), two.predict())
    model = rnnkit.load(path)
    np.testing.assert_array_equal(model.predict().columns[0]["median"], two.predict()["median"][:5])
    with pytest.raises(UsageError, match="exists"):
        two.save(path)
    two.save(path, force=True)
    with pytest.raises((UsageError, ModelFileError)):
        Forecaster.load(tmp_path / "nowhere")


def test_copies_forecast_the_same(two):
    for again in (copy.deepcopy(two), pickle.loads(pickle.dumps(two))):
        pd.testing.assert_frame_equal(again.predict(), two.predict())


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    Forecaster(horizon=3, **FAST).fit(week(100)).predict()
    with pytest.raises(DataError):
        Forecaster(horizon=30).fit(week(4))
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_the_same_seed_gives_the_same_forecast():
    a, b, c = (Forecaster(horizon=3, seed=seed, **FAST).fit(week(100)).predict()["median"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_it_is_public():
    assert rnnkit.Forecaster is forecaster.Forecaster
    assert "Forecaster" in dir(rnnkit)

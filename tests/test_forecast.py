"""The forecasting task on small tables: reading, choosing, scoring, going on, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import rnnkit
from rnnkit import api
from rnnkit.cells import CELLS
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.nn.outputs import OUTPUTS
from rnnkit.training import Judged


def seasonal(n=240, season=12, seed=0, trend=0.5, noise=1.0):
    """A trend, a season and noise."""
    t = np.arange(n)
    return (
        100 + trend * t + 20 * np.sin(2 * np.pi * t / season) + noise * np.random.default_rng(seed).standard_normal(n)
    )


def write(path, columns, start="2001-01"):
    """A monthly table."""
    rows = len(next(iter(columns.values())))
    months = np.datetime64(start, "M") + np.arange(rows)
    lines = [",".join(["month", *columns])]
    lines += [",".join([str(m), *(_cell(c[i]) for c in columns.values())]) for i, m in enumerate(months)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _cell(value):
    return (
        ""
        if isinstance(value, float) and np.isnan(value)
        else f"{value:.4f}"
        if isinstance(value, float)
        else str(value)
    )


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "sales.csv", {"sales": seasonal()})


def trained(path, out, **options):
    """A model trained quickly."""
    return rnnkit.train(path, out, **{"steps": 40, "horizon": 12, "hidden": 16, "members": 1, **options})


def test_train_predict_evaluate(table, tmp_path):
    model = trained(table, tmp_path / "run")
    forecast = model.predict()
    assert forecast.times == [[str(m) for m in np.datetime64("2021-01", "M") + np.arange(12)]]
    columns = forecast.columns[0]
    assert list(columns) == ["median", "lo80", "hi80", "lo95", "hi95"]
    for lower, upper in [("lo95", "lo80"), ("lo80", "median"), ("median", "hi80"), ("hi80", "hi95")]:
        assert np.all(columns[lower] <= columns[upper])
    truth = seasonal(252, noise=0.0)[240:]
    assert np.abs(columns["median"] - truth).mean() < 5  # the season alone swings by 20
    report = model.evaluate(table)
    assert set(report["baselines"]) >= {"naive", "seasonal naive", "drift", "mean", "theta"}
    assert report["metrics"]["mase"] < report["baselines"]["seasonal naive"]["mase"]
    assert report["verdict"].startswith(("beats", "does not beat"))
    assert model.meta.report["part"].startswith("last ")


@pytest.mark.parametrize("cell", CELLS)
def test_same_seed_same_bytes_at_any_thread_count(table, tmp_path, cell):
    for threads in (1, 2):
        trained(table, tmp_path / str(threads), cell=cell, threads=threads, steps=12)
    assert (tmp_path / "1" / "model.safetensors").read_bytes() == (tmp_path / "2" / "model.safetensors").read_bytes()


def test_config_repeats_the_training(table, tmp_path):
    import tomllib

    trained(table, tmp_path / "a", max_time=2.0, steps=None)
    config = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert "max_time" not in config
    rnnkit.train(out=tmp_path / "b", **config)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_interrupted_and_resumed_is_the_same(table, tmp_path):
    options = api.make_options({"data": str(table), "steps": 6, "horizon": 12, "hidden": 8, "members": 2})
    list(api.train_events(api.prepare(table, options), tmp_path / "whole"))
    for k in (2, 6, 11):
        asked = iter(range(1000))
        list(
            api.train_events(
                api.prepare(table, options), tmp_path / str(k), interrupted=lambda k=k, a=asked: next(a) >= k
            )
        )
        list(api.train_events(api.prepare(table, options), tmp_path / str(k), resume=True))
        assert (tmp_path / str(k) / "model.safetensors").read_bytes() == (
            tmp_path / "whole" / "model.safetensors"
        ).read_bytes()


def test_resume_refuses_other_data_and_other_networks(table, tmp_path):
    trained(table, tmp_path / "run")
    other = write(tmp_path / "other.csv", {"sales": seasonal(seed=1)})
    with pytest.raises(UsageError, match="data"):
        rnnkit.train(other, tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="hidden is 16, but 32"):
        rnnkit.train(table, tmp_path / "run", resume=True, hidden=32)


def test_missing_values_are_masked_and_counted(tmp_path):
    values = seasonal()
    values[[3, 50, 51, 52, 120, 239]] = np.nan
    path = write(tmp_path / "gaps.csv", {"sales": values})
    job = api.prepare(path, api.make_options({"data": str(path), "horizon": 12}))
    assert any("6" in notice and "missing" in notice for notice in job.notices), job.notices
    model = trained(path, tmp_path / "run")
    assert all(np.isfinite(c).all() for c in model.predict().columns[0].values())


def test_many_series_and_other_columns(tmp_path):
    rows = ["id,month,sales,price"]
    for seed, (name, n) in enumerate({"north": 150, "south": 150, "young": 40, "short": 14}.items()):
        rows += [
            f"{name},{np.datetime64('2001-01', 'M') + i},{v:.3f},{10 + (i * 7) % 5}"
            for i, v in enumerate(seasonal(n, seed=seed))
        ]
    path = tmp_path / "shops.csv"
    path.write_text("\n".join(rows) + "\n")
    job = api.prepare(path, api.make_options({"data": str(path), "horizon": 12, "id": "id", "target": "sales"}))
    assert "1 of 4 series are shorter than 16 points and are left out" in job.notices
    assert "1 of 3 series are too short to be judged and only join the last fit" in job.notices
    joins = [set(job._draw(stage, 400, 0)[0].tolist()) for stage in job.stages]
    assert joins == [{0, 1}] * (len(job.stages) - 1) + [{0, 1, 2}]
    model = trained(path, tmp_path / "run", id="id", target="sales", steps=10)
    assert model.meta.report["part"] == "last 36 points of each of 2 series, 9 windows of 12"
    forecast = model.predict()
    assert forecast.ids == ["north", "south", "young"]
    assert model.meta.facts["past_names"] == ["price"]
    again = model.predict(path)  # a series left out in training is forecast all the same
    assert again.ids == ["north", "south", "young", "short"]
    np.testing.assert_allclose(again.columns[0]["median"], forecast.columns[0]["median"], rtol=1e-5)


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_has_a_middle_and_bands(tmp_path, output):
    path = write(tmp_path / "sales.csv", {"sales": np.round(seasonal())})
    model = trained(path, tmp_path / "run", output=output, members=1)
    forecast = model.predict()
    assert list(forecast.columns[0]) == ["mean" if output == "mean" else "median", "lo80", "hi80", "lo95", "hi95"]
    assert model.meta.report["metrics"]["mase"] < 1
    assert 0.3 < model.meta.report["metrics"]["coverage80"] <= 1


def test_counts_are_asked_for(tmp_path):
    path = write(tmp_path / "sales.csv", {"sales": seasonal()})
    with pytest.raises(UsageError, match=r"negative-binomial is for counts.* sales is 1\d\d\.\d* at 2001-01"):
        trained(path, tmp_path / "run", output="negative-binomial")


def test_recursive_decoding_forecasts_as_far(table, tmp_path):
    model = trained(table, tmp_path / "run", decode="recursive", horizon=30)
    assert model.window.horizon == 12
    median = model.predict().columns[0]["median"]
    assert len(median) == 30
    assert np.abs(median - seasonal(270, noise=0.0)[240:]).mean() < 8


def test_a_forecast_goes_on_beyond_the_trained_horizon(table, tmp_path):
    model = trained(table, tmp_path / "run")
    short, long = model.predict().columns[0], model.predict(horizon=40).columns[0]
    np.testing.assert_allclose(long["median"][:12], short["median"], rtol=1e-6)
    assert np.abs(long["median"] - seasonal(280, noise=0.0)[240:]).mean() < 10
    width = long["hi80"] - long["lo80"]
    assert width[30:].mean() > width[:10].mean()
    with pytest.raises(UsageError, match="from 1 to 1200"):
        model.predict(horizon=1201)


@pytest.mark.parametrize("season", ["none", "12", "6,12"])
def test_season_is_taken_from_the_option(table, tmp_path, season):
    options = {"data": str(table), "season": season, "steps": 3, "members": 1, "hidden": 8}
    job = api.prepare(table, api.make_options(options))
    assert job.window.periods == ([] if season == "none" else [int(s) for s in season.split(",")])
    assert any(isinstance(e, Judged) for e in api.train_events(job, tmp_path / "r"))


def test_season_is_found(table):
    assert api.prepare(table, api.make_options({"data": str(table)})).window.periods == [12]


def test_constant_series_trains_and_says_that_there_is_no_scale(tmp_path):
    path = write(tmp_path / "flat.csv", {"sales": np.full(120, 7.0)})
    model = trained(path, tmp_path / "run", steps=10)
    np.testing.assert_allclose(model.predict().columns[0]["median"], 7.0, atol=0.05)
    assert "no verdict" in model.meta.report["verdict"]


def test_a_short_series_is_judged_on_fewer_steps(tmp_path):
    path = write(tmp_path / "short.csv", {"sales": seasonal(30)})
    job = api.prepare(path, api.make_options({"data": str(path), "horizon": 12}))
    wanted = "6 of the 12 steps ahead are judged; to fit, select and judge all of them would need 40 points"
    assert wanted in job.notices
    model = trained(path, tmp_path / "run", steps=5)
    assert model.meta.report["part"] == "last 6 points"
    assert len(model.predict().columns[0]["median"]) == 12


def test_a_shorter_series_names_the_minimum(tmp_path):
    path = write(tmp_path / "short.csv", {"sales": seasonal(7)})
    with pytest.raises(DataError, match=r"at least 8 points are needed to fit, select and judge .* found 7; give"):
        api.prepare(path, api.make_options({"data": str(path), "horizon": 12}))


def test_context_shrinks_with_a_notice(table):
    job = api.prepare(table, api.make_options({"data": str(table), "horizon": 12, "context": 5000}))
    assert any("context shrinks from 5000" in notice for notice in job.notices)
    assert job.window.context % job.window.patch == 0


@pytest.mark.parametrize("season", ["0,1", "abc", "200", "-3"])
def test_a_senseless_season_is_refused(table, season):
    with pytest.raises(UsageError, match="--season"):
        api.prepare(table, api.make_options({"data": str(table), "season": season}))


def test_predicting_from_too_short_a_history_is_refused(table, tmp_path):
    model = trained(table, tmp_path / "run")
    with pytest.raises(DataError, match="at least 12 points"):
        model.predict(write(tmp_path / "new.csv", {"sales": seasonal(5)}))
    with pytest.raises(UsageError, match="--folds is at most"):
        model.evaluate(table, folds=1000)
    with pytest.raises(UsageError, match="generates no text"):
        model.generate("x")


def test_facts_that_do_not_fit_are_refused(table, tmp_path):
    from rnnkit import modelfile

    trained(table, tmp_path / "run", steps=4)
    path = tmp_path / "run" / "model.safetensors"
    arrays, meta = modelfile.load(path, modelfile.ModelMeta)
    meta.facts["window"]["surprise"] = 1
    modelfile.save(path, arrays, meta)
    with pytest.raises(ModelFileError, match="facts"):
        rnnkit.load(tmp_path / "run")
    arrays.pop("data.values")
    del meta.facts["window"]["surprise"]
    modelfile.save(path, arrays, meta)
    with pytest.raises(ModelFileError, match="facts"):
        rnnkit.load(tmp_path / "run")


def test_weights_that_do_not_fit_the_network_are_refused(table, tmp_path):
    from rnnkit import modelfile

    trained(table, tmp_path / "run", steps=4)
    path = tmp_path / "run" / "model.safetensors"
    arrays, meta = modelfile.load(path, modelfile.ModelMeta)
    encoder = meta.network["layers"][0]["layers"][0]["layer"]
    encoder["layers"][1]["inputs"] = 10**9
    modelfile.save(path, arrays, meta)
    with pytest.raises(ModelFileError, match="of shape"):
        rnnkit.load(path)


def test_starting_from_another_run(table, tmp_path):
    trained(table, tmp_path / "first")
    first = str(tmp_path / "first")
    options = {"steps": 1, "lr": 1e-9, "horizon": 12, "hidden": 16, "members": 1, "start_from": first}
    job = api.prepare(table, api.make_options({"data": str(table), **options}))
    assert list(api.train_events(job, tmp_path / "second"))
    first, second = (rnnkit.load(tmp_path / n).network.parameters.values for n in ("first", "second"))
    np.testing.assert_allclose(first, second, atol=1e-6)


# -- units, blank ends, and what may be looked at ------------------------------------------------


def exact(path, values, start="2001-01"):
    """A monthly table that keeps every digit; NaN is an empty cell."""
    months = np.datetime64(start, "M") + np.arange(len(values))
    cells = ["" if np.isnan(v) else repr(float(v)) for v in values]
    path.write_text("month,sales\n" + "".join(f"{m},{c}\n" for m, c in zip(months, cells, strict=True)))
    return path


@pytest.mark.parametrize("shift", [0.0, -150.0])  # all positive, and of both signs
def test_the_unit_of_the_target_changes_nothing(tmp_path, shift):
    values = seasonal(150) + shift
    reference = trained(exact(tmp_path / "1.csv", values), tmp_path / "1", steps=10)
    assert (reference.window.log_floor > 0) == (shift == 0)
    for unit in (1e-9, 1e-15, 1e12):
        model = trained(exact(tmp_path / f"{unit}.csv", values * unit), tmp_path / f"{unit}", steps=10)
        assert model.window.periods == [12]
        assert model.meta.report["metrics"]["mase"] == pytest.approx(reference.meta.report["metrics"]["mase"], rel=1e-4)
        for name, column in reference.predict().columns[0].items():
            np.testing.assert_allclose(model.predict().columns[0][name] / unit, column, rtol=1e-4, atol=1e-3)


def test_numbers_too_large_to_square_are_refused(tmp_path):
    path = exact(tmp_path / "huge.csv", np.where(np.arange(120) == 70, 1e306, seasonal(120)))
    with pytest.raises(DataError, match=r"line 72, column 'sales': numbers up to 1e\+150 were expected, found 1e\+306"):
        api.prepare(path, api.make_options({"data": str(path)}))
    path = exact(tmp_path / "large.csv", seasonal(120) * 1e147)
    forecast = trained(path, tmp_path / "run", steps=4).predict().columns[0]
    assert all(np.all((c > 1e148) & (c < 1e150)) for c in forecast.values())


@pytest.mark.parametrize(("val", "horizon"), [(0.1, None), (0.2, 12), (0.1, 40)])
def test_judged_points_choose_nothing(tmp_path, val, horizon):
    values = seasonal(240)
    options = {"val": val, "horizon": horizon}
    path = exact(tmp_path / "a.csv", values)
    job = api.prepare(path, api.make_options({"data": str(path), **options}))
    judged = job.parts.judged
    changed = values.copy()
    changed[-judged:] = 1e-3 * (1 + np.arange(judged) % 7)
    path = exact(tmp_path / "b.csv", changed)
    assert api.prepare(path, api.make_options({"data": str(path), **options})).window == job.window
    changed[-judged:] *= -1
    path = exact(tmp_path / "c.csv", changed)
    other = api.prepare(path, api.make_options({"data": str(path), **options}))
    assert other.window == job.window
    assert other.window.log_floor > 0  # logarithms stay, and values below 0 are taken as the floor
    assert all(np.isfinite(x).all() for x in other.batch("final", 0).x.values())


def test_blank_ends_are_left_out_and_forecast_first(tmp_path):
    values = seasonal(180)
    whole = trained(exact(tmp_path / "whole.csv", values), tmp_path / "whole", steps=5)
    blank = np.concatenate([np.full(5, np.nan), values, np.full(3, np.nan)])
    path = exact(tmp_path / "blank.csv", blank, start="2000-08")
    model = trained(path, tmp_path / "blank", steps=5)
    forecast, again = model.predict(), model.predict(path)
    assert forecast.times[0][0] == again.times[0][0] == "2016-01"
    assert "5 rows without target at the start are left out" in again.notices
    assert "3 rows without target at the end are taken as still to come" in again.notices
    for name, column in whole.predict().columns[0].items():
        np.testing.assert_array_equal(forecast.columns[0][name], column)
        np.testing.assert_array_equal(again.columns[0][name], column)
    assert model.evaluate(path)["metrics"] == whole.evaluate(tmp_path / "whole.csv")["metrics"]


@pytest.mark.parametrize("gaps", ["mask", "fill"])
def test_predicting_without_data_is_predicting_from_the_training_file(tmp_path, gaps):
    values = seasonal(200)
    holes = np.random.default_rng(3).random(200) < 0.3
    holes[[0, -1]] = False
    holes[140:175] = True  # where the kept part begins, so that filling needs what lies before it
    path = exact(tmp_path / "gaps.csv", np.where(holes, np.nan, values))
    model = trained(path, tmp_path / "run", steps=5, gaps=gaps, context=48)
    for name, column in model.predict(path).columns[0].items():
        np.testing.assert_array_equal(model.predict().columns[0][name], column)
    assert np.isnan(model.predict().history[0]).any() == (gaps == "mask")


@pytest.mark.parametrize("season", ["none", "12"])
def test_a_large_judged_part_leaves_a_window_to_fit(tmp_path, season):
    path = exact(tmp_path / "short.csv", seasonal(60))
    model = trained(path, tmp_path / "run", steps=3, horizon=10, val=0.4, season=season)
    assert model.facts.folds == 8
    assert model.meta.report["part"] == "last 24 points, 8 windows of 10"
    assert np.isfinite(model.predict().columns[0]["median"]).all()


def test_a_season_longer_than_the_context_is_not_used(table, tmp_path):
    job = api.prepare(table, api.make_options({"data": str(table), "season": "12", "context": 6, "horizon": 4}))
    assert job.window.periods == []
    assert any("season of 12 steps is longer than the context of" in notice for notice in job.notices)
    model = trained(table, tmp_path / "run", season="12", context=6, horizon=4, steps=3)
    assert np.isfinite(model.predict().columns[0]["median"]).all()


def test_selection_by_parts_is_the_mean_over_all(tmp_path, monkeypatch):
    from rnnkit.tasks import forecast

    values = seasonal(200)
    values[150:158] = np.nan
    path = exact(tmp_path / "a.csv", values)
    job = api.prepare(path, api.make_options({"data": str(path), "horizon": 4, "val": 0.2}))
    network = job.network()
    whole = job.select(network)
    monkeypatch.setattr(forecast, "ROWS", 3)
    assert job.select(network) == pytest.approx(whole, rel=1e-5)


def test_evaluating_on_what_was_trained_on_says_so(table, tmp_path):
    model = trained(table, tmp_path / "run", steps=4)
    found = model.evaluate(table)
    assert found["in_sample"] is True
    assert any("trained on" in notice for notice in found["notices"])
    longer = write(tmp_path / "longer.csv", {"sales": seasonal(264)})
    assert model.evaluate(longer, folds=2)["in_sample"] is False
    assert model.evaluate(longer, folds=3)["in_sample"] is True
    other = model.evaluate(write(tmp_path / "other.csv", {"sales": seasonal(seed=9)}))  # same dates, another shop
    assert other["in_sample"] is False
    assert not any("trained on" in notice for notice in other["notices"])


@pytest.mark.parametrize("points", [8, 9, 12, 16, 20, 30])
@pytest.mark.parametrize("horizon", [1, 12, 24])
def test_a_tiny_series_is_forecast_or_refused_in_one_sentence(tmp_path, points, horizon):
    path = write(tmp_path / "tiny.csv", {"sales": 100.0 + np.arange(points)})
    model = trained(path, tmp_path / "run", horizon=horizon, steps=1, hidden=2)
    median = model.predict().columns[0]["median"]
    assert len(median) == horizon
    assert np.isfinite(median).all()
    with pytest.raises(DataError, match="at least"):
        trained(write(tmp_path / "less.csv", {"sales": np.arange(3.0)}), tmp_path / "less", horizon=horizon)

"""Scores of many windows against the definitions, one window at a time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rnnkit import baselines, console, metrics
from rnnkit.tasks.forecast_score import report, score
from rnnkit.tasks.origins import judge_origins

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]


def series(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    y = 30 + 0.05 * np.arange(n) + 6 * np.sin(2 * np.pi * np.arange(n) / m) + rng.standard_normal(n)
    y[rng.random(n) < 0.1] = np.nan
    y[0] = 30.0
    return y


def forecaster(values: list[np.ndarray], horizon: int):
    """The last known value with bands that widen with the horizon."""

    def predict(number, cuts):
        last = np.array([values[i][:c][~np.isnan(values[i][:c])][-1] for i, c in zip(number, cuts, strict=True)])
        wide = np.sqrt(np.arange(1, horizon + 1))[:, None] * np.array([-2.0, -1.3, 0.0, 1.3, 2.0])
        return last[:, None, None] + wide

    return predict


@pytest.mark.parametrize("periods", [[], [6], [6, 18]])
def test_one_origin_of_each_series_is_scored_by_the_definitions(periods, rng):
    H, m = 8, periods[0] if periods else 1
    values = [series(rng, n, 6) for n in (80, 95, 60)]
    values[1][-H:] = np.nan  # nothing came of this one
    cuts = [np.array([len(v) - H]) for v in values]
    found = report(forecaster(values, H), LEVELS, values, cuts, H, periods)
    names = ["naive", "drift", "mean", "theta"] + (["seasonal naive", "seasonal mean"] if periods else [])
    assert set(found["baselines"]) == {*names, *(["seasonal naive 18"] if len(periods) > 1 else [])}
    before, after = [v[:-H] for v in values], [v[-H:] for v in values]
    reference = [baselines.naive2(b, H, m) for b in before]
    r_smape = np.nanmean([metrics.smape(a, f) for a, f in zip(after, reference, strict=True)])
    r_mase = np.nanmean([metrics.mase(a, f, b, m) for a, f, b in zip(after, reference, before, strict=True)])
    for name in names:
        forecasts = [baselines.FORECASTS[name](b, H, m) for b in before]
        rows = list(zip(after, forecasts, before, strict=True))
        smape = np.nanmean([metrics.smape(a, f) for a, f, _ in rows])
        mase = np.nanmean([metrics.mase(a, f, b, m) for a, f, b in rows])
        expected = {
            "mase": mase,
            "smape": smape,
            "owa": metrics.owa(smape, mase, r_smape, r_mase),
            "rmse": math.sqrt(np.nanmean([metrics.mse(a, f) for a, f, _ in rows])),
            "mae_standardised": np.nanmean(np.concatenate([np.abs(a - f) / np.nanstd(b) for a, f, b in rows])),
            "mse_standardised": np.nanmean(np.concatenate([((a - f) / np.nanstd(b)) ** 2 for a, f, b in rows])),
        }
        assert found["baselines"][name] == pytest.approx(expected, rel=1e-9)
    if len(periods) > 1:
        long = [baselines.seasonal_naive(b, H, 18) for b in before]
        mase = np.nanmean([metrics.mase(a, f, b, m) for a, f, b in zip(after, long, before, strict=True)])
        assert found["baselines"]["seasonal naive 18"]["mase"] == pytest.approx(mase, rel=1e-9)
    answer, actual = forecaster(values, H)(np.arange(3), np.concatenate(cuts)), np.stack(after)
    own = found["metrics"]
    assert own["mase"] == pytest.approx(found["baselines"]["naive"]["mase"])
    losses = [metrics.pinball(actual, answer[:, :, k], q) for k, q in enumerate(LEVELS)]
    assert own["pinball"] == pytest.approx(np.mean(losses))
    assert own["coverage80"] == pytest.approx(metrics.coverage(actual, answer[:, :, 1], answer[:, :, 3]))
    assert own["coverage95"] == pytest.approx(metrics.coverage(actual, answer[:, :, 0], answer[:, :, 4]))
    assert not found["beats"]
    assert found["windows"] == 3


def test_many_origins_are_scaled_by_what_comes_before_the_first(rng):
    H, values = 5, [series(rng, 90, 7), series(rng, 70, 7)]
    cuts = [np.array([70, 75, 85]), np.array([50, 55, 65])]
    scored = score(forecaster(values, H), LEVELS, values, cuts, H, [7], keep=True)
    place = [(i, c) for i, own in enumerate(cuts) for c in own]
    for w, (i, c) in enumerate(place):
        actual, first = values[i][c : c + H], values[i][: cuts[i][0]]
        for name in ("naive", "seasonal naive", "drift"):
            forecast = baselines.FORECASTS[name](values[i][:c], H, 7)
            np.testing.assert_allclose(scored.rivals[name][w], forecast, rtol=1e-9)
            assert scored.scores[name].window["mase"][w] == pytest.approx(metrics.mase(actual, forecast, first, 7))
    assert scored.report()["windows"] == 6


def test_tables_by_series_and_by_step_have_the_whole_as_mean(rng):
    H, values = 6, [series(rng, 80, 6) for _ in range(3)]
    cuts = [np.array([56, 62, 68])] * 3
    values = [np.where(np.isnan(v), 30.0, v) for v in values]
    scored = score(forecaster(values, H), LEVELS, values, cuts, H, [6])
    whole, by_series, by_step = scored.report(), scored.by_series(["a", "b", "c"]), scored.by_step()
    assert [row["series"] for row in by_series] == ["a", "b", "c"]
    assert [row["windows"] for row in by_series] == [3, 3, 3]
    assert [row["step"] for row in by_step] == [1, 2, 3, 4, 5, 6]
    for rows in (by_series, by_step):
        for name in ("mase", "smape", "pinball", "coverage80", "coverage95"):
            assert np.mean([row[name] for row in rows]) == pytest.approx(whole["metrics"][name], rel=1e-9)
        assert np.mean([row["rmse"] ** 2 for row in rows]) == pytest.approx(whole["metrics"]["rmse"] ** 2, rel=1e-9)
        for name, other in whole["baselines"].items():
            assert np.mean([row["baselines"][name] for row in rows]) == pytest.approx(other["mase"], rel=1e-9)
    assert by_step[2]["mase"] > by_step[5]["mase"]  # half a season and a whole one after the last value
    json.loads(console.to_json({**whole, "by_series": by_series, "by_step": by_step}))


@pytest.mark.parametrize("walk", [True, False])
def test_of_noise_and_of_random_walks_nothing_is_foretold(walk, rng):
    """A regression on the last four values, fitted before what is judged, beats no rule by more than chance."""
    said = 0
    for _ in range(100):
        z = rng.standard_normal(200)
        y = z.cumsum() if walk else z
        parts = judge_origins([200], 12, 0.1, 4)
        x = np.stack([np.roll(y, k)[4 : parts.fit[0]] for k in (1, 2, 3, 4)] + [np.ones(parts.fit[0] - 4)], axis=1)
        weights = np.linalg.lstsq(x, y[4 : parts.fit[0]])[0]

        def predict(number, cuts, y=y, weights=weights):
            window, out = y[cuts[:, None] - np.arange(1, 5)], []
            for _ in range(12):
                out.append(window @ weights[:4] + weights[4])
                window = np.concatenate([out[-1][:, None], window[:, :3]], axis=1)
            return np.stack(out, axis=1)[:, :, None]

        said += report(predict, [], [y], parts.judge, 12)["beats"]
    assert said <= 5


def test_a_single_forecast_has_no_bands_and_a_flat_series_no_scale(rng):
    values = [np.full(40, 7.0)]
    found = report(lambda number, cuts: np.full((len(cuts), 4, 1), 7.0), [], values, [np.array([30, 36])], 4)
    assert "pinball" not in found["metrics"]
    assert found["metrics"]["mase"] is None
    assert found["metrics"]["mse_standardised"] is None
    assert found["metrics"]["rmse"] == 0.0
    assert found["verdict"].startswith("no verdict")


def test_the_spread_that_is_given_standardises(rng):
    values = [rng.standard_normal(60)]
    scored = score(lambda i, c: np.zeros((len(c), 5, 1)), [], values, [np.array([50])], 5, spread=[2.0])
    found = scored.report()["metrics"]
    assert found["mse_standardised"] == pytest.approx(np.mean(values[0][50:55] ** 2) / 4)

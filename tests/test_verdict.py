"""What is said of a model beside its rivals: how certain, how often wrongly, and in which words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnnkit.tasks.verdict import CERTAIN, Windows, certainty, judge, student_cdf, together

ALLOWED = 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)
"""How often chance lets 5 % happen in 400 draws, at most: 7.7 %."""


def one_series(starts: np.ndarray, horizon: int) -> Windows:
    return Windows(np.zeros(len(starts), int), starts, horizon)


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),
    [(0.0, 3.0, 0.5), (1.0, 1.0, 0.75), (6.3138, 1.0, 0.95), (2.015, 5.0, 0.95), (-2.5706, 5.0, 0.025),
     (1.6449, 1e9, 0.95), (40.0, 60.0, 1.0)],
)  # fmt: skip
def test_student(t: float, freedom: float, expected: float) -> None:
    assert student_cdf(t, freedom) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("horizon", "span", "stride"), [(12, 36, 3), (12, 60, 3), (12, 60, 12), (24, 57, 6), (10, 300, 2)]
)
@pytest.mark.parametrize("weights", ["even", "falling"])
def test_overlapping_windows_are_not_taken_for_many(
    horizon: int, span: int, stride: int, weights: str, rng: np.random.Generator
) -> None:
    """Gains that are sums over a horizon of what happens, as of noise and of a random walk, with a mean of 0."""
    starts = np.arange(0, span - horizon + 1, stride)
    w = np.ones(horizon) if weights == "even" else np.arange(horizon, 0, -1.0)
    right = wrong = 0
    for _ in range(400):
        z = rng.standard_normal(span)
        gains = np.array([w @ z[s : s + horizon] for s in starts])
        right += certainty(gains, one_series(starts, horizon)) > CERTAIN
        wrong += gains.mean() / (gains.std(ddof=1) / math.sqrt(len(gains))) > 1.7
    assert right / 400 <= ALLOWED
    if stride < horizon:
        assert wrong / 400 > 0.15  # as a test that takes them for many would have it


@pytest.mark.parametrize("walk", [True, False])
@pytest.mark.parametrize(("series", "origins", "horizon"), [(50, 1, 24), (20, 3, 12), (7, 6, 24), (3, 2, 12)])
@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_series_that_move_together_are_not_taken_for_many(
    walk: bool, series: int, origins: int, horizon: int, shared: float, rng: np.random.Generator
) -> None:
    """Two guesses of the same worth at series whose shocks, and whose guesses, are shared."""
    own = math.sqrt(1 - shared**2)
    ahead = np.arange(1, horizon + 1) if walk else np.full(horizon, 3)
    where = Windows(np.tile(np.arange(series), origins), np.repeat(horizon * np.arange(origins), series), horizon)
    right = blind = 0
    for _ in range(400):
        z = shared * rng.standard_normal(horizon * origins) + own * rng.standard_normal((series, horizon * origins))
        losses = []
        for k in range(origins):
            path = z[:, k * horizon : (k + 1) * horizon]
            guesses = 0.1 * (shared * rng.standard_normal((2, 1, 1)) + own * rng.standard_normal((2, series, 1)))
            losses.append(np.abs((path.cumsum(1) if walk else path) - guesses * ahead))
        spared = np.concatenate([a - b for a, b in losses])
        right += certainty(spared.mean(1), where, together(spared, where)) > CERTAIN
        blind += certainty(spared.mean(1), where) > CERTAIN
    assert right / 400 <= ALLOWED
    if shared and series > 3:
        assert blind / 400 > 0.15


def test_what_is_shared_is_found(rng: np.random.Generator) -> None:
    where = Windows(np.tile(np.arange(30), 2), np.repeat([0, 50], 30), 50)
    steps = rng.standard_normal((2, 50))
    same = np.concatenate([np.tile(s, (30, 1)) for s in steps])
    noise = rng.standard_normal(same.shape)
    noise[3, 4] = noise[20] = np.nan
    assert together(same * rng.uniform(1, 9, (60, 1)), Windows(np.arange(60), np.repeat([0, 50], 30), 50)) > 0.99
    assert abs(together(noise, where)) < 0.02
    assert together(same + noise, where) == pytest.approx(0.5, abs=0.06)
    assert together(same[:1], one_series(np.zeros(1, int), 50)) == 0.0


def test_a_real_advantage_is_seen(rng: np.random.Generator) -> None:
    starts = np.arange(0, 49, 3)
    z = rng.standard_normal(60)
    gains = np.array([z[s : s + 12].mean() for s in starts]) + 1.0
    assert certainty(gains, one_series(starts, 12)) > 0.99
    many = Windows(np.arange(400), np.zeros(400, int), 48)
    assert certainty(0.3 + rng.standard_normal(400), many, 0.001) > 0.99
    assert certainty(0.3 + rng.standard_normal(400), many, 0.5) < 0.8
    long = np.arange(0, 20_000, 4)
    assert certainty(0.1 + rng.standard_normal(5000), one_series(long, 24)) > 0.99
    assert certainty(np.ones(4), one_series(12 * np.arange(4), 12)) == 1.0
    assert certainty(np.zeros(4), one_series(12 * np.arange(4), 12)) == 0.5


def test_of_one_moment_nothing_can_be_said() -> None:
    assert math.isnan(certainty(np.ones(1), one_series(np.zeros(1, int), 12)))
    assert math.isnan(certainty(np.ones(6), one_series(np.arange(6), 12)))
    found = judge(np.ones(1), {"naive": np.full(1, 2.0)}, one_series(np.zeros(1, int), 12), {})
    assert (found.beats, found.baseline, found.certainty, found.improvement) == (False, "naive", None, 0.5)
    assert "but windows from one time cannot tell it from chance" in found.verdict


def test_the_best_rival_is_chosen_afterwards_at_no_gain(rng: np.random.Generator) -> None:
    """Five rivals as good as the model: to beat the best of them by chance is rarer than to beat one."""
    where = one_series(12 * np.arange(8), 12)
    said = 0
    for _ in range(400):
        losses = 1 + 0.3 * rng.standard_normal((6, 8))
        said += judge(losses[0], {str(k): losses[k] for k in range(1, 6)}, where, {}).beats
    assert said / 400 <= 0.05


def test_one_lucky_window_decides_nothing() -> None:
    where = one_series(12 * np.arange(8), 12)
    model, rival = np.ones(8), np.array([1.0, 1.0, 1.0, 1.1, 1.0, 0.9, 1.0, 1e6])
    found = judge(model, {"naive": rival, "drift": rival + 1}, where, {})
    assert not found.beats
    assert found.certainty is not None
    assert found.certainty < 0.9
    wild = np.where(np.arange(8) == 3, 1e9, 1.5)  # nor does a rival that goes wild in one window hide that it is beaten
    assert judge(model, {"naive": np.full(8, 1.5), "drift": wild}, where, {}).beats


@pytest.mark.parametrize(
    ("model", "rivals", "words"),
    [
        (
            0.66,
            {"naive": 1.0, "mean": 1.2},
            "beats naive by 34 % (MASE 0.660 against 1.000; certainty above 99 %, 9 windows)",
        ),
        (0.995, {"naive": 1.0}, "does not beat naive: better by less than 1 % (MASE 0.995 against 1.000, 9 windows)"),
        (1.0, {"naive": 1.0}, "does not beat naive: as good as it (MASE 1.000 against 1.000, 9 windows)"),
        (
            1.25,
            {"naive": 1.0},
            "worse by 25 % (MASE 1.250 against 1.000, 9 windows); naive is the better forecast here",
        ),
        (1.25, {"naive": 1.0, "mean": 2.5}, "forecast here; it does beat mean by 50 % (certainty above 99 %)"),
        (math.nan, {"naive": 1.0}, "does not beat naive: its forecasts are not all finite numbers"),
        (1.0, {"naive": math.nan}, "no verdict: the series does not vary, so errors have no scale"),
        (0.0, {"naive": 0.0}, "does not beat naive: as good as it (MASE 0.000 against 0.000, 9 windows)"),
    ],
)
def test_words(model: float, rivals: dict[str, float], words: str) -> None:
    where = one_series(12 * np.arange(9), 12)
    found = judge(np.full(9, model), {name: np.full(9, value) for name, value in rivals.items()}, where, {})
    assert found.verdict.endswith(words)
    assert found.beats == found.verdict.startswith("beats")


def test_chance_is_named_with_its_certainty(rng: np.random.Generator) -> None:
    where = one_series(12 * np.arange(9), 12)
    rival = 1 + rng.standard_normal(9)
    found = judge(np.full(9, rival.mean() - 0.1), {"naive": rival}, where, {})
    assert found.certainty is not None
    assert 0.5 < found.certainty < CERTAIN
    assert found.verdict.endswith(f"but that could be chance: certainty {int(100 * found.certainty)} %, 9 windows")
    assert found.beaten == []

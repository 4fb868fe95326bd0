"""Baselines against published figures, hand-made cases and an obvious n-gram model."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from rnnkit import baselines
from rnnkit.baselines import FORECASTS, NGram, best_ngram, forecasts
from rnnkit.baselines.rolling import RULES
from rnnkit.baselines.rules import ALPHAS, slopes, smoothed, weight_of
from rnnkit.data.series import read_series
from rnnkit.errors import DataError
from rnnkit.metrics import mase, owa, smape

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "series"
NAN = math.nan


def real(name: str) -> Path:
    path = REAL / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return path


@pytest.mark.parametrize(
    ("name", "history", "m", "expected"),
    [
        ("naive", [1, 2, 4], 1, [4, 4, 4]),
        ("naive", [1, 2, NAN], 1, [2, 2, 2]),
        ("mean", [1, NAN, 4], 1, [2.5, 2.5, 2.5]),
        ("drift", [1, 2, 5], 1, [7, 9, 11]),
        ("drift", [1, 3, NAN], 1, [7, 9, 11]),
        ("drift", [5], 1, [5, 5, 5]),
        ("seasonal naive", [9, 1, 2, 3, 4], 2, [3, 4, 3]),
        ("seasonal naive", [1, 2, 3, NAN], 2, [3, 2, 3]),
        ("seasonal naive", [7], 4, [7, 7, 7]),
        ("seasonal mean", [100, 1, 2, 3, 4, 5, 6, 7, 9], 2, [4, 5.25, 4]),
        ("naive2", [1, 2, 3], 12, [3, 3, 3]),
        ("theta", [2, 2, NAN, 2, NAN], 1, [2, 2, 2]),
    ],
)
def test_forecasts_by_hand(name: str, history: list[float], m: int, expected: list[float]) -> None:
    np.testing.assert_allclose(FORECASTS[name](history, 3, m), expected, rtol=1e-12)


def test_naive2_takes_out_a_season_and_puts_it_back(rng: np.random.Generator) -> None:
    figure = np.array([0.5, 1.0, 1.5, 1.0])
    y = 10 * np.tile(figure, 8)[:30]
    np.testing.assert_allclose(baselines.naive2(y, 6, 4), 10 * np.roll(np.tile(figure, 2), -2)[:6], rtol=1e-9)
    lower = y - 12
    np.testing.assert_allclose(baselines.naive2(lower, 6, 4), baselines.naive2(y, 6, 4) - 12, rtol=1e-9)
    noise = rng.random(60) + 1
    np.testing.assert_array_equal(baselines.naive2(noise, 3, 7), np.full(3, noise[-1]))


@pytest.mark.parametrize("name", FORECASTS)
def test_without_a_single_value_there_is_no_forecast(name: str) -> None:
    with pytest.raises(DataError, match="at least one value"):
        FORECASTS[name]([NAN, NAN], 3, 2)


@pytest.mark.parametrize(
    ("name", "target", "horizon", "m", "expected"),
    [
        ("airline-passengers", None, 24, 12, {"seasonal naive": 2.494, "theta": 2.193}),
        ("co2", "Average", 24, 12, {"seasonal naive": 2.655}),
        (
            "daily-min-temperatures",
            None,
            365,
            365,
            {"seasonal naive": 0.916, "mean": 1.031, "naive": 1.061, "seasonal mean": 0.717},
        ),
    ],
)
def test_known_errors_on_real_series(
    name: str, target: str | None, horizon: int, m: int, expected: dict[str, float]
) -> None:
    y = read_series(real(name), target=target, gaps="keep").values[0]
    before, after = y[:-horizon], y[-horizon:]
    for forecast, value in expected.items():
        found = mase(after, FORECASTS[forecast](before, horizon, m), before, m)
        assert found == pytest.approx(value, abs=6e-4)


def test_seasonal_naive_beats_naive2_on_hourly_series() -> None:
    series = read_series(real("m4-hourly")).values
    scores = {}
    for name in ("seasonal naive", "naive2"):
        forecasts = [(y[-48:], FORECASTS[name](y[:-48], 48, 24), y[:-48]) for y in series]
        scores[name] = np.mean([(smape(a, f), mase(a, f, b, 24)) for a, f, b in forecasts], axis=0)
    np.testing.assert_allclose(scores["seasonal naive"], [14.570, 1.2284], rtol=1e-3)
    assert owa(*scores["seasonal naive"], *scores["naive2"]) == pytest.approx(0.629, abs=1e-3)


# -- many origins at once -------------------------------------------------------------------------


def holed(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    """A rising season with noise, a third of it missing, the first value and a stretch of a season among them."""
    y = 20 + 0.1 * np.arange(n) + 5 * np.sin(2 * np.pi * np.arange(n) / m) + rng.standard_normal(n)
    y[rng.random(n) < 0.2] = NAN
    y[:2] = y[n // 2 : n // 2 + m] = NAN
    y[2] = 20.0
    return y


@pytest.mark.parametrize("name", FORECASTS)
@pytest.mark.parametrize(("n", "m"), [(90, 1), (90, 7), (60, 12), (11, 4), (5, 8)])
def test_one_origin_of_many_series_is_the_definition(name: str, n: int, m: int, rng: np.random.Generator) -> None:
    assert RULES.keys() == FORECASTS.keys()
    values = [holed(rng, n, m) for _ in range(4)] + [rng.standard_normal(n), np.full(n, 3.0)]
    cuts = np.array([n, n - 1, 3, n - 2, n, max(n // 2, 3)])
    found = forecasts([name], values, np.arange(6), cuts, 9, m)[name]
    for i, (v, cut) in enumerate(zip(values, cuts, strict=True)):
        np.testing.assert_allclose(found[i], FORECASTS[name](v[:cut], 9, m), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in FORECASTS if n not in ("theta", "naive2")])
def test_many_origins_are_the_definition_at_each(name: str, rng: np.random.Generator) -> None:
    values = [holed(rng, 70, 6), holed(rng, 40, 6)]
    series = np.array([0, 1, 0, 0, 1, 0])
    cuts = np.array([30, 39, 69, 4, 5, 31])
    found = forecasts([name], values, series, cuts, 8, 6)[name]
    for i in range(6):
        expected = FORECASTS[name](values[series[i]][: cuts[i]], 8, 6)
        np.testing.assert_allclose(found[i], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["theta", "naive2"])
def test_later_origins_see_their_own_past_and_nothing_else(name: str, rng: np.random.Generator) -> None:
    y = holed(rng, 120, 6)
    cuts = np.array([60, 80, 100])
    found = forecasts([name], [y], np.zeros(3, int), cuts, 6, 6)[name]
    for i, cut in enumerate(cuts):
        changed = y.copy()
        changed[cut:] = 1e6
        again = forecasts([name], [changed], np.zeros(i + 1, int), cuts[: i + 1], 6, 6)[name]
        np.testing.assert_allclose(again[i], found[i], rtol=1e-9)
    tight = forecasts([name], [np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], 20)], np.zeros(2, int), np.array([60, 81]), 6, 6)
    np.testing.assert_allclose(tight[name][1], [4, 5, 9, 1, 2, 3], rtol=0.02)


def test_smoothing_is_the_recursion(rng: np.random.Generator) -> None:
    x = rng.standard_normal(300).cumsum()
    level = x[0]
    for t in range(300):
        level = 0.3 * x[t] + 0.7 * level
    np.testing.assert_allclose(smoothed(x, [0.3, 1.0])[:, -1], [level, x[-1]], rtol=1e-12)
    np.testing.assert_allclose(
        slopes(x)[[1, 299]], [np.polyfit(np.arange(k), x[:k], 1)[0] for k in (2, 300)], rtol=1e-9
    )
    assert weight_of(x) >= 0.8  # the last value of a random walk is its level
    assert weight_of(rng.standard_normal(300)) <= ALPHAS[2]  # of noise it is nearly the mean


def test_theta_is_the_mean_of_its_two_lines(rng: np.random.Generator) -> None:
    x = 0.5 * np.arange(80.0) + rng.standard_normal(80)
    b, a = np.polyfit(np.arange(80), x, 1)
    line = 2 * x - (a + b * np.arange(80))
    smooth = line[0]
    for value in line:
        smooth += float(weight_of(x)) * (value - smooth)
    ahead = 0.5 * (smooth + a + b * (80 + np.arange(5)))
    slack = 0.5 * abs(a - x[0]) * (1 - float(weight_of(x))) ** 79  # where smoothing starts: x_0, and here 2 x_0 − a
    np.testing.assert_allclose(baselines.theta(x, 5), ahead, atol=slack + 1e-9)


class Obvious:
    """Interpolated modified Kneser–Ney with dictionaries, straight from Chen & Goodman."""

    def __init__(self, ids: list[int], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        self.counts: list[Counter[tuple[int, ...]]] = []
        for k in range(1, order + 1):
            grams = [tuple(ids[i : i + k]) for i in range(len(ids) - k + 1)]
            if k < order:
                longer = {tuple(ids[i : i + k + 1]) for i in range(len(ids) - k)}
                self.counts.append(Counter(g[1:] for g in longer) + Counter(dict.fromkeys(grams, 0)))
            else:
                self.counts.append(Counter(grams))
        self.after: list[dict[tuple[int, ...], list[int]]] = []
        for counts in self.counts:
            after = defaultdict(list)
            for gram, count in counts.items():
                after[gram[:-1]].append(count)
            self.after.append(after)

    def discount(self, k: int, count: int) -> float:
        values = list(self.counts[k].values())
        n = [sum(v == c for v in values) for c in range(5)]
        if not all(n[1:]):
            return 0.5 if count else 0.0
        y = n[1] / (n[1] + 2 * n[2])
        c = min(count, 3)
        return min(max(c - (c + 1) * y * n[c + 1] / n[c], 0.05), c - 0.05) if c else 0.0

    def probability(self, context: tuple[int, ...], i: int) -> float:
        p = 1 / self.vocab_size
        for k in range(min(self.order, len(context) + 1)):
            own = context[len(context) - k :]
            total = sum(self.after[k].get(own, []))
            if total:
                count = self.counts[k][(*own, i)]
                rest = sum(self.discount(k, c) for c in self.after[k][own]) / total
                p = (count - self.discount(k, count)) / total + rest * p
        return p


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_ngram_is_the_obvious_one_and_sums_to_one(order: int, rng: np.random.Generator) -> None:
    ids = np.minimum(rng.geometric(0.35, 400) - 1, 6)
    model, obvious = NGram(9, order).fit(ids), Obvious(ids.tolist(), 9, order)
    for length in range(6):
        context = tuple(int(i) for i in rng.integers(0, 9, length))
        found = model.probabilities(context)
        assert found.sum() == pytest.approx(1.0, abs=1e-12)
        assert found.min() > 0
        np.testing.assert_allclose(found, [obvious.probability(context, i) for i in range(9)], rtol=1e-10)
    test = rng.integers(0, 9, 30)
    scored = [
        -math.log(obvious.probability(tuple(test[max(0, i - order) : i].tolist()), int(test[i]))) for i in range(30)
    ]
    np.testing.assert_allclose(model.score(test), scored, rtol=1e-9)
    assert model.nats(test) == pytest.approx(np.mean(scored), rel=1e-9)


def test_the_best_order_is_that_of_the_source(rng: np.random.Generator) -> None:
    ids = [0, 1]
    for draw in rng.random(6000):
        ids.append(int((ids[-1] + ids[-2] + (draw < 0.1)) % 3))
    model, tried = best_ngram(np.array(ids), 3)
    assert model.order == 3
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert tried[3] == pytest.approx(entropy, abs=0.06)
    assert tried[1] > 1.0


def test_ngram_edges() -> None:
    assert NGram(4, 5).fit(np.array([0])).probabilities([]).sum() == pytest.approx(1.0)
    assert NGram(4, 3).fit(np.array([0, 1])).score(np.array([], dtype=np.int64)).size == 0
    assert best_ngram(np.array([2, 1]), 3)[0].probabilities([1]).sum() == pytest.approx(1.0)
    for bad in ([], [4], [-1]):
        with pytest.raises(DataError, match="ids from 0 to 3"):
            NGram(4, 2).fit(np.array(bad, dtype=np.int64))

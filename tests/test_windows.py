"""Windows: what the network sees of a series, how it is scaled, and how its answer is read."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.nn import Network
from rnnkit.nn.outputs import OUTPUTS
from rnnkit.tasks.forecast_network import build_network, heads
from rnnkit.tasks.predictor import Predictor
from rnnkit.tasks.rules import SHARPNESS, simple_forecasts, weigh
from rnnkit.tasks.windows import QUANTILES, SCALINGS, Pool, Scaling, Window, fill_causally

ONE = np.array([0])


def window_of(context=24, horizon=12, patch=12, periods=(12,), log=0.0, output="quantile", members=2, **inputs):
    """A window with as many inputs of each kind as ``past``, ``future`` and ``static`` say, scaled by 0 and 1."""
    scalings = [SCALINGS[k % 2] for k in range(members)]
    others = [Scaling([0.0] * n, [1.0] * n) for n in (inputs.get(name, 0) for name in ("past", "future", "static"))]
    return Window(context, horizon, patch, list(periods), log, list(QUANTILES), output, scalings, *others)


def pool_of(window, values, past=None, future=None, static=None):
    """A pool of one series."""
    n = len(values)
    columns = [
        np.zeros((n, len(scaling.mean))) if one is None else one
        for one, scaling in ((past, window.past), (future, window.future))
    ]
    static = np.zeros((1, len(window.static.mean))) if static is None else static
    return Pool(window, [values], [columns[0]], [columns[1]], static)


def seasonal(n, season=12, seed=0):
    t = np.arange(n)
    return 100 + 0.5 * t + 20 * np.sin(2 * np.pi * t / season) + np.random.default_rng(seed).standard_normal(n)


def network_of(window, skip=True, seed=1, cell="gru"):
    return Network(build_network(window, {"cell": cell}, 6, 0.0, skip=skip), seed=seed)


def test_a_missing_target_carries_no_weight():
    values = seasonal(120)
    values[60:66] = np.nan
    pool = pool_of(window_of(), values)
    y = pool.targets(ONE, np.array([60]))
    assert np.isnan(y[0]).tolist() == [True] * 6 + [False] * 6
    inputs, frame = pool.inputs(ONE, np.array([60]))
    target, weight = pool.examples(y, np.isfinite(y), frame)
    assert weight.shape == (1, 2, 12)
    assert weight[0].tolist() == [[0] * 6 + [1] * 6] * 2
    assert np.isfinite(target).all()
    assert all(np.isfinite(part).all() for part in inputs.values())


def test_targets_after_the_end_are_missing():
    pool = Pool(window_of(), [seasonal(50), seasonal(60)], [np.zeros((50, 0)), np.zeros((60, 0))],
                [np.zeros((50, 0)), np.zeros((60, 0))], np.zeros((2, 0)))  # fmt: skip
    y = pool.targets(np.array([0, 1]), np.array([45, 60]), steps=20)
    assert np.isfinite(y).sum(axis=1).tolist() == [5, 0]


def test_windows_see_nothing_of_what_follows():
    rng = np.random.default_rng(0)
    values, past = seasonal(100), rng.standard_normal((100, 2))
    values[40] = np.nan
    window = window_of(patch=6, log=1.0, past=2)
    changed, other = values.copy(), past.copy()
    changed[60:], other[60:] = rng.standard_normal(40) * 1e3 + 5e3, 9.0
    for cut in (30, 48, 60):
        before, frame = pool_of(window, values, past).inputs(ONE, np.array([cut]))
        after, again = pool_of(window, changed, other).inputs(ONE, np.array([cut]))
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])
        np.testing.assert_array_equal(frame.scale, again.scale)


def test_what_is_known_in_advance_is_seen_in_advance_and_no_further():
    values, future = seasonal(100), np.arange(112.0)[:, None]
    window = window_of(25, patch=5, future=1)  # three segments of 5 hold 12 points
    inputs, _ = pool_of(window, values, future=future).inputs(ONE, np.array([60]))
    segments = inputs["segments/difference"][:, 0]
    assert segments.shape == (3, window.segment_width)
    np.testing.assert_array_equal(segments[:, :3], np.eye(3))
    np.testing.assert_array_equal(segments[:, -5:].ravel(), [*range(60, 72), 0, 0, 0])
    ahead, _ = pool_of(window, values, future=future).inputs(ONE, np.array([100]))
    np.testing.assert_array_equal(ahead["segments/difference"][:, 0, -5:].ravel(), [*range(100, 112), 0, 0, 0])
    short, _ = pool_of(window, values, future=future[:103]).inputs(ONE, np.array([100]))
    np.testing.assert_array_equal(short["segments/difference"][:, 0, -5:].ravel(), [100, 101, 102, *[0] * 12])


def test_constants_are_seen_in_every_step():
    window = window_of(static=2)
    inputs, _ = pool_of(window, seasonal(60), static=np.array([[2.0, -1.0]])).inputs(ONE, np.array([50]))
    for part in ("patches", "segments"):
        steps = inputs[f"{part}/deviation"]
        assert (steps[:, 0, -2:] if part == "segments" else steps[:, 0, 15:17]).tolist() == [[2.0, -1.0]] * len(steps)


@pytest.mark.parametrize("log", [0.0, 1.0])
@pytest.mark.parametrize("output", [name for name, output in OUTPUTS.items() if not output.counts])
def test_answers_scale_with_the_series(output, log):
    """Every number that scales a window comes from it: ten times the series has ten times the forecast."""
    found = []
    for factor in (1.0, 10.0):
        window = window_of(output=output, log=log * factor)
        network = network_of(window)
        for name in heads(network.root):
            network.parameters.value(name)[...] = 0.3
        network.parameters.touch()
        found.append(Predictor(network, pool_of(window, factor * seasonal(80)))(ONE, np.array([80])))
    if not log:
        np.testing.assert_allclose(found[1], 10 * found[0], rtol=2e-5)
    else:
        assert np.abs(found[1] / found[0] / 10 - 1).max() < 0.15  # the level, a fact for the network, moved
    assert np.all(np.diff(found[0], axis=2) >= 0)


@pytest.mark.parametrize("output", [name for name, output in OUTPUTS.items() if not output.counts])
def test_an_untrained_network_gives_the_mean_of_the_rules(output):
    window = window_of(output=output)
    values = seasonal(80)
    pool = pool_of(window, values)
    answer = Predictor(network_of(window), pool)(ONE, np.array([80]))[0]
    wanted = simple_forecasts(values[None, -24:], 12, [12])[0].mean(axis=0)
    np.testing.assert_allclose(answer[:, 2], wanted, rtol=1e-5)


@pytest.mark.parametrize("output", ["quantile", "student-t"])
def test_a_longer_horizon_goes_on_from_its_own_medians(output):
    window = window_of(output=output)
    values = seasonal(80)
    network = network_of(window)
    for name in heads(network.root):
        network.parameters.value(name)[...] = np.tile(network.parameters.value(name)[: window.outputs] + 0.1, 12)
    once = Predictor(network, pool_of(window, values))(ONE, np.array([80]))[0]
    longer = Predictor(network, pool_of(window, values), horizon=30)(ONE, np.array([80]))[0]
    np.testing.assert_allclose(longer[:12], once, rtol=1e-6)
    joined = np.concatenate([values, once[:, 2]])
    second = Predictor(network, pool_of(window, joined))(ONE, np.array([92]))[0]
    np.testing.assert_allclose(longer[12:24, 2], second[:, 2], rtol=1e-5)
    width, before = np.ptp(longer, axis=1), np.ptp(once, axis=1)
    assert np.all(width[12:24] >= before - 1e-6)
    assert len(longer) == 30


def test_small_values_later_on_are_not_cut_off():
    pool = pool_of(window_of(log=50.0), np.full(60, 20.0))
    np.testing.assert_allclose(np.exp(pool.inputs(ONE, np.array([40]))[1].level), 20.0)


def test_filling_looks_back_only():
    v = np.array([1.0, np.nan, 2.0, np.nan, 4.0, np.nan, np.nan])
    np.testing.assert_array_equal(fill_causally(v, 2), [1, 1, 2, 1, 4, 1, 4])
    np.testing.assert_array_equal(fill_causally(v, 1), [1, 1, 2, 2, 4, 4, 4])


def test_simple_forecasts_are_what_they_say():
    z = np.tile([0.0, 1.0, 2.0, 3.0], 6)[None] + np.repeat(np.arange(6.0), 4)[None]  # a season, rising by 1 each
    last, season, mean, shifted, trend, quarter = simple_forecasts(z, 5, [4])[0]
    np.testing.assert_array_equal(last, [8.0] * 5)
    np.testing.assert_array_equal(season, [5, 6, 7, 8, 5])
    np.testing.assert_array_equal(mean, np.array([5, 6, 7, 8, 5]) - 1.5)
    for rule in (shifted, trend):
        np.testing.assert_allclose(rule, [6, 7, 8, 9, 7])
    np.testing.assert_allclose(quarter, [6, 7, 8, 9, 6])


def test_simple_forecasts_of_two_periods_and_of_none():
    z = np.arange(24.0)[None]
    found = simple_forecasts(z, 3, [4, 12])[0]
    assert len(found) == 9
    np.testing.assert_array_equal(found[6], [12, 13, 14])  # the longer season
    np.testing.assert_array_equal(found[7], [24, 25, 26])  # moved by the change of level since
    np.testing.assert_array_equal(found[8], [6, 7, 8])  # the mean of two of them
    last, drift, mean, far, wide = simple_forecasts(z, 3, [])[0]
    np.testing.assert_array_equal(last, [23] * 3)
    np.testing.assert_array_equal(drift, [24, 25, 26])
    np.testing.assert_array_equal(mean, [22] * 3)
    np.testing.assert_array_equal(far, [24, 25, 26])
    np.testing.assert_array_equal(wide, [17.5] * 3)


@pytest.mark.parametrize(("context", "horizon", "patch", "periods"), [(1, 1, 1, ()), (3, 7, 3, (2,)), (5, 9, 5, ())])
def test_the_smallest_windows_have_an_answer(context, horizon, patch, periods):
    window = window_of(context, horizon, patch, periods, members=1)
    answer = Predictor(network_of(window), pool_of(window, np.arange(9.0) ** 2))(ONE, np.array([9]))
    assert answer.shape == (1, horizon, 5)
    assert np.isfinite(answer).all()


def test_shapes_are_those_of_the_inputs():
    window = window_of(30, 7, 6, (6, 12), past=2, future=1, static=3)
    pool = pool_of(window, seasonal(80), static=np.zeros((1, 3)))
    inputs, _ = pool.inputs(np.zeros(4, int), np.arange(40, 44))
    assert {name: part.shape for name, part in inputs.items()} == pool.shapes(4)
    assert all(part.dtype == np.float32 for part in inputs.values())


# -- where a gate begins -------------------------------------------------------------------------


def test_rules_are_weighed_by_their_errors_in_each_segment():
    y = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, np.nan, 8.0]])
    rules = np.stack(
        [y + 1, y + np.array([2, 2, -1, -1]), np.zeros((2, 4))], axis=1
    )  # errors 1 and 1, 2 and 1, 0.75 and 5
    rules = np.where(
        np.isfinite(rules), rules, 100.0
    )  # what is forecast where the target is missing counts for nothing
    bias, mixture = weigh(rules, y, 2)
    error = np.array([[1, 1], [2, 1], [0.75, 5]])
    wanted = -SHARPNESS * np.log(error)
    np.testing.assert_allclose(bias, wanted - wanted.max(axis=0), atol=1e-12)
    weight = error**-SHARPNESS / (error**-SHARPNESS).sum(axis=0)
    np.testing.assert_allclose(mixture, np.einsum("kh,bkh->bh", np.repeat(weight, 2, axis=1), rules))
    assert bias.max(axis=0).tolist() == [0, 0]
    assert np.exp(bias[0, 0] - bias[1, 0]) == pytest.approx(4)  # twice as wrong, a quarter of the weight


def test_segments_that_nothing_is_known_of_weigh_all_rules_alike():
    y = np.array([[1.0, np.nan, np.nan]])
    bias, mixture = weigh(np.array([[[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]]), y, 3)
    np.testing.assert_array_equal(bias[:, 1:], 0)
    np.testing.assert_allclose(mixture[0, 1:], [4, 6])
    floor = 1e-6 + 1e-3 * 2.0  # a rule without an error does not weigh without end
    assert bias[:, 0] == pytest.approx([0, -SHARPNESS * np.log(2.0 / floor)])


def test_segments_share_a_horizon_that_they_do_not_divide():
    rules = np.zeros((1, 2, 5))
    rules[0, 0] = [1, 1, 1, 2, 2]
    rules[0, 1] = 1
    bias, _ = weigh(rules, np.zeros((1, 5)), 2)  # points 0 to 2, then 3 and 4
    np.testing.assert_allclose(bias, [[0, -SHARPNESS * np.log(2)], [0, 0]], atol=1e-12)

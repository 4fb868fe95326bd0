"""Schedules pass through the points that their formulas name, and a plateau remembers."""

import itertools
import json
import math

import pytest

from rnnkit import pacing
from rnnkit.errors import UsageError
from rnnkit.nn.schedules import SCHEDULES, make_schedule


@pytest.mark.parametrize("name", SCHEDULES)
def test_starts_at_one_without_warmup(name):
    assert make_schedule(name).rate(0, 100) == 1.0
    assert make_schedule(name).rate(0, 1) == 1.0


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.1, 10])
def test_warmup_rises_in_equal_steps_to_one(name, warmup):
    schedule = make_schedule(name, warmup=warmup)
    assert [schedule.rate(step, 100) for step in range(10)] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert schedule.rate(10, 100) == 1.0


@pytest.mark.parametrize("name", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 20])
def test_falls_without_a_jump_to_final_at_the_last_step(name, warmup):
    schedule = make_schedule(name, final=0.1, warmup=warmup)
    rates = [schedule.rate(step, 121) for step in range(warmup, 121)]
    assert rates[-1] == pytest.approx(0.1, abs=1e-15)
    assert rates[len(rates) // 2] == pytest.approx(0.55, abs=1e-12)
    drops = [a - b for a, b in itertools.pairwise(rates)]
    assert min(drops) > 0
    assert max(drops) < 0.015
    assert schedule.rate(500, 121) == pytest.approx(0.1, abs=1e-15)


def test_cosine_is_the_cosine():
    expected = 0.01 + 0.99 * (1 + math.cos(math.pi * 25 / 100)) / 2
    assert make_schedule("cosine").rate(25, 101) == pytest.approx(expected, rel=1e-14)


def test_constant_stays():
    assert {make_schedule("constant").rate(step, 50) for step in range(60)} == {1.0}


def test_plateau_lowers_the_rate_after_patience_runs_out():
    schedule = make_schedule("plateau", factor=0.5, patience=1)
    told = [schedule.observe(loss) for loss in (3.0, 2.0, 2.5, 2.1, 1.9, 1.9, math.nan)]
    assert told == [False, False, False, True, False, False, True]
    assert schedule.rate(5, 10) == 0.25


def test_plateau_stops_at_its_floor():
    schedule = make_schedule("plateau", factor=0.1, patience=0, floor=0.05)
    assert [schedule.observe(1.0) for _ in range(4)] == [False, True, True, False]
    assert schedule.rate(0, 1) == 0.05


def test_plateau_threshold_is_a_share_of_the_best():
    schedule = make_schedule("plateau", patience=0, threshold=0.1)
    assert [schedule.observe(loss) for loss in (10.0, 9.5, 8.9)] == [False, True, False]
    negative = make_schedule("plateau", patience=0, threshold=0.1)
    assert [negative.observe(loss) for loss in (-10.0, -10.5, -11.5)] == [False, True, False]


@pytest.mark.parametrize("name", SCHEDULES)
def test_state_goes_through_json_and_on(name):
    schedule, other = make_schedule(name, warmup=3), make_schedule(name, warmup=3)
    for loss in (2.0, 3.0, 3.0, 3.0, 3.0):
        schedule.observe(loss)
    other.restore(json.loads(json.dumps(schedule.state())))
    for loss in (3.0, 3.0, 1.0, 4.0):
        assert other.observe(loss) == schedule.observe(loss)
        assert other.rate(7, 20) == schedule.rate(7, 20)
    assert other.state() == schedule.state()


def test_state_is_a_copy():
    schedule = make_schedule("plateau")
    before = schedule.state()
    schedule.observe(1.0)
    assert before["best"] is None


@pytest.mark.parametrize("name", SCHEDULES)
def test_options_come_back_through_json(name):
    schedule = make_schedule(name, warmup=0.25)
    assert make_schedule(name, **json.loads(json.dumps(schedule.options()))) == schedule


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("step", {}, "schedule is one of constant, cosine, linear, plateau, not 'step'"),
        ("constant", {"final": 0.1}, "the constant schedule has no option 'final'; it has warmup"),
        ("cosine", {"final": 2}, r"final of cosine is a number in \[0, 1\], not 2"),
        ("linear", {"warmup": -1}, "warmup of linear"),
        ("plateau", {"factor": 1}, "factor of plateau"),
        ("plateau", {"patience": math.inf}, "patience of plateau"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        make_schedule(name, **options)


def test_plateau_refuses_a_foreign_state():
    with pytest.raises(UsageError, match="has scale, best, waited, not nothing"):
        make_schedule("plateau").restore({})


def test_a_turned_schedule_goes_on_from_where_it_was_and_ends_where_it_is_to_end():
    turns = [(20, 80), (40, 140)]
    places = [pacing.place(step, 100, turns) for step in range(141)]
    assert places[:21] == list(range(21))
    assert places[40] == pytest.approx(20 + 80 * 20 / 60)
    assert places[140] == pytest.approx(100)
    assert all(a < b for a, b in itertools.pairwise(places))
    assert pacing.read(pacing.written(turns)) == turns


@pytest.mark.parametrize("text", ["5", "a:b", "30:20", "20:80,10:90", "1:2:3"])
def test_turns_that_cannot_be_read_are_refused(text):
    with pytest.raises(UsageError, match="STEP:STEPS"):
        pacing.read(text)


def test_a_pacer_lets_the_steps_end_when_their_time_does():
    pacer = pacing.Pacer(until=110.0)
    assert pacer.stop(10.0, 100, 1000) == 1000  # asked for the first time: nothing is known of the steps
    assert pacer.stop(20.0, 200, 1000) == 1000 + 100  # 10 steps a second, 90 seconds left
    assert pacer.stop(30.0, 300, 1100) == 1100  # as expected
    assert pacer.stop(50.0, 400, 1100) == 400 + 300  # half as fast
    assert pacer.stop(200.0, 500, 700) == 501  # too late: one last step
    assert pacing.Pacer().stop(50.0, 400, 1100) == 1100

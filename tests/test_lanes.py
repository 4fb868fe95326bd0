"""Lanes live in processes of their own, answer what they are asked, and end with those who opened them."""

import os
import signal
import subprocess
import sys
import time

import pytest
from held import Held

from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import open_lanes, rest, sample


def test_a_sample_works_untimed_first_and_is_the_mean_of_its_calls():
    calls = []

    def call():
        calls.append(time.perf_counter())
        time.sleep(0.002 if len(calls) > 3 else 0.1)  # slow at first

    seconds = sample(call, settle=0.45, least=0.02)
    assert len(calls) > 6
    assert 0.002 <= seconds < 0.1
    calls.clear()
    assert sample(call, settle=0, least=0) >= 0.1
    assert len(calls) == 2  # one untimed, one timed


class Clock:
    """A process whose threads use processor time without end or up to a moment, and no more than passes."""

    def __init__(self, busy):
        self.busy, self.now = busy, 100.0

    def perf_counter(self):
        return self.now - 100

    def process_time(self):
        return 7 + min(self.perf_counter(), self.busy)

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(
    ("busy", "longest", "least", "most"), [(0, 5, 0, 0.02), (0.3, 5, 0.3, 0.32), (9, 0.1, 0.1, 0.12)]
)
def test_rest_outlasts_a_thread_that_spins_but_not_for_ever(busy, longest, least, most, monkeypatch):
    clock = Clock(busy)
    monkeypatch.setattr("rnnkit.lanes.time", clock)
    rest(longest)
    assert least <= clock.perf_counter() <= most


def test_lanes_keep_what_they_hold():
    with open_lanes(("a", "b"), 1) as lanes:
        for start, lane in enumerate(lanes.values()):
            lane.post("hold", Held, 10 * start)
        assert [lane.take() for lane in lanes.values()] == [None, None]
        assert [lanes[name].ask("call", "step") for name in "aaba"] == [1, 2, 11, 3]
        assert set(lanes["a"].ask("call", "blas")) == {1}
        assert len({os.getpid(), *(lane.ask("call", "process") for lane in lanes.values())}) == 3
        assert 0.02 <= lanes["b"].ask("sample", "nap") < 0.2
        assert lanes["a"].ask("call", "interrupt") == "still here"
        processes = [lane.ask("call", "process") for lane in lanes.values()]
    assert not any(alive(process) for process in processes)


def test_a_failure_in_a_lane_is_one_sentence():
    with open_lanes(("a",), 1) as lanes:
        lane = lanes["a"]
        with pytest.raises(UsageError) as caught:
            lane.ask("hold", Held, -1)
        assert str(caught.value) == "start is at least 0"
        lane.ask("hold", Held, 1)
        with pytest.raises(RnnkitError, match=r"^a failed .*\(ValueError: no such thing\); leave it out") as caught:
            lane.ask("call", "fail")
        assert "in fail" in caught.value.__notes__[0]
        assert lane.ask("call", "step") == 2  # and goes on
        with pytest.raises(RnnkitError, match="the process that ran a ended with code 3 before it answered"):
            lane.ask("call", "die")
        with pytest.raises(RnnkitError, match="the process that ran a ended with code 3"):
            lane.ask("call", "step")


def test_a_killed_lane_is_one_sentence():
    with open_lanes(("a",), 1) as lanes:
        lanes["a"].ask("hold", Held, 1)
        os.kill(lanes["a"].ask("call", "process"), signal.SIGKILL)
        with pytest.raises(RnnkitError, match="ended by signal 9"):
            lanes["a"].ask("call", "step")


def test_signals_of_the_parent_stay_as_they_were():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with open_lanes(("a",), 1):
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_lanes_end_with_a_parent_that_is_killed():
    code = (
        "import os, time\nfrom rnnkit.lanes import open_lanes\n"
        "with open_lanes(('a',), 1) as lanes:\n"
        "    lanes['a'].ask('hold', dict)\n    print(lanes['a'].process.pid, flush=True)\n    time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        lane = int(parent.stdout.readline())
        assert alive(lane)
        parent.kill()
    until = time.monotonic() + 10
    while alive(lane) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(lane)


@pytest.fixture
def heeded():
    """Ctrl-C as a terminal's programs begin with it: a shell lets those in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_quiet_and_prints_what_was_measured(heeded):
    line = "bench --cell rnn --shape 3,5,4,7 --backend numpy --seconds 60 --rounds 1000000"
    bench = subprocess.Popen(
        [sys.executable, "-P", "-m", "rnnkit", *line.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with bench:
        while "[1/1]" not in bench.stderr.readline():
            pass
        os.killpg(bench.pid, signal.SIGINT)  # as the terminal does: to everyone, while lanes still start
        out, err = bench.communicate(timeout=60)
    assert bench.returncode == 130
    assert out.split()[:2] == ["cell", "B"]
    assert err == ""


def alive(process):
    """Whether that process still runs (one that nobody has waited for yet does not)."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

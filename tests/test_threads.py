"""How many threads there are, and where they run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rnnkit.errors import UsageError
from rnnkit.nn import threads


def test_available_threads_are_within_what_the_process_may_use():
    assert 1 <= threads.available() <= (os.cpu_count() or 1)
    assert threads.resolve("auto") == threads.available()
    assert threads.resolve(3) == threads.resolve("3") == 3


@pytest.mark.parametrize("wrong", [0, -1, "many", 1.5, ""])
def test_numbers_of_threads_are_checked(wrong):
    with pytest.raises(UsageError, match="threads is auto or a whole number"):
        threads.resolve(wrong if isinstance(wrong, str) else str(wrong))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_threads_kept_apart_are_free_again_afterwards():
    allowed, seen, done = os.sched_getaffinity(0), [], threading.Event()

    def wait():
        seen.append(threading.get_native_id())
        done.wait(10)

    other = threading.Thread(target=wait)
    other.start()
    while not seen:
        time.sleep(0.001)
    with threads.apart() as part:
        part()
        assert os.sched_getaffinity(seen[0]) <= allowed
        assert len(os.sched_getaffinity(seen[0])) >= len(allowed) - 1
    assert os.sched_getaffinity(seen[0]) == allowed == os.sched_getaffinity(0)
    done.set()
    other.join()


several = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two processors"
)


@several
def test_threads_that_come_later_leave_the_callers_processor_too():
    allowed, seen, done = os.sched_getaffinity(0), [], threading.Event()

    def wait():
        seen.append(threading.get_native_id())
        done.wait(10)

    with threads.apart() as part:
        part()
        here = os.sched_getaffinity(0)
        others = [threading.Thread(target=wait) for _ in range(2)]
        for other in others:
            other.start()
        while len(seen) < 2:
            time.sleep(0.001)
        assert len(here) == 1
        assert [os.sched_getaffinity(task) for task in seen] == [here, here]
        part()
        assert [os.sched_getaffinity(task) for task in seen] == [allowed - here] * 2
        assert os.sched_getaffinity(0) == here
    assert [os.sched_getaffinity(task) for task in (0, *seen)] == [allowed] * 3
    done.set()
    for other in others:
        other.join()


def run_alone(code, *args):
    """Python code in a process of its own, whose threads are all known."""
    done = subprocess.run([sys.executable, "-P", "-c", code, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@several
def test_the_threads_of_a_team_are_there_once_woken_and_stay(backend):
    """A pool that shrank after each small pass would start threads for the next large one."""
    run_alone(
        """
import os, sys
import numpy as np
from rnnkit._kernels.operations import load_ops
ops, before = load_ops(sys.argv[1]), set(os.listdir("/proc/self/task"))
ops.wake(4)
woken = set(os.listdir("/proc/self/task")) - before
assert len(woken) == (0 if sys.argv[1] == "numpy" else 3), woken
for n in (10_000_000, 200_000, 100_000, 10_000, 10, 10_000_000):
    ops.square_sum(np.ones(n, np.float32), 4)
    assert set(os.listdir("/proc/self/task")) - before == woken, n
""",
        backend,
    )


@several
def test_training_keeps_every_thread_off_its_own_processor(backend, tmp_path):
    """Though the first steps are too small for a second thread, which starts from the one that is confined."""
    run_alone(
        """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from jobs import TinyJob
from rnnkit import training
from rnnkit.events import Stepped

job, everywhere = TinyJob(backend=sys.argv[1], threads=2), os.sched_getaffinity(0)
for event in training.train(job, Path(sys.argv[2], "run")):
    if isinstance(event, Stepped) and event.step == 3:
        here = os.sched_getaffinity(0)
        others = [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
        assert len(here) == 1
        assert all(other == everywhere - here for other in others), others
        assert others or sys.argv[1] == "numpy"
assert os.sched_getaffinity(0) == everywhere
""",
        backend,
        os.fspath(tmp_path),
        os.path.dirname(__file__),
    )


def test_together_runs_both_at_once_and_in_one_thread_kept_for_it():
    met, names = threading.Barrier(2, timeout=10), []

    def meet():
        met.wait()
        names.append(threading.current_thread().name)

    for _ in range(3):
        threads.together(meet, meet)
    assert sorted(names) == sorted([threading.current_thread().name, "rnnkit_0"] * 3)


@pytest.mark.parametrize("failing", [0, 1])
def test_together_raises_when_both_have_ended(failing):
    ended = []

    def fine():
        time.sleep(0.02)
        ended.append(1)

    def wrong():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.together(*((wrong, fine) if failing == 0 else (fine, wrong)))
    assert ended == [1]
    threads.together(fine, fine)
    assert ended == [1] * 3


def test_together_inside_together_goes_one_after_the_other():
    seen = []
    threads.together(lambda: threads.together(lambda: seen.append(1), lambda: seen.append(2)), lambda: None)
    assert seen == [1, 2]


def test_the_helper_keeps_what_numpy_was_told():
    with np.errstate(over="ignore"):
        threads.together(lambda: None, lambda: np.float32(1e38) * np.float32(1e38))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.together(lambda: None, lambda: np.float32(1e38) * np.float32(1e38))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_both_itself():
    code = """
import os, threading
from rnnkit.nn.threads import together
together(lambda: None, lambda: None)
child = os.fork()
if child == 0:
    seen = []
    together(lambda: seen.append(threading.get_ident()), lambda: seen.append(threading.get_ident()))
    os._exit(0 if seen == [threading.get_ident()] * 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_one_blas_thread_inside_and_as_before_outside():
    from threadpoolctl import threadpool_info

    def pools():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    threads._pools.cache_clear()  # it knows those that were loaded when it was first asked: other tests load more
    before = pools()
    with threads.single_blas():
        assert set(pools()) <= {1}
    assert pools() == before

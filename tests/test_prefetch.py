"""Batches made ahead: the same bits, errors in their place, no thread left, whatever ends the training."""

from __future__ import annotations

import os
import threading
import time
import warnings

import numpy as np
import pytest
from jobs import TinyJob, sha256

from rnnkit.errors import DivergedError
from rnnkit.events import Finished, Interrupted, Stepped
from rnnkit.prefetch import SHORT, Prefetch
from rnnkit.run import MODEL
from rnnkit.training import train

NAME = "rnnkit-batch"


class Slow(TinyJob):
    """Its batches take long enough to be worth a thread; who made which is written down."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.made, self.making, self.most = [], 0, 0

    def batch(self, stage, step):
        self.making += 1
        self.most = max(self.most, self.making)
        time.sleep(4 * SHORT)
        self.made.append((stage, step, threading.current_thread().name.startswith(NAME)))
        self.making -= 1
        return super().batch(stage, step)


def ours():
    """Threads that make batches."""
    return [t for t in threading.enumerate() if t.name.startswith(NAME)]


def collect(events, steps):
    """Write down the steps of a training as they come."""
    for event in events:
        if isinstance(event, Stepped):
            steps.append(event.step)


def stop_after(count):
    asked = iter(range(10**6))
    return lambda: next(asked) >= count


def test_the_bytes_are_the_same_and_no_thread_is_left(tmp_path):
    digests = set()
    for threads in (1, 2):
        job = Slow(threads=threads, patience=2)
        assert isinstance(list(train(job, tmp_path / str(threads)))[-1], Finished)
        digests.add(sha256(tmp_path / str(threads) / MODEL))
        assert any(ahead for *_, ahead in job.made) == (threads > 1)
        assert job.most == 1
    assert len(digests) == 1
    assert not ours()


def test_all_but_the_first_batch_of_a_stage_are_made_ahead(tmp_path):
    job = Slow(threads=2)
    steps = [(e.stage, e.step - 1) for e in train(job, tmp_path / "run") if isinstance(e, Stepped)]
    assert [(stage, step) for stage, step, ahead in job.made if ahead] == [(s, k) for s, k in steps if k > 0]
    assert set(steps) <= {(stage, step) for stage, step, _ in job.made}


def test_interrupted_at_any_step_ends_in_the_same_bytes(tmp_path):
    steps = sum(isinstance(e, Stepped) for e in train(Slow(threads=2, steps=4), tmp_path / "whole"))
    for k in range(steps):
        path = tmp_path / str(k)
        assert isinstance(list(train(Slow(threads=2, steps=4), path, interrupted=stop_after(k)))[-1], Interrupted)
        assert not ours()
        list(train(Slow(threads=2, steps=4), path, resume=True))
        assert sha256(path / MODEL) == sha256(tmp_path / "whole" / MODEL)


def test_left_in_the_middle_no_thread_remains(tmp_path):
    events = train(Slow(threads=2, steps=50), tmp_path / "run")
    for event in events:
        if isinstance(event, Stepped) and event.step == 5:
            break
    assert len(ours()) == 1
    events.close()
    assert not ours()


def test_an_error_is_raised_by_the_step_that_wants_the_batch(tmp_path):
    class Broken(Slow):
        def batch(self, stage, step):
            if step == 4:
                raise OSError("the file is gone")
            return super().batch(stage, step)

    steps: list[int] = []
    with pytest.raises(OSError, match="the file is gone"):
        collect(train(Broken(threads=2, steps=9), tmp_path / "run"), steps)
    assert steps == [1, 2, 3, 4]
    assert not ours()


def test_an_error_of_a_batch_that_nobody_wants_is_none(tmp_path):
    class Short(Slow):
        def batch(self, stage, step):
            if step > 5:
                raise OSError("there is no more")
            return super().batch(stage, step)

    job = Short(threads=2, steps=40, evaluate_every=2, lr=0.5, patience=1)
    job.select = lambda network: float(len(job.made))  # never better: the second evaluation ends it
    assert isinstance(list(train(job, tmp_path / "run"))[-1], Finished)
    assert not ours()


def test_divergence_leaves_no_thread(tmp_path):
    job = Slow(threads=2, steps=30)
    loss = job.loss
    job.loss = lambda y, t, w=None, out=None, engine=None: (np.nan, loss(y, t, w)[1])
    with pytest.raises(DivergedError):
        list(train(job, tmp_path / "run"))
    assert not ours()


def test_what_the_loop_passes_over_is_passed_over_in_the_thread_too(tmp_path):
    class Loud(Slow):
        def batch(self, stage, step):
            assert np.isinf(np.float32([3e38]) * np.float32([10])).all()  # a warning otherwise, and here an error
            return super().batch(stage, step)

    assert isinstance(list(train(Loud(threads=2), tmp_path / "run"))[-1], Finished)


def test_batches_that_take_no_time_need_no_thread(monkeypatch):
    makers = set()

    def make(stage, step):
        makers.add(threading.current_thread())
        return step

    monkeypatch.setattr("rnnkit.prefetch.time.perf_counter", lambda: 0.0)
    with Prefetch(make, ahead=True) as batches:
        assert [batches.take(("fit", k), ("fit", k + 1)) for k in range(5)] == list(range(5))
    assert makers == {threading.main_thread()}


def test_looking_does_not_take():
    made = []

    def make(stage, step):
        time.sleep(4 * SHORT)
        made.append(step)
        return step

    with Prefetch(make, ahead=True) as batches:
        assert batches.take(("fit", 0), ("fit", 1)) == 0
        assert batches.look(("fit", 1)) == 1
        assert batches.look(("fit", 7)) == 7
        assert batches.take(("fit", 1), ("fit", 2)) == 1
        assert batches.take(("fit", 9)) == 9  # another than the one begun, which nobody will take
    assert made == [0, 1, 7, 2, 9]
    assert not ours()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_the_child_of_a_fork_makes_its_own_batches():
    def make(stage, step):
        time.sleep(4 * SHORT)
        return step

    with Prefetch(make, ahead=True) as batches:
        batches.take(("fit", 0), ("fit", 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there is a thread, and the child does without
            child = os.fork()
        if not child:
            code = 1
            try:
                got = [batches.take(("fit", k), ("fit", k + 1)) for k in range(1, 4)]
                batches.__exit__(None, None, None)
                code = 0 if got == [1, 2, 3] and not ours() else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert batches.take(("fit", 1)) == 1

"""The loop: resumed runs end in the same bytes, divergence is survived, kills leave a run that loads."""

from __future__ import annotations

import math
import os
import signal
import time
import warnings

import numpy as np
import pytest
from jobs import TinyJob, sha256

from rnnkit.cells import CELLS
from rnnkit.errors import DivergedError, ModelFileError, RnnkitError, UsageError
from rnnkit.nn.optim import OPTIMIZERS
from rnnkit.nn.schedules import Plateau
from rnnkit.run import MODEL, Run
from rnnkit.training import Evaluated, Finished, Interrupted, Judged, Returned, Started, Stepped, train


def finish(job, path, **options):
    """Train to the end and return the events."""
    events = list(train(job, path, **options))
    assert isinstance(events[-1], Finished)
    return events


def stop_after(count):
    """An ``interrupted`` that says yes once ``count`` steps were allowed."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= count


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_interrupted_at_any_step_ends_in_the_same_bytes(tmp_path, cell, optimizer):
    job = TinyJob(cell, optimizer=optimizer, lr=0.02, steps=5)
    whole = finish(job, tmp_path / "whole")
    steps = sum(isinstance(e, Stepped) for e in whole)
    assert steps >= 6  # both stages
    for k in range(steps):
        path = tmp_path / str(k)
        events = list(train(job, path, interrupted=stop_after(k)))
        assert isinstance(events[-1], Interrupted)
        finish(job, path, resume=True)
        assert sha256(path / MODEL) == sha256(tmp_path / "whole" / MODEL), f"interrupted after step {k}"


def test_interrupted_at_every_step_of_one_run(tmp_path):
    job = TinyJob("lstm", schedule="plateau", schedule_options={"patience": 0})
    finish(job, tmp_path / "whole")
    list(train(job, tmp_path / "bits", interrupted=stop_after(1)))
    for _ in range(100):
        if isinstance(list(train(job, tmp_path / "bits", resume=True, interrupted=stop_after(1)))[-1], Finished):
            break
    assert sha256(tmp_path / "bits" / MODEL) == sha256(tmp_path / "whole" / MODEL)
    steps = [(r["stage"], r["step"]) for r in Run(tmp_path / "bits").read_log()]
    assert steps == [(r["stage"], r["step"]) for r in Run(tmp_path / "whole").read_log()]


def test_started_from_given_weights_and_interrupted_is_the_same(tmp_path):
    job = TinyJob("gru", steps=4)
    start = np.linspace(-0.3, 0.3, len(job.network().parameters), dtype=np.float32)
    finish(job, tmp_path / "whole", start=start)
    for k in range(1, 8):
        if isinstance(list(train(job, tmp_path / str(k), start=start, interrupted=stop_after(k)))[-1], Interrupted):
            finish(job, tmp_path / str(k), resume=True)
        assert sha256(tmp_path / str(k) / MODEL) == sha256(tmp_path / "whole" / MODEL)


@pytest.mark.parametrize("moment", ["select", "judge"])
def test_a_signal_while_scoring_is_heard(tmp_path, moment):
    job, asked = TinyJob(steps=4), []
    finish(job, tmp_path / "whole")
    score = getattr(job, moment)

    def scoring(*given):
        asked.append(True)
        return score(*given)

    setattr(job, moment, scoring)
    events = list(train(job, tmp_path / "run", interrupted=lambda: bool(asked)))
    assert isinstance(events[-1], Interrupted)
    setattr(job, moment, score)
    finish(job, tmp_path / "run", resume=True)
    assert sha256(tmp_path / "run" / MODEL) == sha256(tmp_path / "whole" / MODEL)


def test_the_last_stage_repeats_the_rates_of_the_first(tmp_path):
    rates = {"fit": [], "final": []}

    class Watched(TinyJob):
        def batch(self, stage, step):
            self.now = stage
            return super().batch(stage, step)

    job = Watched(steps=12, evaluate_every=2, schedule="plateau", schedule_options={"patience": 0}, lr=0.3)
    trainer_step = Plateau.rate

    def rate(self, step, steps):
        rates[job.now].append(trainer_step(self, step, steps))
        return rates[job.now][-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plateau, "rate", rate)
        finish(job, tmp_path / "run")
    assert min(rates["fit"]) < 1
    assert rates["final"] == rates["fit"][: len(rates["final"])]


def test_returns_are_counted_anew_in_the_last_stage(tmp_path):
    job = Exploding(steps=12)
    job.bad = (3, 5, 7)
    job.bad_final = (0,)
    events = finish(job, tmp_path / "run")
    assert [(e.stage, e.count) for e in events if isinstance(e, Returned)] == [
        ("fit", 1),
        ("fit", 2),
        ("fit", 3),
        ("final", 1),
    ]


def test_what_is_set_for_the_work_is_not_left_set_between_events(tmp_path):
    before = np.geterr()
    for _ in train(TinyJob(), tmp_path / "run"):
        assert np.geterr() == before


def test_an_infinite_gradient_is_reported_though_values_are_clipped(tmp_path):
    job = TinyJob(clip_value=0.5)
    loss = job.loss
    job.loss = lambda y, t, w=None, out=None, engine=None: (loss(y, t, w)[0], np.full_like(y, np.inf))
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        list(train(job, tmp_path / "run"))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    list(train(TinyJob(), tmp_path / "run", interrupted=stop_after(2)))
    run = Run(tmp_path / "run")
    arrays, meta = run.load_checkpoint()
    for change in ({"values": np.zeros(1, np.float32)}, {"best": np.zeros((2, 2))}):
        run.save_checkpoint({**arrays, **change}, meta)
        with pytest.raises(ModelFileError, match="does not fit"):
            next(train(TinyJob(), tmp_path / "run", resume=True))
    meta.progress["surprise"] = 1
    run.save_checkpoint(arrays, meta)
    with pytest.raises(ModelFileError, match="surprise"):
        next(train(TinyJob(), tmp_path / "run", resume=True))


@pytest.mark.parametrize("cell", CELLS)
def test_threads_do_not_change_the_bytes(tmp_path, cell):
    digests = set()
    for threads in (1, 2, 3):
        finish(TinyJob(cell, threads=threads), tmp_path / str(threads))
        digests.add(sha256(tmp_path / str(threads) / MODEL))
    assert len(digests) == 1


def test_seeds_change_the_bytes(tmp_path):
    for seed in (0, 1):
        finish(TinyJob(seed=seed), tmp_path / str(seed))
    assert sha256(tmp_path / "0" / MODEL) != sha256(tmp_path / "1" / MODEL)


def test_training_learns_and_keeps_the_best(tmp_path):
    job = TinyJob(stages=("fit",), steps=60, evaluate_every=10, dropout=0.0)
    events = finish(job, tmp_path / "run")
    losses = [e.selected for e in events if isinstance(e, Evaluated)]
    judged = next(e for e in events if isinstance(e, Judged))
    assert judged.report["metrics"]["loss"] == min(losses)
    steps = [e.loss for e in events if isinstance(e, Stepped)]
    assert np.mean(steps[-10:]) < np.mean(steps[:10])


def test_patience_stops_early(tmp_path):
    job = TinyJob(stages=("fit",), steps=400, evaluate_every=2, lr=0.5, patience=3)
    events = finish(job, tmp_path / "run")
    best = next(e for e in events if isinstance(e, Judged)).best_step
    last = max(e.step for e in events if isinstance(e, Stepped))
    assert last < 400
    assert last == best + 3 * 2


class Scored(TinyJob):
    """Its evaluations find the losses that it is given, one after the other."""

    def __init__(self, losses, **plan):
        super().__init__(steps=2 * len(losses), **plan)
        self.losses, self.found = losses, iter(losses)

    def select(self, network):
        return next(self.found)

    def judge(self, network, stage, report):
        return {"metrics": {}, "weights": network.parameters.values.tolist()}


@pytest.mark.parametrize(
    ("losses", "tolerance", "best"),
    [
        ([3.0, 2.0, 2.1, 2.5], 0.0, 2),
        ([3.0, 2.0, 2.1, 2.5], 0.1, 3),  # slightly worse and later
        ([3.0, 2.0, 2.1, 2.5], 0.3, 4),
        ([3.0, 2.0, 2.3, 2.1, 2.3], 0.1, 4),  # much worse is not, whatever comes between
        ([2.0, 2.1, 2.2, 2.3, 2.4], 0.06, 2),  # held to the lowest loss, not to that of the weights kept
        ([2.0, 2.1, 1.0, 1.05, 1.2], 0.1, 4),
        ([2.0, 2.0, 2.0], 0.0, 1),  # as good is not better
        ([2.0, math.nan, 2.1], 0.1, 3),
    ],
)
def test_a_later_evaluation_is_preferred_within_the_tolerance(tmp_path, losses, tolerance, best):
    job = Scored(losses, tolerance=tolerance)
    events = finish(job, tmp_path / "run")
    judged = next(event for event in events if isinstance(event, Judged))
    assert judged.best_step == 2 * best
    evaluated = [e.best for e in events if isinstance(e, Evaluated) and e.stage == "fit"]
    assert max(np.flatnonzero(evaluated)) + 1 == sum(map(math.isfinite, losses[:best]))
    stopped = Scored(losses, tolerance=tolerance, stop=2 * best, stages=("fit",))
    last = finish(stopped, tmp_path / "stopped")
    assert next(e for e in last if isinstance(e, Judged)).report["weights"] == judged.report["weights"]
    assert max(e.step for e in events if isinstance(e, Stepped) and e.stage == "final") == 2 * best


def test_patience_counts_from_the_lowest_loss_within_any_tolerance(tmp_path):
    job = Scored([2.0, 2.05, 2.1, 2.1, 2.1, 1.0], tolerance=0.1, patience=3)
    events = finish(job, tmp_path / "run")
    assert [e.selected for e in events if isinstance(e, Evaluated) and e.stage == "fit"] == [2.0, 2.05, 2.1, 2.1]
    assert next(e for e in events if isinstance(e, Judged)).best_step == 8


class Exploding(TinyJob):
    """Its loss is not finite at the steps in ``bad``, in the last stage in ``bad_final``."""

    bad: tuple[int, ...] = ()
    bad_final: tuple[int, ...] = ()

    def __init__(self, **plan):
        super().__init__(**plan)
        finite, self.exploding = self.loss, False

        def loss(prediction, target, weight=None, out=None, engine=None):
            value, gradient = finite(prediction, target, weight)
            return (math.nan if self.exploding else value), gradient

        self.loss = loss

    def batch(self, stage, step):
        self.exploding = step in (self.bad if stage == "fit" else self.bad_final)
        return super().batch(stage, step)

    def select(self, network):
        self.exploding = False
        return super().select(network)


def test_a_loss_that_is_not_finite_is_survived_at_half_the_rate(tmp_path):
    job = Exploding(steps=12)
    job.bad = (3, 6)
    events = finish(job, tmp_path / "run")
    returned = [e for e in events if isinstance(e, Returned)]
    assert [(e.step, e.count, e.lr) for e in returned] == [(4, 1, 0.025), (7, 2, 0.0125)]
    arrays, _ = Run(tmp_path / "run").load_model()
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_after_three_returns_training_stops_with_the_best_model(tmp_path):
    job = Exploding(steps=40)
    job.bad = (5, 6, 7, 8)
    with pytest.raises(DivergedError, match="not finite") as caught:
        list(train(job, tmp_path / "run"))
    assert caught.value.exit_code == 5
    arrays, _ = Run(tmp_path / "run").load_model()
    assert all(np.isfinite(a).all() for a in arrays.values())


def test_returns_are_resumed_exactly(tmp_path):
    job = Exploding(steps=8)
    job.bad = (3, 4)
    finish(job, tmp_path / "whole")
    for k in range(2, 8):
        list(train(job, tmp_path / str(k), interrupted=stop_after(k)))
        finish(job, tmp_path / str(k), resume=True)
        assert sha256(tmp_path / str(k) / MODEL) == sha256(tmp_path / "whole" / MODEL)


def test_the_clock_plans_the_steps(tmp_path):
    events = finish(TinyJob(stages=("fit",)), tmp_path / "run", max_seconds=60)
    assert next(e for e in events if isinstance(e, Started)).plan.steps == 7
    assert "steps = 7" in (tmp_path / "run" / "config.toml").read_text()


def test_time_that_runs_out_ends_the_first_stage(tmp_path):
    job = TinyJob(stages=("fit",))
    events = finish(job, tmp_path / "run", max_seconds=1e-9)
    assert [e.step for e in events if isinstance(e, Evaluated)] == [1]
    assert "stop = 1" in (tmp_path / "run" / "config.toml").read_text()


def test_other_data_is_refused(tmp_path):
    job = TinyJob()
    list(train(job, tmp_path / "run", interrupted=stop_after(2)))
    job.fingerprint = "other"
    with pytest.raises(UsageError, match="data"):
        next(train(job, tmp_path / "run", resume=True))


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    finish(TinyJob(), tmp_path / "run")
    before = sha256(tmp_path / "run" / MODEL)
    with pytest.raises(UsageError, match="exists"):
        next(train(TinyJob(seed=5), tmp_path / "run"))
    assert sha256(tmp_path / "run" / MODEL) == before
    finish(TinyJob(seed=5), tmp_path / "run", replace=True)
    assert sha256(tmp_path / "run" / MODEL) != before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_start_weights_are_taken(tmp_path):
    job = TinyJob(stages=("fit",), steps=1, lr=1e-12, optimizer_options={"decay": 0.0})
    start = np.full(len(job.network().parameters), 0.25, np.float32)
    finish(job, tmp_path / "run", start=start)
    arrays, _ = Run(tmp_path / "run").load_model()
    assert all(np.allclose(a, 0.25) for a in arrays.values())


def test_progress_that_is_not_finite_has_no_best_loss(tmp_path):
    job = TinyJob(steps=4)
    events = finish(job, tmp_path / "run")
    assert all(math.isfinite(e.selected) for e in events if isinstance(e, Evaluated))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_killed_at_random_moments_the_run_still_loads_and_goes_on(tmp_path):
    """Kill -9 somewhere in a training that saves after every step; what is on disk must always load."""
    rng = np.random.default_rng(7)
    job = TinyJob(steps=400, evaluate_every=3)
    began = time.monotonic()
    list(train(job, tmp_path / "begun", interrupted=stop_after(2)))
    once = time.monotonic() - began
    for moment in range(100):  # half of them while a run comes into being, half while it goes on
        path = tmp_path / ("begun" if moment % 2 else f"new{moment}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the test process may have threads; the child runs one
            child = os.fork()
        if not child:
            try:
                for _ in train(job, path, resume=path.exists(), save_every=0.0):
                    pass
            finally:
                os._exit(0)
        time.sleep(float(rng.uniform(0.1, 3)) * once)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if path.exists():  # it appears whole or not at all
            run = Run(path)
            run.load_model()
            run.load_checkpoint()
            run.read_log()
    finish(job, tmp_path / "begun", resume=True)
    finish(job, tmp_path / "whole")
    assert sha256(tmp_path / "begun" / MODEL) == sha256(tmp_path / "whole" / MODEL)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RnnkitError, match="disk is full") as caught:
        list(train(TinyJob(), tmp_path / "run"))
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []

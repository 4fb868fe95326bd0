"""The training loop: takes a job from a task, yields events, prints nothing.

Everything that decides the next step lives in ``Progress`` and the arrays beside it, and goes
into the checkpoint: a training stopped after any step and resumed ends with the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnkit.errors import DivergedError, ModelFileError, UsageError
from rnnkit.events import Evaluated, Event, Finished, Interrupted, Judged, Returned, Started, Stepped
from rnnkit.job import Batch, Job, Plan
from rnnkit.modelfile import CheckpointMeta
from rnnkit.nn import Tape
from rnnkit.nn.memory import give_back
from rnnkit.nn.network import fill_state, flatten_state
from rnnkit.nn.optim import make_optimizer, update
from rnnkit.nn.schedules import make_schedule
from rnnkit.nn.threads import apart, single_blas
from rnnkit.pacing import Pacer, place, written
from rnnkit.prefetch import Prefetch
from rnnkit.progress import Progress
from rnnkit.run import Run

RETURNS = 3
"""How often training goes back to the last good weights, at half the rate, before it gives up."""
PLACED = 16
"""Steps after which threads that are new are told where to run (``nn.threads.apart``), the first of them after one."""


def train(
    job: Job,
    path: Path,
    *,
    resume: bool = False,
    replace: bool = False,
    max_seconds: float | None = None,
    start: np.ndarray | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    save_every: float = 5.0,
) -> Iterator[Event]:
    """Train ``job`` into the run folder ``path``, yielding events; ``DivergedError`` after too many returns.

    ``resume`` goes on from the folder's checkpoint; ``max_seconds`` plans the number of steps by the
    clock; ``start`` is a flat vector of weights to begin with; ``interrupted`` is asked after every
    step; a checkpoint is written at most every ``save_every`` seconds and at every end.
    """
    trainer = _Trainer(job, max_seconds, start, save_every)
    events = chain(trainer.resume(Run(path)) if resume else trainer.begin(path, replace), trainer.loop(interrupted))
    with trainer.batches, apart() as trainer.part:
        while True:  # what is set for the work is not left set for whoever takes the events
            with _quiet():
                event = next(events, None)
            if event is None:
                return
            yield event


@contextmanager
def _quiet() -> Iterator[None]:
    """One BLAS thread, and no warnings of what the loop itself reports: losses that are not finite."""
    with single_blas(), np.errstate(over="ignore", invalid="ignore"):
        yield


def expected_seconds(job: Job, limit: float = 0.5) -> float:
    """How long a training would take here, from ``limit`` seconds of its steps; early stopping may end it sooner."""
    trainer = _Trainer(job, None, None, math.inf)
    with trainer.batches, apart() as trainer.part, _quiet():
        per_step, per_select = trainer.measure(limit)
    steps = job.plan.stop or job.plan.steps
    return len(job.stages) * steps * per_step + steps // job.plan.evaluate_every * per_select


class _Trainer:
    """The state of one training and its moves."""

    def __init__(self, job: Job, max_seconds: float | None, start: np.ndarray | None, save_every: float) -> None:
        self.job, self.max_seconds, self.start, self.save_every = job, max_seconds, start, save_every
        self.began = time.monotonic()
        self.saving = 0.0  # seconds that the last save took
        self.passes = 0
        self.pacer = Pacer()
        self.part: Callable[[], None] = lambda: None
        self.batches = Prefetch(job.batch)

    # -- beginning and going on ------------------------------------------------------------

    def begin(self, path: Path, replace: bool) -> Iterator[Event]:
        give_back()  # what preparing the data took
        plan = self._measured() if self.max_seconds else self.job.plan
        self._plan(plan)
        self.progress = Progress(plan, steps=plan.steps, stop=plan.stop or plan.whole, until=self.pacer.until)
        self._fresh_weights()
        model = {**self.network.parameters.arrays(), **self.job.data()}, self.job.meta({}, self.network)
        self.run = Run.create(path, self._config(), model, self._checkpoint(), replace=replace)
        self.saved = time.monotonic()
        yield self._started(0)

    def resume(self, run: Run) -> Iterator[Event]:
        arrays, meta = run.load_checkpoint()
        if meta.fingerprint != self.job.fingerprint:
            raise UsageError(
                f"--resume needs the data that {run.path} was trained on, and what was given differs from it; "
                "give the same file, or train anew with -o and another folder"
            )
        self.run = run
        run.clear_leftovers()
        self.start = arrays.get("start")
        try:
            self.progress = msgspec.convert(meta.progress, Progress)
            self.pacer = Pacer(self.progress.until)
            self._plan(self.progress.plan)
            self._fresh_weights()
            self._restore(arrays)
        except (msgspec.ValidationError, KeyError, ValueError, IndexError) as error:
            raise ModelFileError(
                f"the checkpoint in {run.path} does not fit its network: {error}; train again"
            ) from error
        done = self.progress.step
        kept = [r for r in run.read_log() if (r["stage_number"], r["step"]) <= (self.progress.stage, done)]
        run.rewrite_log(kept)
        self.began -= self.progress.seconds
        self.saved = time.monotonic()
        yield self._started(done)

    def _started(self, done: int) -> Started:
        network = self.network
        sizes = self.job.memory(network), self.job.spared(network)
        return Started(self.run, self.progress.plan, len(network.parameters), done, *sizes)

    def _plan(self, plan: Plan) -> None:
        self.plan = plan
        self.optimizer = make_optimizer(plan.optimizer, **plan.optimizer_options)
        self.schedule = make_schedule(plan.schedule, **plan.schedule_options)

    def _fresh_weights(self) -> None:
        """A new network with everything that training keeps beside it, once the old ones are gone."""
        for name in ("network", "slots", "tape", "best", "good", "good_slots"):
            self.__dict__.pop(name, None)
        self.network = self.job.network()
        self.batches.ahead = self.network.threads > 1
        parameters = self.network.parameters
        if self.start is not None:
            parameters.assign(self.start)
        self.slots = self.optimizer.init(len(parameters), parameters.values.dtype)
        self.tape = Tape(seed=self.plan.seed)
        self.state: Any = None
        self.decay = parameters.decay_mask()
        self.best = parameters.values.copy()
        self._remember_good()

    def _remember_good(self) -> None:
        self.good = self.network.parameters.values.copy()
        self.good_slots = {name: slot.copy() for name, slot in self.slots.items()}

    def _measured(self) -> Plan:
        """Time some steps on a network of their own and plan by them."""
        assert self.max_seconds is not None
        limit = min(3.0, 0.03 * self.max_seconds)
        per_step, per_select = self.measure(limit)
        plan = self.job.budget(self.max_seconds - self._seconds(), per_step, per_select)
        if len(self.job.network().parameters) != len(self.network.parameters):  # a size of its own for that time
            per_step, per_select = self.measure(limit)
            plan = self.job.budget(self.max_seconds - self._seconds(), per_step, per_select)
        if len(self.job.stages) == 1:
            evaluations = plan.steps // plan.evaluate_every
            self.pacer = Pacer(self._seconds() + 1.03 * plan.steps * per_step + evaluations * per_select)
        return plan

    def _turn(self) -> None:
        """Let what is left of the schedule end when its time does, though steps have become slower or faster."""
        progress = self.progress
        stop = self.pacer.stop(self._seconds(), progress.step, progress.stop)
        if stop != progress.stop:
            progress.stop, turns = stop, [*self.plan.turns, (progress.step, stop)]
            self.plan = progress.plan = msgspec.structs.replace(self.plan, turns=turns)
            self.job.options["turns"] = written(turns)

    def measure(self, limit: float) -> tuple[float, float]:
        """Seconds per step and per selection, from about ``limit`` seconds of work that is thrown away."""
        self._plan(self.job.plan)
        self.progress = Progress(self.plan, steps=self.plan.steps, stop=self.plan.steps)
        self._fresh_weights()
        times: list[float] = []
        until = time.monotonic() + limit
        while len(times) < 3 or (time.monotonic() < until and len(times) < 200):
            began = time.monotonic()
            self._step(len(times) % self.plan.steps)
            times.append(time.monotonic() - began)
        began = time.monotonic()
        self.job.select(self.network)
        return float(np.median(times[1:])), time.monotonic() - began

    # -- the loop --------------------------------------------------------------------------

    def loop(self, interrupted: Callable[[], bool]) -> Iterator[Event]:
        progress, stages = self.progress, self.job.stages
        while not progress.done:
            stage, first = stages[progress.stage], progress.stage == 0
            while progress.step < progress.stop and not interrupted():
                loss = self._step(progress.step)
                progress.step += 1
                if loss is None:
                    yield self._return(stage)
                else:
                    yield Stepped(stage, progress.step, progress.stop, loss)
                if first and self.max_seconds and self._seconds() > self.max_seconds / len(stages):
                    progress.stop = progress.step  # the stage on everything needs about as long again
                if progress.step % self.plan.evaluate_every == 0 or progress.step == progress.stop:
                    yield from self._evaluate(stage, first)
                if time.monotonic() - self.saved > (self.save_every and max(self.save_every, 20 * self.saving)):
                    self._save()
            if interrupted():
                self._save()
                yield Interrupted(self.run, progress.step)
                return
            if first or progress.stage < len(stages) - 1:
                self._save()  # judging can take long
                yield from self._judge(stage)
            progress.stage += 1
            if progress.stage == len(stages):
                progress.done = True
            else:
                progress.step, progress.updates, progress.returns, progress.waited = 0, 0, 0, 0
                progress.loss_sum, progress.loss_count = 0.0, 0
                progress.steps, progress.stop = self.job.last_stage(progress.best_step)
                self._plan(self.plan)
                self._fresh_weights()
        self._save()
        yield Finished(self.run, progress.report, self._seconds())

    def _step(self, step: int) -> float | None:
        """One update; None when the loss or its gradient is not finite, and then nothing moved."""
        progress, plan, parameters = self.progress, self.plan, self.network.parameters
        if self.passes % PLACED == 1 and self.network.threads > 1:
            self.network.engine.ops.wake(self.network.threads)
            self.part()
        self.passes += 1
        stage = self.job.stages[progress.stage]
        batch = self.batches.take((stage, step), (stage, step + 1) if step + 1 < progress.stop else None)
        self.tape.begin(step, lengths=batch.lengths)
        engine = self.network.engine
        y, state = self.network.forward(batch.x, None if batch.fresh else self.state, self.tape)
        out = y if self.network.root.spares_output() else None
        loss, dy = self.job.loss(y, batch.target, batch.weight, out, engine)
        if not math.isfinite(loss):
            return None
        self.network.backward(dy, self.tape)
        at = place(step, progress.steps, plan.turns) if plan.turns else step
        lr = plan.lr * progress.rate * self.schedule.rate(at, progress.steps)
        clips = plan.clip, plan.clip_value
        if not update(self.optimizer, parameters, self.slots, lr, progress.updates + 1, self.decay, clips, engine):
            return None
        progress.updates += 1
        self.state = state
        progress.loss_sum += loss
        progress.loss_count += 1
        return loss

    def _return(self, stage: str) -> Event:
        """Back to the last good weights with half the rate; too often is the end."""
        progress = self.progress
        if progress.returns == RETURNS:
            self.network.parameters.assign(self.best)
            self._save()
            raise DivergedError(
                f"the loss was not finite at step {progress.step} though training had gone back to good weights "
                f"{RETURNS} times; the best model is kept in {self.run.path}; try a lower --lr or --clip"
            )
        progress.returns += 1
        progress.rate *= 0.5
        self.network.parameters.assign(self.good)
        for name, slot in self.slots.items():
            slot[...] = self.good_slots[name]
        self.state = None
        return Returned(stage, progress.step, progress.returns, self.plan.lr * progress.rate)

    def _evaluate(self, stage: str, first: bool) -> Iterator[Event]:
        """Score the weights, keep the best, remember good ones, stop early when none got better."""
        progress, parameters = self.progress, self.network.parameters
        mean = progress.loss_sum / progress.loss_count if progress.loss_count else math.nan
        progress.loss_sum, progress.loss_count = 0.0, 0
        selected = self.job.select(self.network) if first else mean
        if first and not math.isfinite(selected):
            yield self._return(stage)
            return
        better = not first or progress.lowest is None or selected < progress.lowest * (1 + self.plan.tolerance)
        if better:
            self.best[...] = parameters.values
            if first:
                progress.best_loss, progress.best_step = selected, progress.step
        lower = not first or progress.lowest is None or selected < progress.lowest
        progress.waited = 0 if lower else progress.waited + 1
        if first and lower:
            progress.lowest = selected
        if first:
            progress.observed.append(selected)
        now = min(len(progress.observed), progress.step // self.plan.evaluate_every or 1)
        self.schedule.observe(
            progress.observed[now - 1] if not first else selected
        )  # the rates of the first stage again
        self._remember_good()
        seconds = self._seconds()
        self.run.log(
            stage=stage,
            stage_number=progress.stage,
            step=progress.step,
            loss=mean if math.isfinite(mean) else None,
            selected=selected if first and math.isfinite(selected) else None,
            seconds=round(seconds, 3),
        )
        if first and self.plan.patience and progress.waited >= self.plan.patience:
            progress.stop = progress.step
        self._turn()
        yield Evaluated(stage, progress.step, mean, selected, better, seconds)

    def _judge(self, stage: str) -> Iterator[Event]:
        """Score the best weights of a stage on the part that nothing chose by."""
        self.network.parameters.assign(self.best)
        self.progress.report = self.job.judge(self.network, stage, self.progress.report)
        if self.max_seconds and self.progress.stop < self.plan.whole:
            # the clock ended it, which config.toml repeats
            self.plan = msgspec.structs.replace(self.plan, stop=self.progress.stop)
            self.progress.plan = self.plan
            self.job.options["stop"] = self.progress.stop
        self.run.save_config(self._config())
        self._save()
        if self.progress.stage >= len(self.job.stages) - 2:  # the last one that is judged
            yield Judged(self.progress.report, self.progress.best_step, self.progress.step)

    # -- saving ----------------------------------------------------------------------------

    def _seconds(self) -> float:
        return time.monotonic() - self.began

    def _config(self) -> dict[str, Any]:
        plan = self.plan
        return {**self.job.options, "max_time": None, "steps": plan.steps, "stop": plan.stop or None}

    def _save(self) -> None:
        """Write the checkpoint, and the best weights as the model.

        While the last stage trains on everything, the model stays the one that was judged.
        """
        parameters, best = self.network.parameters, self.best
        arrays = {
            name: best[entry.offset : entry.offset + entry.size].reshape(entry.shape)
            for name, entry in parameters.entries.items()
        }
        began = time.monotonic()
        give_back()  # saving takes a copy of everything
        self.progress.seconds = self._seconds()
        self.run.save_checkpoint(*self._checkpoint())
        if self.progress.stage == 0 or self.progress.done:
            self.run.save_model({**arrays, **self.job.data()}, self.job.meta(self.progress.report, self.network))
        self.saved = time.monotonic()
        self.saving = self.saved - began

    def _checkpoint(self) -> tuple[dict[str, np.ndarray], CheckpointMeta]:
        self.progress.schedule = self.schedule.state()
        arrays = {"values": self.network.parameters.values, "best": self.best, "good": self.good}
        for name, slot in self.slots.items():
            arrays[f"slot.{name}"], arrays[f"good.{name}"] = slot, self.good_slots[name]
        if self.start is not None:
            arrays["start"] = self.start
        if self.state is not None and not self.progress.done and not self._next().fresh:
            arrays |= {f"state.{i:04d}": part for i, part in enumerate(flatten_state(self.state))}
        return arrays, CheckpointMeta(self.job.fingerprint, self.job.options, msgspec.to_builtins(self.progress))

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Put a checkpoint's arrays where they belong."""
        vectors = {"values": self.network.parameters.values, "best": self.best, "good": self.good}
        for name in self.slots:
            vectors[f"slot.{name}"], vectors[f"good.{name}"] = self.slots[name], self.good_slots[name]
        for name, vector in vectors.items():
            if arrays[name].shape != vector.shape or arrays[name].dtype != vector.dtype:
                raise ValueError(f"{name} has {arrays[name].size} elements, not {vector.size}")
            vector[...] = arrays[name]
        self.network.parameters.touch()
        self.schedule.restore(self.progress.schedule)
        carried = [arrays[name].copy() for name in sorted(arrays) if name.startswith("state.")]
        if carried:
            batch = self._next()
            _, like = self.network.forward(batch.x, None, Tape(training=False).begin(lengths=batch.lengths))
            self.state = fill_state(like, carried)

    def _next(self) -> Batch:
        """The batch of the step that comes next."""
        return self.batches.look((self.job.stages[self.progress.stage], self.progress.step))

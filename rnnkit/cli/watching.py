"""A training watched from the command line: its events told on stderr, its signals obeyed."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from rnnkit import _kernels, api
from rnnkit.cli.results import chosen
from rnnkit.cli.signals import Interruption
from rnnkit.console import Progress, clock, note, number, setting
from rnnkit.tasks import TaskJob
from rnnkit.tasks.memory import described
from rnnkit.tasks.options import plain
from rnnkit.training import Evaluated, Finished, Interrupted, Judged, Returned, Started, Stepped, expected_seconds

MEASURED = 0.2
"""Seconds of steps that are made, and thrown away, to say how long a training takes."""


def train(job: TaskJob, quiet: bool, **how: Any) -> Finished:
    """Train to the end, or exit 130 or 143 with everything saved when a signal asks for it."""
    if not quiet:
        for notice in [*job.notices, *filter(None, [_kernels.fallback()] if job.resolved.backend == "auto" else [])]:
            note(f"note: {notice}")
    timed = "" if quiet or how.get("resume") or job.resolved.max_time else _expected(job)
    with Interruption() as interruption, Progress(quiet) as progress:
        for event in api.train_events(job, interrupted=interruption, **how):
            match event:
                case Stepped(stage, step, steps, loss):
                    progress.step(stage, step, steps, loss)
                case Evaluated() if event.stage == job.stages[0]:
                    progress.evaluated(event.selected)
                case Started() if not quiet:
                    progress.say(_plan(job, event) + timed)
                case Judged() if not quiet:
                    progress.say(f"judged: the best weights are those of step {event.best_step:,} of {event.step:,}")
                case Returned():
                    progress.say(
                        f"warning: the loss was not finite at step {event.step:,}; back to the last good weights "
                        f"with the learning rate halved to {number(event.lr)} (return {event.count})"
                    )
                case Interrupted():
                    go_on = f"rnnkit train --resume -o {shlex.quote(str(event.run.path))}"
                    progress.say(f"interrupted at step {event.step:,} and saved; go on with: {go_on}")
                    sys.exit(interruption.code)
                case Finished():
                    if not quiet:
                        progress.say(f"done in {clock(event.seconds)}, saved in {event.run.path}")
                    return event
    raise AssertionError("a training ends with Finished or Interrupted")


def _expected(job: TaskJob) -> str:
    """What a training takes here, and of a text what each reading of it does."""
    seconds = expected_seconds(job, MEASURED)
    epochs = (job.plan.stop or job.plan.steps) / job.per_epoch if job.per_epoch else 0
    return f", about {clock(seconds)}" + (f", {clock(seconds / epochs)} an epoch" if 1 < epochs < seconds else "")


def _plan(job: TaskJob, event: Started) -> str:
    """One line on what is trained, and with what."""
    said = [
        f"{name} {setting(value)}" for name, value in chosen(job.task, plain(job.resolved)).items() if name != "steps"
    ]
    begin = f"resuming {event.run.path} after step {event.resumed:,}" if event.resumed else f"training {event.run.path}"
    memory = described(event.memory, event.spared)
    figures = f"{event.parameters:,} parameters, {event.plan.steps:,} steps, {memory}"
    return f"{begin}: {job.task}, {', '.join(said)}; {figures}"

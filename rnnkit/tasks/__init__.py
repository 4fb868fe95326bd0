"""What can be learned: one module per task, one row in ``TASKS`` each.

A task module offers four functions, and everything above works through them alone:

``recognises(source) -> str``
    Why this file is the task's ("a table with a numeric column"), or "" when it is not.
``check(source, options, reading=None) -> Findings``
    What a training would read there, without training; ``reading`` is called with the bytes of a large file that are
    read and those there are.
``prepare(source, options, reading=None) -> Job``
    Reads and validates the data, resolves the options, and gives the loop what it asks for.
``open_model(network, meta, data) -> Model``
    A trained model ready to predict, generate or be evaluated; ``data``: the arrays that its job kept.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.job import Job
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.tasks.options import TrainOptions

Source = Any  # a path, "-" or a binary stream
Reading = Callable[[int, int], None]  # takes the bytes that are read and those there are


@dataclass
class Findings:
    """What ``check`` found: facts as label → value, notices as sentences, and the job that a training would be."""

    task: str
    facts: dict[str, Any]
    notices: list[str]
    job: TaskJob | None = None  # None where the data cannot be trained on, which a notice explains
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Forecast:
    """A forecast: for each series its times (as the file writes them), columns of values, and what came before.

    A series is one target of one id; ``targets[i]`` is the column that it forecasts, ``stamps[i]`` [H] are its times
    as datetime64 or int64.
    """

    time_name: str
    id_name: str
    ids: list[str]
    targets: list[str]
    times: list[list[str]]
    columns: list[dict[str, np.ndarray]]
    history: list[np.ndarray] = field(default_factory=list)
    history_times: list[list[str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    stamps: list[np.ndarray] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """What a chart calls each series: its id, its target, or both."""
        if len(set(self.targets)) == 1:
            return [name or target for name, target in zip(self.ids, self.targets, strict=True)]
        return [f"{name} · {t}" if name else t for name, t in zip(self.ids, self.targets, strict=True)]


@dataclass
class Backtest:
    """Forecasts of W windows beside what came, for the tables and the charts of an evaluation.

    ``series`` [W] numbers the series of a window, ``cuts`` [W] is the number of points before it; ``columns`` has
    ``median`` (or ``mean``), ``lo80``, ``hi80`` and so on as [W, H], ``baselines`` the simple rules by name, [W, H]
    each, ``actual`` [W, H] what came (NaN where missing). ``values`` are the whole series, ``times(i, at)`` writes the
    times of points of series i as the file does.
    """

    time_name: str
    labels: list[str]
    values: list[np.ndarray]
    times: Callable[[int, np.ndarray], list[str]]
    series: np.ndarray
    cuts: np.ndarray
    actual: np.ndarray
    columns: dict[str, np.ndarray]
    baselines: dict[str, np.ndarray]


class TaskJob(Job, Protocol):
    """A job that can also say what it found and chose."""

    task: str
    notices: list[str]
    resolved: TrainOptions
    per_epoch: int  # steps of a reading of the data; 0 where batches are drawn from it


class Model(Protocol):
    """A trained model; a task without predictions or generation raises ``UsageError`` for them."""

    task: str
    network: Network
    meta: ModelMeta

    def predict(self, source: Source | None = None, **options: Any) -> Any: ...

    def evaluate(self, source: Source, **options: Any) -> dict[str, Any]: ...

    def generate(self, seed: str, **options: Any) -> Iterator[str]: ...

    def measure(self, source: Source) -> tuple[str, dict[str, float]]:
        """(what it was measured on, metrics) as the model computes where it is used: what quantising is judged by."""
        ...

    def sample(self) -> Source:
        """Something to be measured on where nothing was given; ``UsageError`` where the task has no such thing."""
        ...


TASKS: dict[str, str] = {
    "forecast": "rnnkit.tasks.forecast",
    "language": "rnnkit.tasks.language",
}
"""Task name → module, in the order in which ``auto`` asks them."""


def get_task(name: str) -> Any:
    """The module of a task; ``UsageError`` lists those there are."""
    if name not in TASKS:
        raise UsageError(f"task is one of auto, {', '.join(TASKS)}, not {name!r}")
    return importlib.import_module(TASKS[name])


def recognise(source: Source) -> tuple[str, str]:
    """(task, why) for a file, asking each task in turn; ``UsageError`` when none knows it."""
    for name in TASKS:
        why = get_task(name).recognises(source)
        if why:
            return name, why
    raise UsageError(f"no task recognises {source}; say which with --task {'|'.join(TASKS)}")

"""What the command line and Python users share: train, load, and the runs in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from rnnkit import modelfile
from rnnkit.data.pieces import rereadable
from rnnkit.data.source import is_frame
from rnnkit.errors import ModelFileError, RnnkitError, UsageError
from rnnkit.nn import Network
from rnnkit.run import CONFIG, MODEL, Run, free_path, list_runs
from rnnkit.tasks import TASKS, Findings, Model, Reading, TaskJob, get_task, recognise
from rnnkit.tasks.options import RUNTIME, TrainOptions, for_task, plain
from rnnkit.training import Event, Finished, expected_seconds
from rnnkit.training import train as _train

if TYPE_CHECKING:
    from rnnkit.tasks.forecast_model import ForecastModel
    from rnnkit.tasks.language_model import LanguageModel

RUNS = Path("runs")
"""Where runs go, and are looked for, when nothing else is said."""
DATA = "data."
"""What the names of arrays that belong to no layer begin with: those that a task kept of its data."""


def open_source(data: Any) -> Any:
    """``-`` as a stream of standard input that can be read twice, several files as a list; anything else as it is."""
    if isinstance(data, list | tuple) and not any(is_frame(one) for one in data):
        return open_source(data[0]) if len(data) == 1 else [open_source(one) for one in data]
    return rereadable(sys.stdin.buffer) if isinstance(data, str) and data == "-" else data


def prepare(data: Any, options: TrainOptions, reading: Reading | None = None) -> TaskJob:
    """Read and check the data and resolve every option; nothing is written.

    ``reading`` is called with the bytes of a large table that are read and those there are.
    """
    data = open_source(data)
    name = options.task if options.task != "auto" else recognise(data)[0]
    job: TaskJob = get_task(name).prepare(data, for_task(options, name), reading)
    return job


def check(data: Any, options: TrainOptions, reading: Reading | None = None) -> Findings:
    """What a training of ``data`` would read and choose; ``reading`` as for ``prepare``."""
    data = open_source(data)
    name = options.task if options.task != "auto" else recognise(data)[0]
    findings: Findings = get_task(name).check(data, for_task(options, name), reading)
    if findings.job is not None:
        findings.facts["time of training"] = f"about {expected_seconds(findings.job):.0f} s"
    return findings


def train_events(
    job: TaskJob,
    out: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Train a prepared job, yielding events; ``out`` defaults to ``runs/NAME``, NAME from the data."""
    path = default_run(job.resolved.data or job.task, resume) if out is None else Path(out)
    if resume:
        refuse_other_options(job, Run(path))
    start_from = job.resolved.start_from
    yield from _train(
        job,
        path,
        resume=resume,
        replace=force,
        max_seconds=job.resolved.max_time,
        start=None if resume or start_from is None else start_weights(job, start_from),
        interrupted=interrupted,
    )


def start_weights(job: TaskJob, run: str) -> np.ndarray:
    """The weights of ``run`` to begin a job with; ``UsageError`` unless task, network and vocabulary are the same."""
    model, network = load(run), job.network()
    there, here = ({n: e.shape for n, e in net.parameters.entries.items()} for net in (model.network, network))
    facts = job.meta({}, network).facts
    differ = "network" if there != here or model.task != job.task else ""
    differ = differ or ("vocabulary" if model.meta.facts.get("vocabulary") != facts.get("vocabulary") else "")
    if differ:
        raise UsageError(f"--from needs a run with the same {differ} as this training has, and {run} has another")
    return model.network.parameters.values


def default_run(data: str | list[str], resume: bool = False) -> Path:
    """``runs/NAME``, NAME from the data, the first of several: the newest such run to resume, else a free name."""
    first = Path(data if isinstance(data, str) else data[0])
    stem = (first.name or first.resolve().name).split(".")[0] or "run"
    base = RUNS / (stem if stem != "-" else "stdin")
    if not resume:
        return free_path(base)
    for run in list_runs(RUNS):
        if run.name == base.name or run.name.startswith(base.name + "-"):
            return run
    raise UsageError(f"--resume found no run of {base.name} under {RUNS}; name its folder with -o")


def refuse_other_options(job: TaskJob, run: Run) -> None:
    """``UsageError`` naming the first option that differs from those of the run."""
    _, meta = run.load_checkpoint()
    defaults = plain(TrainOptions(task=meta.options.get("task", "auto")))  # of options that came after the run
    stored, given = {**defaults, **meta.options}, plain(job.resolved)
    for name in sorted({*stored, *given} - {*RUNTIME, "data"}):
        if stored.get(name) != given.get(name):
            raise UsageError(
                f"--resume goes on with the options of {run.path}, where {name} is {stored.get(name)}, "
                f"but {given.get(name)} was given; leave it out, or train anew with another -o"
            )


def options_of(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The options that a run was trained with, as its checkpoint has them."""
    _, meta = Run(run).load_checkpoint()
    return dict(meta.options)


def train(data: Any, out: str | os.PathLike[str] | None = None, **options: Any) -> Model:
    """Train on a CSV file, or on a text, several or a folder of them, and return the model; the run's folder keeps it.

    ``options`` are those of ``rnnkit train`` with underscores (``cell="gru"``, ``horizon=24``, ``max_time=60``);
    ``out`` defaults to ``runs/NAME``. Raises ``UsageError`` (options), ``DataError`` (what is in
    the file) and ``DivergedError``; Ctrl-C raises ``KeyboardInterrupt`` at once; the
    run's latest checkpoint, at most some seconds old, can be resumed with ``resume=True``.

    >>> model = rnnkit.train("airline.csv", cell="gru", horizon=24)    # doctest: +SKIP
    """
    resume, force = options.pop("resume", False), options.pop("force", False)
    name = name_of(data)
    if resume:
        out = out or default_run(name, resume=True)
        options = {**options_of(out), **options}
    settings = make_options({**options, "data": name})
    for event in train_events(prepare(data, settings), out, resume=resume, force=force):
        if isinstance(event, Finished):
            return load(event.run.path)
    raise RnnkitError("training ended without a model")


def name_of(data: Any) -> str | list[str]:
    """What config.toml calls the data: its path or paths, ``-`` for what has none."""
    if isinstance(data, list | tuple) and data and not any(is_frame(one) for one in data):
        return [str(name_of(one)) for one in data]
    return os.fspath(data) if isinstance(data, str | os.PathLike) else "-"


def make_options(values: dict[str, Any]) -> TrainOptions:
    """Options from a flat mapping; ``UsageError`` with "did you mean" for an unknown name."""
    from difflib import get_close_matches

    known = TrainOptions.__struct_fields__
    for name in values:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(known)}"
            raise UsageError(f"{name!r} is not an option of train; {hint}")
    try:
        return msgspec.convert({name: _unboxed(value) for name, value in values.items()}, TrainOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"an option has the wrong type: {error}") from error


def _unboxed(value: Any) -> Any:
    """A NumPy number as Python's own, a path as text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def load(run: str | os.PathLike[str], *, backend: str = "auto", threads: int | str = "auto") -> Model:
    """The model in a run's folder (or in a model file itself), ready to predict, generate and evaluate.

    Nothing in the file is executed. Raises ``UsageError`` where there is no run and
    ``ModelFileError`` where the file is damaged, foreign or newer than this rnnkit.
    """
    path = Path(run)
    return _open(path, *read_model(path), backend, threads)


def open_model(
    arrays: dict[str, np.ndarray], meta: modelfile.ModelMeta, *, backend: str = "auto", threads: int | str = "auto"
) -> Model:
    """The model that the arrays and the metadata of a file make."""
    return _open(Path("the model"), arrays, meta, backend, threads)


def stream(model: Model, **options: Any) -> Any:
    """Forecasts row by row from a forecaster; ``UsageError`` for a model of another task.

    >>> stream = rnnkit.api.stream(rnnkit.load("runs/energy"))    # doctest: +SKIP
    >>> stream.line("2024-12-30T00:00,41.2")[0].anomaly           # doctest: +SKIP
    False
    """
    from rnnkit.tasks.forecast_stream import Stream

    return Stream(_forecaster(model), **{name: value for name, value in options.items() if value is not None})


def template(model: Model, data: Any = None, *, horizon: int | None = None) -> dict[str, list[str]]:
    """The rows to come of a forecaster, by column, to be filled in; ``UsageError`` for a model of another task."""
    return _forecaster(model).template(data, horizon=horizon)


def language(model: Model) -> LanguageModel:
    """The model, which writes text; ``UsageError`` for a model of another task."""
    from rnnkit.tasks.language_model import LanguageModel

    if not isinstance(model, LanguageModel):
        raise UsageError(f"this run is of the task {model.task} and generates no text; name a language run")
    return model


def _forecaster(model: Model) -> ForecastModel:
    from rnnkit.tasks.forecast_model import ForecastModel

    if not isinstance(model, ForecastModel):
        raise UsageError(f"rows are forecast by a forecaster, and this run is of the task {model.task}; name another")
    return model


def refitter(
    model: Model, tell: Callable[[int, int, Event], None] = lambda fold, folds, event: None, **options: Any
) -> Callable[[Any, int, int], Model]:
    """What ``evaluate`` takes as ``refit``: trains a forecaster anew, with the settings and steps of ``model``.

    Each training has a temporary folder, which is gone afterwards; ``tell(fold, folds, event)`` hears of it.
    ``options``: others of a training, such as threads.
    """
    from tempfile import TemporaryDirectory

    settings = make_options({**model.meta.options, **options})

    def refit(series: Any, fold: int, folds: int) -> Model:
        job = get_task(model.task).ForecastJob(series, settings)
        with TemporaryDirectory(prefix="rnnkit-") as folder:
            for event in _train(job, Path(folder) / "run"):
                tell(fold, folds, event)
            return load(Path(folder) / "run")

    return refit


def read_model(path: Path) -> tuple[dict[str, np.ndarray], modelfile.ModelMeta]:
    """The arrays and metadata of a run, or of a model file itself."""
    return modelfile.load(path, modelfile.ModelMeta) if path.is_file() else Run(path).load_model()


def _open(
    path: Path, arrays: dict[str, np.ndarray], meta: modelfile.ModelMeta, backend: str, threads: int | str
) -> Model:
    """The model that arrays and metadata make, everything checked before it is built."""
    from rnnkit.nn.layer import layer_from
    from rnnkit.nn.quantized import widen

    data = {name: arrays[name] for name in arrays if name.startswith(DATA)}
    arrays, weights = widen({name: array for name, array in arrays.items() if name not in data})
    root = layer_from(meta.network)
    if root.count_params() > len(arrays):  # before their names and shapes are listed
        raise ModelFileError(f"the network in {path} has more arrays than the file's {len(arrays)}; train again")
    declared = {name: param.shape for name, param in root.declared().items() if not param.tied}
    found = {name: array.shape for name, array in arrays.items()}
    if declared != found:  # before anything of those shapes is allocated
        odd = min(name for name in {*declared, *found} if declared.get(name) != found.get(name))
        raise ModelFileError(
            f"the network in {path} needs {odd} of shape {declared.get(odd)}, found {found.get(odd)}; train again"
        )
    try:
        network = Network.empty(root).configure(backend, threads)
    except UsageError as error:
        raise ModelFileError(f"the network in {path} cannot be built: {error}; train again") from error
    for name, array in arrays.items():
        network.parameters.value(name)[...] = array
    network.parameters.touch()
    network.weights = weights
    if meta.task not in TASKS:
        raise ModelFileError(
            f"{path} holds a model of the task {meta.task!r}, which this rnnkit does not know; pip install -U rnnkit"
        )
    try:
        model: Model = get_task(meta.task).open_model(network, meta, data)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    return model


def quantize(
    run: str | os.PathLike[str],
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    weights: str = "int8",
    force: bool = False,
    backend: str = "auto",
    threads: int | str = "auto",
) -> dict[str, Any]:
    """A run with its matrices in ``int8`` (a scale per column) or ``bfloat16``, in its own folder, and what that costs.

    ``out`` defaults to the run's own name with the weights' behind it. Both runs are measured on ``data``: nats
    per character of a text, the metrics of a forecast. Without it a language model is measured on a text that it
    writes itself. Returns the ``run`` made, the ``bytes`` of both model files, and the ``metrics`` of both on that
    ``part``.
    Raises ``UsageError`` where there is no run or it is quantised already, and whatever measuring raises.

    >>> rnnkit.api.quantize("runs/chat", "chat.txt")["metrics"]    # doctest: +SKIP
    """
    from rnnkit.nn.quantized import FORMS, shrink

    if weights not in FORMS:
        raise UsageError(f"--weights is one of {', '.join(FORMS)}, not {weights!r}")
    path = Path(run)
    target = free_path(path.with_name(f"{path.stem if path.is_file() else path.resolve().name}-{weights}"))
    target = target if out is None else Path(out)
    if target.exists() and not force:
        raise UsageError(f"{target} exists; give another folder with -o or --force to replace it")
    arrays, meta = read_model(path)
    whole = _open(path, arrays, meta, backend, threads)
    if whole.network.weights != "float32":
        raise UsageError(
            f"the weights of {path} are {whole.network.weights} already; quantize the run that it was made of"
        )
    kept = {name: array for name, array in arrays.items() if name.startswith(DATA)}
    turned = whole.network.parameters.turned
    small = kept | shrink({name: array for name, array in arrays.items() if name not in kept}, weights, turned)
    meta = msgspec.structs.replace(meta, version=modelfile.FORMAT_VERSION)
    quantized = _open(path, small, meta, backend, threads)
    data = open_source(data) if data is not None else whole.sample()
    measured = {form: model.measure(data) for form, model in (("float32", whole), (weights, quantized))}
    part = measured["float32"][0]
    metrics = {form: found for form, (_, found) in measured.items()}
    report = {**meta.report, "quantized": {"part": part, "metrics": metrics}} if meta.report else meta.report
    meta = msgspec.structs.replace(meta, report=report)
    made = Run.create(target, {"task": meta.task, **meta.options}, (small, meta), None, replace=force)
    files = (path if path.is_file() else path / MODEL, made.path / MODEL)
    sizes = dict(zip(("before", "after"), (file.stat().st_size for file in files), strict=True))
    return {"run": str(made.path), "weights": weights, "bytes": sizes, "part": part, "metrics": metrics}


def newest(task: str, folder: Path = RUNS) -> Path:
    """The newest run of a task; ``UsageError`` says how to make one."""
    for path in list_runs(folder):
        try:
            _, meta = Run(path).load_model()
        except RnnkitError:
            continue
        if meta.task == task:
            return path
    how = {"language": "rnnkit example chat && rnnkit train chat.txt --cell lstm"}.get(task, "rnnkit train DATA")
    raise UsageError(f"there is no {task} run under {folder}; make one with: {how}")


__all__ = [
    "CONFIG",
    "RUNS",
    "check",
    "language",
    "load",
    "make_options",
    "newest",
    "open_model",
    "prepare",
    "quantize",
    "read_model",
    "stream",
    "template",
    "train",
    "train_events",
]

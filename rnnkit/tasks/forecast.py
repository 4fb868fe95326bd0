"""Forecasting: one network over one or many series of a table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.losses import Loss, make_loss
from rnnkit.tasks import Findings, Forecast, Source
from rnnkit.tasks.forecast_plan import EVALUATIONS, plan_of, resolve
from rnnkit.tasks.forecast_score import origins, predict_windows, report
from rnnkit.tasks.options import TrainOptions, plain
from rnnkit.tasks.windows import QUANTILES, Pool, Window, build_network

COLUMNS: dict[float, str] = {0.025: "lo95", 0.1: "lo80", 0.5: "median", 0.9: "hi80", 0.975: "hi95"}


class Facts(msgspec.Struct, forbid_unknown_fields=True):
    """What a forecasting model must know of its data."""

    window: Window
    freq: dict[str, Any]
    time_name: str | None
    id_name: str | None
    target: str
    past_names: list[str]
    ids: list[str]
    folds: int


class ForecastJob:
    """Fit on the early part of the series, select and judge on the later ones, then fit on everything."""

    task = "forecast"
    stages: tuple[str, ...] = ("fit", "final")

    def __init__(self, series: SeriesSet, options: TrainOptions) -> None:
        self.series = series
        self.notices = list(series.notices)
        settled = resolve(series, options, self.notices)
        self.resolved, self.window, self.plan = settled.options, settled.window, settled.plan
        self.folds, self.skip = settled.folds, settled.skip
        self.fingerprint = series.fingerprint()
        self.options = plain(self.resolved)
        self.loss: Loss = make_loss("pinball", quantiles=QUANTILES) if self.window.quantiles else make_loss("mse")
        H = self.window.horizon
        n = np.array([len(v) for v in series.values])
        self.judge_cuts = [origins(k, H, self.folds, H) for k in n]
        self.select_cuts = [c - H * self.folds for c in self.judge_cuts]
        self.ends = {"fit": n - 2 * H * self.folds, "final": n}
        self.pool = Pool(self.window, series.values, series.past)
        self._selection: tuple[Any, ...] | None = None

    def network(self) -> Network:
        o = self.resolved
        cell = {
            "cell": o.cell,
            "layers": o.layers,
            "bidirectional": o.bidirectional,
            "dropout": o.dropout,
            "recurrent_dropout": o.recurrent_dropout,
            "options": get_cell(o.cell).complete(o.cell_options()),
        }
        if o.init:
            cell["weight_init"] = o.init
        assert o.hidden is not None
        assert o.dropout is not None
        root = build_network(self.window, cell, o.hidden, o.dropout, skip=self.skip)
        network = Network(root, seed=o.seed).configure(o.backend, o.threads)
        if self.window.quantiles:
            self._start_quantiles(network)
        return network

    def _start_quantiles(self, network: Network) -> None:
        """Quantiles begin where the errors of the mean of the simple forecasts have theirs."""
        series, cuts = self._draw("fit", 512, 0, purpose=1)
        inputs, level, scale = self.pool.inputs(series, cuts)
        errors = self.pool.scaled(self.pool.targets(series, cuts), level, scale) - inputs["bases"].mean(axis=1)
        known = errors[np.isfinite(errors)]
        if len(known):
            start = np.quantile(known, self.window.quantiles)
            start -= start[self.window.quantiles.index(0.5)]
            name = "1.0.1.b"  # the correction's bias [H·Q]
            network.parameters.value(name)[...] = np.tile(start, self.window.horizon)
            network.parameters.touch()

    def _draw(self, stage: str, count: int, step: int, purpose: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random windows (series, cut) inside a stage's part: a function of seed, stage, step and purpose."""
        ends, H = self.ends[stage], self.window.horizon
        high = ends - H
        low = np.maximum(np.minimum(max(self.window.minimum, self.window.context // 2), high), self.window.minimum)
        usable = np.flatnonzero(high >= low)
        counter = (step << 128) | (self.stages.index(stage) << 96) | (purpose << 64)
        rng = np.random.Generator(np.random.Philox(key=self.plan.seed & (2**64 - 1), counter=counter))
        series = usable[rng.integers(0, len(usable), count)]
        cuts = low[series] + (rng.random(count) * (high[series] - low[series] + 1)).astype(np.int64)
        return series, cuts

    def batch(self, stage: str, step: int) -> Batch:
        assert self.resolved.batch is not None
        series, cuts = self._draw(stage, self.resolved.batch, step)
        inputs, level, scale = self.pool.inputs(series, cuts)
        return Batch(inputs, *self._target(series, cuts, level, scale))

    def _target(
        self, series: np.ndarray, cuts: np.ndarray, level: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scaled targets and their weights, in the shape of the loss."""
        y = self.pool.targets(series, cuts)
        real = np.isfinite(y)
        z = np.where(real, self.pool.scaled(np.where(real, y, 1.0), level, scale), 0.0).astype(np.float32)
        weight = real.astype(np.float32)
        return (z, weight) if self.window.quantiles else (z[:, :, None], weight[:, :, None])

    def select(self, network: Network) -> float:
        if self._selection is None:
            series = np.concatenate([np.full(len(c), i) for i, c in enumerate(self.select_cuts)])
            cuts = np.concatenate(self.select_cuts)
            inputs, level, scale = self.pool.inputs(series, cuts)
            self._selection = (inputs, *self._target(series, cuts, level, scale))
        inputs, target, weight = self._selection
        y, _ = network.forward(inputs)
        return self.loss(y, target, weight)[0]

    def judge(self, network: Network) -> dict[str, Any]:
        S, H = len(self.series), self.window.horizon
        many = f" of each of {S} series" if S > 1 else ""
        part = f"last {self.folds * H} points{many}" + (f", {self.folds} windows of {H}" if self.folds > 1 else "")
        return {"part": part, **report(network, self.window, self.series.values, self.series.past, self.judge_cuts)}

    def last_stage(self, best_step: int) -> tuple[int, int]:
        return self.plan.steps, max(best_step, 1)

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        spare = seconds - EVALUATIONS * per_select
        steps = int(np.clip(spare / (2.1 * per_step), 10, 5 * self.plan.steps))
        self.resolved = msgspec.structs.replace(self.resolved, steps=steps)
        self.options = plain(self.resolved)
        self.plan = plan_of(self.resolved)
        return self.plan

    def meta(self, report: dict[str, Any]) -> ModelMeta:
        s = self.series
        facts = Facts(
            self.window, s.freq.to_dict(), s.time_name, s.id_name, s.target, s.past_names, s.names, self.folds
        )
        return ModelMeta(self.task, self.network().describe(), msgspec.to_builtins(facts), stored(self.options), report)

    def data(self) -> dict[str, np.ndarray]:
        """The end of every series, so that ``predict`` can go on from it."""
        L = self.window.context
        values = np.full((len(self.series), L), np.nan)
        past = np.full((len(self.series), L, len(self.series.past_names)), np.nan)
        for i, (v, other) in enumerate(zip(self.series.values, self.series.past, strict=True)):
            k = min(L, len(v))
            values[i, L - k :], past[i, L - k :] = v[len(v) - k :], other[len(v) - k :]
        times = np.zeros((len(self.series), L), np.int64)
        for row, t in zip(times, self.series.times, strict=True):
            tail = t[-L:].astype("datetime64[us]") if t.dtype.kind == "M" else t[-L:]
            row[L - len(tail) :] = tail.astype(np.int64)
        known = np.array([min(L, len(v)) for v in self.series.values], np.int64)
        dated = np.array([self.series.times[0].dtype.kind == "M"], np.uint8)
        return {"data.values": values, "data.past": past, "data.times": times, "data.known": known, "data.dated": dated}


def stored(options: dict[str, Any]) -> dict[str, Any]:
    """The options that a model file keeps: those that shape the result, no path and nothing of the machine."""
    left_out = ("data", "threads", "backend", "max_time")
    return {name: value for name, value in options.items() if name not in left_out}


class ForecastModel:
    """A trained forecaster."""

    task = "forecast"

    def __init__(self, network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> None:
        from rnnkit.data.frequency import Frequency

        self.network, self.meta = network, meta
        try:
            self.facts = msgspec.convert(meta.facts, Facts)
            self.window = self.facts.window
            self.freq = Frequency.from_dict(self.facts.freq)
            S, L = len(self.facts.ids), self.window.context
            shapes = {
                "values": (S, L),
                "past": (S, L, len(self.facts.past_names)),
                "times": (S, L),
                "known": (S,),
                "dated": (1,),
            }
            self._data = {name: data[f"data.{name}"] for name in shapes}
            if any(self._data[name].shape != shape for name, shape in shapes.items()):
                raise ModelFileError("the arrays of a forecasting model do not fit its facts; train again")
        except (msgspec.ValidationError, KeyError, DataError) as error:
            raise ModelFileError(f"the facts of a forecasting model cannot be read: {error}; train again") from error

    def _known(self) -> SeriesSet:
        """The ends of the training series, as the model file keeps them."""
        f, d = self.facts, self._data
        values, past, times = [], [], []
        for i, k in enumerate(d["known"]):
            tail = slice(len(d["values"][i]) - k, None)
            values.append(d["values"][i, tail])
            past.append(d["past"][i, tail])
            times.append(d["times"][i, tail].astype("datetime64[us]") if d["dated"][0] else d["times"][i, tail])
        return SeriesSet(f.ids, values, past, f.past_names, times, f.target, f.time_name, f.id_name, self.freq)

    def read(self, source: Source) -> SeriesSet:
        """Series of another file with the columns that the model was trained on."""
        f = self.facts
        series = read_series(source, time=f.time_name, target=f.target, id=f.id_name, past=f.past_names, gaps="mask")
        if (series.freq.unit, series.freq.count) != (self.freq.unit, self.freq.count):
            series.notices.append(f"the data is {series.freq.text}, but the model was trained on {self.freq.text} data")
        return series

    def predict(self, source: Source | None = None, **options: Any) -> Forecast:
        """The ``horizon`` points after the end of ``source``, or of the training data when there is none."""
        series = self._known() if source is None else self.read(source)
        for name, v in zip(series.names, series.values, strict=True):
            if len(v) < self.window.minimum:
                raise DataError(
                    f"at least {self.window.minimum} points of {series.target} are needed to forecast"
                    f"{f' {name}' if name else ''}, found {len(v)}; give a longer history"
                )
        pool = Pool(self.window, series.values, series.past)
        cuts = np.array([len(v) for v in series.values])
        answer = predict_windows(self.network, pool, np.arange(len(cuts)), cuts)
        names = [COLUMNS[q] for q in self.window.quantiles] or ["mean"]
        order = [n for n in ("median", "mean", "lo80", "hi80", "lo95", "hi95") if n in names]
        columns: list[dict[str, np.ndarray]] = [{name: row[:, names.index(name)] for name in order} for row in answer]
        H = self.window.horizon
        shown = max(3 * H, self.window.context)
        times = [series.freq.format(series.freq.future(t[-1], H)) for t in series.times]
        return Forecast(
            series.time_name or "t",
            series.id_name or ("id" if len(series) > 1 else ""),
            series.names,
            times,
            columns,
            series.target,
            history=[v[-shown:] for v in series.values],
            history_times=[series.freq.format(t[-shown:]) for t in series.times],
            notices=[] if source is None else series.notices,
        )

    def evaluate(
        self, source: Source, *, folds: int | None = None, stride: int | None = None, **options: Any
    ) -> dict[str, Any]:
        """Rolling-origin backtest over the end of ``source``, without refitting, beside the baselines."""
        began = time.monotonic()
        series, H = self.read(source), self.window.horizon
        step = stride or H
        shortest = min(len(v) for v in series.values)
        room = (shortest - H - self.window.minimum) // step + 1
        if room < 1:
            raise DataError(
                f"at least {H + self.window.minimum} points are needed to score a forecast of {H}, found {shortest}; "
                "give a longer series"
            )
        if folds is not None and folds > room:
            raise UsageError(
                f"--folds is at most {room} for {shortest} points, horizon {H} and stride {step}, not {folds}"
            )
        count = folds or min(room, self.facts.folds)
        cuts = [origins(len(v), H, count, step) for v in series.values]
        result = report(self.network, self.window, series.values, series.past, cuts)
        part = f"{count} origin{'s' if count > 1 else ''} {step} apart, {H} points each, {len(series)} series"
        return {"part": part, **result, "notices": series.notices, "seconds": time.monotonic() - began}

    def generate(self, seed: str, **options: Any) -> Iterator[str]:
        raise UsageError("this run is a forecaster and generates no text; use rnnkit predict, or name a language run")


# -- what the table of tasks asks for -----------------------------------------------------------


def recognises(source: Source) -> str:
    """Delimited tables are told by their ending or by their first lines."""
    from rnnkit.data.sniff import looks_like_table

    return "a table with columns" if looks_like_table(source) else ""


def _read(source: Source, options: TrainOptions) -> SeriesSet:
    return read_series(
        source, time=options.time, target=options.target, id=options.id, past=options.past, gaps=options.gaps
    )


def prepare(source: Source, options: TrainOptions) -> ForecastJob:
    """The job that trains a forecaster on a table."""
    return ForecastJob(_read(source, options), options)


def check(source: Source, options: TrainOptions) -> Findings:
    """What a training would read and choose."""
    series = _read(source, options)
    notices = list(series.notices)
    facts: dict[str, Any] = {
        "series": len(series),
        "points": sum(len(v) for v in series.values),
        "target": series.target,
        "time": series.time_name or "row number",
        "step": series.freq.text,
        "first": series.freq.format(series.times[0][:1])[0],
        "last": series.freq.format(series.times[0][-1:])[0],
        "missing values": series.missing,
        "gaps": series.gaps,
        "other columns": ", ".join(series.past_names) or "none",
    }
    try:
        job = ForecastJob(series, options)
    except DataError as error:
        return Findings("forecast", facts, [*notices, str(error)])
    network = job.network()
    facts |= {
        "seasons": ", ".join(map(str, job.window.periods)) or "none found",
        "parameters": len(network.parameters),
        "memory of training": f"{_megabytes(job, network):.0f} MB",
    }
    return Findings("forecast", facts, job.notices, job, job.options)


def _megabytes(job: ForecastJob, network: Network) -> float:
    """Weights, gradients, optimiser and copies (8 vectors), data, and one batch with its tape."""
    assert job.resolved.batch is not None
    assert job.resolved.hidden is not None
    w = job.window
    cells = w.context // w.patch * job.resolved.hidden * 12 * job.resolved.layers
    batch = job.resolved.batch * (cells + 4 * w.context + w.horizon * (len(w.quantiles) + 12)) * 4
    return (8 * 4 * len(network.parameters) + batch + 40 * len(job.pool.flat)) / 1e6


def open_model(network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> ForecastModel:
    """A trained forecaster from its file."""
    return ForecastModel(network, meta, data)

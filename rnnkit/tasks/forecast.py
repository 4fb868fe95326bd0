"""Forecasting: one network over one or many series of a table."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.losses import Loss, make_loss
from rnnkit.tasks import Findings, Source
from rnnkit.tasks.forecast_model import Facts, ForecastModel, stamps
from rnnkit.tasks.forecast_plan import EVALUATIONS, plan_of, resolve
from rnnkit.tasks.forecast_score import ROWS, predict_windows, report
from rnnkit.tasks.memory import described, peak_bytes, size_of
from rnnkit.tasks.options import TrainOptions, plain, stored
from rnnkit.tasks.origins import origins
from rnnkit.tasks.windows import QUANTILES, Pool, build_network, fill_causally

READING, CELLS = 5_500_000, 11
"""About what reading a table takes, and each of its bytes: cells are strings first (12 of many columns, 15 of few)."""
LOSS_COPIES = 8
"""Arrays of float64 that the pinball loss makes of its predictions."""


class ForecastJob:
    """Fit on the early part of the series, select and judge on the later ones, then fit on everything."""

    task = "forecast"
    stages: tuple[str, ...] = ("fit", "final")

    def __init__(self, series: SeriesSet, options: TrainOptions, read: int = 0) -> None:
        """``read``: bytes of the file that the series came from."""
        self.series, self.read = series, read
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
        network = Network(root, seed=o.seed).configure(o.backend, o.threads, o.recompute, o.precision)
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
        series = np.repeat(np.arange(len(self.series)), self.folds)
        cuts = np.concatenate(self.select_cuts)
        total = count = 0.0
        for i in range(0, len(cuts), ROWS):
            rows = series[i : i + ROWS], cuts[i : i + ROWS]
            inputs, level, scale = self.pool.inputs(*rows)
            target, weight = self._target(*rows, level, scale)
            y, _ = network.forward(inputs)
            points = float(weight.sum())
            total, count = total + points * self.loss(y, target, weight)[0], count + points
        return total / max(count, 1.0)

    def judge(self, network: Network) -> dict[str, Any]:
        S, H = len(self.series), self.window.horizon
        many = f" of each of {S} series" if S > 1 else ""
        part = f"last {self.folds * H} points{many}" + (f", {self.folds} windows of {H}" if self.folds > 1 else "")
        found = report(
            lambda series, cuts: predict_windows(network, self.pool, series, cuts),
            self.window.quantiles,
            self.series.values,
            self.judge_cuts,
            H,
            self.window.periods,
        )
        return {"part": part, **found}

    def last_stage(self, best_step: int) -> tuple[int, int]:
        return self.plan.steps, max(best_step, 1)

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        spare = seconds - EVALUATIONS * per_select
        steps = int(np.clip(spare / (2.1 * per_step), 10, 5 * self.plan.steps))
        self.resolved = msgspec.structs.replace(self.resolved, steps=steps)
        self.options = plain(self.resolved)
        self.plan = plan_of(self.resolved)
        return self.plan

    def memory(self, network: Network) -> int:
        """Bytes that a training with this network takes at most."""
        assert self.resolved.batch is not None
        w, pool, rows = self.window, self.pool, min(ROWS, len(self.series) * self.folds)
        took = READING + CELLS * self.read
        data = sum(a.nbytes for a in (pool.flat, pool.real, pool.columns, pool.raw))
        answer = 8 * w.horizon * max(1, len(w.quantiles))  # bytes of a forecast in float64
        reading = network.memory(pool.shapes(rows), training=False).kept + rows * (pool.window_bytes + 3 * answer)
        return peak_bytes(
            network,
            self.plan,
            pool.shapes(self.resolved.batch),
            data=max(2 * data, took // 4),  # the series themselves too; of what reading took, a part stays
            loss=self.resolved.batch * max(pool.window_bytes, LOSS_COPIES * answer),
            phases=[data + reading],  # judging lays the series out again
            apart=took,
        )

    def spared(self, network: Network) -> int:
        """Bytes that recomputation spares."""
        assert self.resolved.batch is not None
        return network.spared(self.pool.shapes(self.resolved.batch))

    def meta(self, report: dict[str, Any], network: Network) -> ModelMeta:
        s = self.series
        facts = Facts(
            self.window, s.freq.to_dict(), s.time_name, s.id_name, s.target_names[0], s.past_names, s.names, self.folds,
            self.resolved.gaps,
        )  # fmt: skip
        return ModelMeta(self.task, network.describe(), msgspec.to_builtins(facts), stored(self.options), report)

    def data(self) -> dict[str, np.ndarray]:
        """The end of every series, for ``predict`` to go on from: values with gaps filled, and which are real."""
        S, L = len(self.series), self.window.context
        values, real, times = np.zeros((S, L)), np.zeros((S, L), np.uint8), np.zeros((S, L), np.int64)
        past = np.full((S, L, len(self.series.past_names)), np.nan)
        known = np.array([min(L, len(v)) for v in self.series.values], np.int64)
        for i, (v, other, t) in enumerate(zip(self.series.values, self.series.past, self.series.times, strict=True)):
            end = slice(L - known[i], None)
            values[i, end], real[i, end] = fill_causally(v, self.window.season)[-L:], ~np.isnan(v[-L:])
            past[i, end], times[i, end] = other[-L:], stamps(t[-L:])
        return {
            "data.values": values,
            "data.real": real,
            "data.past": past,
            "data.times": times,
            "data.known": known,
        }


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
    return ForecastJob(_read(source, options), options, size_of(source))


def check(source: Source, options: TrainOptions) -> Findings:
    """What a training would read and choose."""
    series = _read(source, options)
    notices = list(series.notices)
    facts: dict[str, Any] = {
        "series": len(series),
        "points": sum(len(v) for v in series.values),
        "target": ", ".join(series.target_names),
        "time": series.time_name or "row number",
        "step": series.freq.text,
        "first": series.freq.format(series.times[0][:1])[0],
        "last": series.freq.format(series.times[0][-1:])[0],
        "missing values": series.missing,
        "gaps": series.gaps,
        "other columns": ", ".join(series.past_names) or "none",
    }
    try:
        job = ForecastJob(series, options, size_of(source))
    except DataError as error:
        return Findings("forecast", facts, [*notices, str(error)])
    network = job.network()
    facts |= {
        "seasons": ", ".join(map(str, job.window.periods)) or "none found",
        "parameters": len(network.parameters),
        "memory of training": described(job.memory(network), job.spared(network)),
    }
    return Findings("forecast", facts, job.notices, job, job.options)


def open_model(network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> ForecastModel:
    """A trained forecaster from its file."""
    return ForecastModel(network, meta, data)

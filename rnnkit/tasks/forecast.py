"""Forecasting: one network over one or many series of a table."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.data.folder import is_folder
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError, UsageError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.loss import Loss
from rnnkit.tasks import Findings, Reading, Source
from rnnkit.tasks.conformal import Calibration, calibrate
from rnnkit.tasks.forecast_model import Facts, ForecastModel, stamps
from rnnkit.tasks.forecast_network import build_network, gates, heads
from rnnkit.tasks.forecast_plan import EVALUATIONS, plan_of, resolve
from rnnkit.tasks.forecast_score import report
from rnnkit.tasks.memory import described, peak_bytes, size_of
from rnnkit.tasks.options import TrainOptions, plain, stored
from rnnkit.tasks.predictor import ROWS, Predictor
from rnnkit.tasks.rules import weigh
from rnnkit.tasks.windows import Pool, fill_causally

BLOCK, SHARE, CELLS = 1 << 20, 24, 6
"""Bytes of a table that are read at a time, how many times as many that takes, and what each byte of the file does."""
LOSS_COPIES = 4
"""Arrays of float64 that the pinball loss makes of its predictions."""


class ForecastJob:
    """Fit on the early part of the series, select and judge on the later ones, then fit on everything."""

    task = "forecast"
    per_epoch = 0

    def __init__(self, series: SeriesSet, options: TrainOptions, read: int = 0) -> None:
        """``read``: bytes of the file that the series came from."""
        self.series, self.read = series, read
        self.notices = list(series.notices)
        settled = resolve(series, options, self.notices)
        self.resolved, self.window, self.plan = settled.options, settled.window, settled.plan
        self.parts, self.skip = settled.parts, settled.skip
        self.fingerprint = series.fingerprint()
        self.options = plain(self.resolved)
        self.loss: Loss = self.window.head.loss
        assert self.resolved.horizon is not None
        self.horizon, parts = self.resolved.horizon, self.parts
        n = np.array([len(v) for v in series.values])
        blocks = [f"judge {k + 1}" for k in range(parts.blocks)]
        self.stages: tuple[str, ...] = ("fit", *blocks, "final")
        self.ends = {"fit": parts.fit, "select": n - parts.judged, "final": n}
        for k, name in enumerate(blocks):
            self.ends[name] = np.where(parts.fit > 0, n - parts.judged + parts.first(k) * parts.stride, 0)
        self.pool = Pool(self.window, series.values, series.past, series.future, series.static)

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
        self._start(network)
        return network

    def _start(self, network: Network) -> None:
        """Gates begin with the rules weighted by their errors, heads where they fit the errors of that mixture."""
        series, cuts = self._draw("fit", 512, 0, purpose=1)
        inputs, frame = self.pool.inputs(series, cuts)
        y = self.pool.targets(series, cuts)
        above = self.pool.values(np.where(self._inside(series, cuts, "fit"), y, np.nan)) - frame.level
        if not np.isfinite(above).any():
            return
        values = network.parameters.value
        places = zip(gates(network.root), heads(network.root), self.window.scalings, strict=True)
        for k, (gate, head, scaling) in enumerate(places):
            rules, scale = inputs[f"bases/{scaling}"], frame.scale[:, k, None]
            bias, mixed = weigh(rules, above / scale, self.window.segments)
            values(gate)[...] = bias.ravel()
            values(head)[...] = np.tile(self.window.head.start(above, scale, mixed), self.window.patch)
        network.parameters.touch()

    def _inside(self, series: np.ndarray, cuts: np.ndarray, part: str) -> np.ndarray:
        """Which targets ``[B,H]`` of the network's windows come before the end of a part."""
        return cuts[:, None] + np.arange(self.window.horizon) < self.ends[part][series][:, None]

    def _draw(self, stage: str, count: int, step: int, purpose: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random windows (series, cut) inside a stage's part: a function of seed, stage, step and purpose."""
        ends, H = self.ends[stage], self.window.horizon
        whole = int(ends.max()) >= self.window.context + 2 * H
        high = ends - (H if whole else np.maximum(1, np.minimum(H // 4, ends // 2)))
        least = min(self.window.minimum, int(high.max()))  # where no series has more, what there is must do
        low = np.maximum(np.minimum(max(self.window.minimum, self.window.context), high), least)
        usable = np.flatnonzero(high >= low)
        counter = (step << 128) | (self.stages.index(stage) << 96) | (purpose << 64)
        rng = np.random.Generator(np.random.Philox(key=self.plan.seed & (2**64 - 1), counter=counter))
        series = usable[rng.integers(0, len(usable), count)]
        cuts = low[series] + (rng.random(count) * (high[series] - low[series] + 1)).astype(np.int64)
        return series, cuts

    def batch(self, stage: str, step: int) -> Batch:
        assert self.resolved.batch is not None
        series, cuts = self._draw(stage, self.resolved.batch, step)
        inputs, frame = self.pool.inputs(series, cuts)
        y = self.pool.targets(series, cuts)
        return Batch(inputs, *self.pool.examples(y, np.isfinite(y) & self._inside(series, cuts, stage), frame))

    def select(self, network: Network) -> float:
        """Error of the middle forecast, scaled: bands can be stretched afterwards, the middle cannot.

        Of quantiles half the absolute error, as the pinball loss has it, of a mean the squared one.
        """
        series, cuts = self._windows(self.parts.select)
        predict, middle = Predictor(network, self.pool), self.window.quantiles.index(0.5)
        total = count = 0.0
        for i in range(0, len(cuts), ROWS):
            rows = series[i : i + ROWS], cuts[i : i + ROWS]
            answer, frame = predict.framed(*rows)
            error = np.abs(self.pool.values(self.pool.targets(*rows)) - answer[:, :, middle]) / frame.scale[:, :1]
            known = self._inside(*rows, "select") & np.isfinite(error)
            total += float(np.sum(np.where(known, error**2 if self.window.output == "mean" else 0.5 * error, 0.0)))
            count += float(known.sum())
        return total / max(count, 1.0)

    def judge(self, network: Network, stage: str, report: dict[str, Any]) -> dict[str, Any]:
        """Forecasts of the windows that a stage judges; with the last of them, their scores.

        A stage that was judged before a training was cut off is judged again to the same.
        """
        if stage != "fit" and "kept" not in report:
            return report  # all are judged
        selected, judged = self._windows(self.parts.select), self._windows(self.parts.judge)
        predict = Predictor(network, self.pool, horizon=self.horizon)
        kept = {"select": predict.scaled(*selected).tolist(), "judge": []} if stage == "fit" else report["kept"]
        if stage != "fit" or not self.parts.blocks:
            rows = self._judged_by(stage)
            before = kept["judge"][: max(0, self.stages.index(stage) - 1)]
            found = predict.scaled(*(part[rows] for part in judged)).tolist()
            kept = {**kept, "judge": [*before, [rows.tolist(), found]]}
        if len(kept["judge"]) < max(1, self.parts.blocks):
            return {"kept": kept}
        return self._scores(kept, selected, judged)

    def _judged_by(self, stage: str) -> np.ndarray:
        """Numbers of the windows that a stage judges."""
        number = np.concatenate([np.arange(len(c)) for c in self.parts.judge])
        if not self.parts.blocks:
            return np.arange(len(number))
        block = self.stages.index(stage) - 1
        last = self.parts.first(block + 1)
        return np.flatnonzero((self.parts.first(block) <= number) & (number < last))

    def _scores(
        self, kept: dict[str, Any], selected: tuple[np.ndarray, np.ndarray], judged: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, Any]:
        """What the judged windows tell, their bands held to those selected on; and the bands held to both."""
        H, quantiles = self.horizon, self.window.quantiles
        judged_on = [(v, c) for v, c in zip(self.series.values, self.parts.judge, strict=True) if len(c)]
        values, cuts = zip(*judged_on, strict=True)
        before, answer = np.array(kept["select"]), np.empty((len(judged[0]), H, len(quantiles)))
        for rows, part in kept["judge"]:
            answer[rows] = part
        calibration = self._calibration(before, *selected, self.ends["select"])
        restored = self.pool.restored(calibration(answer, quantiles))
        found = report(lambda *_: restored, quantiles, values, cuts, H, self.window.periods)
        if self.parts.blocks:  # trainings on more points than the first are the more like the last one
            before, selected = before[:0], (selected[0][:0], selected[1][:0])
        known = [np.concatenate(pair) for pair in zip((before, *selected), (answer, *judged), strict=True)]
        found["calibration"] = msgspec.to_builtins(self._calibration(known[0], known[1], known[2], self.ends["final"]))
        S, count = int((self.parts.fit > 0).sum()), max(map(len, self.parts.judge))
        many = f" of each of {S} series" if S > 1 else ""
        part = f"last {self.parts.judged} points{many}" + (f", {count} windows of {H}" if count > 1 else "")
        return {"part": part, **found}

    def _windows(self, cuts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Windows (series, cut) of the origins of each series."""
        return np.repeat(np.arange(len(cuts)), [len(c) for c in cuts]), np.concatenate(cuts).astype(np.int64)

    def _calibration(self, answer: np.ndarray, series: np.ndarray, cuts: np.ndarray, ends: np.ndarray) -> Calibration:
        """The bands of forecasts made to hold on these windows, as far as they lie before ``ends``."""
        inside = cuts[:, None] + np.arange(self.horizon) < ends[series][:, None]
        actual = self.pool.values(np.where(inside, self.pool.targets(series, cuts, self.horizon), np.nan))
        # Windows of one series that overlap tell little more than one, and series that share their time move together.
        apart = np.ptp(ends[series] - cuts) / self.horizon + 1
        independent = math.sqrt(len(np.unique(series))) * apart
        return calibrate(actual, answer, self.window.quantiles, independent)

    def last_stage(self, best_step: int) -> tuple[int, int]:
        return self.plan.steps, max(best_step, 1)

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        spare = seconds - EVALUATIONS * per_select
        steps, members = spare / (1.05 * len(self.stages) * per_step), self.resolved.members
        while members > 1 and steps < 0.5 * self.plan.steps:  # rather a smaller ensemble than one half trained
            steps, members = steps * members / (members // 2), members // 2
        whole = int(np.clip(steps, 10, 5 * self.plan.steps))
        self.resolved = msgspec.structs.replace(self.resolved, steps=whole, members=members)
        self.window = self.pool.window = msgspec.structs.replace(self.window, scalings=self.window.scalings[:members])
        self.options = plain(self.resolved)
        self.plan = plan_of(self.resolved, self.plan.tolerance)
        return self.plan

    def memory(self, network: Network) -> int:
        """Bytes that a training with this network takes at most."""
        assert self.resolved.batch is not None
        w, pool, rows = self.window, self.pool, min(ROWS, sum(map(len, self.parts.select)))
        took = SHARE * min(self.read, BLOCK) + CELLS * self.read
        data = sum(a.nbytes for a in (pool.flat, pool.raw, pool.past, pool.future))
        answer = 8 * len(w.scalings) * w.horizon * w.outputs  # bytes of a forecast in float64
        reading = network.memory(pool.shapes(rows), training=False).kept + rows * (pool.window_bytes + 3 * answer)
        return peak_bytes(
            network,
            self.plan,
            pool.shapes(self.resolved.batch),
            data=max(2 * data, took // 8),  # the series themselves too; of what reading took, a part stays
            loss=self.resolved.batch * max(pool.window_bytes, LOSS_COPIES * answer),
            phases=[reading],
            apart=took,
        )

    def spared(self, network: Network) -> int:
        """Bytes that recomputation spares."""
        assert self.resolved.batch is not None
        return network.spared(self.pool.shapes(self.resolved.batch))

    def meta(self, report: dict[str, Any], network: Network) -> ModelMeta:
        s = self.series
        facts = Facts(
            self.window, s.freq.to_dict(), s.time_name, s.id_name, s.names, s.targets, s.past_names, s.future_names,
            s.static_names, max(map(len, self.parts.judge)), self.resolved.gaps, self._found(report), self.horizon,
            s.columns,
        )  # fmt: skip
        shown = {k: v for k, v in report.items() if k != "calibration"} if "metrics" in report else {}
        return ModelMeta(self.task, network.describe(), msgspec.to_builtins(facts), stored(self.options), shown)

    def _found(self, report: dict[str, Any]) -> Calibration:
        """The calibration that judging found, none before it."""
        return msgspec.convert(report.get("calibration", {}), Calibration)

    def data(self) -> dict[str, np.ndarray]:
        """The end of every series, for ``predict`` to go on from: values with gaps filled, and which are real."""
        own, S, L = self.series, len(self.series), self.window.context
        known = np.array([min(L, len(v)) for v in own.values], np.int64)
        values, real, times = np.zeros((S, L)), np.zeros((S, L), np.uint8), np.zeros((S, L), np.int64)
        past, future = (np.full((S, L, len(names)), np.nan) for names in (own.past_names, own.future_names))
        for i, (v, t) in enumerate(zip(own.values, own.times, strict=True)):
            end, last = slice(L - known[i], None), slice(len(v) - known[i], len(v))
            values[i, end], real[i, end] = fill_causally(v, self.window.season)[last], ~np.isnan(v[last])
            past[i, end], future[i, end], times[i, end] = own.past[i][last], own.future[i][last], stamps(t[last])
        arrays: dict[str, np.ndarray] = {"values": values, "real": real, "past": past, "future": future}
        arrays |= {"static": own.static, "times": times, "known": known}
        return {f"data.{name}": array for name, array in arrays.items()}


# -- what the table of tasks asks for -----------------------------------------------------------


def recognises(source: Source) -> str:
    """Delimited tables are told by their ending or by their first lines."""
    from rnnkit.data.sniff import are_tables

    return "a table with columns" if are_tables(source) else ""


def _read(source: Source, options: TrainOptions, reading: Reading | None) -> SeriesSet:
    if isinstance(source, list) or is_folder(source):
        raise UsageError(
            "one table was expected to forecast from, found several files; join them into one, with a column that "
            "names the series, or learn them as text with --task language"
        )
    return read_series(
        source, time=options.time, target=options.target, id=options.id, past=options.past, future=options.future,
        static=options.static, gaps=options.gaps, progress=reading,
    )  # fmt: skip


def prepare(source: Source, options: TrainOptions, reading: Reading | None = None) -> ForecastJob:
    """The job that trains a forecaster on a table."""
    return ForecastJob(_read(source, options, reading), options, size_of(source))


def check(source: Source, options: TrainOptions, reading: Reading | None = None) -> Findings:
    """What a training would read and choose."""
    series = _read(source, options, reading)
    notices = list(series.notices)
    facts: dict[str, Any] = {
        "series": len(series),
        "points": sum(len(v) for v in series.values),
        "target": ", ".join(series.target_names),
        "id": series.id_name or "none",
        "time": series.time_name or "row number",
        "step": series.freq.text,
        "first": series.freq.format(series.times[0][:1])[0],
        "last": series.freq.format(series.times[0][-1:])[0],
        "missing values": series.missing,
        "gaps": series.gaps,
        "outliers": series.outliers,
        "past inputs": ", ".join(series.past_names) or "none",
        "future inputs": ", ".join(series.future_names) or "none",
        "static inputs": ", ".join(series.static_columns) or "none",
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

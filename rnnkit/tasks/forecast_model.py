"""A trained forecaster: what its file must hold, and forecasts and scores from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from rnnkit.data.frequency import Frequency
from rnnkit.data.series import GAPS, SeriesSet, read_series
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Dropout, Network, Recurrent, Take
from rnnkit.tasks import Forecast, Source
from rnnkit.tasks.backtest import Settings, Shape, backtest, record, rolling_origins
from rnnkit.tasks.forecast_score import Predict, predict_windows
from rnnkit.tasks.windows import Pool, Window, build_network

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
    gaps: str


def stamps(times: np.ndarray) -> np.ndarray:
    """Times [n] as int64: microseconds since 1970 of dates, numbers as they are."""
    return (times.astype("datetime64[us]") if times.dtype.kind == "M" else times).astype(np.int64)


def _check_facts(f: Facts, freq: Frequency, data: dict[str, np.ndarray]) -> None:
    """``ModelFileError`` naming the first fact or array that cannot be; no fact decides how much memory this takes."""
    w, S, F = f.window, len(f.ids), len(f.past_names)
    wanted = {
        "values": ((S, w.context), "f8"),
        "real": ((S, w.context), "u1"),
        "past": ((S, w.context, F), "f8"),
        "times": ((S, w.context), "i8"),
        "known": ((S,), "i8"),
    }
    for name, (shape, kind) in wanted.items():
        found = data[f"data.{name}"]
        _need(found.shape == shape and found.dtype == kind, f"data.{name}", f"of shape {list(shape)} and type {kind}")
    _need(w.horizon >= 1, "horizon", "at least 1")
    _need(w.context >= 1, "context", "at least 1")
    _need(w.patch >= 1 and w.context % w.patch == 0, "patch", "a part of the context")
    ascending = all(a < b for a, b in pairwise(w.periods))
    _need(ascending and all(2 <= p <= w.context for p in w.periods), "periods", "ascending, from 2 to the context")
    _need(np.isfinite(w.log_floor) and w.log_floor >= 0, "log_floor", "a number of at least 0")
    _need(np.isfinite(w.spread) and w.spread > 0, "spread", "a number above 0")
    levels = not w.quantiles or (w.quantiles == sorted(set(w.quantiles) & set(COLUMNS)) and 0.5 in w.quantiles)
    _need(levels, "quantiles", f"none, or 0.5 and others of {', '.join(map(str, COLUMNS))}, ascending")
    _need(len(w.past_mean) == F and bool(np.isfinite(w.past_mean).all()), "past_mean", "one number per other column")
    scales = np.array(w.past_scale)
    _need(len(scales) == F and bool(np.all(np.isfinite(scales) & (scales > 0))), "past_scale", "one above 0 per column")
    _need(S >= 1 and len(set(f.ids)) == S, "ids", "the different names of at least one series")
    _need(f.folds >= 1, "folds", "at least 1")
    _need(f.gaps in GAPS, "gaps", f"one of {', '.join(GAPS)}")
    _need((freq.unit == "step") or f.time_name is not None, "time_name", "the name of the column of dates")
    known = data["data.known"]
    _need(bool(np.all((known >= w.minimum) & (known <= w.context))), "data.known", f"from {w.minimum} to the context")
    _need(bool(np.isfinite(data["data.values"]).all()), "data.values", "finite numbers")
    _need(not np.isinf(data["data.past"]).any(), "data.past", "finite numbers or NaN")
    rising = [np.all(np.diff(t[-k:]) > 0) for t, k in zip(data["data.times"], known, strict=True)]
    _need(all(rising) and bool(np.all(np.abs(data["data.times"]) < 2**60)), "data.times", "ascending times")


def _need(good: bool, name: str, what: str) -> None:
    if not good:
        raise ModelFileError(f"{name} of a forecasting model was expected to be {what}, and is not; train again")


def _check_network(network: Network, window: Window) -> None:
    """``ModelFileError`` unless the network is the one that windows of this kind have."""
    layers = [layer for _, layer in network.root.walk()]
    cells = [layer for layer in layers if isinstance(layer, Recurrent)]
    drops = [layer for layer in layers if isinstance(layer, Dropout)]
    fits = len(cells) == len(drops) == 1 and window.horizon <= len(network.parameters)
    if fits:
        cell = {k: v for k, v in cells[0].describe().items() if k not in ("kind", "inputs", "hidden")}
        skip = any(isinstance(layer, Take) and layer.part == "window" for layer in layers)
        root = build_network(window, cell, cells[0].hidden, drops[0].rate, skip=skip)
        fits = root.describe() == network.describe()
    _need(fits, "the network", f"one for {window.context} points of context and a horizon of {window.horizon}")


class ForecastModel:
    """A trained forecaster."""

    task = "forecast"

    def __init__(self, network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> None:
        self.network, self.meta, self._data = network, meta, data
        try:
            self.facts = msgspec.convert(meta.facts, Facts)
            self.window = self.facts.window
            self.freq = Frequency.from_dict(self.facts.freq)
            _check_facts(self.facts, self.freq, data)
        except (msgspec.ValidationError, KeyError, DataError) as error:
            raise ModelFileError(f"the facts of a forecasting model cannot be read: {error}; train again") from error
        _check_network(network, self.window)

    def _known(self) -> tuple[SeriesSet, list[np.ndarray]]:
        """The ends of the training series, as the model file keeps them, and their values with gaps filled."""
        f = self.facts
        ends = [slice(self.window.context - int(k), None) for k in self._data["data.known"]]
        filled, real, past, times = (
            [row[end] for row, end in zip(self._data[f"data.{name}"], ends, strict=True)]
            for name in ("values", "real", "past", "times")
        )
        values = [np.where(r, v, np.nan) for r, v in zip(real, filled, strict=True)]
        if self.freq.unit != "step":
            times = [t.astype("datetime64[us]") for t in times]
        return SeriesSet(
            f.ids, [f.target] * len(f.ids), values, past, f.past_names, times, f.time_name, f.id_name, self.freq
        ), filled  # fmt: skip

    def read(self, source: Source) -> SeriesSet:
        """Series of another file with the columns that the model was trained on."""
        f = self.facts
        series = read_series(source, time=f.time_name, target=f.target, id=f.id_name, past=f.past_names, gaps=f.gaps)
        if (series.freq.unit, series.freq.count) != (self.freq.unit, self.freq.count):
            series.notices.append(f"the data is {series.freq.text}, but the model was trained on {self.freq.text} data")
        return series

    def predict(self, source: Source | None = None, **options: Any) -> Forecast:
        """The ``horizon`` points after the end of ``source``, or of the training data when there is none."""
        series, filled = self._known() if source is None else (self.read(source), None)
        for name, target, v in zip(series.names, series.targets, series.values, strict=True):
            if len(v) < self.window.minimum:
                raise DataError(
                    f"at least {self.window.minimum} points of {target} are needed to forecast"
                    f"{f' {name}' if name else ''}, found {len(v)}; give a longer history"
                )
        pool = Pool(self.window, series.values, series.past, filled)
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
            series.targets,
            times,
            columns,
            history=[v[-shown:] for v in series.values],
            history_times=[series.freq.format(t[-shown:]) for t in series.times],
            notices=[] if source is None else series.notices,
        )

    def predictor(self, series: SeriesSet) -> Predict:
        """Forecasts [W, H, Q] of windows of these series."""
        pool = Pool(self.window, series.values, series.past)
        return lambda number, cuts: predict_windows(self.network, pool, number, cuts)

    def evaluate(
        self,
        source: Source,
        *,
        folds: int | None = None,
        stride: int | None = None,
        by: Sequence[str] = (),
        keep: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Rolling-origin backtest over the end of ``source`` beside the baselines.

        ``by``: "series" and "step" add the metrics of each; ``keep`` adds the forecasts themselves, as ``backtest``
        and the ``data`` that they are of; other options are those of ``backtest.Settings``.
        """
        began = time.monotonic()
        series, settings = self.read(source), Settings(**options)
        shape = Shape(self.window.horizon, self.window.minimum, self.window.periods, self.window.quantiles)
        step = stride or shape.horizon
        cuts = rolling_origins(series, shape, folds, step, self.facts.folds)
        scored, notices = backtest(series, self.predictor(series), cuts, shape, settings, keep)
        count, S = len(cuts[0]), len(series)
        apart = f"origins {step} apart" if count > 1 else "origin"
        part = f"{count} {apart}, {shape.horizon} points each, {S} series"
        seen = settings.refit is None and self._trained_on(series, cuts)
        if seen:
            notices.append("these points were trained on; the figures printed by the training are the honest ones")
        found = {"part": part, **scored.report(), "in_sample": seen, "notices": [*series.notices, *notices]}
        found |= {"by_series": scored.by_series(series.labels)} if "series" in by else {}
        found |= {"by_step": scored.by_step()} if "step" in by else {}
        found |= {"backtest": record(scored, series, COLUMNS), "data": series} if keep else {}
        return {**found, "seconds": time.monotonic() - began}

    def _trained_on(self, series: SeriesSet, cuts: list[np.ndarray]) -> bool:
        """Whether a scored point lies before the end of the training data of its series.

        Where the two have times in common, most values there must agree: another shop may have the same dates.
        Without a column of times only such an agreement tells.
        """
        ours, _ = self._known()
        at = {name: i for i, name in enumerate(ours.names)}
        for name, values, times, cut in zip(series.names, series.values, series.times, cuts, strict=True):
            if name not in at:
                continue
            old, new = stamps(ours.times[at[name]]), stamps(times)
            _, i, j = np.intersect1d(old, new, return_indices=True)
            a, b = ours.values[at[name]][i], values[j]
            both = ~np.isnan(a) & ~np.isnan(b)
            alike = np.mean(a[both] == b[both]) > 0.5 if both.any() else series.time_name is not None
            if alike and new[cut[0]] <= old[-1]:
                return True
        return False

    def generate(self, seed: str, **options: Any) -> Iterator[str]:
        raise UsageError("this run is a forecaster and generates no text; use rnnkit predict, or name a language run")

    def measure(self, source: Source) -> tuple[str, dict[str, float]]:
        """The metrics of ``evaluate``."""
        found = self.evaluate(source, against="simple")
        return found["part"], found["metrics"]

    def sample(self) -> Source:
        raise UsageError("a forecaster is measured on a table; name it: rnnkit quantize RUN DATA")

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
from rnnkit.tasks.forecast_score import origins, predict_windows, report
from rnnkit.tasks.intervals import BANDS
from rnnkit.tasks.outlook import as_forecast, check_horizon, check_lengths, chosen, picked
from rnnkit.tasks.windows import QUANTILES, Pool, Window, build_network


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
    levels = not w.quantiles or (w.quantiles == sorted(set(w.quantiles) & set(QUANTILES)) and 0.5 in w.quantiles)
    _need(levels, "quantiles", f"none, or 0.5 and others of {', '.join(map(str, QUANTILES))}, ascending")
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

    def predict(
        self,
        source: Source | None = None,
        *,
        horizon: int | None = None,
        interval: Sequence[float] = BANDS,
        ids: Sequence[str] | None = None,
        **options: Any,
    ) -> Forecast:
        """The ``horizon`` points after the end of ``source``, or of the training data when there is none.

        ``interval``: how many percent each band is to hold; ``ids``: the series to forecast, all by default.
        """
        H = check_horizon(horizon, self.window)
        series, filled = self._known() if source is None else (self.read(source), None)
        at = chosen(series, ids)
        series, filled = picked(series, at), filled and [filled[i] for i in at]
        check_lengths(series, self.window.minimum)
        answer = self.answer(series, filled)[:, :H]
        return as_forecast(series, answer, self.window, interval, [] if source is None else series.notices)

    def answer(self, series: SeriesSet, filled: list[np.ndarray] | None = None) -> np.ndarray:
        """Quantiles ``[S,H,Q]`` of the points after each series, in the file's units.

        ``filled``: their values with gaps filled, where more of their past was at hand.
        """
        pool = Pool(self.window, series.values, series.past, filled)
        cuts = np.array([len(v) for v in series.values])
        return predict_windows(self.network, pool, np.arange(len(cuts)), cuts)

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
        notices, seen = list(series.notices), self._trained_on(series, cuts)
        if seen:
            notices.append("these points were trained on; the figures printed by the training are the honest ones")
        return {"part": part, **result, "in_sample": seen, "notices": notices, "seconds": time.monotonic() - began}

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
        found = self.evaluate(source)
        return found["part"], found["metrics"]

    def sample(self) -> Source:
        raise UsageError("a forecaster is measured on a table; name it: rnnkit quantize RUN DATA")

"""A trained forecaster: what its file must hold, and forecasts and scores from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from rnnkit.data.frequency import Frequency
from rnnkit.data.series import GAPS, SeriesSet
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Dropout, Network, Recurrent, Take, Tape
from rnnkit.nn.outputs import OUTPUTS
from rnnkit.tasks import Forecast, Source
from rnnkit.tasks.backtest import Settings, Shape, backtest, record, rolling_origins
from rnnkit.tasks.conformal import SHARES, Calibration
from rnnkit.tasks.continuation import History, go_on, read_like, say_frequency
from rnnkit.tasks.forecast_network import build_network
from rnnkit.tasks.intervals import BANDS, COLUMNS
from rnnkit.tasks.outlook import as_forecast, check_horizon, check_lengths, chosen, say_unknown, template
from rnnkit.tasks.predictor import Predictor
from rnnkit.tasks.windows import QUANTILES, SCALINGS, Pool, Window


class Facts(msgspec.Struct, forbid_unknown_fields=True):
    """What a forecasting model must know of its data."""

    window: Window
    freq: dict[str, Any]
    time_name: str | None
    id_name: str | None
    ids: list[str]  # of each series
    targets: list[str]  # of each series
    past_names: list[str]
    future_names: list[str]
    static_names: list[str]
    folds: int
    gaps: str
    calibration: Calibration
    horizon: int  # steps to forecast when nothing else is said; the network's own may be fewer
    columns: list[str] = []  # all that the table had, in its order


def stamps(times: np.ndarray) -> np.ndarray:
    """Times [n] as int64: microseconds since 1970 of dates, numbers as they are."""
    return (times.astype("datetime64[us]") if times.dtype.kind == "M" else times).astype(np.int64)


def _check_facts(f: Facts, freq: Frequency, data: dict[str, np.ndarray]) -> None:
    """``ModelFileError`` naming the first fact or array that cannot be; no fact decides how much memory this takes."""
    w, S = f.window, len(f.ids)
    wanted = {
        "values": ((S, w.context), "f8"),
        "real": ((S, w.context), "u1"),
        "past": ((S, w.context, len(f.past_names)), "f8"),
        "future": ((S, w.context, len(f.future_names)), "f8"),
        "static": ((S, len(f.static_names)), "f8"),
        "times": ((S, w.context), "i8"),
        "known": ((S,), "i8"),
    }
    for name, (shape, kind) in wanted.items():
        found = data[f"data.{name}"]
        _need(found.shape == shape and found.dtype == kind, f"data.{name}", f"of shape {list(shape)} and type {kind}")
    _need(1 <= w.horizon <= f.horizon, "horizon", "at least that of the network, and that at least 1")
    _need(w.context >= 1, "context", "at least 1")
    _need(w.patch >= 1 and w.context % w.patch == 0, "patch", "a part of the context")
    ascending = all(a < b for a, b in pairwise(w.periods))
    _need(ascending and all(2 <= p <= w.context for p in w.periods), "periods", "ascending, from 2 to the context")
    _need(np.isfinite(w.log_floor) and w.log_floor >= 0, "log_floor", "a number of at least 0")
    _need(np.isfinite(w.spread) and w.spread > 0, "spread", "a number above 0")
    _need(w.output in OUTPUTS, "output", f"one of {', '.join(OUTPUTS)}")
    _need(w.quantiles == list(QUANTILES), "quantiles", ", ".join(map(str, QUANTILES)))
    for name in ("past", "future", "static"):
        count, scaling = len(getattr(f, f"{name}_names")), getattr(w, name)
        mean, scale = np.array(scaling.mean), np.array(scaling.scale)
        good = len(mean) == len(scale) == count and bool(np.all(np.isfinite(mean) & np.isfinite(scale) & (scale > 0)))
        _need(good, f"the scaling of {name} inputs", "a mean and a scale above 0 for each of them")
    _need(bool(w.scalings) and set(w.scalings) <= set(SCALINGS), "scalings", f"some of {', '.join(SCALINGS)}")
    _need(np.isfinite(w.level) and np.isfinite(w.level_scale) and w.level_scale >= 0, "level", "a mean and a scale")
    pairs = set(zip(f.ids, f.targets, strict=False))
    _need(S >= 1 and len(f.targets) == len(pairs) == S, "ids", "the different names of at least one series")
    c = f.calibration
    known_shares = all(share in SHARES for share in c.shares) and all(a < b for a, b in pairwise(c.shares))
    _need(known_shares, "the shares of the calibration", f"ascending, some of {', '.join(map(str, SHARES))}")
    stretches = [len(s) == f.horizon and bool(np.all(np.isfinite(s) & (np.array(s) > 0))) for s in c.stretch]
    good = len(stretches) == len(c.shares) and all(stretches)
    _need(good, "the stretch of the calibration", "a number above 0 for each share and each step of the horizon")
    _need(f.folds >= 1, "folds", "at least 1")
    _need(f.gaps in GAPS, "gaps", f"one of {', '.join(GAPS)}")
    _need((freq.unit == "step") or f.time_name is not None, "time_name", "the name of the column of dates")
    known = data["data.known"]
    _need(bool(np.all((known >= w.minimum) & (known <= w.context))), "data.known", f"from {w.minimum} to the context")
    _need(bool(np.isfinite(data["data.values"]).all()), "data.values", "finite numbers")
    for name in ("past", "future", "static"):
        _need(not np.isinf(data[f"data.{name}"]).any(), f"data.{name}", "finite numbers or NaN")
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
    M = len(window.scalings)
    fits = len(cells) == 2 * M and len(drops) == M and window.horizon <= len(network.parameters)
    if fits:
        cell = {k: v for k, v in cells[0].describe().items() if k not in ("kind", "inputs", "hidden")}
        skip = any(isinstance(layer, Take) and layer.part.startswith("window/") for layer in layers)
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

    def known(self) -> History:
        """The ends of the training series, as the model file keeps them."""
        f = self.facts
        ends = [slice(self.window.context - int(k), None) for k in self._data["data.known"]]
        filled, real, past, times = (
            [row[end] for row, end in zip(self._data[f"data.{name}"], ends, strict=True)]
            for name in ("values", "real", "past", "times")
        )
        future = [row[end] for row, end in zip(self._data["data.future"], ends, strict=True)]
        values = [np.where(r, v, np.nan) for r, v in zip(real, filled, strict=True)]
        if self.freq.unit != "step":
            times = [t.astype("datetime64[us]") for t in times]
        known = SeriesSet(
            f.ids, f.targets, values, past, f.past_names, times, f.time_name, f.id_name, self.freq, future,
            f.future_names, static=self._data["data.static"], static_names=f.static_names, columns=f.columns,
        )  # fmt: skip
        return History(known, filled)

    def read(self, source: Source) -> SeriesSet:
        """Series of another table with the columns that the model was trained on."""
        series = read_like(self.known().series, source, self.facts.gaps)
        say_frequency(series, self.freq)
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
        H = check_horizon(horizon, self.facts.horizon)
        history = self.known() if source is None else go_on(self.known(), source, self.facts.gaps, self.window)
        history.keep(chosen(history.series, ids))
        check_lengths(history.series, self.window.minimum)
        say_unknown(history.series, H)
        return as_forecast(history.series, self.answer(history, H), self.window, interval)

    def template(self, source: Source | None = None, *, horizon: int | None = None) -> dict[str, list[str]]:
        """The rows that ``predict`` may be given for the steps after ``source``, or after the training data, by column.

        Inputs known in advance are empty, to be filled in, unless ``source`` has them; targets are empty and stay so.
        """
        H = check_horizon(horizon, self.facts.horizon)
        history = self.known() if source is None else go_on(self.known(), source, self.facts.gaps, self.window)
        return template(history.series, H, self.facts.columns)

    def answer(self, history: History, horizon: int, tape: Tape | None = None) -> np.ndarray:
        """Quantiles ``[S,horizon,Q]`` of the points after each series, in the file's units."""
        cuts = np.array([len(v) for v in history.series.values])
        return self.predictor(history.series, horizon, history.filled, tape)(np.arange(len(cuts)), cuts)

    def predictor(
        self, series: SeriesSet, horizon: int, filled: list[np.ndarray] | None = None, tape: Tape | None = None
    ) -> Predictor:
        """Forecasts of windows of these series."""
        pool = Pool(self.window, series.values, series.past, series.future, series.static, filled)
        return Predictor(self.network, pool, self.facts.calibration, horizon, tape)

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
        shape = Shape(self.facts.horizon, self.window.minimum, self.window.periods, self.window.quantiles)
        step = stride or shape.horizon
        cuts = rolling_origins(series, shape, folds, step, self.facts.folds)
        scored, notices = backtest(series, self.predictor(series, shape.horizon), cuts, shape, settings, keep)
        count, S = len(cuts[0]), len(series)
        apart = f"origins {step} apart" if count > 1 else "origin"
        part = f"{count} {apart}, {shape.horizon} points each, {S} series"
        seen = settings.refit is None and self._trained_on(series, cuts)
        if seen:
            notices.append("these points were trained on; the figures printed by the training are the honest ones")
        found = {"part": part, **scored.report(), "in_sample": seen, "notices": [*series.notices, *notices]}
        found |= {"by_series": scored.by_series(series.labels)} if "series" in by else {}
        found |= {"by_step": scored.by_step()} if "step" in by else {}
        found |= (
            {"backtest": record(scored, series, {**COLUMNS, 0.5: self.window.middle}), "data": series} if keep else {}
        )
        return {**found, "seconds": time.monotonic() - began}

    def _trained_on(self, series: SeriesSet, cuts: list[np.ndarray]) -> bool:
        """Whether a scored point lies before the end of the training data of its series.

        Where the two have times in common, most values there must agree: another shop may have the same dates.
        Without a column of times only such an agreement tells.
        """
        ours = self.known().series
        at = {one: i for i, one in enumerate(zip(ours.names, ours.targets, strict=True))}
        given = zip(series.names, series.targets, strict=True)
        for name, values, times, cut in zip(given, series.values, series.times, cuts, strict=True):
            if name not in at or not len(cut):
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

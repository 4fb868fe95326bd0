"""Forecasts row by row: of each row what had been forecast for it, how far off it is, and what comes next.

Only the latest ``context`` points of each series are kept, and a row costs one pass of the network over them, however
long the stream is. Forecasts are those that ``ForecastModel.predict`` makes of all rows up to then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.data.moments import Stamp
from rnnkit.data.rows import Layout, Row, RowReader
from rnnkit.data.series import SeriesSet
from rnnkit.errors import DataError
from rnnkit.nn import Tape
from rnnkit.tasks.continuation import GOES_ON, History, is_even
from rnnkit.tasks.intervals import BANDS, check_levels, interval_columns
from rnnkit.tasks.outlook import check_horizon

if TYPE_CHECKING:
    from rnnkit.tasks.forecast_model import ForecastModel

MANY = 10_000
"""Series from which on the memory that they take is worth a word."""
ANOMALY = 99.0
"""Percent of values that lie inside the band outside which one is an anomaly."""
FLOOR = 1e-6
"""A half of the band is at least this share of the median, which is what a float32 can tell."""
TINY = 1e-300
"""Where that too is 0."""


@dataclass
class Reply:
    """What is said of one value of one row.

    columns: what had been forecast for it, empty where nothing had; score: how many times as far from the median as
    the edge of the band it lies, NaN where that cannot be said; anomaly: whether that is beyond the edge, None where it
    cannot be said; next_times and next: the steps that follow, empty where there is too little to forecast from.
    """

    name: str
    target: str
    time: str
    value: float
    columns: dict[str, float]
    score: float
    anomaly: bool | None
    next_times: list[str]
    next: list[dict[str, float]]


@dataclass
class Track:
    """The latest points of one id, in buffers of twice the context that are moved down when they are full.

    filled, real [T,C] of its targets; past [C,F]; future [C,K]; stop: the points in them; counts [T]: how many points
    there have been since each target's first value.
    """

    static: np.ndarray
    filled: np.ndarray
    real: np.ndarray
    past: np.ndarray
    future: np.ndarray
    stop: int = 0
    last: Stamp | None = None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    in_order: bool = False

    def append(self, numbers: np.ndarray, season: int) -> None:
        """One more step: its targets, NaN where missing, and its inputs."""
        T, C = self.filled.shape
        if self.stop == C:
            keep = C // 2
            for buffer in (self.filled.T, self.real.T, self.past, self.future):
                buffer[:keep] = buffer[C - keep :].copy()
            self.stop = keep
        i, F = self.stop, self.past.shape[1]
        self.past[i], self.future[i] = numbers[T : T + F], numbers[T + F :]
        for k in range(T):
            value = numbers[k]
            self.real[k, i] = value == value
            if value != value and self.counts[k]:
                value = self.filled[k, i - season if self.counts[k] >= season else i - 1]
            self.filled[k, i] = value
            self.counts[k] += value == value
        self.stop += 1

    def join(self, context: int) -> None:
        """Straight lines through the missing values before the latest one, as --gaps fill draws them."""
        for k in range(len(self.filled)):
            length = int(min(self.counts[k], context, self.stop))
            part = slice(self.stop - length, self.stop)
            known = np.flatnonzero(self.real[k, part])
            if len(known) > 1 and known[-1] == length - 1 and known[-2] < length - 2:
                hole = np.arange(known[-2] + 1, length - 1)
                own = self.filled[k, part]
                own[hole] = np.interp(hole, known[-2:], own[known[-2:]])
                self.real[k, part][hole] = True
        for column in self.past[: self.stop].T:
            known = np.flatnonzero(~np.isnan(column[-context:])) + max(0, len(column) - context)
            if len(known) > 1 and known[-1] == len(column) - 1 and known[-2] < len(column) - 2:
                hole = np.arange(known[-2] + 1, len(column) - 1)
                column[hole] = np.interp(hole, known[-2:], column[known[-2:]])


class Stream:
    """Rows in, replies out; ``notices`` holds what is to be said once, for the caller to say and clear."""

    def __init__(
        self,
        model: ForecastModel,
        *,
        horizon: int | None = None,
        interval: Sequence[float] = BANDS,
        anomaly: float = ANOMALY,
    ) -> None:
        self.model, self.window, self.freq = model, model.window, model.freq
        self.horizon = check_horizon(horizon or 1, model.facts.horizon)
        self.interval, self.anomaly = check_levels(interval), check_levels([anomaly])[0]
        self.columns = list(self._bands(np.ones((1, 1, len(self.window.quantiles))), self.interval))
        known = model.known()
        self.stored, self.stored_filled = known.series, known.filled
        own = self.stored
        self.targets, self.gaps = own.target_names, model.facts.gaps
        self.at = {(name, target): i for i, (name, target) in enumerate(zip(own.names, own.targets, strict=True))}
        texts = list(dict.fromkeys(name.partition("=")[0] for name in own.static_names))
        numbers = [*self.targets, *own.past_names, *own.future_names]
        layout = Layout(own.time_name, own.id_name, numbers, texts, self.freq, frozenset(own.names), own.columns)
        self.reader = RowReader(layout)
        self.in_order = self.gaps == "keep" or not is_even(self.stored)
        self.tracks: dict[str, Track] = {}
        self.tape = Tape(training=False)
        self.notices: list[str] = []
        self.said: set[str] = set()

    @property
    def time_name(self) -> str:
        """The column of times, or of the number of the row."""
        return self.stored.time_name or "t"

    def line(self, text: str) -> list[Reply]:
        """The replies to a line, one for each target; none to a header or a blank line.

        Raises DataError for a row that cannot be read, which leaves everything as it was.
        """
        row = self.reader.read(text)
        return self.row(row) if row is not None else []

    def row(self, row: Row) -> list[Reply]:
        """The replies to a row, one for each target."""
        track = self.tracks.get(row.name)
        if track is None:
            track = self._begin(row)
        else:
            self._skip(track, row)
        before = self._ready(track, row.numbers[len(self.targets) + track.past.shape[1] :])
        track.append(row.numbers, self.window.season)
        track.last = row.time
        if self.gaps == "fill":
            track.join(self.window.context)
        after = self._ready(track)
        asked = [*before.values(), *after.values()]
        steps = self._steps_ahead(self.model.answer(self._history(asked), self.horizon, self.tape)) if asked else []
        expected = dict(zip(before, steps, strict=False))
        coming = dict(zip(after, steps[len(before) :], strict=True))
        return [
            self._reply(row, track, k, value, expected.get(k, [{}])[0], coming.get(k, []))
            for k, value in enumerate(row.numbers[: len(self.targets)].tolist())
        ]

    # -- what is kept -----------------------------------------------------------------------------------

    def _begin(self, row: Row) -> Track:
        """A series met for the first time: on from its stored end where the row goes on from that."""
        own, T, L = self.stored, len(self.targets), self.window.context
        C, at = 2 * (L + 1), [self.at.get((row.name, target)) for target in self.targets]
        known = [i for i in at if i is not None]
        track = Track(
            own.static[known[0]] if known else self._static(row.texts),
            np.full((T, C), np.nan),
            np.zeros((T, C), bool),
            np.full((C, len(own.past_names)), np.nan),
            np.full((C, len(own.future_names)), np.nan),
            counts=np.zeros(T, np.int64),
            in_order=self.in_order,
        )
        if len(known) == T and self._goes_on(row, known[0]):
            for k, i in enumerate(known):
                v, n = own.values[i], len(own.values[i])
                track.filled[k, L - n : L], track.real[k, L - n : L] = self.stored_filled[i], ~np.isnan(v)
                track.past[L - n : L], track.future[L - n : L] = own.past[i], own.future[i][:n]
                track.counts[k] = n
            track.last, track.stop = own.times[known[0]][-1], L
            overlap = self._overlap(row, known)
            track.stop, track.counts = L - overlap, np.maximum(track.counts - overlap, 0)
            if overlap:
                track.last = own.times[known[0]][-overlap - 1]
            self._skip(track, row)
            self._once(GOES_ON, "known")
        else:
            self._once(
                f"rows that do not go on from the stored end of the training data are forecast once there are "
                f"{self.window.minimum} of them",
                "new",
            )
        self.tracks[row.name] = track
        if len(self.tracks) == MANY:
            size = sum(a.nbytes for a in (track.filled, track.real, track.past, track.future))
            self.notices.append(
                f"{MANY:,} series so far, all of which are kept: about {MANY * size / 1e6:,.0f} MB, "
                "growing with each new one"
            )
        return track

    def _goes_on(self, row: Row, i: int) -> bool:
        """Whether a first row follows stored series i, or repeats a part of its end."""
        times = self.stored.times[i]
        if row.time is None or not row.time > times[0]:
            return False
        if self.in_order:
            return True
        if row.time > times[-1]:
            steps, on = self._steps(times[-1], row.time)
            return on and steps <= self.window.context
        here = np.flatnonzero(times == row.time)
        if not len(here):
            return False
        own = [self.stored.values[self.at[row.name, target]] for target in self.targets]
        pairs = [(v[here[0] - len(times)], new) for v, new in zip(own, row.numbers, strict=False)]
        return all(old != old or new != new or np.isclose(old, new) for old, new in pairs)

    def _overlap(self, row: Row, known: list[int]) -> int:
        """How many of the stored points lie at the time of the row or after it."""
        return int((self.stored.times[known[0]] >= row.time).sum())

    def _skip(self, track: Track, row: Row) -> None:
        """The steps between the latest row and this one, as missing; DataError where the row is not later."""
        if row.time is None or track.last is None:
            return
        if not row.time > track.last:
            latest = self.freq.format(np.array([track.last]))[0]
            raise DataError(f"expected a time after {latest}, found {row.written}")
        if track.in_order:
            return
        steps, on = self._steps(track.last, row.time)
        if not on or steps < 1:
            track.in_order = True
            self._once("times do not fall on the step of the training data; rows are used in order as they are", "odd")
        elif steps > self.window.context:
            track.stop, track.counts = 0, np.zeros_like(track.counts)
            track.filled[:], track.real[:] = np.nan, False
            of = f" of {row.name}" if row.name else ""
            self.notices.append(f"no rows{of} for {steps - 1:,} steps before {row.written}: the history begins anew")
        else:
            nothing = np.full(len(row.numbers), np.nan)
            for _ in range(steps - 1):
                track.append(nothing, self.window.season)

    def _steps(self, last: Stamp, now: Stamp) -> tuple[int, bool]:
        """How many steps lie between two times, and whether the later one falls on a step."""
        kind = "datetime64[us]" if self.freq.unit != "step" else np.int64
        place, on = self.freq.positions(np.array([last, now]).astype(kind))
        return int(place[1]), bool(on[1])

    def _static(self, texts: dict[str, str]) -> np.ndarray:
        """The constant inputs of a new series: numbers as they are, words as zeros and ones, NaN where absent."""
        out = np.full(len(self.stored.static_names), np.nan)
        for i, name in enumerate(self.stored.static_names):
            column, words, word = name.partition("=")
            if column in texts:
                out[i] = float(texts[column] == word) if words else self.reader.number(texts[column], column)
        return out

    # -- what is asked of the network -------------------------------------------------------------------

    def _ready(self, track: Track, ahead: np.ndarray | None = None) -> dict[int, dict[str, Any]]:
        """Target → what the network is to see of it, those with enough points; ``ahead``: inputs of the next step."""
        found = {}
        for k, count in enumerate(track.counts.tolist()):
            if count >= self.window.minimum:
                length = min(count, self.window.context, track.stop)
                part = slice(track.stop - length, track.stop)
                filled, future = track.filled[k, part].copy(), track.future[part]
                found[k] = {
                    "filled": filled,
                    "values": np.where(track.real[k, part], filled, np.nan),
                    "past": track.past[part].copy(),
                    "future": np.concatenate([future, ahead[None]]) if ahead is not None else future.copy(),
                    "static": track.static,
                }
        return found

    def _history(self, asked: list[dict[str, Any]]) -> History:
        """Windows as series of their own."""
        own, n = self.stored, len(asked)
        times = [np.arange(len(one["values"])) for one in asked]
        series = SeriesSet(
            [""] * n, [""] * n, [one["values"] for one in asked], [one["past"] for one in asked], own.past_names, times,
            None, None, self.freq, [one["future"] for one in asked], own.future_names,
            static=np.stack([one["static"] for one in asked]), static_names=own.static_names,
        )  # fmt: skip
        return History(series, [one["filled"] for one in asked])

    # -- what is said -----------------------------------------------------------------------------------

    def _steps_ahead(self, answer: np.ndarray) -> list[list[dict[str, float]]]:
        """Quantiles ``[S,H,Q]`` as columns of each step of each series, the edges for anomalies among them."""
        levels = [*self.interval, *({self.anomaly} - {*self.interval})]
        found = self._bands(answer[:, : self.horizon], levels)
        rows = zip(*(values.tolist() for values in found.values()), strict=True)
        return [[dict(zip(found, step, strict=True)) for step in zip(*row, strict=True)] for row in rows]

    def _bands(self, answer: np.ndarray, levels: Sequence[float]) -> dict[str, np.ndarray]:
        window = self.window
        return interval_columns(answer, window.quantiles, levels, log=window.log_floor > 0, middle=window.middle)

    def _reply(
        self, row: Row, track: Track, k: int, value: float, expected: dict[str, float], coming: list[dict[str, float]]
    ) -> Reply:
        """The reply for one target: what had been forecast for it, and the steps to come, as far as there are any."""
        score, number = self._score(value, expected), int(track.counts[k])
        times = [str(number + h) for h in range(1, len(coming) + 1)]
        if row.time is not None and coming:
            times = self.freq.format(self.freq.future(row.time, len(coming)))
        return Reply(
            row.name, self.targets[k], row.written or str(number), value, self._shown(expected), score,
            None if np.isnan(score) else score > 1.0, times, [self._shown(step) for step in coming],
        )  # fmt: skip

    def _shown(self, step: dict[str, float]) -> dict[str, float]:
        """The columns of a step that were asked for."""
        return {name: step[name] for name in self.columns if name in step}

    def _score(self, value: float, expected: dict[str, float]) -> float:
        """How many times as far from the median as the edge of the band on its side a value lies; NaN if unknown."""
        if value != value or not expected:
            return np.nan
        middle = expected[self.window.middle]
        edge = expected[f"{'hi' if value > middle else 'lo'}{self.anomaly:g}"]
        return abs(value - middle) / max(abs(edge - middle), FLOOR * abs(middle), TINY)

    def _once(self, notice: str, key: str) -> None:
        if key not in self.said:
            self.said.add(key)
            self.notices.append(notice)

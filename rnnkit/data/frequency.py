"""The step of a time axis: found from the times, counted along, continued past the end, written back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.clock import is_clock, to_local
from rnnkit.data.dates import Datetimes, format_dates
from rnnkit.errors import DataError

MICRO = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}  # microseconds per unit
MONTHLY = {"month": 1, "quarter": 3, "year": 12}  # months per unit
UNITS = (*MICRO, "business day", *MONTHLY, "step")
_WORDS = {
    "second": "every second", "minute": "every minute", "hour": "hourly", "day": "daily", "week": "weekly",
    "business day": "on business days", "month": "monthly", "quarter": "quarterly", "year": "yearly",
}  # fmt: skip
_FINEST = (
    ("f", "millisecond"), ("S", "second"), ("M", "minute"), ("H", "hour"), ("I", "hour"), ("d", "day"), ("u", "day"),
    ("V", "week"), ("m", "month"), ("b", "month"), ("B", "month"), ("q", "quarter"), ("Y", "year"), ("y", "year"),
)  # fmt: skip
EPOCH = {"epoch:s": (1_000_000, 1), "epoch:ms": (1000, 1), "epoch:us": (1, 1), "epoch:ns": (1, 1000)}
"""(microseconds, written units) that are as long as each other."""

Times = NDArray[Any]


@dataclass(frozen=True)
class Frequency:
    """The step between two rows: `count` times `unit`, and the style in which times are written.

    unit 'step' counts integers; where times were evenly spaced decimals, time k stands for origin + k · scale.
    month_end: every date was the last of its month, so later ones are too. clock: by which local times are written
    where it is put forward and back; the times themselves are standard time (see `rnnkit.data.clock`).
    """

    unit: str
    count: int
    style: str = ""
    month_end: bool = False
    origin: float = 0.0
    scale: float = 1.0
    digits: int = 0
    clock: str = ""

    @property
    def text(self) -> str:
        """The step in words: 'monthly', 'every 15 minutes'."""
        if self.unit == "step":
            return f"numbered in steps of {self.count * self.scale:g}"
        return _WORDS[self.unit] if self.count == 1 and self.unit in _WORDS else f"every {self.count} {self.unit}s"

    def future(self, last: np.datetime64 | int, steps: int) -> Times:
        """The [steps] times after `last`, of its dtype."""
        k = np.arange(1, steps + 1, dtype=np.int64) * self.count
        if self.unit == "step":
            return np.int64(last) + k
        assert isinstance(last, np.datetime64)
        if self.unit in MONTHLY:
            months = last.astype("datetime64[M]") + k * MONTHLY[self.unit]
            start, length = months.astype("datetime64[D]"), _month_lengths(months)
            day = (last.astype("datetime64[D]") - last.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)
            days = start + (length - 1 if self.month_end else np.minimum(day, length - 1))
            return (days + (last - last.astype("datetime64[D]"))).astype(last.dtype)
        if self.unit == "business day":
            day_of = last.astype("datetime64[D]")
            return (np.busday_offset(day_of, k, roll="backward") + (last - day_of)).astype(last.dtype)
        return (last.astype("datetime64[us]") + k * MICRO[self.unit]).astype(last.dtype)

    def positions(self, times: Times) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """How many steps each of the sorted times [n] is after the first, and whether it falls on a step."""
        if self.unit == "step":
            distance, per = (times - times[0]).astype(np.int64), self.count
        elif self.unit in MONTHLY:
            months = times.astype("datetime64[M]").astype(np.int64)
            distance, per = months - months[0], self.count * MONTHLY[self.unit]
        elif self.unit == "business day":
            days = times.astype("datetime64[D]")
            count = np.busday_count(days[0], days).astype(np.int64)
            return count // self.count, (count % self.count == 0) & np.is_busday(days)
        else:
            distance, per = (times - times[0]).astype("timedelta64[us]").astype(np.int64), self.count * MICRO[self.unit]
        return distance // per, distance % per == 0

    def format(self, times: Times) -> list[str]:
        """Times [n] written as in the input: '1949-01', '01/02/2020', '17', '0.25', seconds since 1970."""
        if self.unit == "step":
            if self.scale == 1.0 and self.origin == 0.0:
                return [str(int(t)) for t in times]
            return [f"{self.origin + int(t) * self.scale:.{self.digits}f}" for t in times]
        if self.style in EPOCH:
            micro = np.asarray(times).astype("datetime64[us]").astype(np.int64)
            length, units = EPOCH[self.style]
            return [str(int(t) * units // length) for t in micro]
        return format_dates(to_local(np.asarray(times), self.clock) if self.clock else times, self.style)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Frequency:
        """The inverse of `to_dict`; DataError when a value is of the wrong kind."""
        kinds = {"unit": str, "count": int, "style": str, "month_end": bool, "digits": int, "clock": str}
        try:
            values = {f.name: data[f.name] for f in fields(cls) if f.name in data}
            good = values["unit"] in UNITS and values["count"] >= 1 and set(data) == set(values)
            good = good and all(type(values[k]) is kind for k, kind in kinds.items() if k in values)
            good = good and (not values.get("clock") or is_clock(values["clock"]))
            values |= {k: float(values[k]) for k in ("origin", "scale") if k in values}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("expected a frequency with unit and count, found something else; train again") from error
        if not good:
            raise DataError(f"expected a frequency with unit and count, found {data!r}; train again")
        return cls(**values)


def _month_lengths(months: Datetimes) -> NDArray[np.int64]:
    return ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)


def find_frequency(times: list[Times], style: str = "") -> tuple[Frequency, float]:
    """The commonest step over all series and the share of steps that are equal to it (1.0 when there are none).

    times: sorted arrays, int64 or datetime64. Dates on one day of the month (or all on its last) step in months;
    days that are never Saturday or Sunday step in business days; everything else in fixed spans.
    """
    if np.issubdtype(times[0].dtype, np.integer):
        step, share = _mode(np.concatenate([np.diff(t) for t in times]))
        return Frequency("step", step or 1, style), share
    if all(len(t) < 2 for t in times):
        unit = next((u for token, u in _FINEST if f"%{token}" in style or f"%-{token}" in style), "day")
        return Frequency(unit, 1, style), 1.0
    joined = np.concatenate(times)
    days, months = joined.astype("datetime64[D]"), joined.astype("datetime64[M]")
    one_clock = np.unique(joined - days).size == 1
    day = (days - months.astype("datetime64[D]")).astype(np.int64)
    month_end = bool(np.all(day == _month_lengths(months) - 1)) and np.unique(day).size > 1
    if one_clock and (month_end or np.all(day == day[0])):
        step, share = _mode(np.concatenate([np.diff(t.astype("datetime64[M]").astype(np.int64)) for t in times]))
        if step:
            unit = "year" if step % 12 == 0 else "quarter" if step == 3 else "month"
            return Frequency(unit, step // MONTHLY[unit], style, month_end), share
    steps = np.concatenate([np.diff(t).astype("timedelta64[us]").astype(np.int64) for t in times])
    step, share = _mode(steps)
    if one_clock and step == MICRO["day"] and _weekdays_only(days, steps):
        spans = [np.diff(Frequency("business day", 1).positions(t)[0]) for t in times if len(t) > 1]
        return Frequency("business day", 1, style), _mode(np.concatenate(spans))[1]
    unit = next((u for u in reversed(MICRO) if step % MICRO[u] == 0), "microsecond")
    return Frequency(unit, max(step // MICRO[unit], 1), style), share


def _weekdays_only(days: Datetimes, steps: NDArray[np.int64]) -> bool:
    """Days that keep to Monday–Friday over at least two weekends."""
    return bool(np.all(np.is_busday(days)) and np.count_nonzero(steps == 3 * MICRO["day"]) >= 2)


def _mode(steps: NDArray[Any]) -> tuple[int, float]:
    """The commonest step (the smallest of several) and its share."""
    if not len(steps):
        return 0, 1.0
    values, counts = np.unique(steps, return_counts=True)
    best = int(np.argmax(counts))
    return int(values[best]), float(counts[best] / len(steps))

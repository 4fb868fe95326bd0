"""The fields of dates → datetime64: day or month first, dates that do not exist, offsets from UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Datetimes = NDArray[np.datetime64]
Whole = NDArray[Any]  # of integers

ZONE = r"Z|UTC|GMT|[+-]\d\d:?\d\d"
"""An offset from UTC as dates have it at their end."""

CHUNK = 1 << 20
"""Dates composed at a time: a dozen arrays of that length are in use meanwhile."""


@dataclass
class Dates:
    """Parsed dates: values [n] datetime64[s] (or [us] where seconds have fractions) and the style they came in.

    ambiguous: day and month could be exchanged in every cell and neither reading is the more regular.
    """

    values: Datetimes
    style: str
    ambiguous: bool = False
    notices: list[str] = field(default_factory=list)


@dataclass
class Parts:
    """What cells in one style say: numbers: token → [n] whole numbers (b and B: month, p: 1 for PM, Z: seconds east
    of UTC, f: microseconds, G and V: year and number of the week); short and padded: the tokens written with a single
    digit and with a leading zero somewhere; first: the first cell; zone: its offset as written; long_months: a month's
    name was written out though the style has three letters."""

    numbers: dict[str, Whole]
    short: set[str]
    padded: set[str]
    first: str
    zone: str = ""
    long_months: bool = False


def resolve(parts: Parts, style: str) -> Dates | Whole:
    """Dates of the cells, or the indices of those whose date does not exist in the style's only reading.

    Where day and month could be exchanged, a day above 12 decides, else the more regular steps.
    """
    notices: list[str] = []
    readings: list[tuple[str, Parts]] = [(style, parts)]
    swappable = re.match(r"%d[-/.]%m", style) is not None
    if swappable:
        first, second = parts.numbers["d"], parts.numbers["m"]
        swapped = style.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
        other = Parts({**parts.numbers, "d": second, "m": first}, parts.short, parts.padded, parts.first, parts.zone)
        if np.any(second > 12) and np.sum(second > 12) >= np.sum(first > 12):
            readings = [(swapped, other)]
        elif not np.any(first > 12) and "." not in style:
            readings.append((swapped, other))
    found: list[Dates] = []
    for name, fields in readings:
        values, wrong = compose(fields.numbers)
        if wrong.size:
            return wrong
        found.append(_settled(values, fields, _pad(name, fields)))
    if "y" in parts.numbers:
        notices.append("years of two digits are read as 1969 to 2068")
    best, why = 0, ""
    if len(found) > 1:
        scores = [_regularity(dates.values) for dates in found]
        best, why = int(np.argmax(scores)), ", which makes their steps regular"
        if scores[best] - scores[1 - best] < 0.3:
            found[0].ambiguous = True
            return found[0]
    if swappable:
        order = "day" if found[best].style.startswith(("%d", "%-d")) else "month"
        notices.append(f"dates such as '{parts.first}' read with the {order} first{why}")
    found[best].notices = notices + found[best].notices
    return found[best]


def compose(numbers: dict[str, Whole]) -> tuple[Datetimes, Whole]:
    """Fields → datetimes and the indices whose fields do not exist (month 13, 30 February, 25 o'clock)."""
    n = len(next(iter(numbers.values())))
    fine = bool(np.any(numbers.get("f", np.zeros(1))))
    values, wrong = np.empty(n, dtype=f"datetime64[{'us' if fine else 's'}]"), []
    for at in range(0, n, CHUNK):
        part = {token: field[at : at + CHUNK] for token, field in numbers.items()}
        values[at : at + CHUNK], bad = _composed(part)
        wrong.append(bad + at)
    return values, np.concatenate(wrong) if wrong else np.zeros(0, dtype=np.int64)


def _composed(numbers: dict[str, Whole]) -> tuple[Datetimes, Whole]:

    def whole(token: str, default: int) -> Whole:
        return numbers.get(token, np.array(default))

    year = whole("Y", 1970)
    if "y" in numbers:  # POSIX: 69 to 99 are 1969 to 1999
        year = numbers["y"] + np.where(numbers["y"] < 69, 2000, 1900)
    month, day = numbers.get("b", numbers.get("B", whole("m", 1))), whole("d", 1)
    if "q" in numbers:
        month = 3 * numbers["q"] - 2
    hour, minute, second = whole("H", 0), whole("M", 0), whole("S", 0)
    good = (hour >= 0) & (hour < 24)
    if "p" in numbers:
        good = (numbers["I"] >= 1) & (numbers["I"] <= 12)
        hour = numbers["I"] % 12 + 12 * numbers["p"]
    good = good & (minute < 60) & (second < 60)
    if "V" in numbers:
        days, fits = _days_of_weeks(numbers["G"].astype(np.int64), numbers["V"], whole("u", 1))
    else:
        days, fits = _days_of_months(year.astype(np.int64), month, day)
    good = good & fits
    seconds = days * 86400 + hour * np.int64(3600) + minute * np.int64(60) + second
    values: Datetimes = seconds.astype("datetime64[s]")
    if "f" in numbers and np.any(numbers["f"]):
        values = values.astype("datetime64[us]") + numbers["f"].astype("timedelta64[us]")
    return values, np.flatnonzero(~good)


def _days_of_months(year: Whole, month: Whole, day: Whole) -> tuple[Whole, Whole]:
    """(days since 1970, whether there is such a day)."""
    start = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    days = start.astype("datetime64[D]").astype(np.int64)
    length = (start + 1).astype("datetime64[D]").astype(np.int64) - days
    return days + day - 1, (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)


def _days_of_weeks(year: Whole, week: Whole, weekday: Whole) -> tuple[Whole, Whole]:
    """The same of weeks by ISO 8601: the first one of a year has its 4 January, and begins on a Monday."""
    first, following = _first_mondays(year), _first_mondays(year + 1)
    days = first + 7 * (week.astype(np.int64) - 1)
    return days + weekday - 1, (week >= 1) & (days < following)


def _first_mondays(year: Whole) -> Whole:
    fourth: Whole = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 3
    return fourth - (fourth + 3) % 7  # day 0 was a Thursday


def _settled(values: Datetimes, parts: Parts, style: str) -> Dates:
    if "Z" not in parts.numbers:
        return Dates(values, style)
    return settle_zone(values, parts.numbers["Z"], style, parts.zone, "times")


def settle_zone(wall: Datetimes, offsets: Whole, style: str, zone: str, what: str) -> Dates:
    """Local times with their offsets from UTC in seconds as one axis; %Z in the style becomes what is written there.

    One offset throughout stays; days (times at one time of day) stay local; anything else becomes UTC. zone: the
    offset as the first cell has it; what: how a notice calls the times.
    """
    if np.all(offsets == offsets[:1]):
        return Dates(wall, style.replace("%Z", zone))
    there = wall[~np.isnat(wall)]
    if np.unique(there - there.astype("datetime64[D]")).size == 1:
        local = style.replace(" %Z", "").replace("%Z", "")
        notice = f"{what} with different offsets from UTC are all at one time of day and are read as local days"
        return Dates(wall, local, notices=[notice])
    notice = f"{what} with different offsets from UTC are converted to UTC"
    utc = wall - offsets.astype("timedelta64[s]")
    return Dates(utc, style.replace("%Z", "+00:00" if ":" in zone or len(zone) < 2 else "+0000"), notices=[notice])


def _pad(style: str, parts: Parts) -> str:
    """The style with the tokens marked that were written without a leading zero."""
    for together in ("md", "H", "I"):
        if parts.short & set(together) and not parts.padded & set(together):
            for token in together:
                style = style.replace(f"%{token}", f"%-{token}")
    return style.replace("%b", "%B") if parts.long_months else style  # the first cell said May


def _regularity(values: Datetimes) -> float:
    """Share of the commonest step, counted in days or in months, whichever is the more even."""
    ordered = np.unique(values)
    if len(ordered) < 3:
        return 0.0
    months = ordered.astype("datetime64[M]")
    same_day = np.unique(ordered.astype("datetime64[D]") - months.astype("datetime64[D]")).size == 1
    steps = [np.diff(ordered).astype(np.int64)] + ([np.diff(months).astype(np.int64)] if same_day else [])
    return max(float(np.unique(s, return_counts=True)[1].max() / len(s)) for s in steps)

"""Clocks that are put forward in spring and back in autumn: local times without an offset ↔ an even axis.

The axis is standard time, in which no hour comes twice and none is missing. A clock is the name of a rule and the hour
at which it is put back, 'eu 2'; times are datetime64, [n].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
HOUR = np.timedelta64(3600, "s")


class Rule(NamedTuple):
    """When clocks change since `since`: (month, which Sunday, -1 the last); late: hours by which the one skipped in
    spring comes after the one repeated in autumn."""

    since: int
    spring: tuple[int, int]
    autumn: tuple[int, int]
    late: int = 0


RULES: dict[str, Rule] = {
    "eu": Rule(1996, (3, -1), (10, -1)),
    "us": Rule(2007, (3, 2), (11, 1), late=1),
    "us-1987": Rule(1987, (4, 1), (10, -1), late=1),
    "au": Rule(2008, (10, 1), (4, 1)),
    "nz": Rule(2008, (9, -1), (4, 1)),
}
_CLOCK = re.compile(rf"({'|'.join(RULES)}) ([0-3])")


def is_clock(text: str) -> bool:
    """Whether a text names a clock."""
    return _CLOCK.fullmatch(text) is not None


def to_local(times: Times, clock: str) -> Times:
    """Standard time → what the clock on the wall shows."""
    return np.where(_summer(times, clock), times + HOUR, times)


def to_standard(local: Times, clock: str, again: NDArray[np.bool_] | bool = False) -> Times:
    """What the clock shows → standard time; again: where a repeated hour is there for the second time."""
    back = local - HOUR
    return np.where(_summer(back, clock) & ~(np.asarray(again) & is_repeated(local, clock)), back, local)


def is_repeated(local: Times, clock: str) -> NDArray[np.bool_]:
    """Whether the clock shows a time twice."""
    return _summer(local - HOUR, clock) & ~_summer(local, clock)


def second_time(local: Times, clock: str) -> NDArray[np.bool_]:
    """Which of the times of one series, in the order of the file, are in an hour that comes for the second time."""
    inside = is_repeated(local, clock)
    again = np.zeros(len(local), dtype=np.bool_)
    for first in np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]])):
        stop = first + int(np.argmin(np.append(inside[first:], False)))
        back = np.flatnonzero(local[first + 1 : stop] <= local[first : stop - 1])
        if back.size:
            again[first + 1 + back[0] : stop] = True
    return again


def told_apart(times: Times, clock: str) -> Times:
    """Standard times of one series that were read one by one, with the second rows of repeated hours an hour later."""
    local = to_local(times, clock)
    return to_standard(local, clock, second_time(local, clock))


def find_clock(series: Sequence[Times]) -> str:
    """The clock by which the local times of all series, in the order of the file, are even; '' where there is none.

    An hour must come twice in autumn or be skipped in spring, both on a day on which clocks are changed, and no time
    may lie in an hour that the clock never shows.
    """
    backs, forths = zip(*map(_jumps, series), strict=True)
    back, forth = np.concatenate(backs), np.concatenate(forths)
    for name, rule in RULES.items():
        autumn = back[_falls_on(back, rule.autumn, rule.since)]
        spring = forth[_falls_on(forth, rule.spring, rule.since)]
        hours = {*_hours(autumn).tolist(), *(_hours(spring) - rule.late).tolist()}
        if len(hours) != 1 or not 0 <= (hour := hours.pop()) <= 3:
            continue
        clock = f"{name} {hour}"
        if all(_fits(times, clock, rule.since, bool(autumn.size)) for times in series):
            return clock
    return ""


def _jumps(local: Times) -> tuple[Times, Times]:
    """(the times at which a series goes on an hour early, those that it would have had at steps that skip an hour)."""
    empty = local[:0]
    steps = np.diff(local).astype("timedelta64[s]").astype(np.int64)
    ahead = steps[steps > 0]
    if not ahead.size:
        return empty, empty
    values, counts = np.unique(ahead, return_counts=True)
    step = int(values[np.argmax(counts)])
    if step > 3600 or 3600 % step:
        return empty, empty
    return local[1:][steps == step - 3600], local[1:][steps == step + 3600] - HOUR


def _fits(local: Times, clock: str, since: int, repeats: bool) -> bool:
    """Whether a series shows no hour that is skipped and, unless others repeat one, passes through none unrepeated."""
    summer_before, summer = _summer(local - HOUR, clock), _summer(local, clock)
    skipped = ~summer_before & summer
    once = is_repeated(local, clock) & ~repeats
    return not (skipped | once).any() and (not len(local) or _years(local).min() >= since)


def _summer(times: Times, clock: str) -> NDArray[np.bool_]:
    """Whether clocks are forward at times of standard time."""
    if not len(times):
        return np.zeros(0, dtype=np.bool_)
    match = _CLOCK.fullmatch(clock)
    assert match is not None
    rule, hour = RULES[match[1]], int(match[2])
    years = np.arange(_years(times.min()) - 1, _years(times.max()) + 2)
    spring = _sundays(years, *rule.spring) + (hour + rule.late) * HOUR
    # The repeated hour begins, for the second time, when the clock of standard time shows it.
    autumn = _sundays(years, *rule.autumn) + hour * HOUR
    last_spring = spring[np.searchsorted(spring, times, side="right") - 1]
    last_autumn = autumn[np.searchsorted(autumn, times, side="right") - 1]
    return np.asarray(last_spring > last_autumn)


def _years(times: Any) -> Any:
    return times.astype("datetime64[Y]").astype(np.int64) + 1970


def _sundays(years: NDArray[np.int64], month: int, which: int) -> Times:
    """The first, second or last (-1) Sunday of a month in these years."""
    start = ((years - 1970) * 12 + month - (which > 0)).astype("datetime64[M]").astype("datetime64[D]")
    weekday = (start.astype(np.int64) + 4) % 7  # 1 January 1970 was a Thursday; Sunday is 0
    days = start + (-weekday % 7 + 7 * (which - 1) if which > 0 else -(weekday % 7) - 7 * (weekday == 0))
    return days.astype("datetime64[s]")


def _falls_on(times: Times, day: tuple[int, int], since: int) -> NDArray[np.bool_]:
    if not len(times):
        return np.zeros(0, dtype=np.bool_)
    years = _years(times)
    on_the_day = times.astype("datetime64[D]") == _sundays(years, *day).astype("datetime64[D]")
    return np.asarray(on_the_day & (years >= since))


def _hours(times: Times) -> NDArray[np.int64]:
    """The hour of the day of times on a full hour, -9 of others."""
    seconds = (times - times.astype("datetime64[D]")).astype("timedelta64[s]").astype(np.int64)
    return np.where(seconds % 3600 == 0, seconds // 3600, -9)

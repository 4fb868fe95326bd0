"""The rows of a table by series and time: sorted, repeated ones dropped, missing ones found and put in."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.clock import find_clock, second_time, to_standard
from rnnkit.data.frequency import Frequency
from rnnkit.data.roles import Roles, tell_apart
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError

MAX_GROWTH = 10  # rows put into gaps may make a series at most this many times as long


@dataclass
class Group:
    """The rows of one id: rows [n] of the table in ascending time, -1 where one was put in, and their times [n]."""

    name: str
    rows: NDArray[np.int64]
    times: NDArray[Any]


def group_rows(table: Table, roles: Roles, clock: str, notices: list[str]) -> list[Group]:
    """One group per id in order of first appearance, its rows in ascending time, repeated rows dropped.

    Local times by a clock that is put forward and back (the one given, or found) become standard time in the roles.
    """
    if roles.id is None:
        names, groups = [""], [np.arange(table.rows)]
    else:
        codes, names = table.words(roles.id)
        if "" in names:
            where = table.where(int(np.argmax(codes == names.index(""))), roles.id)
            raise DataError(f"{where}: expected the name of a series, found nothing; fill it in")
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        groups = np.split(np.argsort(codes, kind="stable"), ends[:-1])
    if roles.time is None:
        return [Group(name, rows, np.arange(1, len(rows) + 1)) for name, rows in zip(names, groups, strict=True)]
    if roles.axis.is_local:
        _set_clock(table, roles, groups, clock, notices)
    groups = _in_order(table, roles, groups, notices)
    return [Group(name, rows, roles.axis.values[rows]) for name, rows in zip(names, groups, strict=True)]


def _set_clock(
    table: Table, roles: Roles, groups: list[NDArray[np.int64]], clock: str, notices: list[str]
) -> None:  # fmt: skip
    """Turns local times into standard time where hours come twice or not at all, and says so."""
    local = roles.axis.values
    newest_first = [np.count_nonzero(np.diff(local[rows]) < np.timedelta64(0)) > len(rows) / 2 for rows in groups]
    groups = [rows[::-1] if back else rows for rows, back in zip(groups, newest_first, strict=True)]
    clock = clock or find_clock([local[rows] for rows in groups])
    if not clock:
        return
    standard, twice = local.copy(), []
    for rows in groups:
        again = second_time(local[rows], clock)
        standard[rows] = to_standard(local[rows], clock, again)
        twice += rows[again][:1].tolist()
    roles.axis.values, roles.axis.clock = standard, clock
    what = "local times by a clock that is put forward in spring and back in autumn"
    if twice:
        row = min(twice)
        first = f"first '{table.cell(row, roles.time or '')}', again on {table.at(row)}"
        notices.append(f"column '{roles.time}' holds {what}: hours that come twice ({first}) are kept both")
    else:
        notices.append(f"column '{roles.time}' holds {what}: hours that are skipped are no gaps")


def _in_order(
    table: Table, roles: Roles, groups: list[NDArray[np.int64]], notices: list[str]
) -> list[NDArray[np.int64]]:
    """Rows of each series in ascending time, repeated rows dropped."""
    times = roles.axis.values
    unsorted, repeated, repeats, kept = [], [], 0, []
    for rows in groups:
        now = times[rows]
        back = np.flatnonzero(now[1:] < now[:-1])
        if back.size:
            unsorted.append(int(rows[back[0] + 1]))
            order = np.argsort(now, kind="stable")
            rows, now = rows[order], now[order]
        same = np.flatnonzero(now[1:] == now[:-1])
        for i in same:
            _check_repeat(table, roles, int(rows[i]), int(rows[i + 1]))
        if same.size:
            repeats += len(same)
            repeated.append(int(rows[same[0] + 1]))
            rows = np.delete(rows, same + 1)
        kept.append(rows)
    if unsorted:
        of = f" of {len(unsorted)} series" if len(groups) > 1 else ""
        notices.append(f"the times{of} were not in order (first on {table.at(min(unsorted))}) and are sorted")
    if repeats:
        first = table.at(min(repeated))
        notices.append(f"{repeats} repeated row{'s' * (repeats > 1)} dropped (first on {first})")
    return kept


def _check_repeat(table: Table, roles: Roles, row: int, other: int) -> None:
    """Two rows of one series at one time must agree in every cell."""
    if all(table.cell(row, name) == table.cell(other, name) for name in table.names):
        return
    assert roles.time is not None
    remedy = "keep one of them"
    beside = next((n for n in table.names if n != roles.time and _is_time_of_day(table.cell(row, n))), None)
    if beside is not None and not roles.axis.is_local:
        remedy += f", or join the columns '{roles.time}' and '{beside}' into one"
    if roles.id is None:
        apart = next(iter(tell_apart(table, roles.time, roles.numeric)), None)
        remedy += ", or name the column that tells the series apart" + (f": --id {shlex.quote(apart)}" if apart else "")
    at = shown(table.cell(row, roles.time))
    raise DataError(
        f"{table.path}, {table.counted}s {table.lines[row]} and {table.lines[other]}: both are at {at} in column "
        f"'{roles.time}' and differ; {remedy}"
    )


def _is_time_of_day(cell: str) -> bool:
    return re.fullmatch(r"([01]?\d|2[0-4]):[0-5]\d(:[0-5]\d(\.\d+)?)?( ?[AaPp][Mm])?", cell, re.ASCII) is not None


def find_gaps(groups: list[Group], freq: Frequency, share: float, gaps: str, notices: list[str]) -> tuple[int, bool]:
    """(steps skipped, whether the times are even): says the first three, puts rows in unless they are to be kept.

    share: of the steps that are equal to the frequency's.
    """
    found, off = 0, 0
    listed: list[str] = []
    places = []
    for group in groups:
        place, on_step = freq.positions(group.times)
        places.append(place)
        off += int((~on_step).sum())
        skipped = np.diff(place) - 1
        for i in np.flatnonzero(skipped > 0)[: 3 - len(listed)]:
            of = f" of '{group.name}'" if group.name else ""
            listed.append(f"{skipped[i]} after {freq.format(group.times[i : i + 1])[0]}{of}")
        found += int(np.maximum(skipped, 0).sum())
    rows = sum(len(group.rows) for group in groups)
    if share < 0.5 or off:
        uneven = f"only {share:.0%} of steps are equal" if share < 0.5 else f"{off} of {rows} times lie off the step"
        notices.append(f"the times are uneven ({uneven}); rows are used in order as they are")
        return 0, False
    if not found:
        return 0, True
    more = ", …" if found > sum(int(text.split()[0]) for text in listed) else ""
    words = f"{found} missing row{'s' * (found > 1)} ({', '.join(listed)}{more})"
    if gaps == "keep":
        notices.append(f"{words}: left as they are")
    elif found > MAX_GROWTH * rows:
        notices.append(f"{words}: too many to put in, rows are used in order as they are")
    else:
        notices.append(f"{words}: put in {'as missing' if gaps == 'mask' else 'by straight lines'}")
        for group, place in zip(groups, places, strict=True):
            _insert(group, place, freq)
    return found, True


def _insert(group: Group, place: NDArray[np.int64], freq: Frequency) -> None:
    """Spreads a group over its full time axis, -1 between the rows it has."""
    n = int(place[-1]) + 1
    if n == len(place):
        return
    rows = np.full(n, -1)
    rows[place] = group.rows
    times = np.concatenate([group.times[:1], freq.future(group.times[0], n - 1)])
    times[place] = group.times
    group.rows, group.times = rows, times

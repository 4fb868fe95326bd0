"""Which column of a table is the time, the target, the series' name, a past input; every guess is said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.dates import Dates, parse_dates
from rnnkit.data.frequency import EPOCH
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError, UsageError

# fmt: off
TIME_NAMES = frozenset((
    "date", "time", "datetime", "timestamp", "ts", "ds", "t", "month", "day", "week", "year", "quarter", "hour",
    "period", "index", "step", "mois", "jour", "semaine", "année", "annee", "an", "trimestre", "heure", "temps",
    "horodatage", "période", "periode",
))
# fmt: on
DATE_NAMES = TIME_NAMES - {"t", "index", "step", "period", "période", "periode"}  # where bare digits may be a date
ID_NAMES = frozenset(("id", "unique_id", "series", "series_id", "item_id"))
TARGET_NAMES = ("y", "target", "value", "ot")


@dataclass
class TimeAxis:
    """Times [rows] as datetime64 or int64, their style, and origin, scale, digits where they were even decimals."""

    values: NDArray[Any]
    style: str = ""
    origin: float = 0.0
    scale: float = 1.0
    digits: int = 0


@dataclass
class Roles:
    """The columns by their part in the forecast; time and id are None where there is none."""

    time: str | None
    target: str
    id: str | None
    past: list[str]
    axis: TimeAxis
    notices: list[str] = field(default_factory=list)


def find_roles(table: Table, time: str | None, target: str | None, id: str | None, past: Sequence[str] | None) -> Roles:
    """Fills in the roles that are not given. Raises UsageError for unknown or doubly used columns, DataError for
    times that cannot be read and for a table without a numeric column."""
    given = [n for n in (time, target, id, *(past or ())) if n is not None]
    for name in given:
        table.column(name)
    doubled = next((n for n in given if given.count(n) > 1), None)
    if doubled is not None:
        raise UsageError(f"column '{doubled}' is named for two purposes; time, target, id and past inputs must differ")
    notices: list[str] = []
    if id is None:
        id = _guess_id(table, given)
        if id is not None:
            notices.append(f"column '{id}' names the series")
        else:
            id = _guess_id_by_times(table, time, given)
            if id is not None:
                notices.append(f"column '{id}' names the series, as times repeat but not within it")
    if time is None:
        time, axis = _guess_time(table, [n for n in given if n != time] + ([id] if id else []), id)
        counted = "no column looks like a time; rows are counted from 1"
        notices.append(f"column '{time}' is the time" if time else counted)
    else:
        axis = read_time(table, time)
    rest = [n for n in table.names if n not in (time, id)]
    if target is None:
        target = _guess_target(table, [n for n in rest if n not in (past or ())])
        notices.append(f"column '{target}' is the target")
    if past is None:
        past = _guess_past(table, [n for n in rest if n != target], id, notices)
    return Roles(time, target, id, list(past), axis, notices)


def _words(name: str) -> set[str]:
    return set(re.split(r"[^\w]+|_", name.casefold())) | {name.casefold()}


def _guess_id(table: Table, taken: list[str]) -> str | None:
    for name in table.names:
        if name.casefold() in ID_NAMES and name not in taken and np.unique(table.columns[name]).size < table.rows:
            return name
    return None


def _guess_id_by_times(table: Table, time: str | None, taken: list[str]) -> str | None:
    """The column within which times are unique, where a third of them or more repeat.

    Bare numbers that repeat (years, with seasons beside them) must come in blocks, one for each series.
    """
    times = [time] if time else [n for n in table.names if n not in taken and _words(n) & TIME_NAMES]
    for name in times:
        if 3 * np.unique(table.columns[name]).size > 2 * table.rows:
            continue
        for id in tell_apart(table, name, taken):
            cells = table.columns[id]
            if _is_date(table, name) or np.count_nonzero(cells[1:] != cells[:-1]) + 1 == np.unique(cells).size:
                return id
    return None


def _is_date(table: Table, name: str) -> bool:
    found = parse_dates(table.columns[name][:1], compact=False)
    return isinstance(found, Dates) and not _digits_only(found)


def tell_apart(table: Table, time: str, taken: Sequence[str]) -> list[str]:
    """The columns of text and not of time, that with the fewest values first, within which no time comes twice."""
    times = table.columns[time].tolist()
    found = []
    for name in table.names:
        if name == time or name in taken or _words(name) & TIME_NAMES or _is_date(table, name):
            continue
        if table.is_missing(name).any() or _is_numeric(table, name):
            continue
        cells = table.columns[name].tolist()
        count = len(set(cells))
        if 2 * count <= table.rows and len(set(zip(cells, times, strict=True))) == table.rows:
            found.append((count, name))
    return [name for _, name in sorted(found, key=lambda pair: pair[0])]


def _guess_time(table: Table, taken: list[str], id: str | None) -> tuple[str | None, TimeAxis]:
    free = [n for n in table.names if n not in taken]
    hinted = [n for n in free if _words(n) & TIME_NAMES]
    for name in sorted(free, key=lambda n: n not in hinted):
        cells = table.columns[name][~table.is_missing(name)]
        hint = name in hinted and bool(_words(name) & DATE_NAMES)
        head = [parse_dates(cells[i : i + 1], compact=hint) for i in range(min(len(cells), 20))]
        dates = [d for d in head if isinstance(d, Dates)]
        # A column of dates with a bad cell is still the time column, and reading it names the cell.
        if 2 * len(dates) > len(head) and (not _digits_only(dates[0]) or _increases(table, name, id)):
            return name, read_time(table, name)
    for name in hinted:
        if _increases(table, name, id):
            with suppress(DataError):  # decimals in unequal steps: rows in order say as much
                return name, read_time(table, name)
    first = free[0] if free else None
    if first is not None and len(table.names) > 1 and _increases(table, first, id, by_one=True):
        return first, read_time(table, first)
    return None, TimeAxis(np.zeros(0, dtype=np.int64))


def _digits_only(dates: Dates) -> bool:
    return re.fullmatch(r"(%[Ymd])+", dates.style) is not None


def _increases(table: Table, name: str, id: str | None, by_one: bool = False) -> bool:
    """Whether a column holds numbers that never repeat within a series (and, by_one, are whole and step evenly)."""
    values, wrong = table.parse(name)
    if wrong is not None or np.isnan(values).any():
        return False
    groups = np.unique(table.columns[id], return_inverse=True)[1] if id else np.zeros(table.rows, dtype=np.int64)
    order = np.lexsort((values, groups))
    steps = np.diff(values[order])[np.diff(groups[order]) == 0]
    if by_one:
        return steps.size > 0 and bool(np.all(steps == steps[0]) and steps[0] > 0 and np.all(values % 1 == 0))
    return bool(np.all(steps > 0))


def read_time(table: Table, name: str) -> TimeAxis:
    """A column as times. Raises DataError naming the first cell that is missing or unlike those before it."""
    cells = table.column(name)
    missing = np.flatnonzero(table.is_missing(name))
    if missing.size:
        where = table.where(int(missing[0]), name)
        raise DataError(f"{where}: expected a time, found an empty cell; fill it or drop the row")
    named = bool(_words(name) & DATE_NAMES)
    found = parse_dates(cells, compact=named)
    if isinstance(found, Dates):
        if found.ambiguous:
            raise DataError(
                f"{table.where(0, name)}: '{shown(cells[0])}' could have the day or the month first; "
                "write dates as 2020-01-31"
            )
        table.notices.extend(n for n in found.notices if n not in table.notices)
        return TimeAxis(found.values, found.style)
    values, wrong = table.parse(name)
    if wrong is None:
        return _numeric_time(table, name, values, named)
    if found is None:
        found = wrong
    like = f"a date such as '{shown(cells[0])}'" if found else "a date such as 2020-01-31 or a number"
    raise DataError(f"{table.where(found, name)}: expected {like}, found '{shown(cells[found])}'; mend the cell")


def _numeric_time(table: Table, name: str, values: NDArray[np.float64], named: bool) -> TimeAxis:
    if np.all(values % 1 == 0) and np.abs(values).max() < 2**53:
        whole = values.astype(np.int64)
        # 10⁸ s is 1973, 10¹¹ s is 5138; as milliseconds 10¹¹ is 1973 again.
        style = "epoch:s" if whole.min() >= 10**8 and whole.max() < 10**11 else "epoch:ms"
        if named and whole.min() >= 10**8 and whole.max() < 10**14 and (style == "epoch:s" or whole.min() >= 10**11):
            table.notices.append(f"column '{name}' holds {'milli' * (style == 'epoch:ms')}seconds since 1970")
            micro = whole * EPOCH[style]
            fine = "datetime64[us]" if np.any(micro % 1_000_000) else "datetime64[s]"
            return TimeAxis(micro.astype("datetime64[us]").astype(fine), style)
        return TimeAxis(whole)
    distinct, inverse = np.unique(values, return_inverse=True)
    middle = float(np.median(np.diff(distinct))) if len(distinct) > 1 else 1.0
    steps = np.diff(distinct) / middle
    # Decimals are times of equal steps if each step is within a tenth of a whole number of the middle one.
    off = np.flatnonzero((np.abs(steps - np.rint(steps)) > 0.1) | (steps > 1e12))
    if off.size:
        row = int(np.flatnonzero(inverse == off[0] + 1)[0])
        raise DataError(
            f"{table.where(row, name)}: expected decimals in equal steps of {middle:g}, found {values[row]:g}; "
            "name another time column or resample"
        )
    index = np.concatenate([[0], np.cumsum(np.rint(steps).astype(np.int64))])
    digits = max(len(c.replace(",", ".").partition(".")[2]) for c in table.columns[name].tolist()[:1000])
    scale = (distinct[-1] - distinct[0]) / index[-1] if index[-1] else middle
    return TimeAxis(index[inverse], "", float(distinct[0]), float(scale), digits)


def _is_numeric(table: Table, name: str) -> bool:
    """Mostly numbers: nine in ten of the cells that are not missing."""
    values, wrong = table.parse(name)
    present = table.rows - table.missing[name]
    return present > 0 and (wrong is None or np.isfinite(values).sum() >= 0.9 * present)


def _guess_target(table: Table, names: list[str]) -> str:
    for wanted in TARGET_NAMES:
        for name in names:
            if name.casefold() == wanted and _is_numeric(table, name):
                return name
    for name in reversed(names):
        if _is_numeric(table, name):
            return name
    raise DataError(
        f"{table.path}: expected a column of numbers to forecast, found {', '.join(table.names)}; "
        "check the separator and the decimal mark"
    )


def _guess_past(table: Table, names: list[str], id: str | None, notices: list[str]) -> list[str]:
    kept = []
    for name in names:
        reason = _unusable(table, name, id, [n for n in names if n != name])
        if reason:
            notices.append(f"column '{name}' is left out: {reason}")
        else:
            kept.append(name)
    if kept:
        notices.append(f"past inputs: {', '.join(kept)}")
    return kept


def _unusable(table: Table, name: str, id: str | None, others: list[str]) -> str:
    """Why a column cannot be a past input, or an empty string. Raises DataError for a bad cell among numbers."""
    values, wrong = table.parse(name)
    if wrong is not None and not _is_numeric(table, name):
        return f"it holds text ('{shown(table.columns[name][wrong])}' on line {table.lines[wrong]})"
    missing = table.missing[name]
    if missing > 0.5 * table.rows:
        return f"{missing / table.rows:.0%} of it is missing"
    if wrong is not None:
        good = ",".join(n for n in others if table.parse(n)[1] is None)
        try:
            table.numeric(name)
        except DataError as error:
            raise DataError(f"{error}, or leave the column out with --past {shlex.quote(good)}") from error
    present = values[~np.isnan(values)]
    if np.all(present == present[0]):
        return f"it is always {present[0]:g}"
    if _is_clock(values, table, id, bool(_words(name) & TIME_NAMES)):
        return "it only counts time"
    return ""


def _is_clock(values: NDArray[np.float64], table: Table, id: str | None, named: bool) -> bool:
    """Whether the column rises with the rows of every series: evenly, or under a name that says time."""
    groups = np.unique(table.columns[id], return_inverse=True)[1] if id else np.zeros(table.rows, dtype=np.int64)
    for group in range(min(int(groups.max()) + 1, 20)):
        own = values[groups == group]
        if len(own) < 3 or np.isnan(own).any() or not np.all(np.diff(own) > 0):
            return False
        row = np.arange(len(own))
        if not named and np.abs(np.polyval(np.polyfit(row, own, 1), row) - own).max() > 0.01 * (own[-1] - own[0]):
            return False
    return True

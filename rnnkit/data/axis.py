"""The column of times: found by its name and its cells, read as dates or as numbers."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.dateparts import ZONE
from rnnkit.data.dates import Dates, parse_dates
from rnnkit.data.frequency import EPOCH
from rnnkit.data.numbers import Floats, is_missing
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError

# fmt: off
TIME_NAMES = frozenset((
    "date", "time", "datetime", "timestamp", "ts", "ds", "t", "month", "day", "week", "year", "quarter", "hour",
    "period", "index", "step", "mois", "jour", "semaine", "année", "annee", "an", "trimestre", "heure", "temps",
    "horodatage", "période", "periode",
))
# fmt: on
DATE_NAMES = TIME_NAMES - {"t", "index", "step", "period", "période", "periode"}  # where bare digits may be a date
SAMPLE = 1000  # cells by which a column of dates is told


@dataclass
class TimeAxis:
    """Times [rows] as datetime64 or int64, their style, origin, scale, digits where they were even decimals, and clock
    where they were local times that are standard time now."""

    values: NDArray[Any]
    style: str = ""
    origin: float = 0.0
    scale: float = 1.0
    digits: int = 0
    clock: str = ""

    @property
    def is_local(self) -> bool:
        """Whether these are times of day without an offset from UTC."""
        timed = re.search(r"%-?[HI]", self.style) is not None
        return timed and re.search(f"(?:{ZONE})$", self.style) is None


def name_words(name: str) -> set[str]:
    return set(re.split(r"[^\w]+|_", name.casefold())) | {name.casefold()}


def is_date(table: Table, name: str) -> bool:
    found = parse_dates(table.column(name).text(1), compact=False)
    return isinstance(found, Dates) and not _digits_only(found)


def guess_time(table: Table, taken: list[str], id: str | None) -> tuple[str | None, TimeAxis]:
    free = [n for n in table.names if n not in taken]
    hinted = [n for n in free if name_words(n) & TIME_NAMES]
    for name in sorted(free, key=lambda n: n not in hinted):
        cells = table.column(name).text(SAMPLE)
        cells = cells[~is_missing(cells)]
        hint = name in hinted and bool(name_words(name) & DATE_NAMES)
        head = [parse_dates(cells[i : i + 1], compact=hint) for i in range(min(len(cells), 20))]
        dates = [d for d in head if isinstance(d, Dates)]
        # A column of dates with a bad cell is still the time column, and reading it names the cell.
        if 2 * len(dates) > len(head) and (not _digits_only(dates[0]) or increases(table, name, id)):
            return name, read_time(table, name)
    for name in hinted:
        if increases(table, name, id):
            with suppress(_UnevenError):  # rows in order say as much
                return name, read_time(table, name)
    first = free[0] if free else None
    if first is not None and len(table.names) > 1 and increases(table, first, id, by_one=True):
        return first, read_time(table, first)
    return None, TimeAxis(np.zeros(0, dtype=np.int64))


def _digits_only(dates: Dates) -> bool:
    return re.fullmatch(r"(%[Ymd])+", dates.style) is not None


def increases(table: Table, name: str, id: str | None, by_one: bool = False) -> bool:
    """Whether a column holds numbers that never repeat within a series (and, by_one, are whole and step evenly)."""
    values, wrong = table.parse(name)
    if wrong is not None or np.isnan(values).any():
        return False
    steps = _steps(values, table.words(id)[0] if id else np.zeros(table.rows, dtype=np.int8))
    if by_one:
        return steps.size > 0 and bool(np.all(steps == steps[0]) and steps[0] > 0 and np.all(values % 1 == 0))
    return bool(np.all(steps > 0))


def _steps(values: Floats, groups: NDArray[Any]) -> Floats:
    """Differences between neighbours in ascending order within each group."""
    same = np.diff(groups) == 0
    steps = np.diff(values)[same]
    in_blocks = np.count_nonzero(~same) == groups.max(initial=0)
    if in_blocks and np.all(steps > 0):
        return steps
    order = np.lexsort((values, groups))
    return np.diff(values[order])[np.diff(groups[order]) == 0]


class _UnevenError(DataError):
    """Decimals that do not step evenly."""


def read_time(table: Table, name: str) -> TimeAxis:
    """A column as times. Raises DataError naming the first cell that is missing or unlike those before it."""
    missing = np.flatnonzero(table.is_missing(name))
    if missing.size:
        where = table.where(int(missing[0]), name)
        raise DataError(f"{where}: expected a time, found an empty cell; fill it or drop the row")
    named = bool(name_words(name) & DATE_NAMES)
    found = table.dates(name, compact=named)
    if isinstance(found, Dates):
        if found.ambiguous:
            raise DataError(
                f"{table.where(0, name)}: '{shown(table.cell(0, name))}' could have the day or the month first; "
                "write dates as 2020-01-31"
            )
        table.notices.extend(n for n in found.notices if n not in table.notices)
        return TimeAxis(found.values, found.style)
    values, wrong = table.parse(name)
    if wrong is None:
        return _numeric_time(table, name, values, named)
    if found is None:
        found = wrong
    like = f"a date such as '{shown(table.cell(0, name))}'" if found else "a date such as 2020-01-31 or a number"
    bad = shown(table.cell(found, name))
    raise DataError(f"{table.where(found, name)}: expected {like}, found '{bad}'; mend the cell")


_SINCE_1970 = {
    "epoch:s": (10**8, 10**11, "seconds"),
    "epoch:ms": (10**11, 10**14, "milliseconds"),
    "epoch:us": (10**14, 10**17, "microseconds"),
    "epoch:ns": (10**17, 9 * 10**18, "nanoseconds"),
}  # from 1973 on, and up to thousands of years later


def _since_1970(table: Table, name: str, values: Floats) -> TimeAxis | None:
    """Whole numbers that count from 1970, as times; None where they are too small for it."""
    for style, (low, high, words) in _SINCE_1970.items():
        if not low <= values[0] < high:
            continue
        off = np.flatnonzero((values < low) | (values >= high))
        if off.size:
            row = int(off[0])
            raise DataError(
                f"{table.where(row, name)}: expected {words} since 1970 like '{table.cell(0, name)}' on "
                f"{table.at(0)}, found '{shown(table.cell(row, name))}'; write all times in one unit"
            )
        table.notices.append(f"column '{name}' holds {words} since 1970")
        length, units = EPOCH[style]
        micro = np.rint(values / units).astype(np.int64) * length
        fine = "datetime64[us]" if np.any(micro % 1_000_000) else "datetime64[s]"
        return TimeAxis(micro.astype("datetime64[us]").astype(fine), style)
    return None


def _numeric_time(table: Table, name: str, values: Floats, named: bool) -> TimeAxis:
    if np.all(values % 1 == 0):
        if named and (counted := _since_1970(table, name, values)) is not None:
            return counted
        if np.abs(values).max() < 2**53:
            return TimeAxis(values.astype(np.int64))
    distinct, inverse = np.unique(values, return_inverse=True)
    middle = float(np.median(np.diff(distinct))) if len(distinct) > 1 else 1.0
    steps = np.diff(distinct) / middle
    # Decimals are times of equal steps if each step is within a tenth of a whole number of the middle one.
    off = np.flatnonzero((np.abs(steps - np.rint(steps)) > 0.1) | (steps > 1e12))
    if off.size:
        row = int(np.flatnonzero(inverse == off[0] + 1)[0])
        raise _UnevenError(
            f"{table.where(row, name)}: expected decimals in equal steps of {middle:g}, found {values[row]:g}; "
            "name another time column or resample"
        )
    index = np.concatenate([[0], np.cumsum(np.rint(steps).astype(np.int64))])
    digits = max(len(c.replace(",", ".").partition(".")[2]) for c in table.column(name).text(1000).tolist())
    scale = (distinct[-1] - distinct[0]) / index[-1] if index[-1] else middle
    return TimeAxis(index[inverse], "", float(distinct[0]), float(scale), digits)

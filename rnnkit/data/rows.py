"""Rows of a table one at a time, as a stream brings them: which column is which, and what each cell says.

A row is one line. The header comes first; without one the columns are told by what stands in them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnkit.data.clock import told_apart
from rnnkit.data.frequency import Frequency
from rnnkit.data.moments import Stamp, read_stamp
from rnnkit.data.numbers import MISSING, TEXT, parse_numbers
from rnnkit.data.records import SEPARATORS
from rnnkit.data.remarks import LARGEST
from rnnkit.data.source import shown, suggest
from rnnkit.errors import DataError, UsageError


@dataclass(frozen=True)
class Layout:
    """The columns that a row is read by: times, names of series, numbers in this order, and texts where there are any.

    freq: how times are written; ids: the names that are known already; columns: all of the training, in its order.
    """

    time: str | None
    id: str | None
    numbers: Sequence[str]
    texts: Sequence[str]
    freq: Frequency
    ids: frozenset[str]
    columns: Sequence[str] = ()

    @property
    def needed(self) -> list[str]:
        """The columns that there must be."""
        return [name for name in (self.time, self.id) if name is not None] + list(self.numbers)


@dataclass(frozen=True)
class Row:
    """One row: the name of its series ('' without), its time (None without) as read and as written, its numbers."""

    name: str
    time: Stamp | None
    written: str
    numbers: np.ndarray
    texts: dict[str, str]


class RowReader:
    """Lines → rows; the first one settles what the columns are."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.separator, self.width = ",", 0
        self.header: list[str] = []
        self.places: dict[str, int] | None = None
        self.latest: dict[str, Stamp] = {}

    def read(self, line: str) -> Row | None:
        """The row of a line, or None for a header and for a blank line.

        Raises DataError for a row that cannot be read, without naming its line; UsageError where the first line does
        not settle what the columns are.
        """
        if not line.strip():
            return None
        if self.places is None:
            self.places = self._from_header(line) or self._from_cells(line)
        cells = self._cells(line, self.separator)
        if cells == self.header:
            return None
        if len(cells) != self.width:
            raise DataError(f"found {len(cells)} fields where {self.width} were expected")
        at, layout = self.places, self.layout
        if layout.id is not None and not cells[at[layout.id]]:
            raise DataError(f"column '{layout.id}': expected the name of a series, found nothing")
        written = cells[at[layout.time]] if layout.time is not None else ""
        name = cells[at[layout.id]] if layout.id is not None else ""
        time = self._time(written) if layout.time is not None else None
        return Row(
            name,
            self._told_apart_in_time(name, time) if layout.freq.clock else time,
            written,
            np.array([self.number(cells[at[name]], name) for name in layout.numbers]),
            {name: cells[at[name]] for name in layout.texts if name in at},
        )

    # -- which column is which ------------------------------------------------------------------------

    def _cells(self, line: str, separator: str) -> list[str]:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [""])]

    def _from_header(self, line: str) -> dict[str, int] | None:
        """The places of the columns by their names, or None where the line has none of these."""
        needed, best = self.layout.needed, (0, "", [""])
        for separator in SEPARATORS:
            names = [" ".join(cell.split()) for cell in self._cells(line, separator)]
            best = max(best, (sum(name in names for name in needed), separator, names), key=lambda found: found[0])
        count, separator, names = best
        if not count:
            return None
        missing = next((name for name in needed if name not in names), None)
        if missing is not None:
            hint = suggest(missing, names) or f"; the columns are {', '.join(names)}"
            raise UsageError(f"the header has no column '{missing}', which the run was trained with{hint}")
        self.separator, self.header, self.width = separator, self._cells(line, separator), len(names)
        return {name: names.index(name) for name in (*needed, *self.layout.texts) if name in names}

    def _from_cells(self, line: str) -> dict[str, int]:
        """The places of the columns by what a first row without a header holds."""
        layout, needed = self.layout, self.layout.needed
        for separator in SEPARATORS:
            cells = self._cells(line, separator)
            known = {name: i for i, name in enumerate(layout.columns)}
            if len(cells) == len(known) and self._fits(cells, known):
                self.separator, self.width = separator, len(cells)
                return known
            if len(cells) == len(needed):
                self.separator, self.width = separator, len(cells)
                places = self._told_apart(cells)
                if places is not None:
                    return places
        named = ", ".join(needed)
        raise UsageError(
            f"expected a header with the columns {named}, found '{shown(line.strip())}', whose columns cannot be told "
            f"apart; give the header first{', as tail -n +1 -f FILE does' if layout.time else ''}"
        )

    def _fits(self, cells: list[str], places: dict[str, int]) -> bool:
        """Whether a row holds times and numbers where the training had them."""
        layout = self.layout
        timed = layout.time is None or self._is_time(cells[places[layout.time]])
        return timed and all(self._is_number(cells[places[name]]) for name in layout.numbers)

    def _told_apart(self, cells: list[str]) -> dict[str, int] | None:
        """Name → place where each cell can be but one of the columns, else None."""
        layout, free = self.layout, list(range(len(cells)))
        places: dict[str, int] = {}
        if layout.id is not None:
            named = [i for i in free if cells[i] in layout.ids] or [i for i in free if not self._is_number(cells[i])]
            named = [i for i in named if layout.time is None or not self._is_time(cells[i])] or named
            if len(named) != 1:
                return None
            places[layout.id] = named[0]
            free.remove(named[0])
        if layout.time is not None:
            timed = [i for i in free if self._is_time(cells[i])]
            if len(timed) == 2 == len(free) and layout.freq.unit == "step":
                timed = timed[:1]  # a count before a value
            if len(timed) != 1:
                return None
            places[layout.time] = timed[0]
            free.remove(timed[0])
        if len(free) != 1 or not self._is_number(cells[free[0]]):
            return None
        return {**places, layout.numbers[0]: free[0]}

    def _is_time(self, cell: str) -> bool:
        try:
            self._time(cell)
        except DataError:
            return False
        return True

    def _is_number(self, cell: str) -> bool:
        try:
            self.number(cell, "")
        except DataError:
            return False
        return True

    # -- what a cell says -------------------------------------------------------------------------------

    def _time(self, text: str) -> Stamp:
        stamp = read_stamp(text, self.layout.freq)
        if stamp is None:
            like = self.layout.freq.format(np.array([_example(self.layout.freq)]))[0]
            raise DataError(f"column '{self.layout.time}': expected a time written like {like}, found '{shown(text)}'")
        return stamp

    def _told_apart_in_time(self, name: str, time: Stamp) -> Stamp:
        """A time by a clock that shows some hours twice: for the second time where the series has been there."""
        if name in self.latest and time <= self.latest[name]:
            time = told_apart(np.array([time, time]), self.layout.freq.clock)[1]
        self.latest[name] = time
        return time

    def number(self, text: str, name: str) -> float:
        """A cell as a number, NaN where it is missing."""
        if text.lower() in MISSING:
            return math.nan
        try:
            value = float(text) if "_" not in text else math.nan
        except ValueError:
            decimal = "." if self.separator == "," else ","
            value = float(parse_numbers(np.array([text], dtype=TEXT), decimal, self.separator).values[0])
        if not abs(value) <= LARGEST:
            raise DataError(f"column '{name}': expected a finite number, found '{shown(text)}'")
        return value


def _example(freq: Frequency) -> Stamp:
    return 17 if freq.unit == "step" else np.datetime64("2020-01-31T13:30", "us")

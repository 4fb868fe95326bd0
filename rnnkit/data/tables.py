"""Delimited files → columns with their physical line numbers, and numbers, words and dates on request."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.blocks import Odd
from rnnkit.data.columns import Codes, Column, TextColumn
from rnnkit.data.dateparts import Dates
from rnnkit.data.numbers import INFINITE, TEXT, Floats, Strings
from rnnkit.data.records import (
    SAMPLE_LINES,
    comments_above,
    decimal_comma,
    has_header,
    names_of,
    quotes_are_text,
    ragged,
    records,
    refuse_other_formats,
    sniff,
)
from rnnkit.data.source import PARQUET, Source, Text, open_text, read_bytes, shown, suggest
from rnnkit.data.wellformed import Progress, read_columns
from rnnkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

LARGE = 1 << 16
"""Bytes from which on a file is read block by block where it is well-formed."""
ID_NAMES = frozenset(("id", "unique_id", "series", "series_id", "item_id"))
BLOCK = 10_000  # rows held as lists at a time


@dataclass
class Table:
    """A table as columns, one row a record.

    lines: [rows] int64, the physical line on which each row starts, counted from 1; counted: what messages call
    that number ('line', or 'row' of a table that came from no file); missing: column → cells counted as missing,
    filled in by `numeric`.
    """

    columns: dict[str, Column]
    lines: NDArray[np.int64]
    path: str
    encoding: str
    separator: str
    decimal: str
    notices: list[str] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    counted: str = "line"
    _parsed: dict[str, tuple[Floats, int | None]] = field(default_factory=dict, repr=False)
    _words: dict[str, tuple[Codes, list[str]]] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """Number of records, the header not counted."""
        return len(self.lines)

    @property
    def names(self) -> list[str]:
        """Column names in file order."""
        return list(self.columns)

    @property
    def frame(self) -> pd.DataFrame:
        """The columns as a pandas DataFrame of text."""
        import pandas as pd

        return pd.DataFrame({name: self.text(name).tolist() for name in self.names}, dtype=object)

    def column(self, name: str) -> Column:
        """One column; UsageError names the nearest column when there is none of that name."""
        if name not in self.columns:
            listed = ", ".join(self.names[:20]) + (", …" if len(self.names) > 20 else "")
            hint = suggest(name, self.names) or f"; the columns are {listed}"
            raise UsageError(f"{self.path}: no column '{name}'{hint}")
        return self.columns[name]

    def at(self, row: int) -> str:
        """'line 7': how messages name a row, which is counted from 0 here."""
        return f"{self.counted} {self.lines[row]}"

    def where(self, row: int, column: str) -> str:
        """'file, line 7, column 'x'': how messages name a cell; row is counted from 0."""
        return f"{self.path}, {self.at(row)}, column '{column}'"

    def text(self, name: str) -> Strings:
        """One column as text [rows], surrounding blanks removed."""
        return self.column(name).text()

    def cell(self, row: int, name: str) -> str:
        """The text of one cell."""
        return self.column(name).cell(row)

    def words(self, name: str) -> tuple[Codes, list[str]]:
        """One column as numbers [rows] of its different cells, and these in order of first appearance."""
        if name not in self._words:
            self._words[name] = self.column(name).words()
        return self._words[name]

    def codes(self, name: str) -> tuple[Codes, int]:
        """One column as numbers [rows] of its different cells in any order, and how many there are."""
        return self.column(name).codes()

    def dates(self, name: str, compact: bool) -> Dates | int | None:
        """One column as dates; see `parse_dates`."""
        return self.column(name).dates(compact)

    def is_missing(self, name: str) -> NDArray[np.bool_]:
        """[rows]: True where the cell is blank or a usual mark for no value."""
        return self.column(name).missing()

    def numeric(self, name: str) -> Floats:
        """One column as float64 [rows], NaN where the cell is missing.

        Raises DataError naming file, line, column and text of the first cell that is neither number nor missing,
        or that is infinite; UsageError for an unknown column.
        """
        values, wrong = self.parse(name)
        if wrong is not None:
            text = self.cell(wrong, name)
            if INFINITE.fullmatch(text) or not np.isnan(values[wrong]):
                raise DataError(
                    f"{self.where(wrong, name)}: expected a finite number, found '{shown(text)}'; mend the cell"
                )
            raise DataError(
                f"{self.where(wrong, name)}: expected a number, found '{shown(text)}'; mend the cell or leave it empty"
            )
        return values

    def is_numeric(self, name: str) -> bool:
        """Whether a column is mostly of numbers: nine in ten of the cells that are not missing."""
        values, wrong = self.parse(name)
        present = self.rows - self.missing[name]
        return present > 0 and (wrong is None or np.isfinite(values).sum() >= 0.9 * present)

    def parse(self, name: str) -> tuple[Floats, int | None]:
        """One column as float64 [rows] and the row of its first unusable cell, or None; such cells are NaN or ±inf."""
        if name not in self._parsed:
            found = self.column(name).numbers(self.decimal, self.separator)
            self.missing[name] = found.missing
            if found.notice and (notice := f"column '{name}': {found.notice}") not in self.notices:
                self.notices.append(notice)
            self._parsed[name] = found.values, found.wrong
        return self._parsed[name]


def read_table(
    source: Source,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    words: Collection[str] = (),
    progress: Progress | None = None,
) -> Table:
    """Reads a delimited text file: encoding, separator, decimal mark and header are found out unless given.

    source is a path, '-' for standard input, or a binary stream; gzip is undone; Parquet is read too. header=None
    guesses: a first line that holds numbers or dates where names would stand is data, and the columns are called c1,
    c2, …. words: columns that name things though they may be of digits. progress: called with the bytes read and
    those there are, ten times a second at most, while a large file is read.
    Raises UsageError when the file cannot be opened, DataError when it is empty, binary, ragged or only a header.
    """
    data, label = read_bytes(source)
    if data[:4] == PARQUET:
        from rnnkit.data.frames import parquet_table

        return parquet_table(data, label)
    text = open_text(data, label, encoding)
    if len(data) >= LARGE:
        with suppress(Odd, DataError):  # of either the careful reader decides what is to be said
            shape = _shape(text, label, separator, header, literal=False)
            columns, lines = _by_blocks(text, shape, words, progress)
            return _table(text, label, shape, columns, lines)
    literal = quotes_are_text(text.blocks(), separator or sniff(text.head(SAMPLE_LINES)))
    shape = _shape(text, label, separator, header, literal)
    columns, lines = _by_records(shape, label)
    return _table(text, label, shape, columns, lines)


@dataclass
class _Shape:
    """How the rows of a text are written; head: the first of them with their lines, rest: those that follow."""

    separator: str
    decimal: str
    names: list[str]
    unnamed: list[str]
    header: bool
    head: list[tuple[int, list[str]]]
    rest: Iterator[tuple[int, list[str]]]
    first: tuple[int, int]
    notices: list[str]


def _shape(text: Text, label: str, separator: str | None, header: bool | None, literal: bool) -> _Shape:
    """What the first lines tell; first: the byte and the number of the first of them."""
    sample, first, notices = text.head(SAMPLE_LINES), (text.start, 1), list[str]()
    if declared := re.match(r"sep=(.)\r?\n", sample):  # written by Excel
        separator, sample = separator or declared[1], sample[declared.end() :]
        first = text.start + len(declared[0].encode()), 2
    refuse_other_formats(sample, label)
    count, length = comments_above(sample)
    if count:
        first = first[0] + len(sample[:length].encode()), first[1] + count
        sample = sample[length:]
        notices.append(f"{count} line{'s' * (count > 1)} of comments above the header passed over")
    if separator is None:
        separator = sniff(sample)
    if literal:
        notices.append("quotation marks are not paired within fields and are read as ordinary characters")
    rest = records(text.blocks(first[0]), separator, literal, label, first[1])
    head = list(islice(rest, SAMPLE_LINES))
    if not head:
        raise DataError(f"{label}: the file is empty; expected a header and rows")
    if header is None:
        header = has_header([row for _, row in head])
        if not header:
            listed = f"c1 to c{len(head[0][1])}" if len(head[0][1]) > 1 else "c1"
            notices.append(f"no header: the first line holds values, so the columns are called {listed}")
    unnamed: list[str] = []
    if header:
        line, names = head.pop(0)
        names, unnamed = names_of(names, label, line)
    else:
        names = [f"c{i + 1}" for i in range(len(head[0][1]))]
    if not head:
        raise DataError(f"{label}: found a header and no rows; expected at least one row of data")
    decimal = "," if separator != "," and decimal_comma([row for _, row in head]) else "."
    return _Shape(separator, decimal, names, unnamed, header, head, rest, first, notices)


def _table(text: Text, label: str, shape: _Shape, columns: dict[str, Column], lines: NDArray[np.int64]) -> Table:
    unnamed, last = list(shape.unnamed), shape.names[-1]
    if unnamed and unnamed[-1] == last and len(shape.names) > 1 and set(columns[last].words()[1]) == {""}:
        columns.pop(unnamed.pop())  # a separator at the end of every line
    notices = [f"column {n[1:]} has no name and is called {n}" for n in unnamed]
    decimal = "," if shape.separator != "," and decimal_comma([row for _, row in shape.head]) else "."
    return Table(columns, lines, label, text.encoding, shape.separator, decimal, text.notices + shape.notices + notices)


def _by_blocks(
    text: Text, shape: _Shape, words: Collection[str], progress: Progress | None
) -> tuple[dict[str, Column], NDArray[np.int64]]:
    """The rows of a well-formed text; Odd where it is none."""
    (start, line), data = shape.first, text.data
    while line < shape.head[0][0]:
        start, line = data.find(b"\n", start) + 1, line + 1
        if not start:
            raise Odd
    above = data[shape.first[0] : start]
    if above.count(b"\r") != above.count(b"\r\n") or not shape.separator.isascii():
        raise Odd
    names = [name for name in shape.names if name.casefold() in ID_NAMES or name in words]
    return read_columns(data, start, shape.names, line, shape.separator, shape.decimal, names, progress)


def _by_records(shape: _Shape, label: str) -> tuple[dict[str, Column], NDArray[np.int64]]:
    """Records → columns and line numbers, some thousand rows at a time: rows as lists take ten times the room."""
    blocks: list[list[Strings]] = []
    lines: list[NDArray[np.int64]] = []
    names, rows = shape.names, chain(shape.head, shape.rest)
    while chunk := list(islice(rows, BLOCK)):
        if any(len(row) != len(names) for _, row in chunk):
            line, row = next((line, row) for line, row in chunk if len(row) != len(names))
            raise ragged(line, row, len(names), shape.header, shape.separator, label)
        lines.append(np.array([line for line, _ in chunk], dtype=np.int64))
        cells = zip(*(row for _, row in chunk), strict=True)
        blocks.append([np.strings.strip(np.array(c, dtype=TEXT)) for c in cells])
    columns: dict[str, Column] = {}
    for name in reversed(names):  # each column is given up by the blocks as soon as it is whole
        columns[name] = TextColumn(np.concatenate([block.pop() for block in blocks]))
    return {name: columns[name] for name in names}, np.concatenate(lines)

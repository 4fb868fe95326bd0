"""Delimited files → columns of text with their physical line numbers, and numbers on request."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.source import Source, decode, read_bytes, shown, suggest
from rnnkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

Strings = np.ndarray[Any, Any]
TEXT = np.dtypes.StringDType()

MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")
SEPARATORS = ("\t", ";", "|", ",")  # in order of preference when a sample reads equally well with several
SAMPLE_LINES = 500
BLOCK = 20_000  # rows held as lists at a time

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA_DECIMAL = re.compile(r"[+-]?\d*,\d+", re.ASCII)
_DOT_DECIMAL = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", re.ASCII)
_DATE_LIKE = re.compile(r"\d[\d\-/:.TZQW +]*\d[Zz]?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'")
_NAMES = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}


@dataclass
class Table:
    """A delimited file as columns of text, one row a record.

    columns: name → [rows] strings, surrounding blanks removed; lines: [rows] int64, the physical line on which each
    row starts, counted from 1; missing: column → cells counted as missing, filled in by `numeric`.
    """

    columns: dict[str, Strings]
    lines: NDArray[np.int64]
    path: str
    encoding: str
    separator: str
    decimal: str
    notices: list[str] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    _parsed: dict[str, tuple[NDArray[np.float64], int | None]] = field(default_factory=dict, repr=False)

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

        return pd.DataFrame({name: values.tolist() for name, values in self.columns.items()}, dtype=object)

    def column(self, name: str) -> Strings:
        """The text of one column, [rows]; UsageError names the nearest column when there is none of that name."""
        if name not in self.columns:
            hint = suggest(name, self.names) or f"; the columns are {', '.join(self.names)}"
            raise UsageError(f"{self.path}: no column '{name}'{hint}")
        return self.columns[name]

    def where(self, row: int, column: str) -> str:
        """'file, line 7, column 'x'': how messages name a cell; row is counted from 0."""
        return f"{self.path}, line {self.lines[row]}, column '{column}'"

    def is_missing(self, name: str) -> NDArray[np.bool_]:
        """[rows]: True where the cell is blank or a usual mark for no value (NA, NaN, null, none, ?)."""
        return np.isin(np.strings.lower(self.column(name)), np.array(MISSING, dtype=TEXT))

    def numeric(self, name: str) -> NDArray[np.float64]:
        """One column as float64 [rows], NaN where the cell is missing.

        Raises DataError naming file, line, column and text of the first cell that is neither number nor missing,
        or that is infinite; UsageError for an unknown column.
        """
        values, wrong = self.parse(name)
        if wrong is not None:
            text = str(self.columns[name][wrong])
            if _INFINITE.fullmatch(text) or not np.isnan(values[wrong]):
                raise DataError(
                    f"{self.where(wrong, name)}: expected a finite number, found '{shown(text)}'; mend the cell"
                )
            raise DataError(
                f"{self.where(wrong, name)}: expected a number, found '{shown(text)}'; mend the cell or leave it empty"
            )
        return values

    def parse(self, name: str) -> tuple[NDArray[np.float64], int | None]:
        """One column as float64 [rows] and the row of its first unusable cell, or None; such cells are NaN or ±inf."""
        if name not in self._parsed:
            self._parsed[name] = self._parse(name)
        return self._parsed[name]

    def _parse(self, name: str) -> tuple[NDArray[np.float64], int | None]:
        text = self.column(name)
        missing = self.is_missing(name)
        self.missing[name] = int(missing.sum())
        values = np.full(self.rows, np.nan)
        present = np.flatnonzero(~missing)
        cells = text[present]
        plain = cells
        if self.decimal == "," and not np.any(np.strings.find(cells, ".") >= 0):
            plain = np.strings.replace(cells, ",", ".")
        if (self.decimal == "." or plain is not cells) and not np.any(np.strings.find(cells, "_") >= 0):
            try:
                with np.errstate(over="ignore"):
                    values[present] = plain.astype(np.float64)
            except ValueError:
                pass
            else:
                wrong = present[~np.isfinite(values[present])]
                return values, int(wrong[0]) if wrong.size else None
        numbers = _Numbers(cells.tolist(), self.decimal, self.separator)
        values[present] = numbers.values
        if numbers.grouped:
            notice = f"column '{name}': '{numbers.grouped}' read as a mark between thousands"
            if notice not in self.notices:
                self.notices.append(notice)
        wrong = present[~np.isfinite(values[present])]
        return values, int(wrong[0]) if wrong.size else None


class _Numbers:
    """The slow way from cells to numbers: decimal commas and marks between thousands; NaN where neither fits."""

    def __init__(self, cells: list[str], decimal: str, separator: str) -> None:
        self.grouped = ""
        commas = [c for c in cells if "," in c]
        dots = [c for c in cells if "." in c]
        if commas and dots:
            last = Counter("," if c.rfind(",") > c.rfind(".") else "." for c in cells if "," in c and "." in c)
            decimal = last.most_common(1)[0][0] if last else decimal
        elif commas:
            # In a comma-separated file '1,234' is English for 1234, '12,5' can only be a decimal comma.
            grouped = all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", c) for c in commas)
            several = any(c.count(",") > 1 for c in commas)
            decimal = "." if grouped and (several or (decimal == "." and separator == ",")) else ","
        elif dots and not all(re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+", c) for c in dots):
            decimal = "."
        group = "," if decimal == "." else "."
        groups = re.compile(rf"[+-]?\d{{1,3}}({re.escape(group)}\d{{3}})+({re.escape(decimal)}\d*)?", re.ASCII)
        self.values = np.array([self._one(c, decimal, group, groups) for c in cells], dtype=np.float64)

    def _one(self, cell: str, decimal: str, group: str, groups: re.Pattern[str]) -> float:
        if groups.fullmatch(cell):
            self.grouped = group
            cell = cell.replace(group, "")
        elif group in cell:
            return np.nan
        if re.fullmatch(r"[+-]?\d{1,3}([ \u00a0\u202f\u2009']\d{3})+([.,]\d*)?", cell):
            self.grouped = "space" if "'" not in cell else "'"
            cell = cell.translate(_SPACES)
        cell = cell.replace("\u2212", "-").replace(decimal, ".")
        if _INFINITE.fullmatch(cell):
            return float(cell)
        return float(cell) if _PLAIN.fullmatch(cell) else np.nan


def read_table(
    source: Source, *, encoding: str | None = None, separator: str | None = None, header: bool | None = None
) -> Table:
    """Reads a delimited text file: encoding, separator, decimal mark and header are found out unless given.

    source is a path, '-' for standard input, or a binary stream; gzip is undone. header=None guesses: a first line
    that holds numbers or dates where names would stand is data, and the columns are called c1, c2, ….
    Raises UsageError when the file cannot be opened, DataError when it is empty, binary, ragged or only a header.
    """
    data, label = read_bytes(source)
    text, encoding, notices = decode(data, label, encoding)
    first_line = 1
    if declared := re.match(r"sep=(.)\r?\n", text):  # written by Excel
        separator, first_line, text = separator or declared[1], 2, text[declared.end() :]
    sample = _sample(text)
    if separator is None:
        separator = _sniff(sample)
    literal = _quotes_are_text(text, separator)
    if literal:
        notices.append("quotation marks are not paired within fields and are read as ordinary characters")
    records = _records(text, separator, literal, label, first_line)
    head = list(islice(records, SAMPLE_LINES))
    if not head:
        raise DataError(f"{label}: the file is empty; expected a header and rows")
    if header is None:
        header = _has_header([row for _, row in head])
        if not header:
            listed = f"c1 to c{len(head[0][1])}" if len(head[0][1]) > 1 else "c1"
            notices.append(f"no header: the first line holds values, so the columns are called {listed}")
    unnamed: list[str] = []
    if header:
        line, first = head.pop(0)
        names, unnamed = _names(first, label, line)
    else:
        names = [f"c{i + 1}" for i in range(len(head[0][1]))]
    if not head:
        raise DataError(f"{label}: found a header and no rows; expected at least one row of data")
    columns, lines = _columns(chain(head, records), names, header, separator, label)
    if unnamed and unnamed[-1] == names[-1] and len(names) > 1 and np.all(columns[names[-1]] == ""):
        columns.pop(unnamed.pop())  # a separator at the end of every line
    notices += [f"column {n[1:]} has no name and is called {n}" for n in unnamed]
    decimal = "," if separator != "," and _decimal_comma([row for _, row in head]) else "."
    return Table(columns, lines, label, encoding, separator, decimal, notices)


def _columns(
    records: Iterator[tuple[int, list[str]]], names: list[str], header: bool, separator: str, label: str
) -> tuple[dict[str, Strings], NDArray[np.int64]]:
    """Records → columns and line numbers, some thousand rows at a time: rows as lists take ten times the room."""
    blocks: list[list[Strings]] = []
    lines: list[int] = []
    while chunk := list(islice(records, BLOCK)):
        for line, row in chunk:
            if len(row) != len(names):
                raise _ragged(line, len(row), len(names), header, separator, label)
            lines.append(line)
        cells = zip(*(row for _, row in chunk), strict=True)
        blocks.append([np.strings.strip(np.array(c, dtype=TEXT)) for c in cells])
    whole = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return dict(zip(names, whole, strict=True)), np.array(lines, dtype=np.int64)


def _sample(text: str) -> str:
    """The first lines of the text, none of them cut."""
    end = 0
    for _ in range(SAMPLE_LINES):
        found = text.find("\n", end)
        if found < 0:
            return text
        end = found + 1
    return text[:end]


def _sniff(sample: str) -> str:
    """The separator with which the sample falls into the same number of fields, header included."""
    best, best_score = ",", 0.5
    quotings: tuple[Any, ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
    for separator in SEPARATORS:
        for quoting in quotings:
            try:
                rows = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, quoting=quoting)
                widths = [len(r) for r in rows if r]
            except csv.Error:
                continue
            width, count = Counter(widths).most_common(1)[0] if widths else (1, 0)
            score = count / max(len(widths), 1) - (0.3 if widths and widths[0] != width else 0.0)
            if width > 1 and score > best_score + 1e-9:
                best, best_score = separator, score
    return best


def _quotes_are_text(text: str, separator: str) -> bool:
    """Whether '"' is an ordinary character: fields open with one and do not close, though lines are even without it."""
    if separator == "," or '"' not in text:
        return False
    widths = set()
    odd = False
    for line in io.StringIO(text, newline=None):
        fields = line.rstrip("\n").split(separator)
        if fields == [""]:
            continue
        widths.add(len(fields))
        odd = odd or any(f.startswith('"') and (len(f) == 1 or not f.endswith('"')) for f in fields)
        if len(widths) > 1:
            return False
    return odd


def _records(text: str, separator: str, literal: bool, label: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Records, each with the physical line on which it starts; blank lines are passed over."""
    raw: list[str] = []  # the lines of the record being read

    def feed() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            raw.append(line)
            yield line

    quoting: Any = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
    reader = csv.reader(feed(), delimiter=separator, quoting=quoting)
    start, width = first, 0
    blank: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if len(raw) > 1 and sum(line.count('"') for line in raw) % 2:
                raise DataError(f"{label}, line {start}: a quotation mark opens here and is never closed; close it")
            raw.clear()
            if row and (len(row) > 1 or row[0].strip()):
                width = width or len(row)
                yield from blank
                blank.clear()
                yield start, row
            elif width == 1:  # in a file of one column a blank line between others is a missing value
                blank.append((start, [""]))
            start = reader.line_num + first
    except csv.Error as error:
        raise DataError(
            f"{label}, line {start}: the fields cannot be told apart ({error}); "
            "close the quotation mark that opens there"
        ) from error


def _value_like(cell: str) -> bool:
    cell = cell.strip()
    number = _PLAIN.fullmatch(cell) or _COMMA_DECIMAL.fullmatch(cell) or _DATE_LIKE.fullmatch(cell)
    return bool(number) or _INFINITE.fullmatch(cell) is not None


def _has_header(rows: list[list[str]]) -> bool:
    first, rest = rows[0], rows[1:SAMPLE_LINES]
    values = [c.strip() for c in first if _value_like(c)]
    words = [i for i, c in enumerate(first) if not _value_like(c) and c.strip().lower() not in MISSING]
    if not values or not words:
        return not values
    for i in words:  # a word above numbers or dates is a name
        below = [r[i] for r in rest if len(r) > i and r[i].strip().lower() not in MISSING]
        if below and sum(map(_value_like, below)) > len(below) / 2:
            return True
    # Years as column names ("country,1960,1961") stand beside text and differ; a row of data seldom looks so.
    return len(values) > 1 and len(set(values)) == len(values) and all(re.fullmatch(r"[12]\d{3}", v) for v in values)


def _names(header: list[str], label: str, line: int) -> tuple[list[str], list[str]]:
    """Column names, and those among them that had to be made up."""
    names = [" ".join("".join(c if c.isprintable() else " " for c in n).split()) for n in header]
    doubled = [n for n, count in Counter(n for n in names if n).items() if count > 1]
    if doubled:
        where = " and ".join(str(i + 1) for i, n in enumerate(names) if n == doubled[0])
        raise DataError(f"{label}, line {line}: columns {where} are both called '{doubled[0]}'; rename one of them")
    unnamed = [f"c{i + 1}" for i, n in enumerate(names) if not n]
    return [n or f"c{i + 1}" for i, n in enumerate(names)], unnamed


def _ragged(line: int, found: int, width: int, header: bool, separator: str, label: str) -> DataError:
    norm = "the header has" if header else "the first line has"
    mark = _NAMES.get(separator, f"'{separator}'")
    remedy = f"quote the fields that contain {mark}" if found > width else "add the rest"
    fields = f"{found} field{'s' if found != 1 else ''}"
    return DataError(f"{label}, line {line}: found {fields} where {norm} {width}; {remedy}")


def _decimal_comma(rows: list[list[str]]) -> bool:
    cells = [c.strip() for row in rows for c in row]
    commas = sum(1 for c in cells if _COMMA_DECIMAL.fullmatch(c))
    return commas > sum(1 for c in cells if _DOT_DECIMAL.fullmatch(c))

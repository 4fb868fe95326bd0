"""Delimited text → records: the separator, quotation marks, the header, and rows with their physical lines."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from rnnkit.data.numbers import COMMA_DECIMAL, DOT_DECIMAL, INFINITE, MISSING, PLAIN
from rnnkit.errors import DataError

SEPARATORS = ("\t", ";", "|", ",")  # in order of preference when a sample reads equally well with several
SAMPLE_LINES = 500
COMMENT = "#"
LONGEST = 1 << 30  # characters of a field

_DATE_LIKE = re.compile(r"\d[\d\-/:.TZQW +]*\d[Zz]?", re.ASCII)
_NAMES = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}


def sniff(sample: str) -> str:
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


def quotes_are_text(blocks: Iterable[str], separator: str) -> bool:
    """Whether '"' is an ordinary character: fields open with one and do not close, though lines are even without it."""
    if separator == ",":
        return False
    widths = set()
    odd = False
    for line in (line for block in blocks for line in io.StringIO(block, newline=None)):
        fields = line.rstrip("\n").split(separator)
        if fields == [""]:
            continue
        widths.add(len(fields))
        odd = odd or any(f.startswith('"') and (len(f) == 1 or not f.endswith('"')) for f in fields)
        if len(widths) > 1:
            return False
    return odd


def records(
    blocks: Iterable[str], separator: str, literal: bool, label: str, first: int
) -> Iterator[tuple[int, list[str]]]:
    """Records, each with the physical line on which it starts; blank lines are passed over.

    blocks: the text in pieces that end with a line; first: the number of the first line.
    """
    quoting: Any = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
    source, usual, width = iter(blocks), csv.field_size_limit(), 0
    try:
        for block in source:
            csv.field_size_limit(LONGEST)
            lines = list(io.StringIO(block, newline=""))
            rows = _each_its_own(lines, separator, quoting)
            if rows is None:
                yield from _one_by_one(chain([block], source), separator, quoting, label, first, width)
                return
            yield from zip(range(first, first + len(rows)), rows, strict=True)
            first, width = first + len(lines), len(rows[0])
    finally:
        csv.field_size_limit(usual)


def _each_its_own(lines: list[str], separator: str, quoting: Any) -> list[list[str]] | None:
    """The records of lines that are one each, or None where a record goes over lines or a line is blank."""
    if quoting == csv.QUOTE_MINIMAL and lines[-1].count('"') % 2:
        return None  # it may go on in the next block
    try:
        rows = list(csv.reader(lines, delimiter=separator, quoting=quoting))
    except csv.Error:
        return None
    whole = len(rows) == len(lines) and all(len(row) > 1 or (row and row[0].strip()) for row in rows)
    return rows if whole else None


def _one_by_one(
    blocks: Iterable[str], separator: str, quoting: Any, label: str, first: int, width: int
) -> Iterator[tuple[int, list[str]]]:
    """Records that may go on over lines; width: fields of those before them, 0 where there are none."""
    raw: list[str] = []  # the lines of the record being read

    def feed() -> Iterator[str]:
        for block in blocks:
            for line in io.StringIO(block, newline=""):
                raw.append(line)
                yield line

    reader = csv.reader(feed(), delimiter=separator, quoting=quoting)
    start = first
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
    number = PLAIN.fullmatch(cell) or COMMA_DECIMAL.fullmatch(cell) or _DATE_LIKE.fullmatch(cell)
    return bool(number) or INFINITE.fullmatch(cell) is not None


def has_header(rows: list[list[str]]) -> bool:
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


def names_of(header: list[str], label: str, line: int) -> tuple[list[str], list[str]]:
    """Column names, and those among them that had to be made up."""
    names = [" ".join("".join(c if c.isprintable() else " " for c in n).split()) for n in header]
    doubled = [n for n, count in Counter(n for n in names if n).items() if count > 1]
    if doubled:
        where = " and ".join(str(i + 1) for i, n in enumerate(names) if n == doubled[0])
        raise DataError(f"{label}, line {line}: columns {where} are both called '{doubled[0]}'; rename one of them")
    unnamed = [f"c{i + 1}" for i, n in enumerate(names) if not n]
    return [n or f"c{i + 1}" for i, n in enumerate(names)], unnamed


def ragged(line: int, row: list[str], width: int, header: bool, separator: str, label: str) -> DataError:
    """The error of a row that has more or fewer fields than the others."""
    norm = "the header has" if header else "the first line has"
    mark = _NAMES.get(separator, f"'{separator}'")
    if row[0].lstrip().startswith(COMMENT):
        remedy = "take the comment out"
    elif len(row) > width:
        remedy = f"quote the fields that contain {mark}" if any(row[width:]) else f"take the {mark} at its end out"
    else:
        remedy = "add the rest"
    fields = f"{len(row)} field{'s' if len(row) != 1 else ''}"
    return DataError(f"{label}, line {line}: found {fields} where {norm} {width}; {remedy}")


def comments_above(sample: str) -> tuple[int, int]:
    """(lines, characters) of comments before the header; one with as many fields as the first row is the header."""
    lines = sample.splitlines(keepends=True)
    count = next((i for i, line in enumerate(lines) if not line.startswith(COMMENT)), len(lines))
    if 0 < count < len(lines):
        separator = sniff("".join(lines[count:]))
        fields = lines[count - 1].count(separator)
        count -= fields > 0 and fields == lines[count].count(separator)
    return (count, len("".join(lines[:count]))) if count < len(lines) else (0, 0)


def refuse_other_formats(sample: str, label: str) -> None:
    """DataError for text that is no table."""
    begin = sample.lstrip()[:200].lower()
    if begin.startswith(('{"', "[{", "[[", "{\n", "{\r")):
        raise DataError(f"{label}, line 1: expected a table, found JSON; write it as CSV")
    if begin.startswith(("<!doctype", "<html", "<?xml", "<table")):
        raise DataError(f"{label}, line 1: expected a table, found HTML or XML; save the table as CSV")


def decimal_comma(rows: list[list[str]]) -> bool:
    cells = [c.strip() for row in rows for c in row]
    commas = sum(1 for c in cells if COMMA_DECIMAL.fullmatch(c))
    return commas > sum(1 for c in cells if DOT_DECIMAL.fullmatch(c))

"""Text → numbers: decimal commas, marks between thousands, marks of missing values."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strings = np.ndarray[Any, Any]
Floats = NDArray[np.float64]
TEXT = np.dtypes.StringDType()

MISSING = frozenset((
    "", "na", "n/a", "n.a.", "#n/a", "<na>", "nan", "null", "none", "nil", "missing", "?", "-", "--", ".", "..", "...",
    "#value!", "#div/0!", "#ref!", "#num!",
))  # fmt: skip
"""What stands for no value, in lower case."""

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
COMMA_DECIMAL = re.compile(r"[+-]?\d*,\d+", re.ASCII)
DOT_DECIMAL = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", re.ASCII)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
DOUBTFUL = "'{}' read with a decimal mark, though it could stand between thousands"
_SPACED = re.compile(r"[+-]?\d{1,3}([ \u00a0\u202f\u2009']\d{3})+([.,]\d*)?")
_BEGINS = re.compile(r"[+\-\u2212]?(\d|[.,]\d|inf)", re.IGNORECASE)
_SPACES = str.maketrans("", "", " \u00a0\u202f\u2009'")


@dataclass
class Parsed:
    """Numbers of one column: values float64 [rows], NaN where missing or unusable, ±inf where too large.

    missing: cells without a value; wrong: the row of the first unusable cell, or None; notice: what is to be said of
    how they were read, or ''.
    """

    values: Floats
    missing: int
    wrong: int | None = None
    notice: str = ""


def is_missing(cells: Strings) -> NDArray[np.bool_]:
    """True where a cell is blank or a usual mark for no value."""
    short = np.strings.str_len(cells) <= max(map(len, MISSING))
    found = np.zeros(len(cells), dtype=np.bool_)
    found[short] = np.isin(np.strings.lower(cells[short]), np.array(sorted(MISSING), dtype=TEXT))
    return found


def parse_numbers(text: Strings, decimal: str, separator: str, counts: NDArray[np.int64] | None = None) -> Parsed:
    """Cells [rows] as numbers; counts: how often each stands in the column where only different ones are given."""
    missing = is_missing(text)
    values = np.full(len(text), np.nan)
    present = np.flatnonzero(~missing)
    cells = text[present]
    plain = cells
    if decimal == "," and not np.any(np.strings.find(cells, ".") >= 0):
        plain = np.strings.replace(cells, ",", ".")
    notice, found = "", _switches(cells)
    if found is not None:
        notice = "true and false read as 1 and 0"
    elif (decimal == "." or plain is not cells) and not np.any(np.strings.find(cells, "_") >= 0):
        found = _floats(plain)
    if found is None:
        careful = _Careful(cells.tolist(), decimal, separator, None if counts is None else counts[present].tolist())
        found = careful.values
        notice = f"{careful.grouped} read as a mark between thousands" if careful.grouped else ""
    elif separator != "," and (doubtful := _doubtful(cells)):
        notice = DOUBTFUL.format(doubtful)
    values[present] = found
    wrong = present[~np.isfinite(found)]
    return Parsed(values, int(missing.sum()), int(wrong[0]) if wrong.size else None, notice)


def _doubtful(cells: Strings) -> str:
    """The first cell with a mark where every such cell has it before three last digits, as between thousands; or ''."""
    marks = np.maximum(np.strings.find(cells, "."), np.strings.find(cells, ","))
    at = np.flatnonzero(marks >= 0)
    if not at.size or np.any(np.strings.str_len(cells[at]) - marks[at] != 4):
        return ""
    return str(cells[at[0]]) if all(map(THOUSAND.fullmatch, cells[at].tolist())) else ""


def _switches(cells: Strings) -> Floats | None:
    """Cells of true and false as 1 and 0, None where there are others."""
    if not len(cells) or str(cells[0]).lower() not in ("true", "false"):
        return None
    lower = np.strings.lower(cells)
    on = lower == "true"
    return on.astype(np.float64) if np.all(on | (lower == "false")) else None


def _floats(cells: Strings) -> Floats | None:
    try:
        with np.errstate(over="ignore"):
            return cells.astype(np.float64)
    except ValueError:
        return None


class _Careful:
    """The slow way from cells to numbers: decimal commas and marks between thousands; NaN where neither fits."""

    def __init__(self, cells: list[str], decimal: str, separator: str, counts: list[int] | None) -> None:
        self.grouped = ""
        commas = [c for c in cells if "," in c]
        dots = [c for c in cells if "." in c]
        if commas and dots:
            last: Counter[str] = Counter()
            for c, count in zip(cells, counts or [1] * len(cells), strict=True):
                if "," in c and "." in c:
                    last["," if c.rfind(",") > c.rfind(".") else "."] += count
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
        if not _BEGINS.match(cell):
            return np.nan
        if groups.fullmatch(cell):
            self.grouped = f"'{group}'"
            cell = cell.replace(group, "")
        elif group in cell:
            return np.nan
        if _SPACED.fullmatch(cell):
            self.grouped = "an apostrophe" if "'" in cell else "a space"
            cell = cell.translate(_SPACES)
        cell = cell.replace("\u2212", "-").replace(decimal, ".")
        if INFINITE.fullmatch(cell):
            return float(cell)
        return float(cell) if PLAIN.fullmatch(cell) else np.nan

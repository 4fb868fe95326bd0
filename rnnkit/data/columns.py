"""The columns of a table: text as it stood in the file, or numbers, words and times where they are known already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.dates import Dates, parse_dates
from rnnkit.data.numbers import MISSING, TEXT, Parsed, Strings, is_missing, parse_numbers

Codes = NDArray[Any]  # of integers


class Column(Protocol):
    """What the readers of a table ask of one of its columns, [rows] cells."""

    def __len__(self) -> int: ...

    def cell(self, row: int) -> str:
        """One cell as the file has it, surrounding blanks removed."""
        ...

    def text(self, stop: int | None = None) -> Strings:
        """The cells as text [rows], or the first `stop` of them."""
        ...

    def missing(self) -> NDArray[np.bool_]:
        """[rows]: True where the cell is blank or a usual mark for no value."""
        ...

    def numbers(self, decimal: str, separator: str) -> Parsed:
        """The cells as numbers."""
        ...

    def words(self) -> tuple[Codes, list[str]]:
        """(number of its word [rows], the different words in order of first appearance)."""
        ...

    def codes(self) -> tuple[Codes, int]:
        """(number of its word [rows], how many there are), the numbers in any order."""
        ...

    def dates(self, compact: bool) -> Dates | int | None:
        """The cells as dates; see `parse_dates`."""
        ...


class TextColumn:
    """Cells as text [rows]."""

    def __init__(self, values: Strings) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def cell(self, row: int) -> str:
        return str(self._values[row])

    def text(self, stop: int | None = None) -> Strings:
        return self._values[:stop]

    def missing(self) -> NDArray[np.bool_]:
        return is_missing(self._values)

    def numbers(self, decimal: str, separator: str) -> Parsed:
        return parse_numbers(self._values, decimal, separator)

    def words(self) -> tuple[Codes, list[str]]:
        return first_seen(self._values)

    def codes(self) -> tuple[Codes, int]:
        codes, words = self.words()
        return codes, len(words)

    def dates(self, compact: bool) -> Dates | int | None:
        return parse_dates(self._values, compact)


class NumberColumn:
    """Cells known to be numbers: values [rows], NaN where missing; `cells(start, stop)` gives their text again.

    digits: whether every cell is written with digits alone, as 1949 or 20200131 are; notice: what is to be said of how
    they were read.
    """

    def __init__(
        self, values: NDArray[Any], cells: Callable[[int, int], Strings], digits: bool = False, notice: str = ""
    ) -> None:
        self._values, self._cells, self._digits, self._notice = values, cells, digits, notice

    def __len__(self) -> int:
        return len(self._values)

    def cell(self, row: int) -> str:
        return str(self._cells(row, row + 1)[0])

    def text(self, stop: int | None = None) -> Strings:
        return self._cells(0, len(self) if stop is None else min(stop, len(self)))

    def missing(self) -> NDArray[np.bool_]:
        return np.isnan(self._values) if self._values.dtype.kind == "f" else np.zeros(len(self), dtype=np.bool_)

    def numbers(self, decimal: str, separator: str) -> Parsed:
        values = self._values.astype(np.float64, copy=False)
        infinite = np.flatnonzero(np.isinf(values))
        missing = int(self.missing().sum())
        return Parsed(values, missing, int(infinite[0]) if infinite.size else None, self._notice)

    def words(self) -> tuple[Codes, list[str]]:
        _, first, inverse = np.unique(self._values, return_index=True, return_inverse=True)
        codes, order = _renumbered(first, inverse)
        return codes, [self.cell(int(row)) for row in first[order]]

    def codes(self) -> tuple[Codes, int]:
        different, codes = np.unique(self._values, return_inverse=True)
        return codes, len(different)

    def dates(self, compact: bool) -> Dates | int | None:
        if not self._digits or not isinstance(parse_dates(self.text(1), compact), Dates):
            return None  # numbers are dates as bare digits only
        different, inverse = np.unique(self._values.astype(np.int64), return_inverse=True)
        texts = np.array([str(v) for v in different.tolist()], dtype=TEXT)
        begin = int(inverse[0])  # the first cell sets the style
        found = parse_dates(np.concatenate([texts[begin : begin + 1], texts]), compact)
        if not isinstance(found, Dates):
            return parse_dates(self.text(), compact)
        return replace(found, values=found.values[1:][inverse])


class WordColumn:
    """Cells of few different words: codes [rows] into words, which stand in order of first appearance."""

    def __init__(self, codes: NDArray[Any], words: list[str]) -> None:
        self._codes, self._words = codes, words

    def __len__(self) -> int:
        return len(self._codes)

    def cell(self, row: int) -> str:
        return self._words[int(self._codes[row])]

    def text(self, stop: int | None = None) -> Strings:
        return np.array(self._words, dtype=TEXT)[self._codes[:stop]]

    def missing(self) -> NDArray[np.bool_]:
        return np.array([word.lower() in MISSING for word in self._words], dtype=np.bool_)[self._codes]

    def numbers(self, decimal: str, separator: str) -> Parsed:
        counts = np.bincount(self._codes, minlength=len(self._words))
        found = parse_numbers(np.array(self._words, dtype=TEXT), decimal, separator, counts)
        missing = self.missing()
        wrong = np.flatnonzero(~np.isfinite(found.values[self._codes]) & ~missing)
        return Parsed(
            found.values[self._codes], int(missing.sum()), int(wrong[0]) if wrong.size else None, found.notice
        )

    def words(self) -> tuple[Codes, list[str]]:
        return self._codes, self._words

    def codes(self) -> tuple[Codes, int]:
        return self._codes, len(self._words)

    def dates(self, compact: bool) -> Dates | int | None:
        return parse_dates(self.text(), compact)


class TimeColumn:
    """Cells known to be dates: the dates, which are missing where NaT; `cells(start, stop)` gives their text again."""

    def __init__(self, found: Dates, cells: Callable[[int, int], Strings]) -> None:
        self._found, self._cells = found, cells

    def __len__(self) -> int:
        return len(self._found.values)

    def cell(self, row: int) -> str:
        return str(self._cells(row, row + 1)[0])

    def text(self, stop: int | None = None) -> Strings:
        return self._cells(0, len(self) if stop is None else min(stop, len(self)))

    def missing(self) -> NDArray[np.bool_]:
        return np.isnat(self._found.values)

    def numbers(self, decimal: str, separator: str) -> Parsed:
        missing = self.missing()
        wrong = np.flatnonzero(~missing)
        return Parsed(np.full(len(self), np.nan), int(missing.sum()), int(wrong[0]) if wrong.size else None)

    def words(self) -> tuple[Codes, list[str]]:
        _, first, inverse = np.unique(self._found.values, return_index=True, return_inverse=True)
        codes, order = _renumbered(first, inverse)
        return codes, [self.cell(int(row)) for row in first[order]]

    def codes(self) -> tuple[Codes, int]:
        different, codes = np.unique(self._found.values, return_inverse=True)
        return codes, len(different)

    def dates(self, compact: bool) -> Dates | int | None:
        return self._found


def first_seen(text: Strings) -> tuple[Codes, list[str]]:
    """Cells [rows] as numbers of the different ones, which are numbered in order of first appearance."""
    different, first, inverse = np.unique(text, return_index=True, return_inverse=True)
    codes, order = _renumbered(first, inverse)
    return codes, different[order].tolist()


def _renumbered(first: Codes, inverse: Codes) -> tuple[Codes, Codes]:
    """What `np.unique` found, numbered by first appearance: (codes [rows], order of the different ones)."""
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse.reshape(-1)], order

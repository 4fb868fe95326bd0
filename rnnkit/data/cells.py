"""The fields of one column, block by block → numbers, dates, words or text, each kept in the least room.

A kind that cannot hold a field exactly as the careful readers (`numbers`, `dates`) would read it says so, and the
column is read again as the next kind; text takes anything.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.blocks import Block, Rows
from rnnkit.data.columns import Column, NumberColumn, TextColumn, TimeColumn, WordColumn
from rnnkit.data.dateparts import Dates, Parts, resolve
from rnnkit.data.dates import field_value, pattern, style_of
from rnnkit.data.numbers import DOUBTFUL, MISSING, PLAIN, TEXT, THOUSAND, Floats, Strings

WIDEST = 32  # bytes of a number that whole arrays read; longer ones are read one by one
MOST_WORDS = 1_000_000
LAYOUTS = 200  # ways to write a date within a block: lengths and names of months
_WIDEST_WORD = 256
_POWERS = 10.0 ** np.arange(23)  # exact in float64
_EXACT = 2**53
_ZERO, _DOT, _COMMA, _PLUS, _MINUS = (ord(c) for c in "0.,+-")


class Cells(Protocol):
    """Collects one column."""

    def add(self, block: Block, column: int) -> bool:
        """Takes the fields of one more block; False where this kind cannot hold them."""
        ...

    def column(self, rows: Rows, column: int) -> Column:
        """All that was added."""
        ...


class NumberCells:
    """Plain numbers and marks of missing ones."""

    def __init__(self, decimal: str, separator: str) -> None:
        self._decimal, self._parts, self._digits = decimal, list[Floats](), True
        # A point or comma before three last digits may stand between thousands, except in comma-separated files.
        self._doubted, self._doubtful = "", separator != ","

    def add(self, block: Block, column: int) -> bool:
        starts, ends = block.starts[:, column], block.ends[:, column]
        widths = ends - starts
        values = np.full(len(starts), np.nan)
        short = widths <= WIDEST
        done, digits = _plain_numbers(block, starts, widths, short, ord(self._decimal), values)
        self._digits &= digits
        if self._doubtful:
            self._doubt(block, column, widths)
        rest = np.flatnonzero(~done & (widths > 0))
        for row in rest.tolist():
            cell = block.cell(row, column)
            if cell.lower() in MISSING:
                continue
            if self._decimal == ",":
                cell = "" if "." in cell else cell.replace(",", ".")
            if not PLAIN.fullmatch(cell):
                return False
            values[row], self._digits = float(cell), False
        self._parts.append(values)
        return True

    def _doubt(self, block: Block, column: int, widths: NDArray[np.int64]) -> None:
        """Looks for a cell whose mark cannot stand between thousands; the first one that can is kept."""
        point = block.bytes == ord(self._decimal)
        if not point.any():
            return
        before = np.concatenate([[0], np.cumsum(point)])
        marked = before[block.ends[:, column]] > before[block.starts[:, column]]
        rows = np.flatnonzero(marked)
        fourth = block.bytes[np.maximum(block.ends[rows, column] - 4, 0)] == ord(self._decimal)
        self._doubtful = bool(np.all(fourth & (widths[rows] >= 5))) and all(
            THOUSAND.fullmatch(block.cell(row, column)) for row in rows.tolist()
        )
        if self._doubtful and rows.size and not self._doubted:
            self._doubted = block.cell(int(rows[0]), column)

    def column(self, rows: Rows, column: int) -> Column:
        notice = DOUBTFUL.format(self._doubted) if self._doubtful and self._doubted else ""
        return NumberColumn(_joined(self._parts), rows.cells(column), self._digits, notice)


def _plain_numbers(
    block: Block, starts: NDArray[np.int64], widths: NDArray[np.int64], short: NDArray[np.bool_], point: int,
    values: Floats,
) -> tuple[NDArray[np.bool_], bool]:  # fmt: skip
    """Fills in the fields that are a sign, digits and one decimal mark; (which those are, whether all are bare digits).

    A whole number below 2⁵³ over a power of ten up to 10²² is rounded once, as by strtod; longer ones go through it.
    """
    width = int(widths[short].max(initial=0))
    if not width:
        return np.zeros(len(starts), dtype=np.bool_), False
    text = block.matrix(starts, width)
    mantissa = np.zeros(len(starts), dtype=np.int64)
    digits, points, behind = (np.zeros(len(starts), dtype=np.int8) for _ in range(3))
    good = short & (widths > 0)
    zero_first = text[0] == _ZERO
    for j in range(width):
        inside = j < widths
        digit = text[j] - _ZERO  # of uint8: anything else becomes 10 or more
        is_digit = inside & (digit < 10)
        mantissa = np.where(is_digit, mantissa * 10 + digit, mantissa)  # wraps beyond 18 digits, which are read again
        digits += is_digit
        behind += is_digit & (points > 0)
        is_point = inside & (text[j] == point)
        points += is_point
        other = inside & ~is_digit & ~is_point
        if j == 0:
            signed = other & ((text[0] == _MINUS) | (text[0] == _PLUS))
            other &= ~signed
        good &= ~other
    good &= (digits > 0) & (points <= 1)
    exact = good & (digits <= 18) & (mantissa < _EXACT) & (behind <= 22)
    found = mantissa.astype(np.float64) / _POWERS[np.minimum(behind, 22)]
    values[exact] = np.where(text[0] == _MINUS, -found, found)[exact]
    long = np.flatnonzero(good & ~exact)
    if long.size:
        cells = np.where(np.arange(width)[:, None] < widths[long], text[:, long], 0)
        cells[cells == point] = _DOT
        values[long] = np.ascontiguousarray(cells.T).view(f"S{width}")[:, 0].astype(np.float64)
    bare = good & (points == 0) & ~signed & ~(zero_first & (widths > 1))
    return good, bool(bare.all())


class DateCells:
    """Dates in one style, that of the first cell."""

    def __init__(self) -> None:
        self._style: str | None = None
        self._first, self._zone = "", ""
        self._parts: list[dict[str, NDArray[Any]]] = []
        self._short, self._padded = set[str](), set[str]()
        self._long = False

    def add(self, block: Block, column: int) -> bool:
        starts, ends = block.starts[:, column], block.ends[:, column]
        if self._style is None:
            self._first = block.cell(0, column)
            self._style = style_of(self._first, compact=False)
            if self._style is None:
                return False
        read, tokens = pattern(self._style)
        kinds = {"f": np.int32, "Z": np.int32}
        numbers = {t: np.empty(len(starts), dtype=kinds.get(t, np.int16)) for t in tokens}
        rest, widths = np.arange(len(starts)), ends - starts
        for _ in range(LAYOUTS):
            if not rest.size:
                self._parts.append(numbers)
                return True
            cell = block.cell(int(rest[0]), column)
            match = read.fullmatch(cell)
            if match is None or not cell.isascii():
                return False
            if "Z" in tokens and not self._zone:
                self._zone = match[tokens.index("Z") + 1]
            rest = self._layout(block, starts, widths, rest, cell, match, tokens, numbers)
        return False

    def _layout(
        self, block: Block, starts: NDArray[np.int64], widths: NDArray[np.int64], rest: NDArray[np.int64], cell: str,
        match: Any, tokens: list[str], numbers: dict[str, NDArray[Any]],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Reads the rows of `rest` that are written as `cell` is, digits apart; returns the others."""
        rows = rest[widths[rest] == len(cell)]
        text = block.matrix(starts[rows], len(cell))
        spans = {t: match.span(i + 1) for i, t in enumerate(tokens)}
        digits = {j for t, (a, b) in spans.items() if t not in "bBpZ" for j in range(a, b)}
        alike = np.ones(len(rows), dtype=np.bool_)
        for j, letter in enumerate(cell.encode()):
            alike &= (text[j] - _ZERO < 10) if j in digits else (text[j] == letter)
        for token, most in (("q", 4), ("u", 7)):
            if token in spans:
                digit = text[spans[token][0]] - _ZERO
                alike &= (digit >= 1) & (digit <= most)
        rows, text = rows[alike], text[:, alike]
        for token, (a, b) in spans.items():
            if token in "bBpZ":
                numbers[token][rows] = field_value(token, cell[a:b])
                self._long |= token == "b" and b - a > 3
                continue
            value = np.zeros(len(rows), dtype=np.int64)
            for j in range(a, min(b, a + 6)):
                value = value * 10 + (text[j] - _ZERO)
            numbers[token][rows] = value * 10 ** (6 - min(b - a, 6)) if token == "f" else value
            if b - a == 1:
                self._short.add(token)
            if np.any(text[a] == _ZERO):
                self._padded.add(token)
        gone = np.zeros(len(starts), dtype=np.bool_)
        gone[rows] = True
        return rest[~gone[rest]]

    def column(self, rows: Rows, column: int) -> Column:
        assert self._style is not None
        numbers = {token: np.concatenate([part[token] for part in self._parts]) for token in self._parts[0]}
        found = resolve(Parts(numbers, self._short, self._padded, self._first, self._zone, self._long), self._style)
        if isinstance(found, Dates):
            return TimeColumn(found, rows.cells(column))
        return TextColumn(rows.cells(column)(0, rows.rows))  # some day there is none: `parse_dates` names it


class WordCells:
    """Few different words."""

    def __init__(self) -> None:
        self._codes: list[NDArray[np.int32]] = []
        self._known: dict[bytes, int] = {}
        self._words: dict[str, int] = {}
        self._rows = 0

    def add(self, block: Block, column: int) -> bool:
        starts, ends = block.starts[:, column], block.ends[:, column]
        widths = ends - starts
        width = max(int(widths.max(initial=0)), 1)
        if width > _WIDEST_WORD:
            return False
        text = np.where(np.arange(width)[:, None] < widths, block.matrix(starts, width), 0)
        new = np.ones(len(starts), dtype=np.bool_)
        new[1:] = np.any(text[:, 1:] != text[:, :-1], axis=0)  # mostly a word follows itself
        runs = np.ascontiguousarray(text[:, new].T).view(f"S{width}")[:, 0]
        different, first, inverse = np.unique(runs, return_index=True, return_inverse=True)
        self._rows += len(starts)
        code = np.empty(len(different), dtype=np.int32)
        for i in np.argsort(first).tolist():
            word = bytes(different[i])
            if word not in self._known:
                self._known[word] = self._words.setdefault(word.decode().strip(), len(self._words))
            code[i] = self._known[word]
        if len(self._words) > min(MOST_WORDS, max(1000, self._rows // 2)):
            return False
        self._codes.append(code[inverse.reshape(-1)][np.cumsum(new) - 1])
        return True

    def column(self, rows: Rows, column: int) -> Column:
        return WordColumn(_joined(self._codes), list(self._words))


class TextCells:
    """Anything, as text."""

    def __init__(self) -> None:
        self._parts: list[Strings] = []

    def add(self, block: Block, column: int) -> bool:
        self._parts.append(block.text(column))
        return True

    def column(self, rows: Rows, column: int) -> Column:
        return TextColumn(_joined(self._parts) if self._parts else np.array([], dtype=TEXT))


def _joined(parts: list[Any]) -> Any:
    """The parts as one array; they are given up meanwhile, so that no two copies of all stand beside each other."""
    whole = np.empty(sum(map(len, parts)), dtype=parts[0].dtype)
    at = len(whole)
    while parts:
        part = parts.pop()
        whole[at - len(part) : at] = part
        at -= len(part)
    return whole

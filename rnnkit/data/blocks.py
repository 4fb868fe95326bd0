"""Well-formed delimited bytes → fields, some megabytes at a time: where they start and end, found by whole arrays.

A block is whole lines as bytes [N]; its fields are [R, W] positions for R rows of W columns. Whatever the careful
reader (`records`) would treat in a way of its own raises `Odd`, so that nothing is read in two ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.numbers import TEXT, Strings
from rnnkit.data.source import Bytes

BLOCK_BYTES, BLOCK_ROWS, MOST_BYTES = 1 << 20, 5000, 1 << 26
"""A block is of so many bytes, or of so many rows where these take more, though never of more than the last."""

_NEWLINE, _RETURN, _QUOTE, _SPACE, _TAB = 10, 13, 34, 32, 9

Positions = np.ndarray[Any, np.dtype[np.int64]]


class Odd(Exception):  # noqa: N818 - no error: the careful reader takes over
    """These bytes are not well-formed, or not beyond doubt."""


@dataclass
class Block:
    """Bytes of whole lines [N] and the fields in them: starts and ends [R, W]; lines [R] counted from the block's
    first one, which is 0; breaks: how many lines the block has."""

    bytes: NDArray[np.uint8]
    starts: Positions
    ends: Positions
    lines: Positions
    breaks: int

    def cell(self, row: int, column: int) -> str:
        """One field as text."""
        field = self.bytes[self.starts[row, column] : self.ends[row, column]]
        return field.tobytes().decode("utf-8", "replace")

    def text(self, column: int, rows: slice = slice(None)) -> Strings:
        """The fields of a column as text [R]."""
        raw = self.bytes.tobytes()
        starts, ends = self.starts[rows, column].tolist(), self.ends[rows, column].tolist()
        cells = [raw[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        return np.strings.strip(np.array(cells, dtype=TEXT))

    def matrix(self, starts: Positions, width: int) -> NDArray[np.uint8]:
        """[width, n] bytes from each of the `starts` [n] on; what lies behind the end of the block is 0."""
        at = np.minimum(np.arange(width)[:, None] + starts, len(self.bytes) - 1)
        return self.bytes[at]


def split_blocks(data: Bytes, start: int) -> Iterator[tuple[int, int]]:
    """(first, stop) of the blocks of whole lines of the bytes from `start` on."""
    end = len(data)
    first_line = data.find(b"\n", start)
    per_line = (first_line if first_line >= 0 else end) - start
    size = min(max(BLOCK_BYTES, BLOCK_ROWS * per_line), MOST_BYTES)
    while start < end:
        stop = data.rfind(b"\n", start, start + size) + 1 if start + size < end else end
        if not stop:
            stop = data.find(b"\n", start + size) + 1 or end
        yield start, stop
        start = stop


def read_block(data: Bytes, start: int, stop: int, separator: str, width: int) -> Block:
    """The fields of one block, all of `width` columns; blank lines are passed over. Raises Odd."""
    raw = data[start:stop]
    content = np.frombuffer(raw if raw.endswith(b"\n") else raw + b"\n", dtype=np.uint8)
    newline = content == _NEWLINE
    marks = np.flatnonzero(newline | (content == ord(separator)))
    is_break = newline[marks]
    starts = np.concatenate([[0], marks[:-1] + 1])
    ends, returns = marks.copy(), 0
    if np.any(content == _RETURN):
        before = is_break & (ends > starts) & (content[np.maximum(ends - 1, 0)] == _RETURN)
        ends -= before
        returns = int(before.sum())
        if returns != np.count_nonzero(content == _RETURN):
            raise Odd
    breaks = int(is_break.sum())
    line = np.cumsum(is_break) - is_break
    begins = np.concatenate([[True], is_break[:-1]])
    blank = is_break & begins & (starts == ends)
    if width > 1 and blank.any():
        starts, ends, is_break, line = (a[~blank] for a in (starts, ends, is_break, line))
    if len(starts) % width or not np.array_equal(
        is_break.reshape(-1, width), np.broadcast_to(np.arange(width) == width - 1, (len(starts) // width, width))
    ):
        raise Odd
    fields = starts.reshape(-1, width), ends.reshape(-1, width)
    if np.any(content == _QUOTE):
        fields = _unquoted(content, *fields)
    starts, ends = _stripped(content, *fields)
    if width == 1 and (np.any(starts == ends) or np.any(content >= 128)):
        raise Odd  # in a file of one column a blank line may be a missing value, and other blanks than ' ' be in it
    return Block(content, starts, ends, line.reshape(-1, width)[:, 0], breaks)


def _unquoted(content: NDArray[np.uint8], starts: Positions, ends: Positions) -> tuple[Positions, Positions]:
    """Fields without the quotation marks that enclose them; Odd where one stands anywhere else."""
    quoted = (ends - starts >= 2) & (content[starts] == _QUOTE) & (content[ends - 1] == _QUOTE)
    if np.count_nonzero(content == _QUOTE) != 2 * np.count_nonzero(quoted):
        raise Odd
    return starts + quoted, ends - quoted


def _stripped(content: NDArray[np.uint8], starts: Positions, ends: Positions) -> tuple[Positions, Positions]:
    """Fields without blanks and tabs around them."""
    if not np.any((content == _SPACE) | (content == _TAB)):
        return starts, ends
    for step in (1, 0):
        while True:
            at = content[starts] if step else content[ends - 1]
            blank = (starts < ends) & ((at == _SPACE) | (at == _TAB))
            if not blank.any():
                break
            starts, ends = (starts + blank, ends) if step else (starts, ends - blank)
    return starts, ends


class Rows:
    """The blocks of a file with the row that each begins with, and its cells as text again, block by block."""

    def __init__(self, data: Bytes, separator: str, width: int) -> None:
        self._data, self._separator, self._width = data, separator, width
        self._spans: list[tuple[int, int]] = []
        self.firsts: list[int] = []
        self.rows = 0
        self._latest: tuple[int, Block] | None = None

    def add(self, start: int, stop: int) -> Block:
        """Reads a further block."""
        block = read_block(self._data, start, stop, self._separator, self._width)
        self._spans.append((start, stop))
        self.firsts.append(self.rows)
        self.rows += len(block.starts)
        return block

    def blocks(self) -> Iterator[Block]:
        """All blocks again."""
        for number in range(len(self._spans)):
            yield self._block(number)

    def _block(self, number: int) -> Block:
        if self._latest is None or self._latest[0] != number:
            start, stop = self._spans[number]
            self._latest = number, read_block(self._data, start, stop, self._separator, self._width)
        return self._latest[1]

    def cells(self, column: int) -> Callable[[int, int], Strings]:
        """(start, stop) → the text of these rows of a column."""

        def text(start: int, stop: int) -> Strings:
            number = int(np.searchsorted(self.firsts, start, side="right")) - 1
            parts = []
            while number < len(self._spans) and self.firsts[number] < stop:
                first = self.firsts[number]
                parts.append(self._block(number).text(column, slice(max(start - first, 0), stop - first)))
                number += 1
            return np.concatenate(parts) if parts else np.array([], dtype=TEXT)

        return text

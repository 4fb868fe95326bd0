"""Large well-formed files → columns, in a few passes of whole arrays and little more room than the numbers take."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.blocks import Block, Rows, split_blocks
from rnnkit.data.cells import Cells, DateCells, NumberCells, TextCells, WordCells
from rnnkit.data.columns import Column
from rnnkit.data.source import Bytes

Progress = Callable[[int, int], None]
"""Called with the bytes that are read and those there are."""
EVERY = 0.1
"""Seconds between two calls of it."""


def read_columns(
    data: Bytes,
    start: int,
    names: list[str],
    line: int,
    separator: str,
    decimal: str,
    words: Collection[str] = (),
    progress: Progress | None = None,
) -> tuple[dict[str, Column], NDArray[np.int64]]:
    """The columns of UTF-8 bytes whose rows begin at `start` on the given line, and the line of each row [rows].

    words: columns to keep as words though they may be numbers. Raises `Odd` where the careful reader must decide.
    """
    rows, lines = Rows(data, separator, len(names)), []
    makers: list[Callable[[], Cells]] = [lambda: NumberCells(decimal, separator), DateCells, WordCells, TextCells]
    kinds = [2 if name in words else 0 for name in names]
    cells: list[Cells | None] = [None] * len(names)
    latest = time.monotonic()
    for first, stop in split_blocks(data, start):
        block = rows.add(first, stop)
        lines.append(block.lines + line)
        line += block.breaks
        for i in range(len(names)):
            if first == start:
                cells[i], kinds[i] = _fitting(makers, kinds[i], block, i)
            elif (known := cells[i]) is not None and not known.add(block, i):
                cells[i], kinds[i] = None, max(kinds[i] + 1, 2)
        if progress is not None and (stop == len(data) or time.monotonic() - latest >= EVERY):
            progress(stop, len(data))
            latest = time.monotonic()
    columns: dict[str, Column] = {}
    for i, name in enumerate(names):
        found = cells[i]
        cells[i] = None  # given up as soon as it is joined
        while found is None:
            found = _again(rows, makers[kinds[i]](), i)
            kinds[i] += found is None
        columns[name] = found.column(rows, i)
    return columns, np.concatenate(lines) if lines else np.zeros(0, dtype=np.int64)


def _fitting(makers: list[Callable[[], Cells]], kind: int, block: Block, column: int) -> tuple[Cells, int]:
    """The first kind of cells that takes the column's first block."""
    while True:
        cells = makers[kind]()
        if cells.add(block, column):
            return cells, kind
        kind += 1


def _again(rows: Rows, cells: Cells, column: int) -> Cells | None:
    """All blocks of one column as another kind, or None where they are none of it."""
    return cells if all(cells.add(block, column) for block in rows.blocks()) else None

"""A text of any length that takes little memory: written once from its beginning, then read by positions."""

from __future__ import annotations

import io
import mmap
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from rnnkit.data import scratch

SMALL = 1 << 25
"""Bytes of a text, and symbols of one, that stay in memory."""
BLOCK = 1 << 20
"""Characters that are read at a time."""


class Spool:
    """Characters as UTF-8, in memory while there are few, else in a temporary file; positions count characters."""

    def __init__(self) -> None:
        self._file: IO[bytes] = scratch.spooled(SMALL)
        self._firsts, self._offsets = [0], [0]  # the character and the byte that each block begins with

    def write(self, block: str) -> None:
        """Append some text."""
        for start in range(0, len(block), BLOCK):
            part = block[start : start + BLOCK]
            data = part.encode("utf-8", "surrogatepass")
            with scratch.room():
                self._file.write(data)
            self._firsts.append(self._firsts[-1] + len(part))
            self._offsets.append(self._offsets[-1] + len(data))

    def __len__(self) -> int:
        return self._firsts[-1]

    @property
    def nbytes(self) -> int:
        """Bytes that are in memory."""
        return self._offsets[-1] if self._offsets[-1] <= SMALL else 0

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[str]:
        """The characters [start, stop), some at a time."""
        stop = len(self) if stop is None else min(stop, len(self))
        number = bisect_right(self._firsts, start) - 1
        while start < stop:
            first, offset = self._firsts[number], self._offsets[number]
            self._file.seek(offset)
            block = str(self._file.read(self._offsets[number + 1] - offset), "utf-8", "surrogatepass")
            yield block[start - first : stop - first]
            number += 1
            start = self._firsts[number]

    def text(self, start: int, stop: int) -> str:
        """The characters [start, stop) at once."""
        return "".join(self.blocks(start, stop))

    def find(self, mark: str, start: int, stop: int) -> int:
        """Where a character comes first in [start, stop), or -1."""
        for block in self.blocks(start, stop):
            at = block.find(mark)
            if at >= 0:
                return start + at
            start += len(block)
        return -1

    def close(self) -> None:
        """Give up the text."""
        self._file.close()


def narrowest(size: int) -> np.dtype[Any]:
    """The smallest type of ids below ``size`` that NumPy reads fast."""
    return np.dtype(np.uint8 if size <= 256 else np.uint16 if size <= 65536 else np.int32)


def store(parts: Iterable[Iterable[np.ndarray]], dtype: np.dtype[Any], small: bool) -> tuple[np.ndarray, list[int]]:
    """All ids in one array [n], and where each part ends; of many ids it is mapped from a temporary file."""
    if small:
        buffer = io.BytesIO()
        ends = _write(buffer, parts, dtype)
        return np.frombuffer(buffer.getbuffer(), dtype) if ends[-1:] > [0] else np.zeros(0, dtype), ends
    with scratch.unnamed() as file:
        ends = _write(file, parts, dtype)
        with scratch.room():
            file.flush()
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype), ends


def _write(file: IO[bytes], parts: Iterable[Iterable[np.ndarray]], dtype: np.dtype[Any]) -> list[int]:
    """Write all ids; where each part ends."""
    count, ends = 0, []
    for part in parts:
        for ids in part:
            data = np.ascontiguousarray(ids, dtype).tobytes()
            with scratch.room():
                file.write(data)
            count += len(ids)
        ends.append(count)
    return ends

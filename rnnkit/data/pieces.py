"""The bytes of a file, a stream or standard input, unpacked, some megabytes at a time and as often as needed."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from rnnkit.data import scratch
from rnnkit.data.source import Source, naming
from rnnkit.errors import DataError, UsageError

PIECE = 1 << 20
"""Bytes read at a time."""
KEPT = 1 << 26
"""Bytes of a stream that stay in memory; more go to a temporary file."""

Told = Callable[[int], None]  # takes how many bytes of a file are read


def unheard(done: int) -> None:
    """Nobody is told."""


def rereadable(file: Any) -> IO[bytes]:
    """A copy of a stream that can be read again."""
    copy = scratch.spooled(KEPT)
    while piece := file.read(PIECE):
        with scratch.room():
            copy.write(piece)
    copy.seek(0)
    return copy


class Pieces:
    """One open source; ``label`` is what messages call it, ``size`` its bytes as they are stored.

    A pipe, which can be read only once, is copied first. Raises UsageError for a path that is missing, a folder or
    unreadable, and for a stream of text.
    """

    def __init__(self, source: Source) -> None:
        self._own: list[IO[bytes]] = []
        if isinstance(source, str | os.PathLike) and os.fspath(source) != "-":
            self.label = os.fspath(source)
            with naming(Path(source)):
                file: Any = Path(source).open("rb")  # noqa: SIM115 - closed by `close`
            self._own.append(file)
        else:
            file = sys.stdin.buffer if isinstance(source, str | os.PathLike) else source
            name = getattr(file, "name", None)
            self.label = name if isinstance(name, str) and not name.startswith("<") else "standard input"
            if not isinstance(file.read(0), bytes):
                raise UsageError(
                    f"{self.label}: expected a stream opened in binary mode, found a text one; open it with 'rb'"
                )
        if not file.seekable():
            file = rereadable(file)
            self.close()
            self._own = [file]
        self._file: Any = file
        self._start = self._file.tell()
        self.size = max(0, self._file.seek(0, os.SEEK_END) - self._start)
        self._file.seek(self._start)
        self._packed = self._read(self._file, 2) == b"\x1f\x8b"

    def close(self) -> None:
        """Close what was opened here; a stream that was handed in stays open."""
        for file in self._own:
            file.close()

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read(self, file: Any, count: int) -> bytes:
        try:
            found: bytes = file.read(count)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self.label}: the gzip data is cut short or damaged; fetch or compress it again"
            ) from error
        except OSError as error:
            raise UsageError(f"{self.label}: cannot be read as a file ({error}); check the name") from error
        return found

    def __iter__(self) -> Iterator[bytes]:
        return self.read()

    def read(self, told: Told = unheard) -> Iterator[bytes]:
        """The bytes from the beginning; DataError where the file has become shorter since it was opened."""
        self._file.seek(self._start)
        source: Any = gzip.GzipFile(fileobj=self._file) if self._packed else self._file
        while piece := self._read(source, PIECE):
            told(self._file.tell() - self._start)
            yield piece
        done = self._file.tell() - self._start
        if done < self.size:
            raise DataError(
                f"{self.label}: the file shrank while it was read, from {self.size:,} bytes to {done:,}; "
                "try again when nothing else writes to it"
            )

    def head(self, count: int) -> bytes:
        """The first bytes."""
        found = b""
        for piece in self.read():
            found += piece
            if len(found) >= count:
                break
        return found[:count]

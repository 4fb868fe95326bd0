"""Temporary files for what is too large for memory: without a name, so that nothing is left whatever happens."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from rnnkit.errors import UsageError


def folder() -> str:
    """Where they are: TMPDIR, else /var/tmp, which unlike /tmp is seldom memory; else the usual place."""
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return tempfile.gettempdir() if named or not os.access("/var/tmp", os.W_OK) else "/var/tmp"


class _Spooled(tempfile.SpooledTemporaryFile[bytes]):
    """One that an error may leave behind: it is closed without a word about it."""

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never opened
            self.close()


def spooled(kept: int) -> IO[bytes]:
    """A file that is in memory up to ``kept`` bytes."""
    return _Spooled(max_size=max(1, kept), dir=folder())


def unnamed() -> IO[bytes]:
    """A file that is gone when it is closed or its process ends."""
    with room():
        return tempfile.TemporaryFile(dir=folder())


@contextmanager
def room() -> Iterator[None]:
    """What keeps such a file from being written becomes a UsageError of one sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{folder()}: a large text is kept there while it is read, which failed ({error.strerror or error}); "
            "make room, or name another folder with the environment variable TMPDIR"
        ) from error

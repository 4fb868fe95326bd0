"""What a person names as texts: a file, several, a folder with its texts, a stream, or standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnkit.data import encodings
from rnnkit.data.pieces import Pieces
from rnnkit.data.reading import BINARY
from rnnkit.data.source import CONTROL, FOREIGN, SEEN, naming
from rnnkit.errors import DataError, UsageError

SHOWN = 3
"""Files left out that are named; of more, their number is said."""


def listed(source: Any) -> list[Any]:
    """One source or several as a list."""
    several = isinstance(source, Sequence) and not isinstance(source, str | bytes)
    found = list(source) if several else [source]
    if not found:
        raise UsageError("a file, a folder or a list of them was expected, found an empty list; name one")
    return found


def is_folder(source: Any) -> bool:
    """Whether a source is the path of a folder."""
    return isinstance(source, str | os.PathLike) and os.fspath(source) != "-" and Path(source).is_dir()


def expand(source: Any) -> tuple[list[Any], list[str]]:
    """(the files and streams to read, what is worth saying): folders give their texts in the order of their names.

    Raises UsageError for a folder without texts, or one that may not be read.
    """
    found: list[Any] = []
    notices: list[str] = []
    for one in listed(source):
        if not is_folder(one):
            found.append(one)
            continue
        texts, others = _texts(Path(one))
        if not texts:
            seen = f"only {_named(others)}" if others else "no file"
            raise UsageError(f"{one}: expected a folder with text files, found {seen}; name another folder or a file")
        if others:
            notices.append(f"{one}: {len(texts)} text{'s' * (len(texts) > 1)} read, {_named(others)} left out")
        found += texts
    return found, notices


def _named(others: list[str]) -> str:
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return ", ".join(others[:SHOWN]) + more


def _texts(folder: Path) -> tuple[list[Path], list[str]]:
    """The texts in a folder and below it, and what else there is, with the reason in brackets."""
    texts, others = [], []
    for path in sorted(_files(folder), key=lambda path: path.relative_to(folder).parts):
        reason = _no_text(path)
        if reason:
            others.append(f"{path.relative_to(folder)} ({reason})")
        else:
            texts.append(path)
    return texts, others


def _files(folder: Path) -> Iterator[Path]:
    """Every file that is not hidden, sub-folders not followed through links."""

    def refuse(error: OSError) -> None:
        with naming(Path(error.filename or folder)):
            raise error

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in names if not name.startswith("."))


def _no_text(path: Path) -> str:
    """Why a file is no text, told by its first bytes, or ""."""
    if not path.is_file():
        return "no file"
    try:
        with Pieces(path) as pieces:
            head = pieces.head(encodings.HEAD)
    except DataError:
        return "damaged"
    for magic, what, _ in FOREIGN:
        if head.startswith(magic):
            return what
    if not SEEN.search(head):
        return "empty" if len(head) < encodings.HEAD else ""
    if encodings.marked(head) or encodings.unmarked(head, len(head) < encodings.HEAD):
        return ""
    return "binary" if 0 in head or len(CONTROL.findall(head)) > max(2, BINARY * len(head)) else ""

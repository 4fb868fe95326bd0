"""Bytes in: opening a path, a stream or standard input, undoing gzip, and turning bytes into text."""

from __future__ import annotations

import difflib
import gzip
import mmap
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rnnkit.errors import DataError, UsageError

Source = str | os.PathLike[str] | BinaryIO
Bytes = bytes | mmap.mmap
MAPPED = 1 << 20
"""Bytes from which on a file is mapped into memory."""
BLOCK = 1 << 20
"""Bytes of text decoded at a time."""

PARQUET = b"PAR1"
"""What a Parquet file begins with."""

FOREIGN = (
    (PARQUET, "a Parquet file", "it holds a table and no text"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save it as CSV or plain text"),
    (b"%PDF", "a PDF", "save it as plain text"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it first"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it first"),
    (b"BZh", "compressed by bzip2", "unpack it first"),
)
BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
SEEN = re.compile(rb"\S")
CONTROL = re.compile(rb"[\x00-\x06\x0e-\x19\x1c-\x1f\x7f]")


def is_frame(source: object) -> bool:
    """Whether a source is neither a path nor a stream: a data frame or a mapping of arrays."""
    return not isinstance(source, str | os.PathLike) and not hasattr(source, "read")


def suggest(name: str, known: list[str]) -> str:
    """The end of a message that proposes the nearest known name, or an empty string."""
    folded = {k.casefold(): k for k in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean '{folded[near[0]]}'?" if near else ""


def shown(text: object) -> str:
    """Text of a file as messages quote it: at most 40 characters on one line, control characters escaped."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[:41])
    return plain if len(plain) <= 40 else plain[:39] + "…"


def read_bytes(source: Source) -> tuple[Bytes, str]:
    """The content of a file, of a binary stream, or of standard input when the source is '-'; gzip is undone.

    A large file is mapped into memory rather than read.

    Returns (bytes, label), the label being what messages call the source.
    Raises UsageError for a path that is missing, a folder or unreadable; DataError for damaged gzip data.
    """
    if isinstance(source, str | os.PathLike):
        if os.fspath(source) == "-":
            data, label = sys.stdin.buffer.read(), "standard input"
        else:
            data, label = _read_path(Path(source)), os.fspath(source)
    else:
        name = getattr(source, "name", None)
        data = source.read()
        label = name if isinstance(name, str) and not name.startswith("<") else "standard input"
        if not isinstance(data, bytes):
            raise UsageError(f"{label}: expected a stream opened in binary mode, found a text one; open it with 'rb'")
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{label}: the gzip data is cut short or damaged; fetch or compress it again") from error
    return data, label


def _read_path(path: Path) -> Bytes:
    with naming(path), path.open("rb") as file:
        if path.is_file() and path.stat().st_size >= MAPPED:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return file.read()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What keeps a path inside from being opened or read becomes a UsageError of one sentence."""
    try:
        yield
    except FileNotFoundError:
        folder = path.parent
        names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        hint = suggest(path.name, names)
        raise UsageError(f"{path}: no such file{hint or '; check the name and the folder'}") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: expected a file, found a folder; name a file inside it") from None
    except PermissionError:
        raise UsageError(f"{path}: this file may not be read; check its permissions") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a file ({error}); check the name") from error


def decode(data: Bytes, label: str, encoding: str | None = None) -> tuple[str, str, list[str]]:
    """Bytes to text by a byte-order mark, else UTF-8, else the Western single-byte sets (said in a notice).

    Returns (text, encoding, notices). Raises DataError when the bytes are empty, not text, or not in the
    encoding they claim; UsageError for an encoding name that does not exist.
    """
    if not SEEN.search(data):
        raise DataError(f"{label}: the file is empty; expected text")
    for magic, what, remedy in FOREIGN:
        if data[:8].startswith(magic):
            raise DataError(f"{label}: expected text, found {what}; {remedy}")
    if encoding is None:
        encoding = next((name for bom, name in BOMS if data[:4].startswith(bom)), None)
    if encoding is not None:
        try:
            text = str(data, encoding)
        except LookupError:
            raise UsageError(f"unknown encoding '{encoding}'; common ones are utf-8, utf-16, cp1252, latin-1") from None
        except UnicodeDecodeError as error:
            line = _line(data, error.start)
            raise DataError(
                f"{label}: not valid {encoding} (byte {error.start + 1}, about line {line}); save the file as UTF-8"
            ) from error
        text = text.removeprefix("\ufeff")
        if "\x00" in text:
            raise _binary(label, data, data.find(b"\x00"))
        if not text.strip():
            raise DataError(f"{label}: the file is empty; expected text")
        return text, encoding.removesuffix("-sig"), []
    if (name := _unmarked(data)) is not None:
        text, _, _ = decode(data, label, name)
        return text, "utf-16", [f"{label} has no byte-order mark and is read as {name.upper()}"]
    control = CONTROL.search(data)
    nul = data.find(b"\x00")
    if nul >= 0:
        raise _binary(label, data, nul)
    try:
        return str(data, "utf-8"), "utf-8", []
    except UnicodeDecodeError as error:
        at = error.start
    if control and len(CONTROL.findall(data)) > len(data) / 500:
        raise _binary(label, data, control.start())
    name = "cp1252"
    try:
        text = str(data, name)
    except UnicodeDecodeError:
        name = "latin-1"
        text = str(data, name)
    line = _line(data, at)
    notice = f"{label} is not UTF-8 (byte 0x{data[at]:02x} on line {line}); read as {name}"
    return text, name, [notice]


def _unmarked(data: Bytes) -> str | None:
    """UTF-16 without a byte-order mark: of its first characters, nearly all Latin, every other byte is 0."""
    head = bytes(data[:400])
    if len(data) % 2 or len(head) < 8 or 0 not in head:
        return None
    even, odd = head[::2].count(0) / (len(head) / 2), head[1::2].count(0) / (len(head) / 2)
    if max(even, odd) < 0.9 or min(even, odd) > 0:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


@dataclass
class Text:
    """A decoded file as UTF-8: its bytes from `start` on, the encoding that it had, and what is worth saying."""

    data: Bytes
    start: int
    encoding: str
    notices: list[str]

    def blocks(self, start: int | None = None) -> Iterator[str]:
        """The text from `start` on in pieces of some megabytes that end with a line."""
        at = self.start if start is None else start
        while at < len(self.data):
            stop = self.data.find(b"\n", at + BLOCK) + 1 or len(self.data)
            yield str(self.data[at:stop], "utf-8")
            at = stop

    def head(self, lines: int) -> str:
        """The first lines, none of them cut."""
        end = self.start
        for _ in range(lines):
            end = self.data.find(b"\n", end) + 1
            if not end:
                return str(self.data[self.start :], "utf-8")
        return str(self.data[self.start : end], "utf-8")


def open_text(data: Bytes, label: str, encoding: str | None = None) -> Text:
    """Bytes as `decode` would have them, without a second copy where they are UTF-8 already; raises what it does."""
    utf8 = (encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
    start = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    other = any(data[:4].startswith(bom) for bom, name in BOMS if name != "utf-8-sig")
    if len(data) >= MAPPED and utf8 and not other and data.find(b"\x00") < 0 and _is_utf8(data, start):
        decode(data[:4096] if SEEN.search(data[start:4096]) else data[:], label, "latin-1")  # refuses what is no text
        return Text(data, start, encoding or "utf-8", [])
    text, encoding, notices = decode(data, label, encoding)
    return Text(text.encode(), 0, encoding, notices)


def _is_utf8(data: Bytes, start: int) -> bool:
    try:
        for _ in Text(data, start, "", []).blocks():
            pass
    except UnicodeDecodeError:
        return False
    return True


def _line(data: Bytes, at: int) -> int:
    """The number of the line that byte ``at`` stands on."""
    return data[:at].count(b"\n") + 1


def _binary(label: str, data: Bytes, at: int) -> DataError:
    line = _line(data, at)
    found = f"a binary file (byte 0x{data[at]:02x} at position {at + 1}, line {line})"
    return DataError(f"{label}: expected text, found {found}; save it as UTF-8 text")

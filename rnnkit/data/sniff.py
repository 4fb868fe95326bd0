"""Whether a source is a table: a data frame, or a file with the name, the first bytes or the first lines of one."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

from rnnkit.data.folder import expand, is_folder
from rnnkit.data.source import PARQUET, Source, is_frame

ENDINGS = (".csv", ".tsv", ".tab", ".parquet", ".pq")
_HEAD = 65536


def looks_like_table(source: Source | Any) -> bool:
    """True for a data frame, a name that ends as tables do, or first lines with the same separators and numbers."""
    if is_frame(source):
        return True
    if isinstance(source, str | os.PathLike):
        name = Path(source).name.lower().removesuffix(".gz")
        if name.endswith(ENDINGS):
            return True
        if name.endswith((".txt", ".text", ".md")) or not Path(source).is_file():
            return False
        try:
            with open(source, "rb") as file:
                head = file.read(_HEAD)
        except OSError:
            return False
    else:
        at = source.tell()
        head = source.read(_HEAD)
        source.seek(at)
    if head.startswith(PARQUET):
        return True
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, _HEAD)  # 31: with gzip's header; the rest is not there
        except zlib.error:
            return False
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "ignore")
    lines = [line for line in text.splitlines()[:-1][:20] if line.strip()] or text.splitlines()
    return len(lines) > 1 and any(_agree(lines, separator) for separator in ",;\t")


def are_tables(source: Source | Any) -> bool:
    """Whether a source is a table; a list or a folder, whether all in it are tables."""
    if isinstance(source, list) or is_folder(source):
        return all(looks_like_table(one) for one in expand(source)[0])
    return looks_like_table(source)


def _agree(lines: list[str], separator: str) -> bool:
    counts = {line.count(separator) for line in lines}
    if len(counts) != 1 or counts == {0}:
        return False
    cells = [cell.strip().strip('"') for line in lines[1:] for cell in line.split(separator)]
    return sum(any(c.isdigit() for c in cell) for cell in cells) * 2 >= len(lines) - 1

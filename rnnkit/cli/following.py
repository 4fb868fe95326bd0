"""Forecasts of a stream: a line in, a line out."""

from __future__ import annotations

import csv
import io
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rnnkit import console
from rnnkit.cli.forecasts import digits
from rnnkit.errors import DataError
from rnnkit.tasks.forecast_stream import Reply, Stream

INTERRUPTED = 130


def comes_by_and_by() -> bool:
    """Whether standard input is a pipe, a socket or a terminal, and no file that is there as a whole."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # no file at all
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()


def follow(stream: Stream, source: str, *, json: bool) -> int:
    """Answer every line of standard input, or of a file, as it comes; the exit code.

    A row that cannot be read is said on stderr with its line and passed over.
    """
    if source == "-":
        return _follow(stream, sys.stdin.buffer, "standard input", json)
    with Path(source).open("rb") as file:
        return _follow(stream, file, source, json)


def _follow(stream: Stream, file: BinaryIO, label: str, json: bool) -> int:
    rows = bad = 0
    writer = _Writer(stream, json)
    try:
        for number, text in enumerate(_lines(file), 1):
            try:
                replies = stream.line(text)
            except DataError as error:
                bad += 1
                console.note(f"{label}, line {number}: {error}; the row is left out")
                continue
            for notice in stream.notices:
                console.note(f"note: {notice}")
            stream.notices.clear()
            if replies:
                rows += 1
                writer.write(replies)
    except KeyboardInterrupt:
        return INTERRUPTED
    if not rows:
        found = f"{bad} row{'s' * (bad > 1)} that could not be read" if bad else "none"
        raise DataError(f"{label}: expected rows to forecast, found {found}; look at the columns of the stream")
    if bad:
        console.note(f"note: {bad:,} of {rows + bad:,} rows left out")
    return 0


def _lines(file: BinaryIO) -> Iterable[str]:
    """Lines as they come, a byte-order mark and the ends of lines removed."""
    for i, raw in enumerate(iter(file.readline, b"")):
        try:
            text = raw.decode("utf-8-sig" if i == 0 else "utf-8")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", "replace")
        yield text.rstrip("\r\n")


class _Writer:
    """Replies as rows of CSV with a header, or as lines of JSON; each is on its way before the next line is read."""

    def __init__(self, stream: Stream, json: bool) -> None:
        self.json, self.names, self.horizon = json, stream.columns, stream.horizon
        self.id, self.time = stream.stored.id_name, stream.time_name
        self.several = len(stream.targets) > 1
        self.begun = False

    def write(self, replies: Sequence[Reply]) -> None:
        """The replies to one row."""
        if self.json:
            text = "".join(console.to_json(self._object(reply)) + "\n" for reply in replies)
        else:
            file = io.StringIO()
            writer = csv.writer(file, lineterminator="\n")
            if not self.begun:
                writer.writerow(self._header())
            writer.writerows(self._cells(reply) for reply in replies)
            text, self.begun = file.getvalue(), True
        sys.stdout.write(text)
        sys.stdout.flush()

    def _labels(self, reply: Reply) -> dict[str, str]:
        """What says which value this is."""
        label = {self.id: reply.name} if self.id is not None else {}
        return {**label, **({"target": reply.target} if self.several else {}), self.time: reply.time}

    def _header(self) -> list[str]:
        labels = [*([self.id] if self.id is not None else []), *(["target"] if self.several else []), self.time]
        steps = ["next", *(f"next{h}" for h in range(2, self.horizon + 1))]
        following = [step if i == 0 else f"{step}_{name}" for step in steps for i, name in enumerate(self.names)]
        return [*labels, "value", *self.names, "score", "anomaly", *following]

    def _cells(self, reply: Reply) -> list[str]:
        steps: list[dict[str, float]] = [*reply.next, *({} for _ in range(self.horizon - len(reply.next)))]
        numbers = [reply.columns.get(name, np.nan) for name in self.names]
        following = [step.get(name, np.nan) for step in steps for name in self.names]
        flag = "" if reply.anomaly is None else str(int(reply.anomaly))
        figures = [digits(reply.value), *map(digits, numbers), digits(reply.score), flag, *map(digits, following)]
        return [*self._labels(reply).values(), *figures]

    def _object(self, reply: Reply) -> dict[str, Any]:
        following = [{self.time: at, **step} for at, step in zip(reply.next_times, reply.next, strict=True)]
        return {
            **self._labels(reply), "value": reply.value, "forecast": reply.columns or None, "score": reply.score,
            "anomaly": reply.anomaly, "next": following,
        }  # fmt: skip

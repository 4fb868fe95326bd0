"""Nasty files and what must become of them: the right reading, with every guess said, or one sentence."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from rnnkit.data import tables
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError

DAYS = ("2024-02-26", "2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04")
PI = (3, 1, 4, 1, 5, 9, 2, 6)


def table(
    cells: Sequence[Any] = PI, times: Sequence[Any] = DAYS, head: str = "date,y", separator: str = ",", end: str = "\n"
) -> str:
    """A column of times and one of values."""
    rows = [f"{time}{separator}{cell}" for time, cell in zip(times, cells, strict=True)]
    return end.join([head.replace(",", separator), *rows]) + end


PLAIN = table()


@dataclass
class Reads:
    """The right reading of a file.

    ends: first and last time and the one that follows, as they are written; says: the notices beside those that name
    the time, the target and the step.
    """

    values: Any  # of one series, or one list for each
    ends: tuple[str, str, str] = (DAYS[0], DAYS[-1], "2024-03-05")
    time: str | None = "date"
    target: str = "y"
    step: str = "daily"
    says: Sequence[str] = ()
    names: Sequence[str] = ("",)
    past: Sequence[str] = ()
    id: str | None = None


@dataclass
class Refuses:
    """The one sentence that a file is refused with, after the name of the file."""

    sentence: str


@dataclass
class Nasty:
    """A file's content and what must become of it."""

    content: str | bytes
    outcome: Reads | Refuses
    options: dict[str, Any] = field(default_factory=dict)

    def read(self) -> SeriesSet:
        data = self.content if isinstance(self.content, bytes) else self.content.encode()
        return read_series(io.BytesIO(data), **self.options)


def check(case: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is that of the table of cases, whether the file is read block by block or row by row."""
    for large in (0, 1 << 40):
        monkeypatch.setattr(tables, "LARGE", large)
        if isinstance(case.outcome, Refuses):
            with pytest.raises(DataError) as caught:
                case.read()
            assert str(caught.value) == f"standard input{case.outcome.sentence}"
            continue
        reads, series = case.outcome, case.read()
        wanted = reads.values if isinstance(reads.values[0], list) else [reads.values]
        assert len(series) == len(wanted)
        for values, expected in zip(series.values, wanted, strict=True):
            np.testing.assert_array_equal(values, expected)
        assert (series.time_name, series.id_name) == (reads.time, reads.id)
        assert (series.targets[0], series.past_names, series.names) == (reads.target, [*reads.past], [*reads.names])
        times, freq = series.times[0], series.freq
        assert freq.text == reads.step
        assert (*freq.format(times[[0, -1]]), *freq.format(freq.future(times[-1], 1))) == reads.ends
        usual = {f"column '{reads.time}' is the time", f"column '{reads.target}' is the target"}
        usual |= {f"the times are {reads.step}", f"past inputs: {', '.join(reads.past)}"}
        usual |= {"no column looks like a time; rows are counted from 1"} if reads.time is None else set()
        usual |= {f"column '{reads.id}' names the series"} if reads.id else set()
        assert [n for n in series.notices if n not in usual] == [*reads.says]

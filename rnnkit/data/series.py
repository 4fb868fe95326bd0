"""A table of measurements over time → one or many series ready for forecasting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.frames import frame_table
from rnnkit.data.frequency import Frequency, find_frequency
from rnnkit.data.grouping import Group, find_gaps, group_rows
from rnnkit.data.numbers import Floats
from rnnkit.data.periods import find_periods
from rnnkit.data.remarks import refuse_huge, say_missing, say_outliers
from rnnkit.data.roles import Names, Roles, find_roles
from rnnkit.data.source import Source, is_frame
from rnnkit.data.static import columns_of, encode_static
from rnnkit.data.tables import Table, read_table
from rnnkit.data.wellformed import Progress
from rnnkit.errors import DataError, UsageError

__all__ = ["GAPS", "SeriesSet", "find_periods", "read_series", "table_of"]

GAPS = ("keep", "mask", "fill")


@dataclass
class SeriesSet:
    """Series of one file, in order of first appearance, n points each; every target of an id is a series of its own.

    names: ids ('' where there is none), one per series; targets: column that each series' values are of; values: [n]
    float64, NaN where missing; past: [n, F] further inputs known up to now, in the order of past_names; times: [n]
    datetime64 or int64, ascending; gaps: rows that the time axis lacked; outliers: numbers that a notice calls so.
    future: [n + a, K] inputs known in advance, in the order of future_names, a ≥ 0 rows of them after the last value;
    ahead: [a] the times of these; static: [S, C] what is constant of each series (NaN where missing), in the order of
    static_names, where a column of words (of static_columns) is one of zeros and ones for each word ('region=north').
    columns: all that the table has, in its order.
    The targets of one id end at one time, and share the arrays of its times and inputs as far as they overlap.
    """

    names: list[str]
    targets: list[str]
    values: list[Floats]
    past: list[Floats]
    past_names: list[str]
    times: list[NDArray[Any]]
    time_name: str | None
    id_name: str | None
    freq: Frequency
    future: list[Floats] = field(default_factory=list)
    future_names: list[str] = field(default_factory=list)
    ahead: list[NDArray[Any]] = field(default_factory=list)
    static: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    static_names: list[str] = field(default_factory=list)
    static_columns: list[str] = field(default_factory=list)
    gaps: int = 0
    outliers: int = 0
    notices: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.future = self.future or [np.zeros((len(v), 0)) for v in self.values]
        self.ahead = self.ahead or [t[:0] for t in self.times]
        if not len(self.static):
            self.static = np.zeros((len(self.values), 0))

    @property
    def target_names(self) -> list[str]:
        """The different targets, in order."""
        return list(dict.fromkeys(self.targets))

    @property
    def labels(self) -> list[str]:
        """What messages and charts call each series: its id, its target, or both."""
        if len(self.target_names) == 1:
            return [name or target for name, target in zip(self.names, self.targets, strict=True)]
        return [f"{name} · {t}" if name else t for name, t in zip(self.names, self.targets, strict=True)]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> int:
        """Number of NaN targets over all series."""
        return sum(int(np.isnan(v).sum()) for v in self.values)

    def keep(self, numbers: Sequence[int]) -> None:
        """Leaves out all series but these."""
        for part in ("names", "targets", "values", "past", "times", "future", "ahead"):
            setattr(self, part, [getattr(self, part)[i] for i in numbers])
        self.static = self.static[list(numbers)]

    def fingerprint(self) -> str:
        """SHA-256 of names, times and numbers; equal exactly when the content is, whatever file it came from."""
        head = [
            self.names, self.targets, self.past_names, self.future_names, self.static_names, self.time_name,
            self.id_name, self.freq.to_dict(),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(head, ensure_ascii=True, sort_keys=True).encode())
        parts = zip(self.values, self.past, self.future, self.static, self.times, self.ahead, strict=True)
        for *numbers, times, ahead in parts:
            digest.update(np.array([len(times), len(ahead)]).astype("<i8").tobytes())
            for stamps in (times, ahead):
                stamps = stamps.astype("datetime64[us]").astype(np.int64) if stamps.dtype.kind == "M" else stamps
                digest.update(stamps.astype("<i8").tobytes())
            for part in numbers:
                clean = np.where(np.isnan(part), np.nan, part) + 0.0  # one NaN, one zero
                digest.update(np.ascontiguousarray(clean, dtype="<f8").tobytes())
        return digest.hexdigest()


def read_series(
    source: Source | Any,
    *,
    time: str | None = None,
    target: Names = None,
    id: str | None = None,
    past: Names = None,
    future: Names = None,
    static: Names = None,
    gaps: str = "mask",
    static_names: Sequence[str] | None = None,
    clock: str = "",
    progress: Progress | None = None,
) -> SeriesSet:
    """Reads series from a table: one row per time, or per time and series in long form.

    source: a delimited or Parquet file as a path or a binary stream ('-' is standard input), a pandas DataFrame or
    another data frame, or a mapping of column names to arrays [n].
    time, target, id, past, future, static: column names, of all but time and id a list (or a text with commas) of
    any number; None guesses and says so (past=None takes every usable numeric column, () none; where past is given,
    future and static are not guessed). gaps: what happens where the commonest step is skipped: 'keep' leaves the rows
    as they are, 'mask' puts in rows of NaN, 'fill' draws straight lines through them and through missing values.
    static_names: what the static columns became in a training, and are to become again; a word it did not have is
    zero everywhere, with a notice. clock: by which local times are known to be written. progress: called with the
    bytes read and those there are.
    Rows without a target before the first one that has it are left out, with a notice. Those after the last one are
    still to come: their future inputs are kept, and must be complete.
    Raises UsageError for unknown columns, DataError naming line and column for what cannot be used.
    """
    if gaps not in GAPS:
        raise UsageError(f"gaps must be one of {', '.join(GAPS)}, found '{gaps}'")
    table = table_of(source, id, progress)
    if static is None and static_names is not None:
        static = columns_of(table, static_names)
    roles = find_roles(table, time, target, id, past, future, static)
    notices = table.notices + roles.notices
    for name in roles.numeric:
        table.numeric(name)
    for name in roles.targets:
        if np.isnan(table.numeric(name)).all():
            raise DataError(f"{table.path}, column '{name}': every value is missing; name another target")
    groups = group_rows(table, roles, clock, notices)
    freq, share = find_frequency([g.times for g in groups], roles.axis.style)
    axis = roles.axis
    freq = replace(freq, origin=axis.origin, scale=axis.scale, digits=axis.digits, clock=axis.clock)
    constant, names = encode_static(table, roles.static, [g.rows for g in groups], static_names, notices)
    found, even = 0, False
    if roles.time:
        notices.append(f"the times are {freq.text}")
        found, even = find_gaps(groups, freq, share, gaps, notices)
    refuse_huge(table, roles.numeric)
    parts = _cut(table, roles, groups, notices)
    series = SeriesSet(
        [p.group.name for p in parts], [p.target for p in parts], [p.values for p in parts], [p.past for p in parts],
        roles.past, [p.times for p in parts], roles.time, roles.id, freq, [p.future for p in parts], roles.future,
        [p.ahead for p in parts], constant[[p.number for p in parts]], names, roles.static, found, notices=notices,
        columns=table.names,
    )  # fmt: skip
    say_missing(table, roles, notices)
    series.outliers = say_outliers(table, roles.numeric, groups, notices)
    _say_constant(series)
    if gaps == "fill":
        _fill(series)
    _check_ahead(table, roles, parts, freq, even)
    return series


def table_of(source: Source | Any, id: str | None = None, progress: Progress | None = None) -> Table:
    """The table of a source of any kind, a table as it is; id: a column that is of names, whatever they look like."""
    if isinstance(source, Table):
        return source
    if is_frame(source):
        return frame_table(source)
    return read_table(source, words=[] if id is None else [id], progress=progress)


@dataclass
class _Part:
    """One target of one group: its number among the groups, and what of it a series has; rows: [a] those ahead."""

    number: int
    group: Group
    target: str
    values: Floats
    past: Floats
    future: Floats
    times: NDArray[Any]
    ahead: NDArray[Any]
    rows: NDArray[np.int64]


def _cut(table: Table, roles: Roles, groups: list[Group], notices: list[str]) -> list[_Part]:
    """Every target of every group from its first value to the last one of the group, and what is known ahead."""
    parts: list[_Part] = []
    early, late, bare, empty = [], [], 0, []
    for number, group in enumerate(groups):
        columns = [_taken(table.numeric(name), group.rows) for name in roles.targets]
        known = np.flatnonzero(~np.isnan(np.stack(columns)).all(axis=0))
        if not known.size:
            empty += [(group.name, target) for target in roles.targets]
            continue
        stop = int(known[-1]) + 1
        future = _inputs(table, roles.future, group.rows)
        informed = np.flatnonzero(~np.isnan(future).all(axis=1)) if roles.future else known
        end = max(stop, int(informed[-1]) + 1 if informed.size else 0)
        past = _inputs(table, roles.past, group.rows[:stop])
        late.append((end if roles.future else len(group.rows)) - stop)
        bare += len(group.rows) - end if roles.future else 0
        for target, values in zip(roles.targets, columns, strict=True):
            there = np.flatnonzero(~np.isnan(values))
            if not there.size:
                empty.append((group.name, target))
                continue
            first = int(there[0])
            early.append(first)
            parts.append(
                _Part(
                    number, group, target, values[first:stop], past[first:], future[first:end],
                    group.times[first:stop], group.times[stop:end], group.rows[stop:end],
                )
            )  # fmt: skip
    _say_cut(notices, early, "start", "left out", len(parts))
    _say_cut(notices, late, "end", "taken as still to come", len(late))
    if bare:
        notices.append(f"{bare} row{'s' * (bare > 1)} at the end without target and future inputs left out")
    if empty:
        several = len(roles.targets) > 1
        labels = [" · ".join(n for n in (name, several * target) if n) for name, target in empty[:3]]
        first_three = ", ".join(f"'{label}'" for label in labels) + (", …" if len(empty) > 3 else "")
        notices.append(f"{len(empty)} series without any value left out: {first_three}")
    return parts


def _say_cut(notices: list[str], counts: list[int], end: str, what: str, series: int) -> None:
    rows, many = sum(counts), sum(c > 0 for c in counts)
    if rows:
        of = f" of {many} series" if series > 1 else ""
        verb = "are" if rows > 1 else "is"
        notices.append(f"{rows} row{'s' * (rows > 1)} without target at the {end}{of} {verb} {what}")


def _taken(column: Floats, rows: NDArray[np.int64]) -> Floats:
    """The numbers of a column [rows of the table] in the rows of a group, NaN where one was put in."""
    out = column[rows]
    if len(rows) and rows.min() < 0:
        out[rows < 0] = np.nan
    return out


def _inputs(table: Table, names: list[str], rows: NDArray[np.int64]) -> Floats:
    out = np.empty((len(rows), len(names)))
    for k, name in enumerate(names):
        out[:, k] = _taken(table.numeric(name), rows)
    return out


def _say_constant(series: SeriesSet) -> None:
    constant = [n for n, v in zip(series.labels, series.values, strict=True) if np.nanmin(v) == np.nanmax(v)]
    if constant and len(series) == 1:
        series.notices.append(f"the target is always {np.nanmin(series.values[0]):g}; there is nothing to learn")
    elif constant:
        series.notices.append(f"{len(constant)} of {len(series)} series never change (first '{constant[0]}')")


def _fill(series: SeriesSet) -> None:
    """Straight lines through missing values between two present ones; the ends stay missing."""
    filled = 0
    for i in range(len(series)):
        for column in (series.values[i], *series.past[i].T, *series.future[i].T):
            holes = np.isnan(column)
            if not holes.any() or holes.all():
                continue
            at = np.flatnonzero(~holes)
            inside = np.flatnonzero(holes[at[0] : at[-1]]) + at[0]
            column[inside] = np.interp(inside, at, column[at])
            filled += len(inside)
    if filled:
        series.notices.append(f"{filled} missing number{'s' * (filled > 1)} filled by straight lines")


def _check_ahead(table: Table, roles: Roles, parts: list[_Part], freq: Frequency, even: bool) -> None:
    """DataError unless the rows to come follow the last target step by step with every future input."""
    for part in parts:
        a = len(part.ahead)
        if not a:
            continue
        steps = freq.future(part.times[-1], a)
        wrong = np.flatnonzero((part.ahead != steps) | (part.rows < 0)) if even else np.zeros(0, dtype=np.int64)
        there = np.array([not np.isnan(row).any() for row in part.future[-a:]])
        wrong = wrong[~there[wrong] | (part.ahead[wrong] != steps[wrong])]
        if wrong.size:
            row = int(next(r for r in part.rows[wrong[0] :] if r >= 0))
            time = freq.format(steps[wrong[:1]])[0]
            raise DataError(
                f"{table.path}, {table.at(row)}: expected a row for {time} before this one, since the rows to come "
                "must follow the last target without gaps; add it"
            )
        if not there.all():
            at = int(np.argmin(there))
            name = roles.future[int(np.argmax(np.isnan(part.future[-a:][at])))]
            raise DataError(
                f"{table.where(int(part.rows[at]), name)}: expected a number, which has to be known in advance, found "
                "an empty cell; fill it in or drop the rows from there on"
            )

"""A table of measurements over time → one or many series ready for forecasting."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.frequency import Frequency, find_frequency
from rnnkit.data.periods import find_periods
from rnnkit.data.roles import Roles, find_roles, tell_apart
from rnnkit.data.source import Source, shown
from rnnkit.data.tables import Table, read_table
from rnnkit.errors import DataError, UsageError

Floats = NDArray[np.float64]
__all__ = ["GAPS", "SeriesSet", "find_periods", "read_series"]

GAPS = ("keep", "mask", "fill")
LARGEST = 1e150  # numbers beyond it cannot be squared
MAX_GROWTH = 10  # rows put into gaps may make a series at most this many times as long


@dataclass
class SeriesSet:
    """Series of one file, in order of first appearance, n points each; every target of an id is a series of its own.

    names: ids ('' where there is none), one per series; targets: column that each series' values are of; values: [n]
    float64, NaN where missing; past: [n, F] further inputs known up to now, in the order of past_names; times: [n]
    datetime64 or int64, ascending; gaps: rows that the time axis lacked.
    future: [n + a, K] inputs known in advance, in the order of future_names, a ≥ 0 rows of them after the last value;
    ahead: [a] the times of these; static: [S, C] what is constant of each series, in the order of static_names, where
    a column of words is one of zeros and ones for each word ('region=north').
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
    gaps: int = 0
    notices: list[str] = field(default_factory=list)

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

    def fingerprint(self) -> str:
        """SHA-256 of names, times and numbers; equal exactly when the content is, whatever file it came from."""
        head = [self.names, self.targets, self.past_names, self.time_name, self.id_name, self.freq.to_dict()]
        digest = hashlib.sha256(json.dumps(head, ensure_ascii=True, sort_keys=True).encode())
        for values, past, times in zip(self.values, self.past, self.times, strict=True):
            stamp = times.astype("datetime64[us]").astype(np.int64) if times.dtype.kind == "M" else times
            digest.update(np.int64(len(values)).astype("<i8").tobytes())
            digest.update(stamp.astype("<i8").tobytes())
            for numbers in (values, past):
                clean = np.where(np.isnan(numbers), np.nan, numbers) + 0.0  # one NaN, one zero
                digest.update(np.ascontiguousarray(clean, dtype="<f8").tobytes())
        return digest.hexdigest()


def read_series(
    source: Source,
    *,
    time: str | None = None,
    target: str | None = None,
    id: str | None = None,
    past: Sequence[str] | None = None,
    gaps: str = "mask",
) -> SeriesSet:
    """Reads series from a delimited file: one row per time, or per time and series in long form.

    time, target, id, past: column names; None guesses and says so (past=None takes every usable numeric column, ()
    none). gaps: what happens where the commonest step is skipped: 'keep' leaves the rows as they are, 'mask' puts in
    rows of NaN, 'fill' draws straight lines through them and through missing values.
    Rows without a target before the first and after the last one that has it are left out, with a notice: nothing is
    known of the former, and the latter are still to come.
    Raises UsageError for unknown columns, DataError naming line and column for what cannot be used.
    """
    if gaps not in GAPS:
        raise UsageError(f"gaps must be one of {', '.join(GAPS)}, found '{gaps}'")
    table = read_table(source)
    roles = find_roles(table, time, target, id, past)
    values = table.numeric(roles.target)
    if np.isnan(values).all():
        raise DataError(f"{table.path}, column '{roles.target}': every value is missing; name another target")
    columns = np.column_stack([table.numeric(n) for n in roles.past]) if roles.past else np.empty((table.rows, 0))
    notices = table.notices + roles.notices
    names, groups = _groups(table, roles.id)
    kept = _order(table, roles, groups, notices)
    times = [roles.axis.values[rows] if roles.time else np.arange(1, len(rows) + 1) for rows in kept]
    freq, share = find_frequency(times, roles.axis.style)
    freq = replace(freq, origin=roles.axis.origin, scale=roles.axis.scale, digits=roles.axis.digits)
    series = SeriesSet(
        names, [roles.target] * len(names), [values[r] for r in kept], [columns[r] for r in kept], roles.past, times,
        roles.time, roles.id, freq, notices=notices,
    )  # fmt: skip
    if roles.time:
        notices.append(f"the times are {freq.text}")
        _find_gaps(series, gaps, share)
    _refuse_huge(series, table, roles)
    _drop_empty(series)
    _trim(series)
    _say_missing(series, table, roles)
    if gaps == "fill":
        _fill(series)
    return series


def _groups(table: Table, id: str | None) -> tuple[list[str], list[NDArray[np.int64]]]:
    """Series names and their rows, in order of first appearance."""
    if id is None:
        return [""], [np.arange(table.rows)]
    missing = np.flatnonzero(table.columns[id] == "")
    if missing.size:
        raise DataError(f"{table.where(int(missing[0]), id)}: expected the name of a series, found nothing; fill it in")
    names, first, inverse = np.unique(table.columns[id], return_index=True, return_inverse=True)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    appearance = np.argsort(first)
    return [str(names[i]) for i in appearance], [rows[i] for i in appearance]


def _order(table: Table, roles: Roles, groups: list[NDArray[np.int64]], notices: list[str]) -> list[NDArray[np.int64]]:
    """Rows of each series in ascending time, repeated rows dropped."""
    if roles.time is None:
        return groups
    times = roles.axis.values
    unsorted, repeats, kept = [], 0, []
    for rows in groups:
        now = times[rows]
        back = np.flatnonzero(now[1:] < now[:-1])
        if back.size:
            unsorted.append(rows[back[0] + 1])
            rows = rows[np.argsort(now, kind="stable")]
        same = np.flatnonzero(times[rows][1:] == times[rows][:-1])
        for i in same:
            _check_repeat(table, roles, int(rows[i]), int(rows[i + 1]))
        repeats += len(same)
        kept.append(np.delete(rows, same + 1))
    if unsorted:
        line = table.lines[min(unsorted)]
        of = f" of {len(unsorted)} series" if len(groups) > 1 else ""
        notices.append(f"the times{of} were not in order (first on line {line}) and are sorted")
    if repeats:
        notices.append(f"{repeats} repeated row{'s' * (repeats > 1)} dropped")
    return kept


def _check_repeat(table: Table, roles: Roles, row: int, other: int) -> None:
    """Two rows of one series at one time must agree in every cell."""
    if all(cells[row] == cells[other] for cells in table.columns.values()):
        return
    assert roles.time is not None
    remedy = "keep one of them"
    if roles.id is None:
        apart = next(iter(tell_apart(table, roles.time, [roles.target, *roles.past])), None)
        remedy += ", or name the column that tells the series apart" + (f": --id {shlex.quote(apart)}" if apart else "")
    at = shown(table.columns[roles.time][row])
    raise DataError(
        f"{table.path}, lines {table.lines[row]} and {table.lines[other]}: both are at {at} in column '{roles.time}' "
        f"and differ; {remedy}"
    )


def _find_gaps(series: SeriesSet, gaps: str, share: float) -> None:
    """Counts skipped steps, names the first three, and puts rows into them unless they are to be kept."""
    freq, found = series.freq, 0
    listed: list[str] = []
    places, off = [], 0
    for name, times in zip(series.names, series.times, strict=True):
        place, on_step = freq.positions(times)
        places.append(place)
        off += int((~on_step).sum())
        skipped = np.diff(place) - 1
        for i in np.flatnonzero(skipped > 0)[: 3 - len(listed)]:
            of = f" of '{name}'" if name else ""
            listed.append(f"{skipped[i]} after {freq.format(times[i : i + 1])[0]}{of}")
        found += int(np.maximum(skipped, 0).sum())
    rows = sum(map(len, series.times))
    if share < 0.5 or off:
        uneven = f"only {share:.0%} of steps are equal" if share < 0.5 else f"{off} of {rows} times lie off the step"
        series.notices.append(f"the times are uneven ({uneven}); rows are used in order as they are")
        return
    if not found:
        return
    series.gaps = found
    more = ", …" if found > sum(int(text.split()[0]) for text in listed) else ""
    words = f"{found} missing row{'s' * (found > 1)} ({', '.join(listed)}{more})"
    if gaps == "keep":
        series.notices.append(f"{words}: left as they are")
    elif found > MAX_GROWTH * rows:
        series.notices.append(f"{words}: too many to put in, rows are used in order as they are")
    else:
        series.notices.append(f"{words}: put in {'as missing' if gaps == 'mask' else 'by straight lines'}")
        for i, place in enumerate(places):
            _insert(series, i, place)


def _insert(series: SeriesSet, i: int, place: NDArray[np.int64]) -> None:
    """Spreads series i over its full time axis, NaN between the rows it has."""
    n = int(place[-1]) + 1
    if n == len(place):
        return
    values, past = np.full(n, np.nan), np.full((n, series.past[i].shape[1]), np.nan)
    values[place], past[place] = series.values[i], series.past[i]
    series.future[i] = np.zeros((n, 0))
    times = series.times[i]
    whole = np.concatenate([times[:1], series.freq.future(times[0], n - 1)])
    whole[place] = times
    series.values[i], series.past[i], series.times[i] = values, past, whole


def _drop_empty(series: SeriesSet) -> None:
    """Leaves out series without a single target."""
    empty = [i for i, v in enumerate(series.values) if np.isnan(v).all()]
    if not empty:
        return
    first = ", ".join(f"'{series.names[i]}'" for i in empty[:3]) + (", …" if len(empty) > 3 else "")
    series.notices.append(f"{len(empty)} series without any value left out: {first}")
    for part in (series.names, series.targets, series.values, series.past, series.times):
        for i in reversed(empty):
            del part[i]


def _refuse_huge(series: SeriesSet, table: Table, roles: Roles) -> None:
    """DataError for numbers so large that errors cannot be squared."""
    for name in (roles.target, *roles.past):
        numbers, _ = table.parse(name)
        huge = np.flatnonzero(np.abs(numbers) > LARGEST)
        if huge.size:
            raise DataError(
                f"{table.where(int(huge[0]), name)}: numbers up to {LARGEST:g} were expected, found "
                f"{numbers[huge[0]]:g}; give the column in a larger unit"
            )


def _trim(series: SeriesSet) -> None:
    """Leaves out rows before the first and after the last target of each series."""
    early, late = [], []
    for i, v in enumerate(series.values):
        known = np.flatnonzero(~np.isnan(v))
        first, stop = int(known[0]), int(known[-1]) + 1
        early.append(first)
        late.append(len(v) - stop)
        for part in (series.values, series.past, series.times):
            part[i] = part[i][first:stop]
        series.future[i] = series.future[i][first:stop]
    for counts, end, what in [(early, "start", "left out"), (late, "end", "taken as still to come")]:
        rows, many = sum(counts), sum(c > 0 for c in counts)
        if rows:
            of = f" of {many} series" if len(series) > 1 else ""
            verb = "are" if rows > 1 else "is"
            series.notices.append(f"{rows} row{'s' * (rows > 1)} without target at the {end}{of} {verb} {what}")


def _say_missing(series: SeriesSet, table: Table, roles: Roles) -> None:
    """Counts missing values, and points at constant series and at numbers that look like marks for missing."""
    for name in (roles.target, *roles.past):
        count = table.missing[name]
        if count:
            numbers, _ = table.parse(name)
            line = table.lines[int(np.flatnonzero(np.isnan(numbers))[0])]
            series.notices.append(
                f"column '{name}': {count} missing value{'s' * (count > 1)} "
                f"({count / table.rows:.1%}, first on line {line})"
            )
        if mark := _missing_mark(table, name):
            series.notices.append(mark)
    constant = [n for n, v in zip(series.names, series.values, strict=True) if np.nanmin(v) == np.nanmax(v)]
    if constant and len(series) == 1:
        series.notices.append(f"the target is always {np.nanmin(series.values[0]):g}; there is nothing to learn")
    elif constant:
        series.notices.append(f"{len(constant)} of {len(series)} series never change (first '{constant[0]}')")


def _missing_mark(table: Table, name: str) -> str:
    """A notice on a repeated number far from all others, or the only negative one: perhaps a mark for missing."""
    numbers, _ = table.parse(name)
    present = numbers[np.isfinite(numbers)]
    if len(np.unique(present)) <= 3:  # a switch or a class
        return ""
    for extreme in (present.min(), present.max()):
        rest = present[present != extreme]
        count = len(present) - len(rest)
        if count < 3 or rest.size < 3:
            continue
        low, high = rest.min(), rest.max()
        distance = low - extreme if extreme < low else extreme - high
        if (extreme < 0 <= low and len(np.unique(rest)) > 3) or distance > 5 * (high - low):
            return (
                f"column '{name}': {extreme:g} stands {count} times apart from the others ({low:g} to {high:g}); "
                "if it means missing, leave those cells empty"
            )
    return ""


def _fill(series: SeriesSet) -> None:
    """Straight lines through missing values between two present ones; the ends stay missing."""
    filled = 0
    for i in range(len(series)):
        for column in (series.values[i], *series.past[i].T):
            holes = np.isnan(column)
            if not holes.any() or holes.all():
                continue
            at = np.flatnonzero(~holes)
            inside = np.flatnonzero(holes[at[0] : at[-1]]) + at[0]
            column[inside] = np.interp(inside, at, column[at])
            filled += len(inside)
    if filled:
        series.notices.append(f"{filled} missing number{'s' * (filled > 1)} filled by straight lines")

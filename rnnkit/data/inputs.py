"""Which columns are inputs: known up to now, known in advance, or constant of each series; every guess is said."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.axis import SAMPLE, TIME_NAMES, TimeAxis, name_words
from rnnkit.data.columns import first_seen
from rnnkit.data.numbers import Floats
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError

MOST_WORDS = 50
"""Different words of a static input at most: each takes a column of zeros and ones."""


def guess_inputs(
    table: Table,
    axis: TimeAxis,
    time: str | None,
    targets: list[str],
    id: str | None,
    names: list[str],
    past: list[str] | None,
    future: list[str] | None,
    static: list[str] | None,
    notices: list[str],
) -> tuple[list[str], list[str], list[str]]:
    """(past, future, static): as given, else what the free columns `names` can be; given past inputs are all there are.

    Constant within each of several series: static. Present in the rows without a target after the last one with it:
    future. Any other column of numbers that says something: past.
    """
    if past is not None:
        return past, future or [], static or []
    groups = table.words(id)[0] if id else np.zeros(table.rows, dtype=np.int64)
    kept: dict[str, list[str]] = {"past": [], "future": [], "static": []}
    left_out: dict[str, list[str]] = {}
    ahead = _rows_ahead(table, axis, targets, groups) if time and future is None else np.zeros(0, dtype=np.int64)
    for name in names:
        reason = ""
        if static is None and id is not None and (values := constants(table, name, id)) and len(set(values)) > 1:
            reason = _not_static(table, name, values)
            if not reason:
                kept["static"].append(name)
                continue
        reason = reason or _unusable(table, name, id, names)
        if reason:
            left_out.setdefault(reason, []).append(name)
            continue
        known = ahead.size and not np.isnan(table.parse(name)[0][ahead]).any()
        kept["future" if known else "past"].append(name)
    for reason, those in left_out.items():
        if len(those) > 3:
            notices.append(f"columns {_listed(those, 3)} are left out: {reason}")
        else:
            notices += [f"column '{name}' is left out: {reason}" for name in those]
    for kind, words in (("past", ""), ("future", ", as they are known for the rows to come"), ("static", "")):
        if kept[kind]:
            notices.append(f"{kind} inputs: {_listed(kept[kind], 20)}{words}")
    return kept["past"], future or kept["future"], static or kept["static"]


def _listed(names: list[str], most: int) -> str:
    """The first names, and how many there are of more."""
    return ", ".join(names[:most]) + (f", … ({len(names)} of them)" if len(names) > most else "")


def constants(table: Table, name: str, id: str | None) -> list[Any]:
    """The one value or word of each series that has any, where a column never changes within a series; else []."""
    for rows in (SAMPLE, table.rows):  # most columns change soon
        groups = table.words(id)[0][:rows] if id else np.zeros(min(rows, table.rows), dtype=np.int64)
        values: NDArray[Any]
        if table.is_numeric(name):
            values = table.parse(name)[0][:rows]
            there = ~np.isnan(values)
        else:
            values = table.words(name)[0] if rows == table.rows else first_seen(table.column(name).text(rows))[0]
            there = ~table.is_missing(name)[:rows]
        values, groups = values[there], groups[there]
        if changed_row(values, groups) is not None:
            return []
    return values[np.unique(groups, return_index=True)[1]].tolist()


def changed_row(values: NDArray[Any], groups: NDArray[Any]) -> int | None:
    """The first row [rows] whose value differs from the first one of its group, or None."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    first = np.empty(int(groups.max(initial=-1)) + 1, dtype=values.dtype)
    first[groups[order[starts]]] = values[order[starts]]
    changed = np.flatnonzero(values != first[groups])
    return int(changed[0]) if changed.size else None


def _rows_ahead(table: Table, axis: TimeAxis, targets: list[str], groups: NDArray[Any]) -> NDArray[np.int64]:
    """The rows after the last target of their series, and without one."""
    there = np.zeros(table.rows, dtype=np.bool_)
    for name in targets:
        there |= ~np.isnan(table.parse(name)[0])
    times = axis.values.astype(np.int64)
    last = np.full(int(groups.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    with_target = np.flatnonzero(there)
    last[groups[with_target]] = np.iinfo(np.int64).min
    np.maximum.at(last, groups[with_target], times[with_target])
    return np.flatnonzero(times > last[groups])


def _not_static(table: Table, name: str, values: list[Any]) -> str:
    """Why a column with one of `values` for each series is no static input, or an empty string."""
    different = len(set(values))
    numbered = not table.is_numeric(name) or np.all(np.diff(np.sort(values)) == 1)
    if numbered and different == len(values) > 2:
        return "it only names the series"
    if not table.is_numeric(name) and different > MOST_WORDS:
        return f"it has {different} different words, more than {MOST_WORDS}"
    return ""


def _unusable(table: Table, name: str, id: str | None, names: list[str]) -> str:
    """Why a column cannot be an input, or an empty string. Raises DataError for a bad cell among numbers."""
    values, wrong = table.parse(name)
    if wrong is not None and not table.is_numeric(name):
        return f"it holds text ('{shown(table.cell(wrong, name))}' on {table.at(wrong)})"
    missing = table.missing[name]
    if missing > 0.5 * table.rows:
        return f"{missing / table.rows:.0%} of it is missing"
    if wrong is not None:
        good = ",".join(n for n in names if n != name and table.parse(n)[1] is None)
        try:
            table.numeric(name)
        except DataError as error:
            raise DataError(f"{error}, or leave the column out with --past {shlex.quote(good)}") from error
    present = values[~np.isnan(values)]
    if np.all(present == present[0]):
        return f"it is always {present[0]:g}"
    if _is_clock(values, table, id, bool(name_words(name) & TIME_NAMES)):
        return "it only counts time"
    return ""


def _is_clock(values: Floats, table: Table, id: str | None, named: bool) -> bool:
    """Whether the column rises with the rows of every series: evenly, or under a name that says time."""
    groups = table.words(id)[0] if id else np.zeros(table.rows, dtype=np.int64)
    for group in range(min(int(groups.max()) + 1, 20)):
        own = values[groups == group]
        if len(own) < 3 or np.isnan(own).any() or not np.all(np.diff(own) > 0):
            return False
        row = np.arange(len(own))
        if not named and np.abs(np.polyval(np.polyfit(row, own, 1), row) - own).max() > 0.01 * (own[-1] - own[0]):
            return False
    return True

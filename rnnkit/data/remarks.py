"""What is worth saying of the numbers: too large, missing, marks of missing, constant."""

from __future__ import annotations

import numpy as np

from rnnkit.data.grouping import Group
from rnnkit.data.outliers import find_outliers
from rnnkit.data.roles import Roles
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError

SAMPLE = 100  # missing cells whose marks are named
LARGEST = 1e150  # numbers beyond it cannot be squared


def refuse_huge(table: Table, names: list[str]) -> None:
    """DataError for numbers so large that errors cannot be squared."""
    for name in names:
        numbers, _ = table.parse(name)
        huge = np.flatnonzero(np.abs(numbers) > LARGEST)
        if huge.size:
            raise DataError(
                f"{table.where(int(huge[0]), name)}: numbers up to {LARGEST:g} were expected, found "
                f"{numbers[huge[0]]:g}; give the column in a larger unit"
            )


def say_missing(table: Table, roles: Roles, notices: list[str]) -> None:
    """Counts missing values, and points at numbers that look like marks for missing."""
    for name in (*roles.numeric, *roles.static):
        gone = np.isnan(table.numeric(name)) if name in roles.numeric else table.is_missing(name)
        if count := int(gone.sum()):
            rows = np.flatnonzero(gone)[:SAMPLE].tolist()
            marks = [shown(mark) for mark in dict.fromkeys(table.cell(row, name) for row in rows) if mark]
            written = f", written {', '.join(marks)}" if marks else ""
            notices.append(
                f"column '{name}': {count} missing value{'s' * (count > 1)} "
                f"({count / table.rows:.1%}, first on {table.at(rows[0])}{written})"
            )
        if name in roles.numeric and (mark := _missing_mark(table, name)):
            notices.append(mark)


def say_outliers(table: Table, names: list[str], groups: list[Group], notices: list[str]) -> int:
    """Names the first three outliers of each column, which stay as they are; how many there are of all columns."""
    found = 0
    for name in names:
        values, rows = table.numeric(name), list[int]()
        for group in groups:
            own = group.rows[group.rows >= 0]
            rows += own[find_outliers(values[own])].tolist()
        if not rows:
            continue
        rows.sort()
        found += len(rows)
        listed = ", ".join(f"{shown(table.cell(row, name))} on {table.at(row)}" for row in rows[:3])
        more = ", …" if len(rows) > 3 else ""
        notices.append(
            f"column '{name}': {len(rows)} outlier{'s' * (len(rows) > 1)}, far from all else ({listed}{more}), left as "
            f"{'they are' if len(rows) > 1 else 'it is'}"
        )
    return found


def _missing_mark(table: Table, name: str) -> str:
    """A notice on a repeated number far from all others, or the only negative one: perhaps a mark for missing."""
    numbers, _ = table.parse(name)
    present = numbers[np.isfinite(numbers)]
    if len(np.unique(present[:1000])) <= 3 and len(np.unique(present)) <= 3:  # a switch or a class
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

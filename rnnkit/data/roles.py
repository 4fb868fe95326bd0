"""Which column of a table is the time, the target, the series' name, an input; every guess is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnkit.data.axis import TIME_NAMES, TimeAxis, guess_time, is_date, name_words, read_time
from rnnkit.data.inputs import constants, guess_inputs
from rnnkit.data.numbers import INFINITE
from rnnkit.data.source import shown
from rnnkit.data.tables import ID_NAMES, Table
from rnnkit.errors import DataError, UsageError

TARGET_NAMES = ("y", "target", "value", "ot")


@dataclass
class Roles:
    """The columns by their part in the forecast; time and id are None where there is none."""

    time: str | None
    targets: list[str]
    id: str | None
    past: list[str]
    axis: TimeAxis
    future: list[str] = field(default_factory=list)
    static: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def numeric(self) -> list[str]:
        """The columns that are read as numbers at every time."""
        return [*self.targets, *self.past, *self.future]


Names = str | Sequence[str] | None


def find_roles(
    table: Table, time: str | None, target: Names, id: str | None, past: Names, future: Names = None,
    static: Names = None,
) -> Roles:  # fmt: skip
    """Fills in the roles that are not given; where past inputs are given, so are all inputs.

    Raises UsageError for unknown or doubly used columns, DataError for times that cannot be read and for a table
    without a numeric column.
    """
    targets, inputs = _named(table, target), [_named(table, names) for names in (past, future, static)]
    given = [n for n in (time, id, *(targets or ()), *(n for names in inputs for n in names or ())) if n is not None]
    for name in given:
        table.column(name)
    doubled = next((n for n in given if given.count(n) > 1), None)
    if doubled is not None:
        raise UsageError(
            f"column '{doubled}' is named for two purposes; time, target, id and past, future and static inputs "
            "must differ"
        )
    notices: list[str] = []
    if id is None:
        id = _guess_id(table, given)
        if id is not None:
            notices.append(f"column '{id}' names the series")
        else:
            id = _guess_id_by_times(table, time, given)
            if id is not None:
                notices.append(f"column '{id}' names the series, as times repeat but not within it")
    if time is None:
        time, axis = guess_time(table, [*given, *([id] if id else [])], id)
        counted = "no column looks like a time; rows are counted from 1"
        notices.append(f"column '{time}' is the time" if time else counted)
    else:
        axis = read_time(table, time)
    taken = [n for n in (time, id, *(n for names in inputs for n in names or ())) if n is not None]
    if not targets:
        targets = [_guess_target(table, [n for n in table.names if n not in taken], id)]
        notices.append(f"column '{targets[0]}' is the target")
    roles = Roles(time, targets, id, [], axis, notices=notices)
    rest = [n for n in table.names if n not in (*taken, *targets)]
    roles.past, roles.future, roles.static = guess_inputs(
        table, axis, time, targets, id, rest, inputs[0], inputs[1], inputs[2], notices
    )
    return roles


def _named(table: Table, names: Names) -> list[str] | None:
    """The columns that a name, a list of names or a text with commas between names means."""
    if names is None:
        return None
    listed = [names] if isinstance(names, str) else list(names)
    whole = (n.split(",") if "," in n and n not in table.columns else [n] for n in listed)
    return [n for part in whole for n in (n if n in table.columns else n.strip() for n in part) if n]


def _guess_id(table: Table, taken: list[str]) -> str | None:
    for name in table.names:
        if name.casefold() in ID_NAMES and name not in taken and table.codes(name)[1] < table.rows:
            return name
    return None


def _guess_id_by_times(table: Table, time: str | None, taken: list[str]) -> str | None:
    """The column within which times are unique, where a third of them or more repeat.

    Bare numbers that repeat (years, with seasons beside them) must come in blocks, one for each series.
    """
    times = [time] if time else [n for n in table.names if n not in taken and name_words(n) & TIME_NAMES]
    for name in times:
        if 3 * table.codes(name)[1] > 2 * table.rows:
            continue
        for id in tell_apart(table, name, taken):
            codes, different = table.words(id)
            if is_date(table, name) or np.count_nonzero(np.diff(codes)) + 1 == len(different):
                return id
    return None


def tell_apart(table: Table, time: str, taken: Sequence[str]) -> list[str]:
    """The columns of text and not of time, that with the fewest values first, within which no time comes twice."""
    times, count = table.codes(time)
    found = []
    for name in table.names:
        if name == time or name in taken or name_words(name) & TIME_NAMES or is_date(table, name):
            continue
        if table.is_missing(name).any() or table.is_numeric(name):
            continue
        codes, different = table.words(name)
        pairs = codes.astype(np.int64) * count + times
        if 2 * len(different) <= table.rows and np.unique(pairs).size == table.rows:
            found.append((len(different), name))
    return [name for _, name in sorted(found, key=lambda pair: pair[0])]


def _guess_target(table: Table, names: list[str], id: str | None) -> str:
    """A column called so; else the last one of numbers, rather one that is still to come at the end than one known
    there, and rather one that changes within the series than one that never does."""
    for wanted in TARGET_NAMES:
        for name in sorted(names, key=lambda n: n != wanted):
            if name.casefold() == wanted and table.is_numeric(name):
                return name
    numeric = [name for name in names if table.is_numeric(name)]
    if not numeric:
        raise _no_numbers(table, names)
    open_ended = [n for n in numeric if table.rows > 2 and table.missing[n] < table.rows and _ends_missing(table, n)]
    candidates = open_ended if 0 < len(open_ended) < len(numeric) else numeric
    changing = [name for name in candidates if not constants(table, name, id)]
    return ([name for name in changing if not _is_switch(table, name)] or changing or candidates)[-1]


def _is_switch(table: Table, name: str) -> bool:
    """Whether a column says but yes and no."""
    return bool(np.isin(table.parse(name)[0], (0.0, 1.0)).all())


def _no_numbers(table: Table, names: list[str]) -> DataError:
    """The error of a table without a column of numbers: the first bad cell of that which looks most like one."""
    if len(table.names) == 1 and table.separator:
        only = shown(table.names[0])
        return DataError(
            f"{table.path}, {table.at(0)}: expected columns with a separator between, found only '{only}'; check it"
        )
    counts = {name: int(np.isfinite(table.parse(name)[0]).sum()) for name in names}
    worth = {name: (name.casefold() in TARGET_NAMES, counts[name], i) for i, name in enumerate(names)}
    if not names:
        listed = ", ".join(table.names[:20]) + (", …" if len(table.names) > 20 else "")
        return DataError(f"{table.path}: expected a column of numbers to forecast beside {listed}; add one")
    name = max(names, key=worth.__getitem__)
    values, row = table.parse(name)
    if row is None:
        return DataError(
            f"{table.where(0, name)}: expected numbers to forecast, found nothing in any row; name another column with "
            "--target"
        )
    cell = table.cell(row, name)
    kind = "finite numbers" if INFINITE.fullmatch(cell) or not np.isnan(values[row]) else "numbers"
    remedy = "write numbers alone, as 1234.5" if any(c.isdigit() for c in cell) else "name another column with --target"
    return DataError(
        f"{table.where(row, name)}: expected a column of {kind} to forecast, found '{shown(cell)}'; "
        f"{remedy if table.separator else 'turn it into numbers'}"
    )


def _ends_missing(table: Table, name: str) -> bool:
    return bool(np.isnan(table.parse(name)[0][-2:]).all())

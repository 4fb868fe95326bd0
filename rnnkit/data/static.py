"""Static inputs: what is constant of each series, as numbers; a column of words becomes one of zeros and ones each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.inputs import MOST_WORDS, changed_row
from rnnkit.data.numbers import Floats
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError


def columns_of(table: Table, known: Sequence[str]) -> list[str]:
    """The columns that the names of static inputs ('size', 'region=north') were made of; UsageError for one not there.

    An equals sign may stand in the name of a column as well as in a word.
    """
    found: dict[str, None] = {}
    for name in known:
        starts = [name[:i] for i in range(len(name) + 1) if i == len(name) or name[i] == "="]
        there = [start for start in reversed(starts) if start in table.columns]
        found[there[0] if there else starts[0]] = None
    for name in found:
        table.column(name)
    return list(found)


def encode_static(
    table: Table,
    columns: list[str],
    groups: list[NDArray[np.int64]],
    known: Sequence[str] | None,
    notices: list[str],
) -> tuple[Floats, list[str]]:
    """Static inputs [G, C] of G groups of rows, NaN where a number is missing, and their C names ('region=north').

    known: the names of a training, which decide whether a column is of numbers or of words and of which; a word that
    it did not have is zero everywhere, with a notice. Raises DataError naming the row where a column changes within
    a series, a cell that is no number where numbers were trained on, and more than 50 different words.
    """
    group = np.empty(table.rows, dtype=np.int64)
    for number, rows in enumerate(groups):
        group[rows] = number
    parts, names = [], []
    for name in columns:
        wanted = None if known is None else [n.removeprefix(f"{name}=") for n in known if n.startswith(f"{name}=")]
        if name in known if known is not None else table.is_numeric(name):
            values, found = _numbers(table, name, group, len(groups)), [name]
        else:
            values, found = _words(table, name, group, len(groups), wanted, notices)
        parts.append(values)
        names += found
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(groups), 0)), names


def _numbers(table: Table, name: str, group: NDArray[np.int64], count: int) -> Floats:
    values = table.numeric(name)
    there = np.flatnonzero(~np.isnan(values))
    _refuse_change(table, name, there, values[there], group[there])
    out = np.full((count, 1), np.nan)
    out[group[there], 0] = values[there]
    return out


def _words(
    table: Table, name: str, group: NDArray[np.int64], count: int, wanted: list[str] | None, notices: list[str]
) -> tuple[Floats, list[str]]:
    codes, words = table.words(name)
    there = np.flatnonzero(~table.is_missing(name))
    _refuse_change(table, name, there, codes[there], group[there])
    present = [words[i] for i in np.unique(codes[there])]
    if wanted is None:
        wanted = sorted(present)
        if len(wanted) > MOST_WORDS:
            raise DataError(
                f"{table.path}, column '{name}': at most {MOST_WORDS} different words were expected of a static input, "
                f"found {len(wanted)}; put them into fewer groups or leave the column out of --static"
            )
    strange = [word for word in present if word not in wanted]
    if strange:
        row = int(there[codes[there] == words.index(strange[0])][0])
        more = f" and {len(strange) - 1} more words" if len(strange) > 1 else ""
        notices.append(
            f"column '{name}': '{shown(strange[0])}' on {table.at(row)}{more} did not occur in training and says "
            "nothing to the model"
        )
    out = np.zeros((count, len(wanted)))
    at = {word: i for i, word in enumerate(wanted)}
    place = np.array([at.get(word, -1) for word in words], dtype=np.int64)[codes[there]]
    out[group[there][place >= 0], place[place >= 0]] = 1.0
    return out, [f"{name}={word}" for word in wanted]


def _refuse_change(
    table: Table, name: str, rows: NDArray[np.int64], values: NDArray[np.float64 | np.int64], group: NDArray[np.int64]
) -> None:
    changed = changed_row(values, group)
    if changed is None:
        return
    row = int(rows[changed])
    first = int(rows[np.flatnonzero(group == group[changed])[0]])
    raise DataError(
        f"{table.where(row, name)}: expected '{shown(table.cell(first, name))}' as on {table.at(first)}, since a "
        f"static input never changes within a series, found '{shown(table.cell(row, name))}'; mend the cell or give "
        "the column with --past or --future"
    )

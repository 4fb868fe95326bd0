"""What a forecast goes on from: the stored ends of the training series, other data, or both joined.

Rows that follow the stored end of a series of the same name, or repeat a part of it, are joined on to it where they
are fewer than the network sees. Rows without any target are inputs known in advance for the steps after that end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit.data.axis import read_time
from rnnkit.data.clock import told_apart
from rnnkit.data.frequency import Frequency
from rnnkit.data.moments import read_stamp
from rnnkit.data.series import SeriesSet, read_series, table_of
from rnnkit.data.source import shown
from rnnkit.data.tables import Table
from rnnkit.errors import DataError
from rnnkit.tasks.windows import Window, fill_causally

GOES_ON = "goes on from the stored end of the training data"


@dataclass
class History:
    """Series to forecast from, and their values with gaps filled."""

    series: SeriesSet
    filled: list[np.ndarray]

    def keep(self, numbers: list[int]) -> None:
        """Leaves out all series but these."""
        self.series.keep(numbers)
        self.filled = [self.filled[i] for i in numbers]


def read_like(stored: SeriesSet, source: Any, gaps: str) -> SeriesSet:
    """Series of another table with the columns that the model was trained on."""
    return read_series(
        source, time=stored.time_name, target=stored.target_names, id=stored.id_name, past=stored.past_names,
        future=stored.future_names, static_names=stored.static_names, gaps=gaps, clock=stored.freq.clock,
    )  # fmt: skip


def say_frequency(series: SeriesSet, freq: Frequency) -> None:
    """A notice where the data steps otherwise than that of the training."""
    if (series.freq.unit, series.freq.count) != (freq.unit, freq.count):
        series.notices.append(f"the data is {series.freq.text}, but the model was trained on {freq.text} data")


def go_on(stored: History, source: Any, gaps: str, window: Window) -> History:
    """What a source is to be forecast from, its rows joined on to the stored ends where they belong there.

    Raises ``DataError`` where rows are too few by themselves and do not follow the stored end.
    """
    own = stored.series
    table = table_of(source, own.id_name)
    targets = [name for name in own.target_names if name in table.columns]
    if own.time_name is not None and all(np.isnan(table.numeric(name)).all() for name in targets):
        return _only_ahead(stored, table)
    series = read_like(own, table, gaps)
    history = History(series, [fill_causally(v, window.season) for v in series.values])
    if own.time_name is None or not _join_all(stored, history, gaps, window, table.path):
        say_frequency(series, own.freq)
    return history


def is_even(stored: SeriesSet) -> bool:
    """Whether the times fall on steps, most of them one apart."""
    for times in stored.times:
        place, on = stored.freq.positions(times)
        if not on.all() or (len(place) > 1 and (np.diff(place) == 1).mean() < 0.5):
            return False
    return True


# -- rows with targets ------------------------------------------------------------------------------------------


def _join_all(stored: History, new: History, gaps: str, window: Window, path: str) -> int:
    """Joins the series that go on from a stored end; how many that were, whose times are the model's from then on."""
    own, series = stored.series, new.series
    at = {pair: i for i, pair in enumerate(zip(own.names, own.targets, strict=True))}
    joined = 0
    for j, pair in enumerate(zip(series.names, series.targets, strict=True)):
        i = at.get(pair)
        if i is None or len(series.values[j]) >= window.context:
            continue
        times = _as_stored(series.times[j], series.freq, own.freq)
        overlap = _overlap(own, i, times, series.values[j], len(series.values[j]) < window.minimum, path)
        if overlap is not None:
            _join(stored, i, new, j, times, overlap, gaps, window)
            joined += 1
    if joined:
        guessed, of = series.freq, "" if len(series) == 1 else f" ({joined} of {len(series)} series)"
        series.freq = replace(own.freq, style=guessed.style or own.freq.style)
        if series.freq.text != guessed.text:  # from a few rows
            series.notices.remove(f"the times are {guessed.text}")
        series.notices.append(f"{GOES_ON}{of}")
    return joined


def _as_stored(times: np.ndarray, freq: Frequency, known: Frequency) -> np.ndarray:
    """Times as the stored ones are: decimals count the steps of the training, dates are in microseconds."""
    if known.unit == "step":
        return np.rint((freq.origin + times * freq.scale - known.origin) / known.scale).astype(np.int64)
    return times.astype("datetime64[us]")


def _overlap(
    own: SeriesSet, i: int, times: np.ndarray, values: np.ndarray, short: bool, path: str
) -> int | None:  # fmt: skip
    """How many points at the end of stored series i the new rows repeat; None where these are another history.

    ``short``: the rows are too few by themselves, and ``DataError`` says why they do not go on from the stored end.
    """
    before = own.times[i]
    if times.dtype.kind != before.dtype.kind or times[0] <= before[0]:
        return None
    last, of = own.freq.format(before[-1:])[0], f" of '{own.names[i]}'" if own.names[i] else ""
    first = own.freq.format(times[:1])[0]
    if times[0] > before[-1]:
        place, on = own.freq.positions(np.array([before[-1], times[0]]))
        if not is_even(own) or (on[1] and place[1] == 1):
            return 0
        if short:
            after = f"{place[1] - 1} steps are missing between" if on[1] else "it does not fall on a step after"
            raise DataError(
                f"{path}: the first of {len(values)} row{'s' * (len(values) > 1)}{of} is at {first}, but {after} the "
                f"stored history, which ends at {last}; give the rows from there on, or a longer history"
            )
        return None
    shared, a, b = np.intersect1d(before, times, return_indices=True)
    old, new = own.values[i][a], values[b]
    both = ~np.isnan(old) & ~np.isnan(new)
    if len(shared) and (not both.any() or np.isclose(old[both], new[both]).mean() > 0.5):
        return int((before >= times[0]).sum())
    if short:
        raise DataError(
            f"{path}: the {len(values)} row{'s' * (len(values) > 1)}{of} from {first} on repeat times of the stored "
            f"history, which ends at {last}, with other values; give a longer history of their own"
        )
    return None


def _join(
    stored: History, i: int, new: History, j: int, times: np.ndarray, overlap: int, gaps: str, window: Window
) -> None:
    """Puts what the model keeps of series i before the rows of series j, steps that are skipped as missing."""
    own, series = stored.series, new.series
    n, v = len(own.values[i]) - overlap, series.values[j]
    times = np.concatenate([own.times[i][:n], times])
    values = np.concatenate([own.values[i][:n], v])
    past = np.concatenate([own.past[i][:n], series.past[j]])
    future, ahead = np.concatenate([own.future[i][:n], series.future[j][: len(v)]]), series.future[j][len(v) :]
    place, on = own.freq.positions(times)
    if gaps != "keep" and on.all() and place[-1] + 1 > len(times):
        size = int(place[-1]) + 1
        whole = np.concatenate([times[:1], own.freq.future(times[0], size - 1)])
        whole[place] = times
        times = whole
        values, past, future = (_spread(part, place, size) for part in (values, past, future))
    filled = np.concatenate([stored.filled[i][:n], values[n:]])
    series.values[j], series.past[j], series.times[j] = values, past, times
    series.future[j] = np.concatenate([future, ahead])
    new.filled[j] = fill_causally(filled, window.season)


def _spread(rows: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    out = np.full((size, *rows.shape[1:]), np.nan)
    out[place] = rows
    return out


# -- rows without targets ---------------------------------------------------------------------------------------


def _only_ahead(stored: History, table: Table) -> History:
    """The stored series of the names that the table has, with the inputs that it knows in advance for what follows."""
    own = stored.series
    assert own.time_name is not None
    codes, names = table.words(own.id_name) if own.id_name is not None else (np.zeros(table.rows, np.int64), [""])
    times = _times(table, own)
    inputs = np.zeros((table.rows, len(own.future_names)))
    for k, name in enumerate(own.future_names):
        inputs[:, k] = table.numeric(name)
        gone = np.flatnonzero(np.isnan(inputs[:, k]))
        if gone.size:
            raise DataError(
                f"{table.where(int(gone[0]), name)}: expected a number, which has to be known in advance, found an "
                "empty cell; fill it in"
            )
    keep: list[int] = []
    for code, name in enumerate(names):
        series = [i for i, own_name in enumerate(own.names) if own_name == name]
        rows = np.flatnonzero(codes == code)
        if not series:
            raise DataError(
                f"{table.path}, {table.at(int(rows[0]))}: the rows of '{shown(name)}' hold no target, and the run "
                "knows no series of that name to go on from; give its history"
            )
        rows = rows[np.argsort(times[rows], kind="stable")]
        if own.freq.clock:
            times[rows] = told_apart(times[rows], own.freq.clock)
        for i in series:
            _check_follows(own, i, table, rows, times[rows])
            own.future[i] = np.concatenate([own.future[i][: len(own.values[i])], inputs[rows]])
            own.ahead[i] = times[rows]
        keep += series
    history = History(own, stored.filled)
    history.keep(sorted(keep))
    history.series.notices = [*table.notices, GOES_ON]
    return history


def _times(table: Table, own: SeriesSet) -> np.ndarray:
    """The times of the rows, written as in the training or in another way."""
    assert own.time_name is not None
    read = [read_stamp(cell, own.freq) for cell in table.text(own.time_name).tolist()]
    if all(stamp is not None for stamp in read):
        return np.array(read)
    axis = read_time(table, own.time_name)
    freq = Frequency(own.freq.unit, own.freq.count, axis.style, False, axis.origin, axis.scale, axis.digits)
    return _as_stored(axis.values, freq, own.freq)


def _check_follows(own: SeriesSet, i: int, table: Table, rows: np.ndarray, times: np.ndarray) -> None:
    """``DataError`` unless rows follow stored series i step by step."""
    wanted = own.freq.future(own.times[i][-1], len(times))
    wrong = np.flatnonzero(times != wanted)
    if not wrong.size:
        return
    row, expected = int(rows[wrong[0]]), own.freq.format(wanted[wrong[:1]])[0]
    last, of = own.freq.format(own.times[i][-1:])[0], f" of '{own.names[i]}'" if own.names[i] else ""
    raise DataError(
        f"{table.where(row, own.time_name or '')}: expected {expected}, since the rows to come must follow the stored "
        f"end{of} ({last}) step by step, found {shown(table.cell(row, own.time_name or ''))}; "
        "rnnkit predict RUN --template writes them"
    )

"""Tables that come from no delimited text: data frames, mappings of arrays, Parquet files.

Columns keep their types: numbers are numbers, times are times, categories are words. Messages count rows from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.columns import Column, NumberColumn, TextColumn, TimeColumn, WordColumn
from rnnkit.data.dateparts import Dates, Datetimes, settle_zone
from rnnkit.data.dates import format_dates
from rnnkit.data.numbers import TEXT, Strings
from rnnkit.data.source import Bytes
from rnnkit.data.tables import Table
from rnnkit.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd


def frame_table(source: Any, path: str = "the data frame") -> Table:
    """A table from a pandas DataFrame or Series, any frame that narwhals knows, or a mapping of names to arrays [n].

    An index that has a name or holds times is a column too. Raises UsageError for anything else, DataError for
    columns without rows or two of one name.
    """
    frame, _ = flat_frame(source)
    columns: dict[str, Column] = {}
    notices: list[str] = []
    for i, label in enumerate(frame.columns):
        name = str(label)
        if name in columns:
            raise DataError(f"{path}: two columns are called '{name}'; rename one of them")
        columns[name] = _column(name, frame.iloc[:, i], notices)
    if not columns or not len(frame):
        raise DataError(f"{path}: expected columns and at least one row, found {len(columns)} and {len(frame)}")
    rows = np.arange(len(frame), dtype=np.int64)
    return Table(columns, rows, path, "", "", ".", notices, counted="row")


def flat_frame(source: Any) -> tuple[pd.DataFrame, list[Any]]:
    """A source as a pandas DataFrame, an index that says something as columns; and the names of these."""
    frame = _as_pandas(source)
    index = frame.index
    if index.nlevels > 1 or index.name is not None or index.dtype.kind == "M" or str(index.dtype).startswith("period"):
        unnamed = "time" if index.nlevels == 1 else "index"
        names = [unnamed if n is None else n for n in index.names]
        return frame.reset_index(names=names), names
    return frame, []


def kind_of(source: Any) -> str:
    """The library of a data frame as narwhals calls it; pandas for a mapping of arrays too."""
    import pandas as pd

    if isinstance(source, pd.DataFrame | pd.Series | Mapping):
        return "pandas"
    import narwhals as nw

    return str(nw.from_native(source, eager_only=True).implementation.value)


def as_kind(frame: pd.DataFrame, kind: str) -> Any:
    """A pandas DataFrame as one of the library that narwhals calls so."""
    if kind == "pandas":
        return frame
    import narwhals as nw

    library: Any = kind
    return nw.from_dict({str(name): frame[name].to_list() for name in frame.columns}, backend=library).to_native()


def parquet_table(data: Bytes, label: str) -> Table:
    """A table from the bytes of a Parquet file. Raises UsageError without pyarrow, DataError for damaged files."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError(f"{label}: reading Parquet needs pyarrow; pip install 'rnnkit[parquet]'") from error
    try:
        table = pq.read_table(pa.BufferReader(pa.py_buffer(data)))
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{label}: the Parquet file cannot be read ({reason}); write it again") from error
    return frame_table(table.to_pandas(strings_to_categorical=True, date_as_object=False), label)


def _as_pandas(source: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    if isinstance(source, pd.Series):
        return source.to_frame("y" if source.name is None else source.name)
    if isinstance(source, Mapping):
        for name, values in source.items():
            if np.ndim(values) != 1:
                raise UsageError(
                    f"expected one dimension of values for the column '{name}', found {np.ndim(values)}; flatten it"
                )
        lengths = {str(name): len(values) for name, values in source.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"'{name}' has {n}" for name, n in lengths.items())
            raise UsageError(f"expected columns of one length, but {found}; cut or fill them")
        return pd.DataFrame(dict(source))
    try:
        import narwhals as nw
    except ImportError as error:
        raise UsageError(
            f"expected a path, a stream, a pandas DataFrame or a mapping of arrays, found {type(source).__name__}; "
            "for other data frames pip install 'rnnkit[frames]'"
        ) from error
    try:
        return nw.from_native(source, eager_only=True).to_pandas()
    except TypeError as error:
        raise UsageError(
            f"expected a path, a stream, a data frame or a mapping of arrays, found {type(source).__name__}; "
            "collect a lazy frame, turn anything else into a DataFrame"
        ) from error
    except ImportError as error:
        raise UsageError(f"this data frame needs a package ({error}); pip install 'rnnkit[frames]'") from error


def _column(name: str, values: pd.Series[Any], notices: list[str]) -> Column:
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy(np.int32)
        return _word_column(codes, [_written(v) for v in values.cat.categories.tolist()])
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.to_timestamp()
    if values.dtype == object:
        values = values.infer_objects()
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind in ("datetime", "date", "datetime64"):
            values = pd.Series(pd.to_datetime(values, utc=any(getattr(v, "tzinfo", None) for v in values)))
        elif kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean"):
            values = values.astype(np.float64)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _time_column(name, values, notices)
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return _number_column(values)
    missing = values.isna().to_numpy(np.bool_)
    cells = ["" if gone else _written(v) for v, gone in zip(values.tolist(), missing.tolist(), strict=True)]
    return TextColumn(np.strings.strip(np.array(cells, dtype=TEXT)))


def _written(value: Any) -> str:
    """A value as text: 3.0 as 3, since frames turn whole numbers with gaps into decimals."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value)


def _word_column(codes: NDArray[Any], categories: list[str]) -> WordColumn:
    """A column of words numbered by first appearance; code -1 is an empty cell."""
    words = [*(c.strip() for c in categories), ""]
    codes = np.where(codes < 0, len(categories), codes)
    present, first = np.unique(codes, return_index=True)
    order = present[np.argsort(first)]
    rank = np.zeros(len(words), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return WordColumn(rank[codes], [words[i] for i in order])


def _number_column(values: pd.Series[Any]) -> NumberColumn:
    whole = values.dtype.kind in "iu" and not values.isna().any()
    numbers = values.to_numpy(np.int64 if whole else np.float64, na_value=0 if whole else np.nan)

    def cells(start: int, stop: int) -> Strings:
        part = numbers[start:stop].tolist()
        return np.array(["" if v != v else _written(v) for v in part], dtype=TEXT)

    return NumberColumn(numbers, cells, digits=bool(whole and numbers.min(initial=0) >= 0))


def _time_column(name: str, values: pd.Series[Any], notices: list[str]) -> TimeColumn:
    zone = getattr(values.dt, "tz", None)
    wall = _seconds((values if zone is None else values.dt.tz_localize(None)).to_numpy("datetime64[us]"))
    there = wall[~np.isnat(wall)]
    style = "%Y-%m-%d"
    if np.any(there != there.astype("datetime64[D]")):
        style += " %H:%M:%S" + (".%6f" if there.dtype == "datetime64[us]" else "")
    found = Dates(wall, style)
    if zone is not None and len(there):
        utc = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
        offsets = (wall - utc).astype("timedelta64[s]").astype(np.int64)
        offsets[np.isnat(wall)] = offsets[np.argmax(~np.isnat(wall))]
        hours, minutes = divmod(int(abs(offsets[0])) // 60, 60)
        first = f"{'-' if offsets[0] < 0 else '+'}{hours:02d}:{minutes:02d}"
        found = settle_zone(wall, offsets, style + "%Z", first, f"column '{name}': times of {zone}")
    notices.extend(found.notices)
    return TimeColumn(found, _dates_written(found.values, found.style))


def _dates_written(times: Datetimes, style: str) -> Callable[[int, int], Strings]:
    def cells(start: int, stop: int) -> Strings:
        part = times[start:stop]
        gone = np.isnat(part)
        written = format_dates(np.where(gone, np.datetime64(0, "s"), part), style)
        return np.array(["" if g else text for text, g in zip(written, gone, strict=True)], dtype=TEXT)

    return cells


def _seconds(times: NDArray[Any]) -> Datetimes:
    """Times in seconds where all are whole ones, else in microseconds."""
    coarse: Datetimes = times.astype("datetime64[s]")
    return coarse if np.array_equal(coarse.astype(times.dtype), times, equal_nan=True) else times

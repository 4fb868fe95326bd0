"""Forecasts as the data frame that their history came in: the same library, kind of times and of names, and index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.data.frames import as_kind, flat_frame, kind_of
from rnnkit.data.frequency import EPOCH, Frequency
from rnnkit.errors import UsageError


@dataclass(frozen=True)
class Look:
    """What a frame looks like: its library, its times ('dates', 'numbers', 'text', '' unknown) and their zone, whether
    names of series are whole numbers, and the columns that were its index."""

    kind: str = "pandas"
    times: str = ""
    zone: Any = None
    whole_ids: bool = False
    index: list[str] = field(default_factory=list)


def look_of(source: Any, time: str | None, id: str | None) -> Look:
    """The look of a data frame or of a mapping of arrays."""
    import pandas as pd

    frame, index = flat_frame(source)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    times, zone, whole = "", None, False
    if time in frame.columns:
        column = frame[time]
        if pd.api.types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype):
            times, zone = "dates", getattr(column.dtype, "tz", None)
        else:
            times = "numbers" if pd.api.types.is_numeric_dtype(column.dtype) else "text"
            if column.dtype == object and pd.api.types.infer_dtype(column) in ("datetime", "date", "datetime64"):
                times = "dates"
    if id in frame.columns:
        whole = pd.api.types.is_integer_dtype(frame[id].dtype)
    return Look(kind_of(source), times, zone, bool(whole), [str(name) for name in index])


def frame_of(
    look: Look,
    freq: Frequency,
    time: str,
    stamps: Sequence[np.ndarray],
    written: Sequence[Sequence[str]],
    labels: Mapping[str, Sequence[str]],
    columns: Mapping[str, Sequence[np.ndarray]],
    id: str | None = None,
) -> Any:
    """A frame in long form, one row for each step of each series.

    stamps, written: the times of each series, as datetime64 or int64 and as text; labels: what names each series, the
    column ``id`` among them; columns: the values of each series.
    """
    import pandas as pd

    found: dict[str, Any] = {}
    for name, texts in labels.items():
        whole = look.whole_ids and name == id
        found[name] = np.repeat([int(t) for t in texts] if whole else np.array(texts, object), [len(s) for s in stamps])
    found[time] = _times(look, freq, np.concatenate(stamps), [text for part in written for text in part])
    found |= {name: np.concatenate(parts) for name, parts in columns.items()}
    frame = pd.DataFrame(found)
    if look.index and set(look.index) <= set(frame.columns):
        return frame.set_index(look.index)
    return as_kind(frame, look.kind)


def _times(look: Look, freq: Frequency, stamps: np.ndarray, written: list[str]) -> Any:
    import pandas as pd

    dated = freq.unit != "step"
    kind = look.times or ("dates" if dated and freq.style not in EPOCH else "numbers")
    if kind == "numbers":
        return pd.to_numeric(pd.Series(written))
    if kind == "text" or not dated:
        return written
    if look.zone is None:
        return pd.Series(stamps.astype("datetime64[ns]"))
    if freq.style.endswith(("Z", "+00:00")) or freq.style[-6:-5] in ("+", "-"):
        return pd.Series(pd.to_datetime(written, utc=True)).dt.tz_convert(look.zone)
    return pd.Series(stamps.astype("datetime64[ns]")).dt.tz_localize(look.zone, nonexistent="shift_forward")


def beneath(data: Any, future: Any) -> Any:
    """Two frames as one, the rows of the second under those of the first."""
    import pandas as pd

    frames = [flat_frame(part)[0] for part in (data, future)]
    for part, frame in zip(("data", "future"), frames, strict=True):
        if not len(frame):
            raise UsageError(f"{part} holds no rows; leave it out")
    return pd.concat(frames, ignore_index=True)

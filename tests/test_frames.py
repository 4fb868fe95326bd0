"""Data frames, mappings of arrays and Parquet files read as the same series that a CSV of them would be."""

from __future__ import annotations

import datetime
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rnnkit.data.series import SeriesSet, read_series
from rnnkit.data.sniff import looks_like_table
from rnnkit.data.tables import read_table
from rnnkit.errors import DataError, UsageError

HOURS = pd.date_range("2020-03-28", periods=60, freq="h")
SHOPS = pd.DataFrame(
    {
        "shop": np.repeat(["b", "a"], 4),
        "day": np.tile(pd.date_range("2020-02-27", periods=4), 2),
        "sales": [3.0, 5.0, np.nan, 4.0, 1.0, 2.0, 3.0, 5.0],
        "promo": [True, False, True, True, False, False, True, False],
        "size": [10, 10, 10, 10, 20, 20, 20, 20],
    }
)


def same(a: SeriesSet, b: SeriesSet) -> None:
    assert a.fingerprint() == b.fingerprint()
    assert (a.past_names, a.future_names, a.static_names) == (b.past_names, b.future_names, b.static_names)


def test_a_frame_is_read_as_its_csv_is() -> None:
    csv = SHOPS.assign(promo=SHOPS["promo"].astype(int)).to_csv(index=False).encode()
    expected = read_series(io.BytesIO(csv), target="sales")
    found = read_series(SHOPS, target="sales")
    same(found, expected)
    assert found.names == ["b", "a"]
    assert (found.past_names, found.static_names) == (["promo"], ["size"])
    assert "column 'sales': 1 missing value (12.5%, first on row 2)" in found.notices
    mapping = {name: SHOPS[name].to_numpy() for name in SHOPS}
    same(read_series(mapping, target="sales"), expected)
    same(read_series({"y": [1.0, 2.0, 3.0]}), read_series(io.BytesIO(b"y\n1\n2\n3\n")))


@pytest.mark.parametrize("kind", ["category", "string", "nullable", "arrow", "object", "indexed", "series"])
def test_every_kind_of_column_is_understood(kind: str) -> None:
    frame, expected = SHOPS, read_series(SHOPS, target="sales", past=["promo"])
    if kind == "category":
        frame = SHOPS.assign(shop=SHOPS["shop"].astype("category"))
    elif kind == "string":
        frame = SHOPS.assign(day=SHOPS["day"].dt.strftime("%Y-%m-%d"), shop=SHOPS["shop"].astype("string"))
    elif kind == "nullable":
        frame = SHOPS.convert_dtypes()
    elif kind == "arrow":
        frame = SHOPS.convert_dtypes(dtype_backend="pyarrow")
    elif kind == "object":
        frame = SHOPS.assign(day=[d.date() for d in SHOPS["day"]]).astype(object)
    elif kind == "indexed":
        frame = SHOPS.set_index(["shop", "day"])
    else:
        values = SHOPS["sales"].to_numpy()[:4]
        found = read_series(pd.Series(values, index=SHOPS["day"][:4]))
        np.testing.assert_array_equal(found.values[0], values)
        assert (found.time_name, found.targets, found.freq.text) == ("day", ["y"], "daily")
        return
    same(read_series(frame, target="sales", past=["promo"]), expected)


def test_an_index_of_times_is_a_column() -> None:
    found = read_series(pd.DataFrame({"y": np.arange(60.0)}, index=HOURS))
    assert (found.time_name, found.freq.text) == ("time", "hourly")
    assert found.freq.format(found.times[0][-1:]) == ["2020-03-30 11:00:00"]
    months = pd.DataFrame({"y": [1.0, 2.0, 4.0]}, index=pd.period_range("2020-01", periods=3, freq="M"))
    assert read_series(months).freq.text == "monthly"
    kept = pd.DataFrame({"y": np.arange(6.0)})[2:]  # what is left of a plain index says nothing
    assert read_series(kept).time_name is None


def test_time_zones() -> None:
    values = {"y": np.arange(60.0)}
    utc = read_series(pd.DataFrame({"at": HOURS.tz_localize("UTC"), **values}))
    assert utc.freq.format(utc.times[0][:1]) == ["2020-03-28 00:00:00+00:00"]
    berlin = read_series(pd.DataFrame({"at": HOURS.tz_localize("UTC").tz_convert("Europe/Berlin"), **values}))
    assert "column 'at': times of Europe/Berlin with different offsets from UTC are converted to UTC" in berlin.notices
    np.testing.assert_array_equal(berlin.times[0], HOURS.to_numpy().astype("datetime64[s]"))
    days = pd.date_range("2020-03-28", periods=4, tz="Europe/Berlin")
    local = read_series(pd.DataFrame({"at": days, "y": [1.0, 2.0, 4.0, 3.0]}))
    assert local.freq.text == "daily"
    assert local.freq.format(local.times[0]) == ["2020-03-28", "2020-03-29", "2020-03-30", "2020-03-31"]
    python = [datetime.datetime(2020, 1, d, tzinfo=datetime.timezone(datetime.timedelta(hours=2))) for d in (1, 2, 3)]
    fixed = read_series(pd.DataFrame({"at": pd.Series(python, dtype=object), "y": [1.0, 2.0, 4.0]}))
    assert fixed.freq.text == "daily"


def test_parquet_is_read_as_its_csv_is(tmp_path: Path) -> None:
    SHOPS.to_parquet(tmp_path / "shops.parquet", index=False)
    (tmp_path / "other.bin").write_bytes((tmp_path / "shops.parquet").read_bytes())
    expected = read_series(SHOPS, target="sales")
    for source in (tmp_path / "shops.parquet", tmp_path / "other.bin"):
        same(read_series(source, target="sales"), expected)
        assert looks_like_table(tmp_path / "shops.parquet")
        with source.open("rb") as stream:
            assert looks_like_table(stream)
            same(read_series(stream, target="sales"), expected)
    assert read_table(tmp_path / "shops.parquet").names == list(SHOPS)
    broken = (tmp_path / "shops.parquet").read_bytes()[:-20]
    with pytest.raises(DataError, match="the Parquet file cannot be read") as caught:
        read_series(io.BytesIO(broken))
    assert "\n" not in str(caught.value)


def test_other_frames_come_through_narwhals() -> None:
    pa = pytest.importorskip("pyarrow")
    same(read_series(pa.Table.from_pandas(SHOPS), target="sales"), read_series(SHOPS, target="sales"))
    assert looks_like_table(pa.Table.from_pandas(SHOPS))


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (frame(t=list("123444"), y=range(6)).assign(t=[*HOURS[:5], HOURS[4]]), DataError, "rows 4 and 5: both are at"),
        (
            frame(t=range(20), y=[0.0, np.inf, *range(18)]),
            DataError,
            "row 1, column 'y': expected a finite number, found 'inf'",
        ),
        (
            frame(day=pd.to_datetime(["2020-01-01", None]), y=[1.0, 2.0]),
            DataError,
            "row 1, column 'day': expected a time",
        ),
        (frame(y=["a", "b"]), DataError, "expected a column of numbers"),
        (frame(), DataError, "at least one row"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), DataError, "two columns are called 'a'"),
        ({"y": np.zeros((2, 2))}, UsageError, "one dimension of values for the column 'y', found 2"),
        ({"t": [1, 2], "y": [1.0]}, UsageError, "columns of one length, but 't' has 2, 'y' has 1"),
        (17, UsageError, "found int"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_row(source: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read_series(source)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    SHOPS.to_parquet(tmp_path / "x.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(UsageError, match=r"pip install 'rnnkit\[parquet\]'"):
        read_series(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match=r"pip install 'rnnkit\[frames\]'"):
        read_series(17)

"""Local times by clocks that are put forward and back, and times with offsets from UTC."""

from __future__ import annotations

import datetime
import io
import zoneinfo
from typing import Any

import numpy as np
import pytest

from rnnkit.data.clock import find_clock, second_time, to_local, to_standard
from rnnkit.data.frequency import Frequency
from rnnkit.data.moments import read_stamp
from rnnkit.data.rows import Layout, RowReader
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError

ZONES = {
    "Europe/Berlin": ("eu 2", 1),
    "Europe/London": ("eu 1", 0),
    "Europe/Helsinki": ("eu 3", 2),
    "America/New_York": ("us 1", -5),
    "Australia/Sydney": ("au 2", 10),
    "Pacific/Auckland": ("nz 2", 12),
}


def wall(zone: str, utc: np.ndarray) -> np.ndarray:
    """What clocks show in a zone at these times of UTC."""
    there = zoneinfo.ZoneInfo(zone)
    aware = (t.item().replace(tzinfo=datetime.UTC).astimezone(there) for t in utc.astype("datetime64[s]"))
    return np.array([t.replace(tzinfo=None) for t in aware], dtype="datetime64[s]")


def hours(first: str, stop: str, minutes: int = 60) -> np.ndarray:
    return np.arange(first, stop, np.timedelta64(minutes, "m"), dtype="datetime64[m]").astype("datetime64[s]")


@pytest.mark.parametrize("zone", ZONES)
def test_clocks_are_found_and_followed_both_ways(zone: str) -> None:
    try:
        zoneinfo.ZoneInfo(zone)
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no database of time zones is here")
    clock, ahead = ZONES[zone]
    utc = hours("2019-01-01", "2021-02-01")
    local, standard = wall(zone, utc), utc + np.timedelta64(3600 * ahead, "s")
    assert find_clock([local]) == clock
    np.testing.assert_array_equal(to_standard(local, clock, second_time(local, clock)), standard)
    np.testing.assert_array_equal(to_local(standard, clock), local)
    assert find_clock([utc]) == ""  # an even axis needs no clock
    assert find_clock([local[local.astype("datetime64[M]") == np.datetime64("2020-01")]]) == ""


def read(times: list[str], **options: Any) -> SeriesSet:
    rows = "".join(f"{t},{i * i % 17}\n" for i, t in enumerate(times))
    return read_series(io.BytesIO(f"time,y\n{rows}".encode()), **options)


def autumn(minutes: int) -> list[str]:
    """Local times of central Europe over the end of summer time, the repeated hour in the order of the clock."""
    summer = hours("2020-10-24", "2020-10-25T03:00", minutes)
    winter = hours("2020-10-25T02:00", "2020-10-27", minutes)
    return [str(t).replace("T", " ") for t in np.concatenate([summer, winter])]


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_an_hour_that_comes_twice_is_kept_twice(minutes: int) -> None:
    times = autumn(minutes)
    series = read(times)
    assert (series.freq.unit, series.freq.count, series.gaps) == (
        *({60: ("hour", 1)}.get(minutes, ("minute", minutes))),
        0,
    )
    np.testing.assert_array_equal(series.values[0], np.arange(len(times)) ** 2 % 17)
    assert series.freq.format(series.times[0]) == times
    line = 2 + times.index("2020-10-25 02:00:00") + 60 // minutes
    assert any(f"hours that come twice (first '2020-10-25 02:00:00', again on line {line}) are kept both" in n
               for n in series.notices)  # fmt: skip
    assert not any("repeated" in n or "not in order" in n for n in series.notices)
    back = read(times[::-1])
    assert back.freq.format(back.times[0]) == times
    np.testing.assert_array_equal(back.values[0][::-1], np.arange(len(times)) ** 2 % 17)


def test_an_hour_that_is_skipped_is_no_gap_and_forecasts_go_on_by_the_clock() -> None:
    times = [str(t).replace("T", " ") for t in hours("2020-03-27", "2020-03-30") if t.item().strftime("%d%H") != "2902"]
    series = read(times)
    assert series.gaps == 0
    assert series.freq.clock == "eu 2"
    assert any("hours that are skipped are no gaps" in n for n in series.notices)
    before = read(times[:40], clock="eu 2")
    ahead = before.freq.future(before.times[0][-1], 15)
    assert before.freq.format(ahead) == times[40:55]
    assert Frequency.from_dict(series.freq.to_dict()) == series.freq
    with pytest.raises(DataError, match="train again"):
        Frequency.from_dict({**series.freq.to_dict(), "clock": "moon 2"})
    assert read_stamp("2020-03-29 03:00:00", series.freq) == np.datetime64("2020-03-29T02:00:00")
    assert read_stamp("2020-03-29 01:00:00", series.freq) == np.datetime64("2020-03-29T01:00:00")


def test_rows_of_a_stream_follow_the_clock() -> None:
    times = autumn(60)
    freq = read(times).freq
    reader = RowReader(Layout("time", None, ["y"], [], freq, frozenset()))
    rows = [reader.read(line) for line in ["time,y", *(f"{t},1" for t in times)]]
    np.testing.assert_array_equal([r.time for r in rows if r is not None], read(times).times[0])


def test_other_repeated_and_missing_hours_stay_what_they_are() -> None:
    day = [str(t).replace("T", " ") for t in hours("2020-06-07", "2020-06-08")]
    with pytest.raises(DataError, match=r"lines 5 and 6: both are at 2020-06-07 03:00:00"):
        read([*day[:4], day[3], *day[4:]])
    assert read([*day[:4], *day[5:]]).gaps == 1
    full = [str(t).replace("T", " ") for t in hours("2020-10-24", "2020-10-27")]
    assert read(full).freq.clock == ""
    skipped = [t for t in full if t != "2020-10-25 14:00:00"]
    assert (read(skipped).gaps, read(skipped).freq.clock) == (1, "")


def test_every_series_of_a_file_follows_one_clock() -> None:
    times = autumn(60)
    rows = "".join(f"{name},{t},{i % 5}\n" for name in "ab" for i, t in enumerate(times))
    rows += "".join(f"c,{t},{i % 5}\n" for i, t in enumerate(times[:20]))
    series = read_series(io.BytesIO(f"id,time,y\n{rows}".encode()))
    assert [series.freq.format(t) for t in series.times] == [times, times, times[:20]]


def test_offsets_that_change_become_utc_or_local_days() -> None:
    local = [*(f"2020-10-25 0{h}:00+02:00" for h in range(3)), *(f"2020-10-25 0{h}:00+01:00" for h in range(2, 9))]
    series = read(local)
    assert "times with different offsets from UTC are converted to UTC" in series.notices
    assert (series.freq.text, series.gaps) == ("hourly", 0)
    written = series.freq.format(series.times[0])
    assert (written[0], written[-1]) == ("2020-10-24 22:00+00:00", "2020-10-25 07:00+00:00")
    assert series.freq.format(series.freq.future(series.times[0][-1], 1)) == ["2020-10-25 08:00+00:00"]
    days = read([f"2020-10-{d} 00:00:00+0{2 if d < 26 else 1}00" for d in range(20, 30)])
    assert days.freq.text == "daily"
    assert days.freq.format(days.times[0][-1:]) == ["2020-10-29 00:00:00"]
    assert any("are read as local days" in n for n in days.notices)
    fixed = read([f"2020-10-25T0{h}:00:00+02:00" for h in range(9)])
    assert fixed.freq.format(fixed.freq.future(fixed.times[0][-1], 1)) == ["2020-10-25T09:00:00+02:00"]

"""Tables with time → series: guesses, steps, gaps, errors, periods."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.data.dates import Dates, format_dates, parse_dates
from rnnkit.data.frequency import Frequency, find_frequency
from rnnkit.data.numbers import TEXT
from rnnkit.data.series import SeriesSet, find_periods, read_series
from rnnkit.errors import DataError, UsageError

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "series"


def read(content: str, **options: object) -> SeriesSet:
    return read_series(io.BytesIO(content.encode()), **options)  # type: ignore[arg-type]


def real(name: str, **options: object) -> SeriesSet:
    path = REAL / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return read_series(path, **options)  # type: ignore[arg-type]


def column(times: list[str], header: str = "date,y") -> str:
    return header + "\n" + "".join(f"{t},{i}\n" for i, t in enumerate(times))


@pytest.mark.parametrize(
    ("times", "words", "after"),
    [
        (["1949-01", "1949-02", "1949-03"], "monthly", "1949-04"),
        (["2019-10", "2020-01", "2020-04"], "quarterly", "2020-07"),
        (["2020Q3", "2020Q4", "2021Q1"], "quarterly", "2021Q2"),
        (["2019-12-31", "2020-01-31", "2020-02-29", "2020-03-31"], "monthly", "2020-04-30"),
        (["2020-01-30", "2020-01-31", "2020-02-01"], "daily", "2020-02-02"),
        (["2020-01-06", "2020-01-13", "2020-01-20"], "weekly", "2020-01-27"),
        (["1999", "2000", "2001"], "yearly", "2002"),
        (["2016-07-01 22:00:00", "2016-07-01 23:00:00", "2016-07-02 00:00:00"], "hourly", "2016-07-02 01:00:00"),
        (["2016-07-01T22:00Z", "2016-07-01T22:15Z", "2016-07-01T22:30Z"], "every 15 minutes", "2016-07-01T22:45Z"),
        (["29/02/2020", "01/03/2020", "02/03/2020"], "daily", "03/03/2020"),
        (["2/28/2020", "2/29/2020", "3/1/2020"], "daily", "3/2/2020"),
        (["31.12.2019 23:00", "01.01.2020 00:00", "01.01.2020 01:00"], "hourly", "01.01.2020 02:00"),
        (["1/13/2020 11:00 AM", "1/13/2020 12:00 PM", "1/13/2020 1:00 PM"], "hourly", "1/13/2020 2:00 PM"),
        (["Jan 2020", "Feb 2020", "Mar 2020"], "monthly", "Apr 2020"),
        (["3 March 2020", "4 March 2020", "5 March 2020"], "daily", "6 March 2020"),
        (["20200228", "20200229", "20200301"], "daily", "20200302"),
        (["1577836800", "1577840400", "1577844000"], "hourly", "1577847600"),
        (["1577836800000", "1577836800500", "1577836801000"], "every 500 milliseconds", "1577836801500"),
        (["2020-01-01 00:00:00.0", "2020-01-01 00:00:00.5", "2020-01-01 00:00:01.0"],
         "every 500 milliseconds", "2020-01-01 00:00:01.5"),
        (["7", "8", "9"], "numbered in steps of 1", "10"),
        (["10", "20", "30"], "numbered in steps of 10", "40"),
        (["0.00", "0.25", "0.50"], "numbered in steps of 0.25", "0.75"),
    ],
)  # fmt: skip
def test_times_are_understood_and_continued_as_written(times: list[str], words: str, after: str) -> None:
    series = read(column(times))
    assert series.freq.text == words
    assert series.freq.format(series.times[0]) == times
    assert series.freq.format(series.freq.future(series.times[0][-1], 1)) == [after]
    assert Frequency.from_dict(series.freq.to_dict()) == series.freq


def test_business_days_skip_weekends() -> None:
    days = np.busday_offset(np.datetime64("2020-01-01"), np.arange(30), roll="forward")
    series = read(column(days.astype(str).tolist()))
    assert series.freq.text == "on business days"
    assert series.gaps == 0
    assert series.freq.format(series.freq.future(np.datetime64("2020-01-31", "s"), 2)) == ["2020-02-03", "2020-02-04"]


def test_frequency_refuses_what_is_none() -> None:
    for data in ({}, {"unit": "day"}, {"unit": "day", "count": "2"}, {"unit": "moon", "count": 1}, {"unit": 1}):
        with pytest.raises(DataError, match="train again"):
            Frequency.from_dict(data)


def test_month_steps_keep_the_day_or_clip_it() -> None:
    times = np.array(["2020-01-31", "2020-02-29"], dtype="datetime64[s]")
    freq, share = find_frequency([times], "%Y-%m-%d")
    assert (freq.unit, freq.month_end, share) == ("month", True, 1.0)
    assert format_dates(Frequency("month", 1).future(np.datetime64("2021-01-30", "s"), 2), "%d %b %y") == [
        "28 Feb 21",
        "30 Mar 21",
    ]


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        (["2021-01-01", "2021-02-29"], 1),
        (["2021-02-28", "2021-13-01"], 1),
        (["2021-02-28 23:00", "2021-02-28 24:00"], 1),
        (["01/13/2020", "13/01/2020"], 1),
        (["2021-01-01", "yesterday"], 1),
    ],
)
def test_dates_that_do_not_exist_are_pointed_at(cells: list[str], wrong: int) -> None:
    assert parse_dates(np.array(cells, dtype=TEXT)) == wrong


def test_offsets_from_utc() -> None:
    found = parse_dates(np.array(["2020-03-29T00:00+01:00", "2020-03-29T05:00+02:00"], dtype=TEXT))
    assert isinstance(found, Dates)
    assert found.values.astype(str).tolist() == ["2020-03-28T23:00:00", "2020-03-29T03:00:00"]
    assert found.notices == ["times with different offsets from UTC are converted to UTC"]


def test_roles_are_guessed_and_said() -> None:
    series = read(
        "id,when,load,target,wind,flat,note,clock\n"
        + "".join(f"{i},2020-01-{d:02d},{d * d % 7},{d},{d * 5 % 3},1,ok,{d / 10}\n" for i in "ab" for d in range(1, 9))
    )
    assert (series.id_name, series.time_name, series.targets[0]) == ("id", "when", "target")
    assert series.names == ["a", "b"]
    assert series.past_names == ["load", "wind"]
    np.testing.assert_array_equal(series.values[1], np.arange(1.0, 9))
    np.testing.assert_array_equal(series.past[0][:3], [[1, 2], [4, 1], [2, 0]])
    said = "\n".join(series.notices)
    for words in (
        "column 'id' names the series",
        "column 'when' is the time",
        "column 'target' is the target",
        "'flat' is left out: it is always 1",
        "'note' is left out: it holds text ('ok' on line 2)",
        "'clock' is left out: it only counts time",
        "past inputs: load, wind",
    ):
        assert words in said


def test_named_roles_win_and_nothing_is_said_about_them() -> None:
    series = read("a,b,c\n2020-01-01,1,5\n2020-01-02,2,7\n2020-01-03,4,6\n", time="a", target="b", past=["c"])
    assert series.past_names == ["c"]
    np.testing.assert_array_equal(series.values[0], [1, 2, 4])
    assert series.notices == ["the times are daily"]
    assert read("a,b,c\n2020-01-01,1,5\n2020-01-02,2,7\n", target="b", past=()).past[0].shape == (2, 0)


def test_without_times_rows_are_counted() -> None:
    series = read("y\n3\n1\n4\n")
    assert series.time_name is None
    assert series.freq.format(series.freq.future(series.times[0][-1], 2)) == ["4", "5"]
    assert "no column looks like a time; rows are counted from 1" in series.notices


def test_decimals_are_times_when_they_step_evenly() -> None:
    thirds = [f"{i / 3:.3f}" for i in range(2000)]
    series = read(column(thirds, "time,y"))
    assert series.gaps == 0
    written = series.freq.format(series.freq.future(series.times[0][-1], 1))
    assert [len(t) for t in written] == [7]
    assert float(written[0]) == pytest.approx(2000 / 3, abs=2e-3)
    uneven = "time,y\n" + "".join(f"{i**1.5:.3f},{i % 3}\n" for i in range(1, 30))
    series = read(uneven)
    assert (series.time_name, series.past_names) == (None, [])
    with pytest.raises(DataError, match=r"line 3, column 'time': expected decimals in equal steps"):
        read(uneven, time="time")


def test_unsorted_times_are_sorted_and_repeated_rows_dropped() -> None:
    series = read("date,y\n2020-01-03,3\n2020-01-01,1\n2020-01-02,2\n2020-01-02,2\n")
    np.testing.assert_array_equal(series.values[0], [1, 2, 3])
    assert "the times were not in order (first on line 3) and are sorted" in series.notices
    assert "1 repeated row dropped (first on line 5)" in series.notices


GAPPY = "date,y,x\n2020-01-01,1,10\n2020-01-02,2,20\n2020-01-05,5,50\n2020-01-06,,60\n2020-01-07,7,80\n"


def test_gaps_kept_masked_filled() -> None:
    keep, mask, fill = (read(GAPPY, gaps=g, target="y") for g in ("keep", "mask", "fill"))
    nan = np.nan
    np.testing.assert_array_equal(keep.values[0], [1, 2, 5, nan, 7])
    np.testing.assert_array_equal(mask.values[0], [1, 2, nan, nan, 5, nan, 7])
    np.testing.assert_array_equal(mask.past[0][:, 0], [10, 20, nan, nan, 50, 60, 80])
    np.testing.assert_allclose(fill.values[0], [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(fill.past[0][:, 0], [10, 20, 30, 40, 50, 60, 80])
    assert [len(s.times[0]) for s in (keep, mask, fill)] == [5, 7, 7]
    assert (mask.gaps, mask.missing, fill.missing) == (2, 3, 0)
    assert "2 missing rows (2 after 2020-01-02): put in as missing" in mask.notices
    assert "2 missing rows (2 after 2020-01-02): left as they are" in keep.notices
    assert "column 'y': 1 missing value (20.0%, first on line 5)" in mask.notices
    with pytest.raises(UsageError, match="keep, mask, fill"):
        read(GAPPY, gaps="drop")


def test_uneven_times_are_left_alone() -> None:
    series = read(column(["2020-01-01", "2020-01-03", "2020-01-04", "2020-01-09", "2020-01-20", "2020-02-11"]))
    assert len(series.values[0]) == 6
    assert any(n.startswith("the times are uneven") for n in series.notices)


def test_a_huge_gap_is_not_filled_with_rows() -> None:
    minutes = ["2020-01-01 00:00", "2020-01-01 00:01", "2020-01-01 00:02", "2024-01-01 00:00"]
    series = read(column(minutes))
    assert len(series.values[0]) == 4
    assert any("too many to put in" in n for n in series.notices)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("date,y\n2020-01-01,1\n2020-01-02,2\n2020-01-02,3\n", ["lines 3 and 4", "2020-01-02", "'date'"]),
        ("date,y\n2020-01-01,1\n2020-01-02,1\n2020-02-30,2\n", ["line 4", "column 'date'", "'2020-02-30'"]),
        ("date,y\nsoon,1\n2020-01-02,1\n2020-02-03,2\n", ["line 2", "column 'date'", "'soon'"]),
        ("date,y\n2020-01-01,1\n,2\n", ["line 3", "column 'date'", "empty"]),
        ("date,y\n01/02/2020,1\n02/02/2020,2\n", ["line 2", "day or the month first"]),
        ("date,y\n2020-01-01,1\n2020-01-02,2\n2020-01-03,x\n", ["expected a column of numbers"]),
        (column([f"2020-01-{d:02d}" for d in range(1, 21)]) + "2020-01-21,x\n", ["line 22", "column 'y'", "'x'"]),
        ("date,y\n2020-01-01,a\n2020-01-02,b\n", ["a column of numbers"]),
        ("id,t,y\na,1,1\n,2,2\na,3,3\n", ["line 3", "column 'id'"]),
    ],
)
def test_bad_content_is_refused_with_its_line(content: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    for part in parts:
        assert part in str(caught.value)


def test_bad_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no column 'Y'; did you mean 'y'\?"):
        read("date,y\n2020-01-01,1\n", target="Y")
    with pytest.raises(UsageError, match="two purposes"):
        read("date,y\n2020-01-01,1\n", target="y", past=["y"])
    with pytest.raises(DataError, match="every value is missing"):
        read("date,y\n2020-01-01,\n2020-01-02,\n", target="y")


def test_constant_empty_and_marked_values_are_said() -> None:
    assert "the target is always 5; there is nothing to learn" in read("t,y\n1,5\n2,5\n3,5\n").notices
    many = read("id,t,y\na,1,1\na,2,2\nb,1,\nb,2,\n")
    assert many.names == ["a"]
    assert "1 series without any value left out: 'b'" in many.notices
    marked = read("t,y\n" + "".join(f"{i},{-999 if i % 4 == 0 else i % 7}\n" for i in range(1, 29)))
    assert any("-999 stands 7 times apart from the others (0 to 6)" in n for n in marked.notices)
    assert marked.missing == 0
    switch = read("t,y\n" + "".join(f"{i},{int(i % 4 == 0)}\n" for i in range(1, 29)))
    assert not any("apart" in n for n in switch.notices)


def test_a_bad_cell_among_numbers_is_named_and_words_are_left_out() -> None:
    rows = [[f"2020-01-{d:02d}", str(d % 7), str(d % 5), "ok"] for d in range(1, 29)]
    for bad in ("many", "inf"):
        rows[4][1] = bad
        content = "day,wind,sun,note,y\n" + "".join(",".join([*row, str(i)]) + "\n" for i, row in enumerate(rows))
        with pytest.raises(DataError, match=rf"line 6, column 'wind'.*'{bad}'.*leave the column out with --past sun$"):
            read(content)
        assert read(content, past=["sun"]).past_names == ["sun"]


SHOPS = [("north", d) for d in range(1, 9)] + [("south", d) for d in range(1, 9)]


@pytest.mark.parametrize("order", [lambda pair: 0, lambda pair: pair[1]])
def test_a_column_of_text_tells_series_apart_where_times_repeat(order: Any) -> None:
    rows = sorted(SHOPS, key=order)
    series = read("shop,city,date,qty\n" + "".join(f"{s},{s[0]}-town,2020-01-{d:02d},{d}\n" for s, d in rows))
    assert (series.id_name, series.names, series.time_name) == ("shop", ["north", "south"], "date")
    assert "column 'shop' names the series, as times repeat but not within it" in series.notices
    years = read("country,year,pop\n" + "".join(f"{s},{1990 + d},{d * d}\n" for s, d in SHOPS))
    assert (years.id_name, years.time_name, years.targets[0]) == ("country", "year", "pop")
    seasons = read("year,half,y\n" + "".join(f"{1990 + d},{h},{d}\n" for d in range(9) for h in ("one", "two")))
    assert (seasons.id_name, len(seasons)) == (None, 1)


def test_the_error_of_repeated_times_names_the_column_that_would_tell_them_apart() -> None:
    rows = [("north", d) for d in range(1, 20)] + [("south", d) for d in range(18, 30)]
    with pytest.raises(DataError, match=r"name the column that tells the series apart: --id shop$"):
        read("shop,date,qty\n" + "".join(f"{s},2020-01-{d:02d},{d}{s == 'south':d}\n" for s, d in rows))


def test_the_fingerprint_is_that_of_the_content() -> None:
    first = read("date,y\n2020-01-01,1\n2020-01-02,2.5\n")
    same = read("date;y\n2020-01-02;2,50\n2020-01-01;1\n")
    other = read("date,y\n2020-01-01,1\n2020-01-02,2.6\n")
    assert first.fingerprint() == same.fingerprint()
    assert first.fingerprint() != other.fingerprint()
    assert len(first.fingerprint()) == 64


@pytest.mark.parametrize(
    ("name", "options", "rows", "words", "after", "periods"),
    [
        ("airline-passengers", {}, 144, "monthly", "1961-01", [12]),
        ("co2", {"target": "Average"}, 820, "monthly", "2026-07", [12]),
        ("daily-min-temperatures", {}, 3652, "daily", "1991-01-01", [365]),
        ("daily-min-temperatures", {"gaps": "keep"}, 3650, "daily", "1991-01-01", [365]),
        ("ETTh1", {}, 17420, "hourly", "2018-06-26 20:00:00", [24]),
        ("m4-hourly", {}, 700, "numbered in steps of 1", "701", [24, 168]),
    ],
)
def test_real_files(name: str, options: dict[str, str], rows: int, words: str, after: str, periods: list[int]) -> None:
    series = real(name, **options)
    assert len(series.values[0]) == rows
    assert series.freq.text == words
    assert series.freq.format(series.freq.future(series.times[0][-1], 1)) == [after]
    assert find_periods(series.values, series.freq) == periods


def test_real_marks_of_missing_are_said_not_removed() -> None:
    series = real("co2", target="Average")
    assert series.past_names == ["Deseasonalised", "Days", "Sdev", "Uncertainty"]
    assert sum("if it means missing" in n for n in series.notices) == 3
    assert np.sum(series.past[0] == -9.99) == 196


@pytest.mark.parametrize("kind", ["noise", "walk"])
def test_no_period_where_nothing_repeats(kind: str) -> None:
    false = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(300)
        false += bool(find_periods([noise if kind == "noise" else noise.cumsum()]))
    assert false <= 1


def test_periods_through_noise_holes_and_trend(rng: np.random.Generator) -> None:
    t = np.arange(1500)
    week = np.array([1, 2, 3, 2, 1, -2, -4])[t % 7]
    daily = 10 + week + 3 * np.sin(2 * np.pi * t / 365.25) + rng.standard_normal(1500)
    assert find_periods([daily], Frequency("day", 1)) == [7, 365]
    assert find_periods([daily], Frequency("day", 1), most=1) == [7]
    assert find_periods([np.where(rng.random(1500) < 0.2, np.nan, daily)], Frequency("day", 1))[0] == 7
    hours = 3 * np.sin(2 * np.pi * t / 24) + 0.3 * rng.standard_normal(1500).cumsum() + 0.01 * t
    assert find_periods([hours]) == [24]
    assert find_periods([np.arange(10.0), np.full(50, np.nan), np.ones(100)]) == []


@pytest.mark.parametrize(("minutes", "rows"), [(5, 8000), (15, 6000), (30, 3000)])
def test_a_day_is_found_in_minutes(minutes: int, rows: int, rng: np.random.Generator) -> None:
    day = 1440 // minutes
    load = 3 * np.maximum(0, np.sin(2 * np.pi * np.arange(rows) / day))
    noise = np.convolve(0.2 * rng.standard_normal(rows + 50), 0.9 ** np.arange(50), "valid")[:rows]
    assert find_periods([load + noise], Frequency("minute", minutes)) == [day]

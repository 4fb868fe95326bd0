"""Nasty files: dates of all sorts, indices, clocks, series and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from nasty import DAYS, PI, PLAIN, Nasty, Reads, Refuses, check, table

NAN = float("nan")
STEPS = "numbered in steps of 1"


def timed(times: Sequence[Any], step: str, after: str, *says: str, head: str = "date,y", **more: Any) -> Nasty:
    """Eight values at these times."""
    content = table(PI[: len(times)], times, head)
    ends = (str(times[0]), str(times[-1]), after)
    return Nasty(content, Reads(PI[: len(times)], ends, head.split(",")[0], step=step, says=says, **more))


def refused(times: Sequence[Any], sentence: str, head: str = "date,y") -> Nasty:
    return Nasty(table(PI[: len(times)], times, head), Refuses(sentence))


def replaced(old: str, new: str, sentence: str) -> Nasty:
    return Nasty(PLAIN.replace(old, new), Refuses(sentence))


def series(rows: Sequence[str], values: Any, names: Sequence[str], *says: str) -> Nasty:
    reads = Reads(values, ("1", "4", "5"), "t", step=STEPS, names=names, id="id", says=says)
    return Nasty("id,t,y\n" + "\n".join(rows) + "\n", reads)


FEBRUARY = [f"{d:02d}/02/2024" for d in range(1, 9)]
MONTH_ENDS = ["2023-08-31", "2023-09-30", "2023-10-31", "2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29"]
BUSINESS = np.busday_offset("2024-02-26", np.arange(14), roll="forward").astype(str).tolist()
AT = 1709251200  # 2024-03-01 in seconds since 1970
AUTUMN = [f"2020-10-25 0{h}:00" for h in (0, 1, 2, 2, 3, 4, 5, 6)]
SPRING = [f"2020-03-29 0{h}:00" for h in (0, 1, 3, 4, 5, 6, 7, 8)]
CLOCK = "column 'date' holds local times by a clock that is put forward in spring and back in autumn"

FILES = {
    # dates
    "the day first": timed(
        [f"{d}/02/2024" for d in range(20, 28)], "daily", "28/02/2024",
        "dates such as '20/02/2024' read with the day first",
    ),
    "the month first": timed(
        [f"2/{d}/2024" for d in range(20, 28)], "daily", "2/28/2024",
        "dates such as '2/20/2024' read with the month first",
    ),
    "day or month": refused(
        FEBRUARY,
        ", line 2, column 'date': '01/02/2024' could have the day or the month first; write dates as 2020-01-31",
    ),
    "day and month exchanged in one row": refused(
        ["13/02/2024", "02/14/2024", *(f"{d}/02/2024" for d in range(15, 21))],
        ", line 3, column 'date': expected a date such as '13/02/2024', found '02/14/2024'; mend the cell",
    ),
    "two styles": replaced(
        "2024-02-28", "28/02/2024",
        ", line 4, column 'date': expected a date such as '2024-02-26', found '28/02/2024'; mend the cell",
    ),
    "with and without leading zeros": Nasty(PLAIN.replace("2024-03-01", "2024-3-1"), Reads(PI)),
    "30 February": replaced(
        "2024-02-28", "2024-02-30",
        ", line 4, column 'date': expected a date such as '2024-02-26', found '2024-02-30'; mend the cell",
    ),
    "29 February of a year that has none": replaced(
        "2024", "2023",
        ", line 5, column 'date': expected a date such as '2023-02-26', found '2023-02-29'; mend the cell",
    ),
    "a leap day": Nasty(PLAIN, Reads(PI)),
    "25 o'clock": refused(
        [f"2024-02-26 {h}:00" for h in range(18, 26)],
        ", line 8, column 'date': expected a date such as '2024-02-26 18:00', found '2024-02-26 24:00'; mend the cell",
    ),
    "years of two digits": timed(
        [f"{d}.12.68" for d in range(24, 32)], "daily", "01.01.69",
        "years of two digits are read as 1969 to 2068", "dates such as '24.12.68' read with the day first",
    ),
    "years of two digits over a century": timed(
        [f"01-Jan-{y:02d}" for y in (96, 97, 98, 99, 0, 1, 2, 3)], "yearly", "01-Jan-04",
        "years of two digits are read as 1969 to 2068",
    ),
    "morning and afternoon": timed(
        [f"2/26/2024 {t}" for t in ("9:30 AM", "10:30 AM", "11:30 AM", "12:30 PM", "1:30 PM", "2:30 PM")], "hourly",
        "2/26/2024 3:30 PM", "dates such as '2/26/2024 9:30 AM' read with the month first",
    ),
    "bare hours": timed([f"2024-02-26 {h:02d}" for h in range(8)], "hourly", "2024-02-26 08"),
    "fractions with a comma": Nasty(
        table(PI, [f"2024-02-26 00:00:0{h},5" for h in range(8)], separator=";"),
        Reads(PI, tuple(f"2024-02-26 00:00:0{h},5" for h in (0, 7, 8)), step="every second"),
    ),
    "UTC in words": timed([f"2024-02-26 {h:02d}:00 UTC" for h in range(8)], "hourly", "2024-02-26 08:00 UTC"),
    "weeks": timed([f"2024-W{w:02d}" for w in range(5, 13)], "weekly", "2024-W13"),
    "days of weeks": timed(
        [*(f"2024-W52-{d}" for d in range(3, 8)), "2025-W01-1", "2025-W01-2"], "daily", "2025-W01-3"
    ),
    "week 53 of a year that has none": refused(
        [f"2024-W{w}" for w in range(46, 54)],
        ", line 9, column 'date': expected a date such as '2024-W46', found '2024-W53'; mend the cell",
    ),
    "months": timed([f"1949-{m:02d}" for m in range(5, 13)], "monthly", "1950-01"),
    "months of digits": timed([202310, 202311, 202312, 202401], "monthly", "202402", head="month,y"),
    "quarters": timed([f"{2022 + i // 4}-Q{i % 4 + 1}" for i in range(8)], "quarterly", "2024-Q1"),
    "quarters before years": timed([f"Q{i % 4 + 1} {2022 + i // 4}" for i in range(8)], "quarterly", "Q1 2024"),
    "years": timed([*range(2016, 2024)], "yearly", "2024", head="year,y"),
    "ends of months": timed(MONTH_ENDS, "monthly", "2024-03-31"),
    "the year 1": timed([f"{y:04d}-01-01" for y in range(1, 9)], "yearly", "0009-01-01"),
    "business days": Nasty(
        table([*PI, *PI[:6]], BUSINESS), Reads([*PI, *PI[:6]], ("2024-02-26", "2024-03-14", "2024-03-15"),
                                               step="on business days"),
    ),
    "a holiday": Nasty(
        table([*PI, *PI[:5]], BUSINESS[:6] + BUSINESS[7:]),
        Reads([*PI[:6], NAN, *PI[6:], *PI[:5]], ("2024-02-26", "2024-03-14", "2024-03-15"), step="on business days",
              says=["1 missing row (1 after 2024-03-04): put in as missing"]),
    ),
    "a missing date": replaced(
        "2024-02-28", "", ", line 4, column 'date': expected a time, found an empty cell; fill it or drop the row"
    ),
    "a date that is NA": replaced(
        "2024-02-28", "NA", ", line 4, column 'date': expected a time, found an empty cell; fill it or drop the row"
    ),
    "months in another language": Nasty(
        table(PI, [f"{d} mars 2024" for d in range(1, 9)]),
        Reads(PI, ("1", "8", "9"), None, step=STEPS,
              says=["column 'date' is left out: it holds text ('1 mars 2024' on line 2)"]),
    ),
    "date and time apart": Nasty(
        "date,time,y\n" + "".join(f"2024-02-{26 + i // 4},{6 * (i % 4):02d}:00,{i}\n" for i in range(8)),
        Refuses(", lines 2 and 3: both are at 2024-02-26 in column 'date' and differ; keep one of them, or join the "
                "columns 'date' and 'time' into one, or name the column that tells the series apart"),
    ),
    # indices and counts
    "an index with gaps": Nasty(
        table(PI, [1, 2, 3, 5, 6, 9, 10, 11], "t,y"),
        Reads([3, 1, 4, NAN, 1, 5, NAN, NAN, 9, 2, 6], ("1", "11", "12"), "t", step=STEPS,
              says=["3 missing rows (1 after 3, 2 after 6): put in as missing"]),
    ),
    "an index in fives": timed([*range(0, 40, 5)], "numbered in steps of 5", "40", head="t,y"),
    "an index below zero": timed([*range(-4, 4)], STEPS, "4", head="t,y"),
    "an index of decimals": timed([f"{i / 4:.2f}" for i in range(8)], "numbered in steps of 0.25", "2.00", head="t,y"),
    "serial days of Excel": timed([*range(45348, 45356)], STEPS, "45356"),
    "times of day alone": Nasty(
        table(PI, [f"{h:02d}:00" for h in range(8)]),
        Reads(PI, ("1", "8", "9"), None, step=STEPS,
              says=["column 'date' is left out: it holds text ('00:00' on line 2)"]),
    ),
    "seconds and milliseconds since 1970": refused(
        [AT, AT + 3600, 1000 * (AT + 7200), AT + 10800],
        f", line 4, column 'ts': expected seconds since 1970 like '{AT}' on line 2, found '{1000 * (AT + 7200)}'; "
        "write all times in one unit", head="ts,y",
    ),
    # clocks
    "an hour that comes twice": timed(
        AUTUMN, "hourly", "2020-10-25 07:00",
        f"{CLOCK}: hours that come twice (first '2020-10-25 02:00', again on line 5) are kept both",
    ),
    "an hour that is skipped": timed(
        SPRING, "hourly", "2020-03-29 09:00", f"{CLOCK}: hours that are skipped are no gaps"
    ),
    "offsets that change": Nasty(
        table(PI[:4], [f"2020-10-25T{t}" for t in ("01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00")]),
        Reads(
            PI[:4], ("2020-10-24T23:00+00:00", "2020-10-25T02:00+00:00", "2020-10-25T03:00+00:00"), step="hourly",
            says=["times with different offsets from UTC are converted to UTC"],
        ),
    ),
    "an hour that comes twice in June": refused(
        [t.replace("10-25", "06-07") for t in AUTUMN],
        ", lines 4 and 5: both are at 2020-06-07 02:00 in column 'date' and differ; keep one of them, or name the "
        "column that tells the series apart",
    ),
    # rows and series
    "a row twice": Nasty(
        PLAIN.replace("2024-02-28,4\n", "2024-02-28,4\n" * 2),
        Reads(PI, says=["1 repeated row dropped (first on line 5)"]),
    ),
    "two rows that contradict each other": replaced(
        "2024-02-28,4\n", "2024-02-28,4\n2024-02-28,5\n",
        ", lines 4 and 5: both are at 2024-02-28 in column 'date' and differ; keep one of them, or name the column "
        "that tells the series apart",
    ),
    "the newest first": Nasty(
        table(PI[::-1], DAYS[::-1]),
        Reads(PI, says=["the times were not in order (first on line 3) and are sorted"]),
    ),
    "series of numbers": series(
        [f"{i},{t},{t * i}" for i in (10, 2) for t in range(1, 5)], [[10, 20, 30, 40], [2, 4, 6, 8]], ["10", "2"]
    ),
    "names with zeros": series(
        [f"{i},{t},{t}" for i in ("007", "7") for t in range(1, 5)], [[1, 2, 3, 4], [1, 2, 3, 4]], ["007", "7"]
    ),
    "names with blanks": series(
        [f"{i},{t},{t}" for i in (" north shop ", "north  shop") for t in range(1, 5)], [[1, 2, 3, 4]] * 2,
        ["north shop", "north  shop"],
    ),
    "Namibia": series([f"{i},{t},{t}" for i in ("NA", "US") for t in range(1, 5)], [[1, 2, 3, 4]] * 2, ["NA", "US"]),
    "series among each other": series(
        [f"{i},{t},{t}{i}" for t in range(1, 5) for i in (2, 1)], [[12, 22, 32, 42], [11, 21, 31, 41]], ["2", "1"]
    ),
    "a row without its series": Nasty(
        "id,t,y\na,1,1\na,2,2\n,3,3\na,4,4\n",
        Refuses(", line 4, column 'id': expected the name of a series, found nothing; fill it in"),
    ),
} | {
    f"{unit} since 1970": timed(
        [AT * factor + i * 3600 * factor for i in range(8)], "hourly", str((AT + 8 * 3600) * factor),
        f"column 'timestamp' holds {unit} since 1970", head="timestamp,y",
    )
    for unit, factor in (("seconds", 1), ("milliseconds", 1000), ("microseconds", 10**6), ("nanoseconds", 10**9))
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_nasty_times(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(FILES[name], monkeypatch)

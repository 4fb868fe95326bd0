"""Nasty files: encodings, line ends, separators, quotation marks, headers, numbers."""

from __future__ import annotations

import gzip

import pytest
from nasty import DAYS, PI, PLAIN, Nasty, Reads, Refuses, check, table

NAN = float("nan")
ALIKE = Reads(PI)
"""What the plain table says, however it is written."""
NUMBERS = "expected a column of numbers to forecast, found"
ALONE = "write numbers alone, as 1234.5"


def alike(content: str | bytes) -> Nasty:
    return Nasty(content, ALIKE)


def refused(content: str | bytes, sentence: str) -> Nasty:
    return Nasty(content, Refuses(sentence))


def numbers(cells: list[str], values: list[float], *says: str, separator: str = ",") -> Nasty:
    return Nasty(table(cells, DAYS[: len(cells)], separator=separator), Reads(values, _ends(len(cells)), says=says))


def _ends(n: int) -> tuple[str, str, str]:
    return (DAYS[0], DAYS[n - 1], [*DAYS, "2024-03-05"][n])


def with_third(text: str) -> str:
    """The plain table with its third row replaced."""
    return PLAIN.replace("2024-02-28,4\n", text)


def with_columns(head: str, row: str) -> str:
    return f"{head}\n" + "".join(row.format(day=DAYS[i], i=i, v=PI[i]) + "\n" for i in range(8))


WIDE = [["date", *(f"c{k}" for k in range(9999)), "last", "y"]]
WIDE += [[DAYS[i], *["7"] * 9999, str(i % 3), str(PI[i])] for i in range(4)]

FILES = {
    # bytes
    "UTF-8 with a byte-order mark": alike(b"\xef\xbb\xbf" + PLAIN.encode()),
    "two byte-order marks": alike(b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN.encode()),
    "UTF-16, little end first": alike(PLAIN.encode("utf-16")),
    "UTF-16, big end first": alike(b"\xfe\xff" + PLAIN.encode("utf-16-be")),
    "UTF-16 without a mark": Nasty(
        PLAIN.encode("utf-16-le"),
        Reads(PI, says=["standard input has no byte-order mark and is read as UTF-16-LE"]),
    ),
    "UTF-32": alike(PLAIN.encode("utf-32")),
    "Latin-1": Nasty(
        table(head="jour,débit").encode("latin-1"),
        Reads(
            PI, time="jour", target="débit", says=["standard input is not UTF-8 (byte 0xe9 on line 1); read as cp1252"]
        ),
    ),
    "a NUL byte": refused(
        with_third("2024-02-28,4\x00\n"),
        ": expected text, found a binary file (byte 0x00 at position 46, line 4); save it as UTF-8 text",
    ),
    "a control character": refused(
        with_third("2024-02-28,4\x07\n"), f", line 4, column 'y': {NUMBERS} '4\\x07'; {ALONE}"
    ),
    "gzip": alike(gzip.compress(PLAIN.encode())),
    "gzip cut short": refused(
        gzip.compress(PLAIN.encode() * 50)[:-12], ": the gzip data is cut short or damaged; fetch or compress it again"
    ),
    "an Excel workbook": refused(
        b"PK\x03\x04" + b"x" * 50, ": expected text, found a ZIP archive or an Excel workbook; save the sheet as CSV"
    ),
    "HTML": refused("<html><body><table>\n", ", line 1: expected a table, found HTML or XML; save the table as CSV"),
    "JSON": refused('[{"date": "2024-01-01", "y": 5},\n', ", line 1: expected a table, found JSON; write it as CSV"),
    "nothing": refused("", ": the file is empty; expected text"),
    "blanks": refused(" \n \n", ": the file is empty; expected text"),
    "only a header": refused("date,y\n", ": found a header and no rows; expected at least one row of data"),
    # lines
    "CRLF": alike(PLAIN.replace("\n", "\r\n")),
    "CR": alike(PLAIN.replace("\n", "\r")),
    "mixed line ends": alike(PLAIN.replace("\n", "\r\n", 3)),
    "no line end at the end": alike(PLAIN.rstrip()),
    "blank lines": alike(PLAIN.replace("\n", "\n\n")),
    "comments above": Nasty(
        "# exported\n# on Monday\n" + PLAIN, Reads(PI, says=["2 lines of comments above the header passed over"])
    ),
    "a header that is a comment": Nasty("# " + PLAIN, Reads(PI, time="# date")),
    "a comment between": refused(
        with_third("# a note\n2024-02-28,4\n"), ", line 4: found 1 field where the header has 2; take the comment out"
    ),
    "a title above": refused(
        "Report,\n" + PLAIN,
        ", line 2, column 'Report': expected a date such as 2020-01-31 or a number, found 'date'; mend the cell",
    ),
    "units below the header": refused(
        PLAIN.replace("y\n", "y\n,kWh\n"),
        ", line 2, column 'date': expected a time, found an empty cell; fill it or drop the row",
    ),
    "a total below": refused(
        PLAIN + "Total,31\n",
        ", line 10, column 'date': expected a date such as '2024-02-26', found 'Total'; mend the cell",
    ),
    # fields
    "sep=": alike("sep=;\r\n" + table(separator=";", end="\r\n")),
    "tabs": alike(table(separator="\t")),
    "bars": alike(table(separator="|")),
    "blanks between": refused(
        PLAIN.replace(",", " "), ", line 2: expected columns with a separator between, found only 'date y'; check it"
    ),
    "separators at all ends": alike(PLAIN.replace("\n", ",\n")),
    "a separator at one end": refused(
        with_third("2024-02-28,4,\n"), ", line 4: found 3 fields where the header has 2; take the ',' at its end out"
    ),
    "a field too few": refused(
        with_third("2024-02-28\n"), ", line 4: found 1 field where the header has 2; add the rest"
    ),
    "a field too many": refused(
        with_third("2024-02-28,4,5\n"),
        ", line 4: found 3 fields where the header has 2; quote the fields that contain ','",
    ),
    "decimal commas between commas": refused(
        PLAIN.replace(",3\n", ",3,5\n"),
        ", line 2: found 3 fields where the header has 2; quote the fields that contain ','",
    ),
    "a quotation mark that is not closed": refused(
        with_third('2024-02-28,"4\n'), ", line 4: a quotation mark opens here and is never closed; close it"
    ),
    "inches": Nasty(
        with_columns("date,note,y", '{day},5" pipe {i},{v}'),
        Reads(PI, says=["column 'note' is left out: it holds text ('5\" pipe 0' on line 2)"]),
    ),
    "lines within fields": Nasty(
        with_columns("date,note,y", '{day},"one\nand {i}, two",{v}'),
        Reads(PI, says=["column 'note' is left out: it holds text ('one\\nand 0, two' on line 2)"]),
    ),
    "a cell of a megabyte": Nasty(
        "date,note,y\n" + "".join(f"{DAYS[i]},{'x' * size},{PI[i]}\n" for i, size in enumerate((1_000_000, 1, 2))),
        Reads(
            [3, 1, 4],
            _ends(3),
            says=[f"column 'note' is left out: it holds text ('{'x' * 39}…' on line 2)"],
        ),
    ),
    # names
    "no header": Nasty(
        PLAIN.split("\n", 1)[1],
        Reads(
            PI,
            time="c1",
            target="c2",
            says=["no header: the first line holds values, so the columns are called c1 to c2"],
        ),
    ),
    "two columns of one name": refused(
        "date,y,y\n2024-01-01,1,2\n", ", line 1: columns 2 and 3 are both called 'y'; rename one of them"
    ),
    "names that differ by case": Nasty(with_columns("date,Y,y", "{day},{v},{i}"), Reads([*range(8)], past=["Y"])),
    "names that differ by blanks": Nasty(
        with_columns("date, y ,y  2", "{day},{v},{i}"),
        Reads(PI, says=["column 'y 2' is left out: it only counts time"]),
    ),
    "names of emoji": Nasty(table(head="🗓️,🌡️"), Reads(PI, time="🗓️", target="🌡️")),
    "a name of nothing visible": alike(PLAIN.replace("y\n", "y\u200b\n", 1)),
    "a column without a name": Nasty(
        with_columns(",date,y", "{i},{day},{v}"),
        Reads(PI, says=["column 1 has no name and is called c1", "column 'c1' is left out: it only counts time"]),
    ),
    "the time last": Nasty(with_columns("y,x,date", "{v},{v}{i},{day}"), Reads(PI, past=["x"])),
    "ten thousand columns": Nasty(
        "\n".join(",".join(row) for row in WIDE) + "\n",
        Reads(
            [3, 1, 4, 1],
            _ends(4),
            says=["columns c0, c1, c2, … (9999 of them) are left out: it is always 7"],
            past=["last"],
        ),
    ),
    # numbers
    "decimal commas": numbers(["1,5", "2,25", "3", "-4,0"], [1.5, 2.25, 3, -4], separator=";"),
    "decimal commas in quotes": numbers(['"1,5"', '"2,25"'], [1.5, 2.25]),
    "commas between thousands": numbers(
        ['"1,234"', '"12,345"'], [1234, 12345], "column 'y': ',' read as a mark between thousands"
    ),
    "points between thousands": numbers(
        ["1.234,5", "2.000,25"], [1234.5, 2000.25], "column 'y': '.' read as a mark between thousands", separator=";"
    ),
    "blanks between thousands": numbers(
        ["1 234", "12\u202f345"], [1234, 12345], "column 'y': a space read as a mark between thousands", separator=";"
    ),
    "apostrophes between thousands": numbers(
        ["1'234", "2'345.5"], [1234, 2345.5], "column 'y': an apostrophe read as a mark between thousands"
    ),
    "decimals or thousands": numbers(
        ["1.234", "2.345"],
        [1.234, 2.345],
        "column 'y': '1.234' read with a decimal mark, though it could stand between thousands",
        separator=";",
    ),
    "both decimal marks": refused(
        table(["1,5", "2.5"], DAYS[:2], separator=";"), f", line 2, column 'y': {NUMBERS} '1,5'; {ALONE}"
    ),
    "negative zero": numbers(["-0", "0", "-0.0", "1"], [-0.0, 0.0, -0.0, 1]),
    "a minus of typographers": numbers(["\u22125", "3"], [-5, 3]),
    "marks of missing values": numbers(
        ["1", "NA", "NaN", "-", "..", "", "#N/A", "8"],
        [1, NAN, NAN, NAN, NAN, NAN, NAN, 8],
        "column 'y': 6 missing values (75.0%, first on line 3, written NA, NaN, -, .., #N/A)",
    ),
    "true and false": numbers(
        ["True", "False", "True"], [1, 0, 1], "column 'y': true and false read as 1 and 0"
    ),
    "always the same": numbers(["5"] * 8, [5] * 8, "the target is always 5; there is nothing to learn"),
    "one row": numbers(["5"], [5], "the target is always 5; there is nothing to learn"),
    "one column": Nasty("y\n3\n1\n4\n", Reads([3, 1, 4], ("1", "3", "4"), None, step="numbered in steps of 1")),
    "no value at all": refused(
        table([""] * 8),
        ", line 2, column 'y': expected numbers to forecast, found nothing in any row; name another column with "
        "--target",
    ),
    "infinity": refused(
        table(["1", "inf"], DAYS[:2]),
        ", line 3, column 'y': expected a column of finite numbers to forecast, found 'inf'; name another column with "
        "--target",
    ),
    "1e400": refused(
        table([*"1234567", "1e400"]),
        f", line 9, column 'y': expected a column of finite numbers to forecast, found '1e400'; {ALONE}",
    ),
    "1e200": refused(
        table([*"1234567", "1e200"]),
        ", line 9, column 'y': numbers up to 1e+150 were expected, found 1e+200; give the column in a larger unit",
    ),
    "one cell with its unit": refused(
        table(["1", "2", "3", "4 kg", *["5"] * 14], [f"2024-01-{d:02d}" for d in range(1, 19)]),
        ", line 5, column 'y': expected a number, found '4 kg'; mend the cell or leave it empty",
    ),
} | {
    f"numbers written {cell}": refused(
        table([cell, "3"], DAYS[:2], separator=";"), f", line 2, column 'y': {NUMBERS} '{cell}'; {ALONE}"
    )
    for cell in ("0 kg", "0.5%", "$1.50", "1,50 €", "(5)", "5-", "1_000", "0x1F", "1e", "1.2.3")
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_nasty_tables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(FILES[name], monkeypatch)


def test_there_are_many_of_them() -> None:
    assert len(FILES) >= 60

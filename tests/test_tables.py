"""Nasty files: each is read rightly or refused in one sentence that names the line and the column."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path

import numpy as np
import pytest

from rnnkit.data.tables import Table, read_table
from rnnkit.errors import DataError, UsageError


def read(content: str | bytes, **options: object) -> Table:
    data = content if isinstance(content, bytes) else content.encode()
    return read_table(io.BytesIO(data), **options)  # type: ignore[arg-type]


PLAIN = "day,flow\n1,2.5\n2,-3\n3,\n"
VALUES = [2.5, -3.0, math.nan]


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        (PLAIN.encode(), ","),
        (b"\xef\xbb\xbf" + PLAIN.encode(), ","),
        (PLAIN.encode("utf-16"), ","),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), ","),
        (PLAIN.encode("utf-32"), ","),
        (PLAIN.replace("\n", "\r\n").encode(), ","),
        (PLAIN.replace("\n", "\r").encode(), ","),
        (PLAIN.rstrip().encode(), ","),
        (PLAIN.replace(",", ";").encode(), ";"),
        (PLAIN.replace(",", "\t").encode(), "\t"),
        (PLAIN.replace(",", "|").encode(), "|"),
        (PLAIN.replace(",", ";").replace(".", ",").encode(), ";"),
        (PLAIN.replace(",", "\t").replace(".", ",").encode(), "\t"),
        (b"sep=;\r\n" + PLAIN.replace(",", ";").encode(), ";"),
        (gzip.compress(PLAIN.encode(), mtime=0), ","),
        (b'"day","flow"\r\n"1","2.5"\r\n"2","-3"\r\n"3",""\r\n', ","),
        (b"day, flow \n1, 2.5 \n2,\t-3\n3,  \n", ","),
        (b"\n\nday,flow\n1,2.5\n\n2,-3\n3,\n\n\n", ","),
        (b"day,flow,\n1,2.5,\n2,-3,\n3,,\n", ","),
        ("day,flow\n1,2.5\n2,\u22123\n3,\n".encode(), ","),
    ],
)
def test_the_same_numbers_however_they_are_written(content: bytes, separator: str) -> None:
    table = read(content)
    assert table.names == ["day", "flow"]
    assert table.separator == separator
    np.testing.assert_array_equal(table.numeric("day"), [1, 2, 3])
    np.testing.assert_array_equal(table.numeric("flow"), VALUES)
    assert table.missing["flow"] == 1


@pytest.mark.parametrize("mark", ["", "NA", "n/a", "#N/A", "NaN", "nan", "null", "NULL", "None", "?"])
def test_marks_of_missing_values_become_nan(mark: str) -> None:
    table = read(f"a,b\n1,{mark}\n2,7\n")
    np.testing.assert_array_equal(table.numeric("b"), [math.nan, 7.0])
    assert table.missing["b"] == 1


@pytest.mark.parametrize(
    ("cells", "separator", "expected"),
    [
        (['"1,234"', '"2,345.5"'], ",", [1234.0, 2345.5]),
        (['"1,234"', '"12,345"'], ",", [1234.0, 12345.0]),
        (['"12,5"', '"7,25"'], ",", [12.5, 7.25]),
        (["1.234,5", "2.000.000,25"], ";", [1234.5, 2000000.25]),
        (["1 234,5", "12,25"], ";", [1234.5, 12.25]),
        (["1\u202f234,5", "12,25"], ";", [1234.5, 12.25]),
        (["1'234.5", "12.25"], ";", [1234.5, 12.25]),
        (["1e3", "-2.5E-2"], ",", [1000.0, -0.025]),
        ([".5", "+4."], ",", [0.5, 4.0]),
    ],
)
def test_decimal_marks_and_marks_between_thousands(cells: list[str], separator: str, expected: list[float]) -> None:
    rows = "".join(f"{i}{separator}{c}\n" for i, c in enumerate(cells))
    np.testing.assert_array_equal(read(f"n{separator}x\n{rows}").numeric("x"), expected)


def test_latin1_is_read_and_said() -> None:
    table = read("jour;débit\n1;2,5\n2;3,5\n".encode("cp1252"))
    assert table.names == ["jour", "débit"]
    assert table.encoding == "cp1252"
    assert table.decimal == ","
    assert table.notices == ["standard input is not UTF-8 (byte 0xe9 on line 1); read as cp1252"]


def test_quoted_fields_may_hold_separators_quotes_and_line_ends() -> None:
    table = read('text,n\n"one, two",1\n"say ""hi""",2\n"two\nlines",3\nlast,4\n')
    assert table.text("text").tolist() == ["one, two", 'say "hi"', "two\nlines", "last"]
    assert table.lines.tolist() == [2, 3, 4, 6]


def test_quotation_marks_that_do_not_pair_are_text() -> None:
    table = read('"Hello , he said .\t1\nplain\t0\n" again\t1\n', header=False)
    assert table.text("c1").tolist() == ['"Hello , he said .', "plain", '" again']
    assert any("ordinary characters" in n for n in table.notices)


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("1,2\n3,4\n", False),
        ("1949-01,112\n1949-02,118\n", False),
        ("a fine film\t1\na dull one\t0\n", False),
        ("Month,2024\n2020-01,5\n2020-02,6\n", True),
        ("country,1960,1961\nFrance,1,2\nSpain,3,4\n", True),
        ("word,other\nyes,no\n", True),
    ],
)
def test_header_or_none(content: str, header: bool) -> None:
    table = read(content)
    lines = content.strip().count("\n") + 1
    assert table.rows == lines - header
    assert (table.names[0] == "c1") is not header
    assert any("no header" in n for n in table.notices) is not header


def test_a_column_without_a_name_gets_one() -> None:
    table = read(",b\n0,2\n1,3\n")
    assert table.names == ["c1", "b"]
    assert table.notices == ["column 1 has no name and is called c1"]


def test_a_blank_line_in_a_single_column_is_a_missing_value() -> None:
    table = read("x\n1\n\n3\n\n")
    np.testing.assert_array_equal(table.numeric("x"), [1, math.nan, 3])
    assert table.lines.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["standard input", "empty"]),
        (b" \n\n", ["empty"]),
        ("\ufeff".encode("utf-16"), ["empty"]),
        (b"a,b\n", ["a header and no rows"]),
        (b"a,b\n1,2\n3\n", ["line 3", "1 field", "header has 2"]),
        (b"a,b\n\n1,2\n3,4,5\n", ["line 4", "3 fields", "header has 2", "','"]),
        (b'a,b\n"x\ny",2\n3\n', ["line 4", "1 field"]),
        (b"1,2\n3,4,5\n6,7\n", ["line 2", "3 fields", "first line has 2"]),
        (b"a,b,a\n1,2,3\n", ["line 1", "columns 1 and 3", "'a'"]),
        (b'a,b\n1,2\n"x,2\n3,4\n', ["line 3", "never closed"]),
        (b"a,b\n1,2\n3,\x00\n", ["binary", "line 3"]),
        (b"\x89PNG\r\n\x1a\n\x00\x00", ["binary"]),
        (b"PK\x03\x04rest of it", ["Excel", "CSV"]),
        (b"\x1f\x8b\x08\x00half", ["gzip", "damaged"]),
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], ["gzip", "cut short"]),
        (b"\xff\xfea", ["utf-16"]),
    ],
)
def test_unusable_files_are_refused_in_one_sentence(content: bytes, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a,b\n1,2\n3,oops\n", ["line 3", "column 'b'", "a number", "'oops'"]),
        ("a,b\n\n1,2\n\n3,4 kg\n", ["line 5", "'4 kg'"]),
        ('a,b\n"x\ny",2\n3,oops\n', ["line 4"]),
        ("a,b\n1,inf\n", ["line 2", "finite", "'inf'"]),
        ("a,b\n1,2\n3,-Infinity\n", ["line 3", "finite"]),
        ("a,b\n1,1e999\n", ["line 2", "finite", "'1e999'"]),
        ("a,b\n1,1_000\n", ["line 2", "'1_000'"]),
        ("a,b\n1,0x1F\n", ["'0x1F'"]),
        ("a;b\n1;2,5\n2;3,5,1\n", ["line 3", "'3,5,1'"]),
        ("a,b\n1," + "y" * 99 + "\n", ["y…"]),
    ],
)
def test_cells_that_are_no_numbers_are_named(content: str, parts: list[str]) -> None:
    table = read(content)
    with pytest.raises(DataError) as caught:
        table.numeric("b")
    for part in ["standard input", *parts]:
        assert part in str(caught.value)


def test_names_of_files_and_columns_are_proposed(tmp_path: Path) -> None:
    (tmp_path / "airline.csv").write_text(PLAIN)
    with pytest.raises(UsageError, match=r"no such file; did you mean 'airline\.csv'\?"):
        read_table(tmp_path / "arline.csv")
    with pytest.raises(UsageError, match="found a folder"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match="check the name"):
        read_table(tmp_path / "nowhere" / "x.csv")
    table = read_table(tmp_path / "airline.csv")
    with pytest.raises(UsageError, match=r"no column 'Flw'; did you mean 'flow'\?"):
        table.column("Flw")
    with pytest.raises(UsageError, match="the columns are day, flow"):
        table.numeric("temperature")
    with pytest.raises(UsageError, match="binary mode"):
        read_table(io.StringIO(PLAIN))  # type: ignore[arg-type]


def test_standard_input_is_read_when_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert read_table("-").path == "standard input"


def test_the_frame_holds_the_text() -> None:
    frame = read("a,b\n01,x\n2,\n").frame
    assert frame.to_dict("list") == {"a": ["01", "2"], "b": ["x", ""]}


def test_explicit_choices_win() -> None:
    assert read("a;b,c\n1;2,3\n", separator=",").names == ["a;b", "c"]
    assert read("x,y\n1,2\n", header=False).rows == 2
    assert read("é,b\n1,2\n".encode("latin-1"), encoding="latin-1").notices == []
    with pytest.raises(UsageError, match="unknown encoding 'utf-9'"):
        read(PLAIN, encoding="utf-9")

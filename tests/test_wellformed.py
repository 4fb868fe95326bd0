"""Large files are read block by block; whatever they hold, the result is that of the careful reader."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rnnkit
from rnnkit import api
from rnnkit.data import blocks, tables
from rnnkit.data.blocks import Odd
from rnnkit.data.columns import Column, NumberColumn, TextColumn, TimeColumn, WordColumn
from rnnkit.data.dateparts import Dates
from rnnkit.data.series import read_series
from rnnkit.data.tables import Table, read_table
from rnnkit.errors import RnnkitError

Rng = np.random.Generator
Maker = Callable[[Rng, int], str]


def by_blocks(content: bytes, monkeypatch: pytest.MonkeyPatch, size: int = 200, **options: object) -> Table:
    """The table read in blocks of some lines; Odd where the block reader leaves a file to the careful one."""
    monkeypatch.setattr(tables, "LARGE", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    monkeypatch.setattr(tables, "_by_records", lambda *_: (_ for _ in ()).throw(Odd))
    return read_table(io.BytesIO(content), **options)  # type: ignore[arg-type]


def by_records(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.undo()
    monkeypatch.setattr(tables, "LARGE", 1 << 40)
    return read_table(io.BytesIO(content))


def alike(a: Column, b: Column, table: Table) -> None:
    """Two columns that answer every question in the same way."""
    assert a.text().tolist() == b.text().tolist()
    assert a.text(2).tolist() == b.text().tolist()[:2]
    assert [a.cell(i) for i in range(len(a))] == b.text().tolist()
    np.testing.assert_array_equal(a.missing(), b.missing())
    left, right = (c.numbers(table.decimal, table.separator) for c in (a, b))
    np.testing.assert_array_equal(left.values.view(np.int64), right.values.view(np.int64))
    assert (left.missing, left.wrong, left.notice) == (right.missing, right.wrong, right.notice)
    for compact in (False, True):
        one, other = a.dates(compact), b.dates(compact)
        if isinstance(other, Dates):
            assert isinstance(one, Dates)
            np.testing.assert_array_equal(one.values, other.values)
            assert (one.style, one.ambiguous, one.notices) == (other.style, other.ambiguous, other.notices)
        elif not isinstance(a, NumberColumn):  # of bad cells among numbers the parsing of numbers speaks first
            assert one == other
    codes, words = a.words()
    if not isinstance(a, NumberColumn | TimeColumn):  # 1 and 1.0 are one number and two words
        assert [words[i] for i in codes] == b.text().tolist()
        assert words == list(dict.fromkeys(b.text().tolist()))


def same(content: bytes, monkeypatch: pytest.MonkeyPatch, size: int = 200) -> Table:
    fast, slow = by_blocks(content, monkeypatch, size), by_records(content, monkeypatch)
    assert fast.names == slow.names
    np.testing.assert_array_equal(fast.lines, slow.lines)
    assert (fast.encoding, fast.separator, fast.decimal) == (slow.encoding, slow.separator, slow.decimal)
    assert fast.notices == slow.notices
    for name in slow.names:
        alike(fast.columns[name], slow.columns[name], slow)
    return fast


def choose(*cells: str) -> Maker:
    return lambda rng, row: cells[rng.integers(len(cells))]


def days(style: str) -> Maker:
    return lambda rng, row: (np.datetime64("2019-12-25", "h") + row).item().strftime(style)


KINDS: dict[str, Maker] = {
    "integers": lambda rng, row: str(rng.integers(-1000, 1000)),
    "decimals": lambda rng, row: f"{rng.normal():.{rng.integers(0, 8)}f}",
    "exact": lambda rng, row: repr(float(rng.normal() * 10.0 ** rng.integers(-30, 30))),
    "scientific": lambda rng, row: f"{rng.normal():.5E}",
    "signs": choose("+5", "-0", "-0.0", ".5", "-.5", "7.", "+.25"),
    "long": choose("123456789012345678901234567890", "0.1000000000000000055511151231257827", "9007199254740993"),
    "holes": choose("1.5", "", "NA", "nan", "null", "?", "2"),
    "huge": choose("1", "1e400", "3"),
    "infinite": choose("1", "inf", "-Infinity"),
    "underscored": choose("1", "1_000"),
    "grouped": choose("1'234", "12", "3'456.5"),
    "mostly numbers": lambda rng, row: "oops" if row == 57 else str(row),
    "words": choose("north", "south", "Østerås", "été", ""),
    "many words": lambda rng, row: f"word {rng.integers(10**9)}",
    "blanks": choose(" 1", "2 ", "\u00a03", " north ", "north"),
    "iso days": days("%Y-%m-%d"),
    "iso times": days("%Y-%m-%dT%H:%M:%S"),
    "zone": lambda rng, row: days("%Y-%m-%d %H:%M")(rng, row) + "Z",
    "zones": lambda rng, row: days("%Y-%m-%d %H:%M")(rng, row) + ("+01:00" if row < 40 else "+02:00"),
    "fractions": lambda rng, row: days("%Y-%m-%d %H:%M:%S")(rng, row) + f".{rng.integers(1000):03d}",
    "day first": days("%d.%m.%Y %H:%M"),
    "day or month": days("%d/%m/%Y"),
    "loose": lambda rng, row: f"{row % 12 + 1}/{row % 28 + 1}/2020 {row % 12 + 1}:00 {'AM' if row % 24 < 12 else 'pm'}",
    "named months": days("%d %b %Y"),
    "two digits": days("%d-%b-%y"),
    "quarters": lambda rng, row: f"{2000 + row // 4}Q{row % 4 + 1}",
    "a day that is none": lambda rng, row: "2020-02-30" if row == 31 else "2020-02-28",
    "a quarter that is none": lambda rng, row: "2020Q7" if row == 31 else "2020Q1",
    "compact": days("%Y%m%d"),
    "years": lambda rng, row: str(1900 + row),
    "codes": lambda rng, row: f"{row % 7:03d}",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_is_read_as_the_careful_reader_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = "".join(f"{row},{KINDS[kind](rng, row)},x\n" for row in range(80))
        same(f"n,{kind},note\n{rows}".encode(), monkeypatch, size=(50, 400, 1 << 20)[seed])


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas(separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for cells in (
        ["1,5", "-2,25", "3", ""],
        ["1,5", "2.5"],
        ["1.234,5", "12,5"],
        ["1,5,1", "2,5"],
        ["1,234", "-2,345", "7"],
        ["1.234", "12"],
        ["1.234", "0.500"],
    ):
        rows = "".join(f"{i}{separator}{cells[rng.integers(len(cells))]}\n" for i in range(60))
        same(f"n{separator}x\n{rows}".encode(), monkeypatch)


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\r\n1,2\r\n3,4\r\n",
        b"\xef\xbb\xbfa,b\n1,2\n3,4",
        b'"a","b"\n"1","x"\n"2",""\n',
        b"a,b\n\n1,2\n\n\r\n3,4\n\n",
        b"a,b,\n1,2,\n3,4,\n",
        b"sep=;\r\na;b\r\n1;2\r\n",
        b"\n\na,b\n1,2\n",
        "a,b\n1,é\n2,ü\n".encode("cp1252"),
        "a,b\n1,é\n2,ü\n".encode("utf-16"),
        b"1,2\n3,4\n5,6\n",
        b"x\n1\n2\n3\n",
        b"a;b\n1;\n2;\n",
        b"a,b\n1, x y \n",
    ],
)
def test_well_formed_files_of_all_sorts(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    same(content, monkeypatch, size=8)


@pytest.mark.parametrize(
    "content",
    [
        b'a,b\n1,"x,y"\n',
        b'a,b\n1,"x\ny"\n',
        b'a,b\n1,"say ""hi"""\n',
        b'a,b\n1, "x"\n',
        b'a\tb\n"x\t1\ny\t2\n',
        b"a,b\r1,2\r",
        b"a,b\n1,2\r\r\n3,4\n",
        b"x\n1\n\n3\n",
        b"a,b\n1,2\n3\n",
        b"a,b\n1,2\n3,4,5\n",
        b"a,b\n1\n2,3,4\n",
        b"a,b\n1,2\n   \n3,4\n",
    ],
)
def test_whatever_is_not_well_formed_is_left_to_the_careful_reader(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Odd):
        by_blocks(content, monkeypatch)
    monkeypatch.undo()
    found = []
    for large in (0, 1 << 40):
        monkeypatch.setattr(tables, "LARGE", large)
        try:
            table = read_table(io.BytesIO(content))
            found.append(str([table.text(n).tolist() for n in table.names]))
        except RnnkitError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_columns_take_the_least_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i % 3},a{i % 4},2020-01-01 {i % 24:02d}:00,{i},free text {i}\n" for i in range(3000))
    table = by_blocks(f"id,word,time,n,note\n{rows}".encode(), monkeypatch, size=4000)
    kinds = [type(column) for column in table.columns.values()]
    assert kinds == [WordColumn, WordColumn, TimeColumn, NumberColumn, TextColumn]
    named = by_blocks(f"shop,word,time,n,note\n{rows}".encode(), monkeypatch, size=4000, words=["shop"])
    assert isinstance(named.columns["shop"], WordColumn)


def test_the_series_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    hours = np.datetime64("2020-01-01T00", "h") + np.arange(60)
    rows = "".join(f"s{i},{t},{rng.normal():.4f},{rng.integers(9)},{10 * i}\n" for t in hours for i in range(3))
    content = f"id,time,y,wind,size\n{rows}".encode()
    found = []
    for large in (0, 1 << 40):
        monkeypatch.setattr(tables, "LARGE", large)
        found.append(read_series(io.BytesIO(content), target="y"))
    assert found[0].fingerprint() == found[1].fingerprint()
    assert found[0].notices == found[1].notices
    assert (found[0].past_names, found[0].static_names) == (["wind"], ["size"])


def test_progress_is_said_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnkit.data.wellformed.EVERY", 0.0)
    calls: list[tuple[int, int]] = []
    content = b"a,b\n" + b"1,2\n" * 500
    by_blocks(content, monkeypatch, progress=lambda done, whole: calls.append((done, whole)))
    assert len(calls) > 5
    assert calls[-1] == (len(content), len(content))
    assert all(a[0] < b[0] for a, b in pairwise(calls))


def test_the_progress_of_reading_comes_through_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "y.csv"
    path.write_text("t,y\n" + "".join(f"{t},{t * t % 13}\n" for t in range(20_000)))
    for work in (api.prepare, api.check):
        done: list[int] = []
        work(path, api.make_options({"steps": 1}), lambda *now, done=done: done.extend(now))
        assert done[-2:] == [path.stat().st_size] * 2


CELLS = [
    "1", "2.5", "-3", "", "NA", "x", "1e3", "1,5", '"1,5"', '"a b"', " 7", "7 ", "2020-01-01", "2020-01-02", "true",
    "-", "01.02.2020", "é", "1'000", "0", "00", "1e400", "inf", "\u00a0",
]  # fmt: skip


def drawn(rng: Rng) -> bytes:
    """A file as careless hands make it."""
    width, separator = int(rng.integers(1, 5)), ",;\t"[rng.integers(3)]
    pools = [rng.choice(CELLS, int(rng.integers(1, 5))) for _ in range(width)]
    heads = ["id", "t", "y", "date", "x", ""]
    lines = [separator.join(rng.choice(heads, width, replace=False))] if rng.random() < 0.8 else []
    for row in range(rng.integers(13)):
        cells = [str(rng.choice(pool)) for pool in pools]
        cells[0] = [str(row), f"2020-02-{row + 1:02d}", cells[0]][rng.integers(3)]
        cells = cells[:-1] if rng.random() < 0.02 else cells + ["z"] * (rng.random() < 0.02)
        lines += [separator.join(cells)] + [""] * (rng.random() < 0.03)
    end = ["\n", "\r\n"][rng.integers(2)]
    return (end.join(lines) + end * int(rng.integers(3))).encode(["utf-8", "latin-1"][rng.integers(2)])


def test_careless_files_end_alike(rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    for _ in range(400):
        content, found = drawn(rng), []
        monkeypatch.setattr(blocks, "BLOCK_BYTES", int(rng.choice([8, 40, 1000])))
        for large in (0, 1 << 40):
            monkeypatch.setattr(tables, "LARGE", large)
            try:
                series = read_series(io.BytesIO(content))
                found.append((series.fingerprint(), series.notices))
            except RnnkitError as error:
                found.append(("refused", [str(error)]))
        assert found[0] == found[1], content


MEASURE = """
import resource, sys
from rnnkit.data.series import read_series
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
series = read_series(sys.argv[1])
print(len(series), sum(map(len, series.values)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_half_a_million_rows_take_little_more_room_than_their_numbers(tmp_path: Path) -> None:
    block = "".join(f"{t},{(t * 37) % 1000 / 8}\n" for t in range(10_000))
    with (tmp_path / "large.csv").open("w") as file:
        file.write("id,t,y\n")
        for i in range(50):
            file.write(block.replace("\n", "\n" + f"s{i},")[: -len(f"s{i},")].join([f"s{i},", ""]))
    environment = {"PYTHONPATH": str(Path(rnnkit.__file__).parents[1]), "PATH": ""}
    command = [sys.executable, "-P", "-c", MEASURE, str(tmp_path / "large.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    series, points, kilobytes = map(int, done.stdout.split())
    assert (series, points) == (50, 500_000)
    assert kilobytes < 120_000

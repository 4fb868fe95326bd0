"""What the terminal shows: safe text, readable numbers, tables, progress and charts made of characters."""

import doctest
import io
import json
import math
import re
import sys

import numpy as np
import pytest

from rnnkit import console


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """Call it to make both streams one terminal of 60 columns, without settings of colour."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("TERM", "xterm-256color")

    def watch():  # within the test: between fixture and test pytest sets the streams anew
        both = Screen()
        monkeypatch.setattr(sys, "stdout", both)
        monkeypatch.setattr(sys, "stderr", both)
        return both

    return watch


def test_examples_in_docstrings():
    assert doctest.testmod(console).failed == 0


def test_control_characters_are_shown():
    assert console.visible("a\x1b[2Jb\x00\x7f\x9b\r") == "a\\x1b[2Jb\\x00\\x7f\\x9b\\x0d"
    assert console.visible("é\n\tà 🐟 日本") == "é\n\tà 🐟 日本"
    assert console.visible("\ud800") == "\\ud800"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (3, "3"),
        (12345, "12,345"),
        (0.95764, "0.9576"),
        (-78.3349, "-78.33"),
        (123456.7, "123,457"),
        (9.9999e-9, "1.000e-08"),
        (math.inf, "inf"),
        (True, "True"),
        (None, "–"),
        ("x", "x"),
    ],
)
def test_number(value, expected):
    assert console.number(value) == expected


def test_clock():
    assert [console.clock(s) for s in (0.2, 59.6, 61, 3599, 3600)] == ["0 s", "1:00", "1:01", "59:59", "1:00:00"]


def test_json_has_no_nan_and_keeps_what_users_wrote(capsys):
    console.write_json(a=np.float32(0.5), b=[math.nan, np.int64(3)], c={"x": np.arange(2)}, d="\x1b[31m[b]é")
    out = capsys.readouterr().out
    assert json.loads(out) == {"schema": 1, "a": 0.5, "b": [None, 3], "c": {"x": [0, 1]}, "d": "\x1b[31m[b]é"}
    assert "\x1b" not in out


def test_note_is_one_line_on_stderr(capsys):
    console.note("two\nlines \x1b[31m")
    assert capsys.readouterr() == ("", "two lines \\x1b[31m\n")


# -- tables --------------------------------------------------------------------------------------------


WIDE = ["", "this run", "naive", "seasonal naive"]
FIGURES = [["inside the 80 % band of it", 123456.7, 2.5, 1.5], ["MASE", 0.75, None, 1.372]]


@pytest.mark.parametrize(("columns", "kept"), [(24, 0), (40, 2), (52, 3), (80, 3)])
def test_a_narrow_terminal_breaks_no_number(screen, monkeypatch, columns, kept):
    seen = screen()
    monkeypatch.setenv("COLUMNS", str(columns))
    console.table(WIDE, FIGURES)
    out = re.sub(r"\x1b\[[0-9;]*m", "", seen.getvalue())
    table, _, rest = out.partition("left out for want of room: ")
    assert max(map(len, table.splitlines())) <= columns
    assert [figure in table for figure in ("123,457", "2.500", "1.372")] == [i < kept for i in range(3)]
    assert rest.strip() == ", ".join(WIDE[1 + kept :])
    assert ("inside the 80 % ban…" in table) == (columns == 52) or columns < 52


def test_piped_table_is_plain_and_whole(capsys):
    long = "x" * 300
    console.table(["name", "value"], [["[red]a[/red] :smile:", 1.5], [long, 22.25]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "value"]
    assert lines[1].startswith("[red]a[/red] :smile:")
    assert lines[1].endswith("1.500")
    assert lines[2].split() == [long, "22.25"]
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_table_on_a_terminal_folds_and_marks_the_best(screen):
    seen = screen()
    console.table(["", "a", "b"], [["[b]m[/b]", 2.0, 1.0]], best=[2])
    out = seen.getvalue()
    assert "[b]m[/b]" in out
    assert "\x1b[1m1.000" in out
    assert "\x1b[1m2.000" not in out


def test_no_color_leaves_no_colour(screen, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    seen = screen()
    with console.Progress() as progress:
        progress.step("fit", 1, 2, 0.5)
        progress.step("fit", 2, 2, 0.5)
    console.table(["", "a"], [["m", 2.0]])
    assert "━" in seen.getvalue()
    assert "\x1b[3" not in seen.getvalue()


# -- progress ------------------------------------------------------------------------------------------


def test_piped_progress_is_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.Progress() as progress:
        for step in range(1, 61):
            now[0] += 0.5
            progress.step("fit", step, 60, 1.0)
            if step == 30:
                progress.evaluated(0.75)
        progress.step("final", 1, 1, 2.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "fit: step 21 of 60, loss 1.000, 2.00 steps/s, 20 s left",
        "fit: step 41 of 60, loss 1.000, selected 0.7500, 2.00 steps/s, 10 s left",
        "fit: step 60 of 60, loss 1.000, selected 0.7500, 2.00 steps/s, 0 s left",
        "final: step 1 of 1, loss 2.000",
    ]


def test_quiet_progress_is_silent_but_for_warnings(capsys):
    with console.Progress(quiet=True) as progress:
        progress.step("fit", 1, 1, 1.0)
        progress.say("warning: something")
    assert capsys.readouterr() == ("", "warning: something\n")


def test_progress_on_a_terminal_shows_a_bar(screen):
    seen = screen()
    with console.Progress() as progress:
        progress.step("fit", 1, 2, 0.5)
        progress.say("saved in runs/[b]x")
        progress.step("fit", 2, 2, 0.5)
    out = seen.getvalue()
    assert "━" in out
    assert "2/2  loss 0.5000" in out
    assert "saved in runs/[b]x" in out


def test_reading_is_said_where_it_takes_a_while(capsys, screen, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    for quiet in (False, True):
        with console.Reading(quiet) as reading:
            for part in range(1, 41):
                now[0] += 0.5
                reading(part * 10_000_000, 400_000_000)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", ["reading: 200 of 400 MB", "reading: 400 of 400 MB"])
    seen = screen()
    with console.Reading() as reading:
        reading(1_000_000, 3_000_000)
        assert seen.getvalue() == ""
        now[0] += 2
        reading(2_000_000, 3_000_000)
    assert "2 of 3 MB" in seen.getvalue()


@pytest.mark.parametrize(("encoding", "expected"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_charts_are_ascii_where_the_terminal_is(monkeypatch, encoding, expected):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert console.unicode_output() is expected
    assert console.width() == 80

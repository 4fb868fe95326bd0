"""``rnnkit predict``: bands, steps and series asked for, and rows answered as they come."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit.cli import commands

FAST = {"RNNKIT_TRAIN_STEPS": "20", "RNNKIT_TRAIN_HIDDEN": "8"}


def daily(n, start=0, header=True):
    """A week's shape from 2 January 2023 on."""
    rows = [f"{np.datetime64('2023-01-02') + start + i},{value(start + i):.2f}" for i in range(n)]
    return "\n".join([*(["day,sales"] if header else []), *rows]) + "\n"


def value(i):
    return 20 + 3 * (i % 7) + (i * 37 % 11) / 10


def run(*args, **more):
    return CliRunner().invoke(commands, [str(a) for a in args], env=FAST, **more)


def ok(*args, **more):
    result = run(*args, **more)
    assert result.exit_code == 0, (args, result.stderr, result.exception)
    return result


def complaint(code, *args, **more):
    """The one sentence with which a command fails."""
    done = run(*args, **more)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert done.exit_code == code, (args, done.stderr, done.exception)
    assert len(lines) == 1, lines
    assert lines[0].startswith("rnnkit: ")
    return lines[0].removeprefix("rnnkit: ")


def table(result):
    """What a command wrote, as rows of a CSV."""
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with data and a run of one series, and one of two shops."""
    folder = tmp_path_factory.mktemp("house")
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("sales.csv").write_text(daily(200))
        ok("train", "sales.csv", "--horizon", 7, "-q")
        rows = [f"{shop},{row}" for shop in ("x", "y") for row in daily(150, header=False).splitlines()]
        Path("two.csv").write_text("shop,day,sales\n" + "\n".join(rows) + "\n")
        ok("train", "two.csv", "--id", "shop", "--horizon", 5, "-q")
    finally:
        os.chdir(before)
    return folder


# -- bands, steps, series ------------------------------------------------------------------------------


def test_bands_of_other_levels(here):
    rows = table(ok("predict", "runs/sales", "--interval", "50,99.5"))
    assert list(rows[0]) == ["day", "median", "lo50", "hi50", "lo99.5", "hi99.5"]
    usual = table(ok("predict", "runs/sales"))
    for row, other in zip(rows, usual, strict=True):
        assert row["median"] == other["median"]
        assert float(row["lo99.5"]) <= float(other["lo95"]) <= float(other["lo80"]) <= float(row["lo50"])
        assert float(row["hi99.5"]) >= float(other["hi95"]) >= float(other["hi80"]) >= float(row["hi50"])


@pytest.mark.parametrize("wrong", ["0", "100", "80,x", "-3"])
def test_bands_of_no_level_are_refused(here, wrong):
    assert "percent" in complaint(2, "predict", "runs/sales", "--interval", wrong)


def test_a_shorter_horizon_cuts(here):
    whole = ok("predict", "runs/sales").stdout.splitlines()
    assert ok("predict", "runs/sales", "--horizon", 3).stdout.splitlines() == whole[:4]


def test_some_series_of_many(here):
    whole = table(ok("predict", "runs/two"))
    assert table(ok("predict", "runs/two", "--ids", "y")) == [row for row in whole if row["shop"] == "y"]
    assert table(ok("predict", "runs/two", "two.csv", "--ids", "y,x")) == whole
    assert "there is no series 'z'; there are x, y" in complaint(2, "predict", "runs/two", "--ids", "z")
    assert "leave --ids out" in complaint(2, "predict", "runs/sales", "--ids", "x")


def test_json_is_one_object(here):
    found = json.loads(ok("predict", "runs/two", "--json", "--interval", "90").stdout)
    assert (found["schema"], found["run"], found["targets"], len(found["rows"])) == (1, "runs/two", ["sales"], 10)
    assert list(found["rows"][0]) == ["shop", "day", "median", "lo90", "hi90"]


# -- other data -------------------------------------------------------------------------------------------


def test_new_rows_go_on_from_the_stored_end(here):
    """Whatever part of the history comes with them, the forecast is that of the whole file."""
    Path("whole.csv").write_text(daily(206))
    whole = table(ok("predict", "runs/sales", "whole.csv"))
    for start in (200, 195, 180):
        Path("new.csv").write_text(daily(206 - start, start=start))
        done = ok("predict", "runs/sales", "new.csv")
        assert "goes on from the stored end of the training data" in done.stderr
        for row, other in zip(table(done), whole, strict=True):
            assert row["day"] == other["day"]
            assert float(row["hi95"]) == pytest.approx(float(other["hi95"]), rel=1e-5)


def test_few_rows_after_a_hole_are_refused(here):
    Path("new.csv").write_text(daily(3, start=203))
    assert (
        "new.csv: the first of 3 rows is at 2023-07-24, but 3 steps are missing between the stored history, which ends "
        "at 2023-07-20; give the rows from there on"
    ) in complaint(3, "predict", "runs/sales", "new.csv")


def test_one_new_row_is_enough(here):
    Path("new.csv").write_text(daily(1, start=200))
    done = ok("predict", "runs/sales", "new.csv")
    assert [row["day"] for row in table(done)][:2] == ["2023-07-22", "2023-07-23"]
    assert "the data is" not in done.stderr


def test_rows_skipped_between_new_ones_are_missing_steps(here):
    rows = daily(6, start=200).splitlines()
    Path("new.csv").write_text("\n".join(rows[:3] + rows[5:]) + "\n")
    rows[3:5] = [row.partition(",")[0] + "," for row in rows[3:5]]
    Path("empty.csv").write_text("\n".join(rows) + "\n")
    assert ok("predict", "runs/sales", "new.csv").stdout == ok("predict", "runs/sales", "empty.csv").stdout


def test_rows_with_other_values_are_another_history(here):
    def others(n):
        rows = [f"{np.datetime64('2023-07-10') + i},{900 + 10 * (i % 7)}\n" for i in range(n)]
        return "day,sales\n" + "".join(rows)

    Path("other.csv").write_text(others(5))
    said = complaint(3, "predict", "runs/sales", "other.csv")
    assert said.startswith("other.csv: the 5 rows from 2023-07-10 on repeat times of the stored history, which ends at")
    Path("other.csv").write_text(others(40))
    rows = table(ok("predict", "runs/sales", "other.csv"))
    assert 850 < float(rows[0]["median"]) < 1000


def test_new_series_are_forecast_without_retraining(here):
    rows = [f"new {k},{row}" for k in (1, 2) for row in daily(40, start=11 * k, header=False).splitlines()]
    Path("new.csv").write_text("shop,day,sales\n" + "\n".join(rows) + "\n")
    found = table(ok("predict", "runs/two", "new.csv"))
    assert [row["shop"] for row in found] == ["new 1"] * 5 + ["new 2"] * 5
    for k, row in ((1, found[0]), (2, found[5])):
        assert row["day"] == str(np.datetime64("2023-01-02") + 11 * k + 40)
        assert float(row["median"]) == pytest.approx(value(11 * k + 40), abs=6)
    Path("short.csv").write_text("shop,day,sales\nnew,2023-01-02,4\n")
    assert "points of sales are needed to forecast new, found 1" in complaint(3, "predict", "runs/two", "short.csv")


def test_known_and_new_series_in_one_file(here):
    new = [f"z,{row}" for row in daily(30, start=150, header=False).splitlines()]
    known = [f"y,{row}" for row in daily(4, start=150, header=False).splitlines()]
    Path("mixed.csv").write_text("shop,day,sales\n" + "\n".join(new + known) + "\n")
    done = ok("predict", "runs/two", "mixed.csv", "--horizon", 1)
    assert [(row["shop"], row["day"]) for row in table(done)] == [("z", "2023-07-01"), ("y", "2023-06-05")]
    assert "goes on from the stored end of the training data (1 of 2 series)" in done.stderr


# -- rows to come ------------------------------------------------------------------------------------------


def test_a_template_has_the_rows_to_come(here):
    done = ok("predict", "runs/two", "--template", "next.csv", "--horizon", 2)
    assert done.stdout == ""
    assert Path("next.csv").read_text() == (
        "shop,day,sales\nx,2023-06-01,\nx,2023-06-02,\ny,2023-06-01,\ny,2023-06-02,\n"
    )
    assert ok("predict", "runs/two", "next.csv").stdout == ok("predict", "runs/two").stdout
    assert complaint(2, "predict", "runs/two", "--template", "next.csv").startswith("next.csv exists")
    later = ok("predict", "runs/sales", "sales.csv", "--template").stdout.splitlines()
    assert (later[0], later[1], len(later)) == ("day,sales", "2023-07-21,", 8)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("x,2023-06-02,\n", "next.csv, line 2, column 'day': expected 2023-06-01, since the rows to come must follow"),
        ("x,2023-06-01,\nx,2023-06-03,\n", "line 3, column 'day': expected 2023-06-02"),
        ("x,2023-05-31,\n", "the stored end of 'x' (2023-05-31) step by step, found 2023-05-31"),
        ("z,2023-06-01,\n", "next.csv, line 2: the rows of 'z' hold no target, and the run knows no series"),
        ("x,soon,\n", "expected a date"),
    ],
)
def test_rows_to_come_that_do_not_follow_are_refused(here, rows, what):
    Path("next.csv").write_text("shop,day,sales\n" + rows)
    assert what in complaint(3, "predict", "runs/two", "next.csv")


# -- inputs, several targets ------------------------------------------------------------------------------


def promoted(n, start=0, targets=True, header=True):
    """Sales that a promotion, known in advance, lifts by 30; their returns; and where the shop is."""
    rows = []
    for shop, region in (("x", "north"), ("y", "south")):
        for i in range(start, start + n):
            lifted = 30 * promotion(i)
            cells = f"{value(i) + lifted:.2f},{2 * value(i):.2f}" if targets else ","
            rows.append(f"{shop},{region},{np.datetime64('2023-01-02') + i},{promotion(i)},{cells}")
    return "\n".join([*(["shop,region,day,promo,sales,returns"] if header else []), *rows]) + "\n"


def promotion(i):
    return int(i * 7919 % 10 < 3)


@pytest.fixture(scope="module")
def promoting(tmp_path_factory):
    """A folder with a run of two targets of two shops that knows promotions in advance."""
    folder = tmp_path_factory.mktemp("promoting")
    (folder / "shops.csv").write_text(promoted(200))
    roles = {"target": ["sales", "returns"], "id": "shop", "future": ["promo"], "static": ["region"], "past": []}
    rnnkit.train(folder / "shops.csv", folder / "run", horizon=7, steps=150, hidden=16, **roles)
    return folder


@pytest.fixture
def inputs(promoting, tmp_path, monkeypatch):
    shutil.copytree(promoting, tmp_path / "inputs")
    monkeypatch.chdir(tmp_path / "inputs")


def test_several_targets_have_a_column(inputs):
    rows = table(ok("predict", "run", "--horizon", 2))
    assert list(rows[0])[:4] == ["shop", "target", "day", "median"]
    assert [(row["shop"], row["target"]) for row in rows[::2]] == [
        ("x", "sales"), ("x", "returns"), ("y", "sales"), ("y", "returns"),
    ]  # fmt: skip
    assert json.loads(ok("predict", "run", "--json").stdout)["targets"] == ["sales", "returns"]


def test_a_filled_template_is_enough(inputs):
    done = ok("predict", "run", "--horizon", 7)
    assert "promo is known for 0 of 7 steps ahead and counted as missing after that" in done.stderr
    ok("predict", "run", "--template", "next.csv")
    lines = Path("next.csv").read_text().splitlines()
    assert lines[:2] == ["shop,region,day,promo,sales,returns", "x,north,2023-07-21,,,"]
    refused = complaint(3, "predict", "run", "next.csv")
    assert "next.csv, line 2, column 'promo': expected a number, which has to be known in advance" in refused
    filled = [line.replace(",,,", f",{promotion(200 + i % 7)},,") for i, line in enumerate(lines[1:])]
    Path("next.csv").write_text("\n".join([lines[0], *filled]) + "\n")
    by_itself = ok("predict", "run", "next.csv")
    assert "promo is known" not in by_itself.stderr
    sales = [float(row["median"]) for row in table(by_itself)[:7]]
    lift = np.array(sales) - [value(200 + i) for i in range(7)]
    on = np.array([promotion(200 + i) for i in range(7)], bool)
    assert 0 < on.sum() < 7
    assert lift[on].mean() - lift[~on].mean() > 3
    Path("all.csv").write_text(promoted(200) + promoted(7, 200, targets=False, header=False))
    for row, other in zip(table(ok("predict", "run", "all.csv")), table(by_itself), strict=True):
        assert float(row["hi80"]) == pytest.approx(float(other["hi80"]), rel=1e-5)
    again = ok("predict", "run", "all.csv", "--template", "--horizon", 1).stdout
    assert again.splitlines()[1] == f"x,north,2023-07-21,{promotion(200)},,"


def test_rows_that_came_and_rows_to_come_in_one_file(inputs):
    Path("new.csv").write_text(promoted(3, 200) + promoted(7, 203, targets=False, header=False))
    Path("all.csv").write_text(promoted(203) + promoted(7, 203, targets=False, header=False))
    joined, whole = (table(ok("predict", "run", name)) for name in ("new.csv", "all.csv"))
    assert [row["day"] for row in joined] == [row["day"] for row in whole]
    for row, other in zip(joined, whole, strict=True):
        assert float(row["median"]) == pytest.approx(float(other["median"]), rel=1e-5)


def test_fewer_rows_to_come_than_steps_are_said(inputs):
    Path("next.csv").write_text(promoted(2, 200, targets=False))
    assert "promo is known for 2 of 7 steps ahead" in ok("predict", "run", "next.csv").stderr
    assert "promo" not in ok("predict", "run", "next.csv", "--horizon", 2).stderr


def test_followed_rows_bring_their_inputs(inputs):
    done = ok("predict", "run", "-", "--follow", input=promoted(7, 200))
    rows = table(done)
    assert [(row["shop"], row["target"]) for row in rows[:2]] == [("x", "sales"), ("x", "returns")]
    sales = [row for row in rows if (row["shop"], row["target"]) == ("x", "sales")]
    off = [abs(float(row["median"]) - float(row["value"])) for row in sales]
    assert np.mean(off) < 12  # a promotion that nobody knew of would be 30


def test_a_new_series_brings_its_constants(inputs):
    text = promoted(40).replace("x,north", "z,north").replace("y,south", "w,west")
    done = ok("predict", "run", "-", "--follow", "--json", input=text)
    last = json.loads(done.stdout.splitlines()[79])
    Path("new.csv").write_text("\n".join(text.splitlines()[:41]) + "\n")
    whole = table(ok("predict", "run", "new.csv", "--horizon", 1))
    assert (last["shop"], last["target"], whole[1]["target"]) == ("z", "returns", "returns")
    assert last["next"][0]["median"] == pytest.approx(float(whole[1]["median"]), rel=1e-5)


def test_a_forecaster_takes_what_is_known_in_advance(inputs):
    import pandas as pd

    again = rnnkit.Forecaster.load("run")
    rows = again.template(horizon=2)
    assert list(rows.columns) == ["shop", "day", "promo"]
    assert (len(rows), rows["promo"].isna().all()) == (4, True)
    future = pd.read_csv(io.StringIO(promoted(2, 200, targets=False)), parse_dates=["day"])
    found = again.predict(future=future[["shop", "day", "promo"]], horizon=2)
    expected = again.model_.predict(horizon=2)
    assert found["target"].tolist() == ["sales", "sales", "returns", "returns"] * 2
    assert (found["median"].to_numpy() != np.concatenate([c["median"] for c in expected.columns])).any()
    data = pd.read_csv(io.StringIO(promoted(200)), parse_dates=["day"])
    both = again.predict(data, future=future, horizon=2)
    np.testing.assert_allclose(both["median"], found["median"], rtol=1e-5)


# -- row by row -----------------------------------------------------------------------------------------


def test_rows_are_answered_one_by_one(here):
    done = ok("predict", "runs/sales", "-", "--follow", input=daily(10, start=200))
    rows = table(done)
    assert list(rows[0]) == [
        "day", "value", "median", "lo80", "hi80", "lo95", "hi95", "score", "anomaly",
        "next", "next_lo80", "next_hi80", "next_lo95", "next_hi95",
    ]  # fmt: skip
    assert [row["day"] for row in rows] == [str(np.datetime64("2023-07-21") + i) for i in range(10)]
    assert done.stderr == "note: goes on from the stored end of the training data\n"
    first = table(ok("predict", "runs/sales", "--horizon", 1))[0]
    assert all(rows[0][name] == cell for name, cell in first.items())
    for row, after in pairwise(rows):
        assert float(row["next"]) == pytest.approx(float(after["median"]), rel=1e-5)
        assert row["anomaly"] == str(int(float(row["score"]) > 1))


def test_a_file_can_be_followed_to_its_end(here):
    Path("later.csv").write_text(daily(12, start=200).rstrip("\n"))
    rows = table(ok("predict", "runs/sales", "later.csv", "--follow", "--horizon", 2, "--interval", "90"))
    assert len(rows) == 12
    assert list(rows[0])[-6:] == ["next", "next_lo90", "next_hi90", "next2", "next2_lo90", "next2_hi90"]


def test_lines_of_json(here):
    lines = ok(
        "predict", "runs/two", "-", "--follow", "--json", input="shop,day,sales\nx,2023-06-01,23.5\nz,2023-06-01,\n"
    )
    known, new = map(json.loads, lines.stdout.splitlines())
    assert (known["schema"], known["shop"], known["day"], known["value"]) == (1, "x", "2023-06-01", 23.5)
    assert set(known["forecast"]) == {"median", "lo80", "hi80", "lo95", "hi95"}
    assert isinstance(known["anomaly"], bool)
    assert known["next"][0]["day"] == "2023-06-02"
    assert new == {
        "schema": 1, "shop": "z", "day": "2023-06-01", "value": None, "forecast": None, "score": None, "anomaly": None,
        "next": [],
    }  # fmt: skip


def test_bad_rows_are_said_with_their_line_and_left_out(here):
    text = daily(3, start=200) + "2023-07-24,oops\n\n" + daily(2, start=203, header=False)
    done = ok("predict", "runs/sales", "-", "--follow", input=text)
    assert len(table(done)) == 5
    assert done.stderr.splitlines()[1:] == [
        "standard input, line 5: column 'sales': expected a finite number, found 'oops'; the row is left out",
        "note: 1 of 6 rows left out",
    ]


def test_a_stream_that_cannot_be_used_fails(here):
    assert "expected rows to forecast, found none" in complaint(3, "predict", "runs/sales", "-", "--follow", input="")
    assert "no column 'sales'" in complaint(2, "predict", "runs/sales", "-", "--follow", input="day,sails\n")
    done = run("predict", "runs/sales", "-", "--follow", input="day,sales\n2023-07-24,oops\n")
    assert (done.exit_code, done.stderr.count("\n")) == (3, 2)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--follow"], "--follow needs rows to follow"),
        (["nowhere.csv", "--follow"], "there is no nowhere.csv"),
        (["-", "--follow", "-o", "f.csv"], "redirect standard output"),
        (["-", "--follow", "--plot", "f.png"], "--plot belongs to a whole forecast"),
        (["-", "--follow", "--ids", "a"], "--ids belongs to a whole forecast"),
        (["sales.csv", "--anomaly", "99"], "--anomaly belongs to forecasts row by row"),
        (["-", "--follow", "--anomaly", "100"], "above 0 and below 100"),
        (["-", "--follow", "--horizon", "1000"], "--horizon is from 1 to"),
    ],
)
def test_what_does_not_go_together_is_refused(here, words, what):
    assert what in complaint(2, "predict", "runs/sales", *words, input=daily(3, start=200))


# -- pipes ----------------------------------------------------------------------------------------------


def started(*words, **more):
    """A command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rnnkit", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **more,
    )  # fmt: skip


def test_a_pipe_is_answered_before_the_next_line_comes(here):
    with started("predict", "runs/sales", "-", stdin=subprocess.PIPE) as process:
        header, *rows = daily(3, start=200).splitlines(keepends=True)
        process.stdin.write(header)
        for i, row in enumerate(rows):
            process.stdin.write(row)
            process.stdin.flush()
            if i == 0:
                assert process.stdout.readline().startswith("day,value,median")
            assert process.stdout.readline().startswith(row.split(",")[0])
        process.stdin.write("2023-07-24,24.1")  # no end of line
        process.stdin.close()
        assert process.stdout.read().startswith("2023-07-24,24.1,")
        assert process.wait(30) == 0


def test_a_redirected_file_is_read_whole(here):
    with open("sales.csv", "rb") as file, started("predict", "runs/sales", "-", stdin=file) as process:
        out, _ = process.communicate(timeout=60)
    assert out == ok("predict", "runs/sales", "sales.csv").stdout
    with started("predict", "runs/sales", "-", "--no-follow", stdin=subprocess.PIPE) as process:
        piped, _ = process.communicate(Path("sales.csv").read_text(), timeout=60)
    assert piped == out


def test_a_reader_that_has_seen_enough_ends_it_quietly(here):
    with started("predict", "runs/sales", "-", stdin=subprocess.PIPE) as process:
        process.stdin.write(daily(3, start=200))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            for i in range(50):
                process.stdin.write(daily(1, start=203 + i, header=False))
                process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == "note: goes on from the stored end of the training data\n"


def test_ctrl_c_ends_it_quietly(here):
    with started("predict", "runs/sales", "-", stdin=subprocess.PIPE) as process:
        process.stdin.write(daily(3, start=200))
        process.stdin.flush()
        for _ in range(4):
            assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == "note: goes on from the stored end of the training data\n"

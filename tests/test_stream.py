"""Forecasts row by row: the same as those of a whole file, of bounded memory, through bad rows and gaps."""

from __future__ import annotations

import numpy as np
import pytest

import rnnkit
from rnnkit import api
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks.forecast_stream import Stream

START, HOUR = np.datetime64("2024-01-01T00:00", "m"), np.timedelta64(60, "m")


def hourly(n, seed=0, noise=1.0, shift=0.0):
    """A day's shape with noise."""
    t = np.arange(n)
    return 100 + shift + 20 * np.sin(2 * np.pi * t / 24) + noise * np.random.default_rng(seed).standard_normal(n)


def text(values, start=0, header=True):
    """A CSV of hours and loads; NaN is an empty cell."""
    rows = [f"{START + (start + i) * HOUR},{'' if np.isnan(v) else f'{v:.3f}'}" for i, v in enumerate(values)]
    return "\n".join([*(["hour,load"] if header else []), *rows]) + "\n"


def said(stream, lines):
    """Every reply to some lines."""
    return [reply for line in lines.splitlines() for reply in stream.line(line)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stream")


@pytest.fixture(scope="module")
def model(folder):
    """A forecaster of 480 hours."""
    (folder / "load.csv").write_text(text(hourly(480)))
    return rnnkit.train(folder / "load.csv", folder / "run", horizon=6, steps=60, hidden=8, context=48)


LATER = hourly(600)[480:]


@pytest.mark.parametrize("spoil", [[], [1, 2, 3, 50], [0, 70]])
def test_replies_are_the_forecasts_of_all_rows_up_to_then(model, folder, spoil):
    values = np.concatenate([hourly(480), LATER])
    values[480 + np.array(spoil, int)] = np.nan
    stream = Stream(model, horizon=3)
    replies = said(stream, text(values[480:], 480))
    assert stream.notices == ["goes on from the stored end of the training data"]
    assert len(replies) == len(LATER)
    for t in (0, 5, 47, 49, 72, 119):
        if np.isnan(values[480 + t]):
            continue
        (folder / "all.csv").write_text(text(values[: 481 + t]))
        whole, reply = model.predict(folder / "all.csv", horizon=3), replies[t]
        assert reply.next_times == whole.times[0]
        for name, column in whole.columns[0].items():
            np.testing.assert_allclose([step[name] for step in reply.next], column, rtol=1e-5)
            if t + 1 < len(replies):
                np.testing.assert_allclose(replies[t + 1].columns[name], column[0], rtol=1e-5)
        assert reply.value == pytest.approx(values[480 + t], abs=1e-3)


def test_a_missing_value_is_no_anomaly_and_goes_on(model):
    values = LATER[:5].copy()
    values[2] = np.nan
    replies = said(Stream(model), text(values, 480))
    assert [r.anomaly is None for r in replies] == [False, False, True, False, False]
    assert np.isnan(replies[2].score)
    assert all(r.next and r.columns for r in replies)


def test_skipped_rows_are_masked_steps(model):
    with_empty, skipped = text([*LATER[:4], np.nan, np.nan, LATER[6]], 480), text(LATER[:4], 480)
    skipped += f"{START + 486 * HOUR},{LATER[6]:.3f}\n"
    a, b = said(Stream(model), with_empty), said(Stream(model), skipped)
    assert (len(a), len(b)) == (7, 5)
    assert a[-1] == b[-1]


def test_a_long_gap_begins_anew(model):
    stream = Stream(model)
    said(stream, text(LATER[:3], 480))
    stream.notices.clear()
    (reply,) = said(stream, text([100.0], 3000, header=False))
    assert stream.notices == ["no rows for 2,517 steps before 2024-05-05T00:00: the history begins anew"]
    assert (reply.columns, reply.next, reply.anomaly) == ({}, [], None)
    later = said(stream, text(hourly(30), 3001, header=False))
    assert [bool(r.next) for r in later] == [i + 2 >= model.window.minimum for i in range(30)]


def test_rows_of_another_time_warm_up_and_say_so_once(model, folder):
    stream = Stream(model)
    values = hourly(60, seed=3, shift=50.0)
    replies = said(stream, text(values, 10_000))
    assert len(stream.notices) == 1
    assert f"there are {model.window.minimum} of them" in stream.notices[0]
    assert [bool(r.next) for r in replies] == [i + 1 >= model.window.minimum for i in range(60)]
    assert [bool(r.columns) for r in replies] == [i >= model.window.minimum for i in range(60)]
    (folder / "other.csv").write_text(text(values, 10_000))
    whole = model.predict(folder / "other.csv", horizon=1)
    assert replies[-1].next[0]["hi95"] == pytest.approx(whole.columns[0]["hi95"][0], rel=1e-5)


def test_rows_that_repeat_the_stored_end_take_its_place(model):
    values = np.concatenate([hourly(480), LATER])
    tail = said(Stream(model), text(values[470:490], 470))
    exact = said(Stream(model), text(values[480:490], 480))
    for a, b in zip(tail[10:], exact, strict=True):
        assert a.next[0]["median"] == pytest.approx(b.next[0]["median"], rel=1e-4)  # values are rounded in the file


def test_rows_that_differ_from_the_stored_end_are_another_series(model):
    stream = Stream(model)
    (reply,) = said(stream, text([3.0], 470))
    assert not reply.next
    assert "do not go on" in stream.notices[0]


def test_anomalies_are_what_stands_out(model):
    values = hourly(1180)[480:]
    values[[200, 500]] += [60.0, -60.0]
    replies = said(Stream(model), text(values, 480))
    flags = np.array([r.anomaly for r in replies])
    assert flags[[200, 500]].all()
    assert np.delete(flags, [*range(200, 230), *range(500, 530)]).mean() < 0.1
    assert replies[200].score > 4
    for reply in replies[:50]:
        inside = reply.columns["lo95"] <= reply.value <= reply.columns["hi95"]
        assert not (inside and reply.anomaly)
        assert reply.anomaly == (reply.score > 1)


def test_a_wider_band_flags_less(model):
    lines = text(hourly(730, noise=2.0)[480:], 480)
    counts = [sum(r.anomaly for r in said(Stream(model, anomaly=level), lines)) for level in (50, 90, 99.99)]
    assert counts[0] > counts[1] > counts[2]


def test_buffers_do_not_grow(model):
    stream = Stream(model)
    said(stream, text(hourly(150), 480))
    track = stream.tracks[""]
    shape = track.filled.shape
    said(stream, text(hourly(150), 630, header=False))
    assert track.filled.shape == shape == (1, 2 * (model.window.context + 1))
    assert track.stop <= shape[1]
    assert stream.tracks.keys() == {""}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("2024-01-21T05:00,abc", "column 'load': expected a finite number, found 'abc'"),
        ("2024-01-21T05:00,inf", "expected a finite number"),
        ("2024-01-21T05:00,1_0", "expected a finite number"),
        ("21/01/2024,3", "column 'hour': expected a time written like 2020-01-31T13:30, found '21/01/2024'"),
        ("2024-02-30T05:00,3", "expected a time"),
        ("2024-01-21T05:00,3,4", "found 3 fields where 2 were expected"),
        ("2024-01-21T05:00", "found 1 fields where 2"),
        ("2024-01-21T00:00,3", "expected a time after 2024-01-21T00:00, found 2024-01-21T00:00"),
        ("2024-01-20T00:00,3", "expected a time after"),
    ],
)
def test_a_bad_row_is_named_and_changes_nothing(model, line, what):
    lines = text(LATER[:3], 480).splitlines()
    clean, spoilt = Stream(model), Stream(model)
    expected = [r for one in lines for r in clean.line(one)]
    found = []
    for i, one in enumerate(lines):
        found += spoilt.line(one)
        if i == 1:
            with pytest.raises(DataError) as caught:
                spoilt.line(line)
            assert what in str(caught.value)
    assert found == expected


def test_columns_in_another_order_other_separators_and_no_header(model):
    rows = [line.split(",") for line in text(LATER[:4], 480).splitlines()]
    expected = said(Stream(model), text(LATER[:4], 480))
    for separator, order, first in [(";", (1, 0), 0), ("\t", (0, 1), 1), (",", (1, 0), 1), (",", (0, 1), 1)]:
        lines = "\n".join(separator.join(row[i] for i in order) for row in rows[first:])
        assert said(Stream(model), lines) == expected, (separator, order)
    commas = "\n".join(";".join(cell.replace(".", ",") for cell in row) for row in rows)
    assert said(Stream(model), commas) == expected
    again = "\n".join(",".join(row) for row in [rows[0], rows[1], rows[0], *rows[2:]])
    assert said(Stream(model), again) == expected


def test_a_header_without_a_column_is_refused(model):
    with pytest.raises(UsageError, match="no column 'load', which the run was trained with; did you mean 'laod'"):
        Stream(model).line("hour,laod")
    with pytest.raises(UsageError, match="expected a header with the columns hour, load, found 'a,b,c'"):
        Stream(model).line("a,b,c")


def test_times_off_the_step_are_used_in_order(model):
    stream = Stream(model)
    expected = said(Stream(model), text(LATER[:5], 480))
    rows = text(LATER[:5], 480).splitlines()
    rows[4] = rows[4].replace("03:00", "03:20")
    found = said(stream, "\n".join(rows))
    assert sum("do not fall on the step" in notice for notice in stream.notices) == 1
    assert [r.next[0] for r in found] == [r.next[0] for r in expected]
    assert found[3].next_times == ["2024-01-21T04:20"]


@pytest.mark.parametrize("wrong", [{"horizon": 1000}, {"anomaly": 100}, {"interval": [0]}])
def test_senseless_options_are_refused(model, wrong):
    with pytest.raises(UsageError, match="--"):
        Stream(model, **wrong)


def test_a_text_is_not_streamed():
    class Writer:
        task = "language"

    with pytest.raises(UsageError, match="of the task language"):
        api.stream(Writer())


# -- several series, inputs, other clocks -----------------------------------------------------------


@pytest.fixture(scope="module")
def shops(folder):
    """A forecaster of two shops by their day, with a price beside the sales."""
    lines = ["shop,day,price,sales"]
    for seed, name in enumerate(("north", "south, east")):
        for i in range(150):
            quoted = f'"{name}"' if "," in name else name
            sales = 50 + 10 * seed + 5 * (i % 7) + np.random.default_rng([seed, i]).standard_normal()
            lines.append(f"{quoted},{np.datetime64('2023-01-02') + i},{3 + i % 5},{sales:.3f}")
    (folder / "shops.csv").write_text("\n".join(lines) + "\n")
    return rnnkit.train(
        folder / "shops.csv", folder / "shops", id="shop", target="sales", horizon=7, steps=30, hidden=8
    ), lines


def test_series_keep_to_themselves(shops, folder):
    model, lines = shops
    rows = [
        f"{name},{np.datetime64('2023-06-01') + i},4,{value:.3f}"
        for i in range(20)
        for name, value in (("north", 60 + i), ('"south, east"', 70 - i))
    ]
    stream = Stream(model)
    replies = [r for line in [lines[0], *rows] for r in stream.line(line)]
    assert [r.name for r in replies[:2]] == ["north", "south, east"]
    (folder / "more.csv").write_text("\n".join([*lines, *rows]) + "\n")
    whole = model.predict(folder / "more.csv", horizon=1)
    for i, reply in enumerate(replies[-2:]):
        for name, column in whole.columns[i].items():
            assert reply.next[0][name] == pytest.approx(column[0], rel=1e-5)


def test_a_new_series_warms_up_beside_the_others(shops):
    model, lines = shops
    stream = Stream(model)
    said(stream, "\n".join([lines[0], "north,2023-06-01,4,55"]))
    replies = said(stream, "\n".join(f"west,{np.datetime64('2023-06-01') + i},4,{20 + i % 7}" for i in range(20)))
    assert [bool(r.next) for r in replies] == [i + 1 >= model.window.minimum for i in range(20)]
    assert 15 < replies[-1].next[0]["median"] < 32
    assert len(stream.notices) == 2


def test_without_a_header_columns_are_those_of_the_training(shops):
    model, lines = shops
    rows = ["north,2023-06-01,4,55", "north,2023-06-02,3,56"]
    assert said(Stream(model), "\n".join(rows)) == said(Stream(model), "\n".join([lines[0], *rows]))
    for row in ("2023-06-01,north,4,55", "north,2023-06-01,4,55,7", "north,2023-06-01,dear,55"):
        with pytest.raises(UsageError, match="expected a header with the columns day, shop, sales, price"):
            Stream(model).line(row)


def test_many_series_are_counted_aloud(shops, monkeypatch):
    monkeypatch.setattr("rnnkit.tasks.forecast_stream.MANY", 3)
    model, lines = shops
    stream = Stream(model)
    said(stream, "\n".join([lines[0], *(f"s{i},2023-06-01,4,55" for i in range(5))]))
    assert sum("3 series so far, all of which are kept" in notice for notice in stream.notices) == 1


@pytest.mark.parametrize(
    "style",
    [
        lambda t: str(int(t.astype("datetime64[s]").astype(int))),
        lambda t: t.astype("datetime64[s]").item().strftime("%d.%m.%Y %H:%M"),
        lambda t: t.astype("datetime64[s]").item().strftime("%b %d %Y %I:%M %p"),
        lambda t: f"{t}:00Z",
        lambda t: f"{t}:00+01:00",
        lambda t: str(int((t - START) // HOUR)),
        lambda t: f"{((t - START) // HOUR) * 0.25:.2f}",
    ],
    ids=["epoch", "day-first", "words", "utc", "offset", "count", "decimals"],
)
def test_times_are_read_as_in_training(tmp_path, style):
    values = hourly(300)
    lines = ["time,y", *(f"{style(START + i * HOUR)},{v:.3f}" for i, v in enumerate(values))]
    (tmp_path / "a.csv").write_text("\n".join(lines[:281]) + "\n")
    model = rnnkit.train(tmp_path / "a.csv", tmp_path / "run", horizon=4, steps=3, hidden=4, context=48)
    stream = Stream(model)
    replies = said(stream, "\n".join(lines[:1] + lines[281:]))
    assert stream.notices == ["goes on from the stored end of the training data"]
    assert replies[0].next_times == [lines[282].split(",")[0]]
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    whole = model.predict(tmp_path / "b.csv", horizon=1)
    assert replies[-1].next_times == whole.times[0]
    assert replies[-1].next[0]["median"] == pytest.approx(whole.columns[0]["median"][0], rel=1e-5)


def test_without_times_rows_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("y\n" + "\n".join(f"{v:.3f}" for v in hourly(300)) + "\n")
    model = rnnkit.train(tmp_path / "a.csv", tmp_path / "run", horizon=4, steps=3, hidden=4, context=48)
    replies = said(Stream(model), "y\n" + "\n".join(f"{v:.3f}" for v in hourly(40)))
    assert [r.time for r in replies] == [str(i + 1) for i in range(40)]
    assert replies[-1].next_times == ["41"]
    whole = model.predict(_file(tmp_path / "b.csv", "y\n" + "\n".join(f"{v:.3f}" for v in hourly(40))), horizon=1)
    assert replies[-1].next[0]["median"] == pytest.approx(whole.columns[0]["median"][0], rel=1e-5)


@pytest.mark.parametrize("gaps", ["mask", "fill", "keep"])
def test_gaps_are_met_as_in_training(tmp_path, gaps):
    rows = text(hourly(300)).splitlines()
    del rows[100:104]
    (tmp_path / "a.csv").write_text("\n".join(rows[:280]) + "\n")
    model = rnnkit.train(tmp_path / "a.csv", tmp_path / "run", horizon=4, steps=3, hidden=4, context=48, gaps=gaps)
    del rows[285:288]
    replies = said(Stream(model), "\n".join(rows[:1] + rows[280:]))
    whole = model.predict(_file(tmp_path / "b.csv", "\n".join(rows)), horizon=1)
    assert len(replies) == len(rows) - 280
    assert replies[-1].next[0]["median"] == pytest.approx(whole.columns[0]["median"][0], rel=1e-5)


def _file(path, content):
    path.write_text(content + "\n")
    return path

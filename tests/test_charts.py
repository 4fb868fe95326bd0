"""Charts made of characters: they fit, they show what they should, in Unicode and in ASCII."""

import doctest
import math

import numpy as np
import pytest
from backtests import made

from rnnkit import console
from rnnkit.cli import drawing, sparklines
from rnnkit.cli.canvas import Canvas
from rnnkit.cli.charts import backtest_chart, forecast_chart, loss_chart
from rnnkit.tasks import Forecast


def fan(middle, spread):
    return {"median": middle, "lo80": [m - spread for m in middle], "hi80": [m + spread for m in middle]}


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(("n", "H"), [(0, 1), (1, 1), (3, 2), (60, 12), (5000, 365), (200, 1)])
def test_forecast_charts_fit_their_width(n, H, width, unicode):
    history = [100 + 30 * math.sin(i / 4) for i in range(n)]
    middle = [100 + 30 * math.sin((n + i) / 4) for i in range(H)]
    times = [f"2024-01-{1 + i % 28:02d}" for i in range(H)]
    lines = forecast_chart(history, fan(middle, 8), times, width=width, unicode=unicode)
    assert len(lines) == 16
    assert all(len(line) <= width for line in lines)
    assert times[-1] in lines[-1]
    text = "\n".join(lines)
    assert text.isascii() is not unicode
    if not unicode:
        assert "o" in text
        assert ("*" in text) == (n > 1)  # the last known point belongs to the forecast's line


def test_a_rising_line_rises():
    lines = forecast_chart([float(i) for i in range(60)], fan([60.0, 61.0], 0.5), ["a", "b"], width=60, unicode=False)
    columns = [min(i for i, line in enumerate(lines[:14]) if len(line) > c and line[c] in "*o") for c in range(10, 50)]
    assert columns == sorted(columns, reverse=True)
    assert lines[0].split()[0] == "61.50"
    assert lines[13].split()[0] == "20.00"  # the last 40 of the 60 are shown


def test_gaps_and_constants_are_drawn():
    gap = [1.0, 2.0, math.nan, math.nan, 2.0, 1.0]
    lines = forecast_chart(gap, {"mean": [1.0, 1.0]}, ["a", "b"], width=40, unicode=False)
    assert sum(line.count("*") for line in lines) >= 4
    flat = forecast_chart([5.0] * 9, {"mean": [5.0, 5.0]}, ["a", "b"], width=40, unicode=False)
    assert flat[0].split()[0] == "5.250"
    assert sum("*" in line for line in flat) == 1
    assert forecast_chart([math.nan] * 5, {"median": [math.nan]}, ["a"]) == []


def test_loss_chart_shows_both_losses():
    lines = loss_chart([10, 20, 30], [3.0, 2.0, 1.0], [3.5, 2.5, 1.5], width=50, unicode=False)
    assert lines[-1].split() == ["step", "10", "30"]
    assert lines[0].split()[0] == "3.500"
    plot = [line.split("|")[1] for line in lines[:12]]
    assert sum(line.count(".") for line in plot) == 3
    assert plot[0].startswith("*")
    assert plot[11].endswith(".")


def test_braille_dots_are_where_they_belong():
    canvas = Canvas((0.0, 1.0), (0.0, 1.0), 1, 1, True)
    canvas.line([(0.0, 0.0)])
    assert chr(0x2800 + canvas.bits[0][0]) == "⡀"
    canvas.line([(1.0, 1.0)])
    assert chr(0x2800 + canvas.bits[0][0]) == "⡈"


# -- backtests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("kind", [{"folds": 6}, {"folds": 1}, {"folds": 50, "stride": 1}, {"H": 1}, {"H": 200}])
def test_backtest_charts_fit_their_width(kind, width, unicode):
    found = made(**kind)
    lines = backtest_chart(found, 0, width=width, unicode=unicode)
    assert len(lines) == 16
    assert all(len(line) <= width for line in lines)
    assert "\n".join(lines).isascii() is not unicode
    first, *_, last = lines[-1].split()
    assert int(last) == len(found.values[0]) - 1
    assert int(first) < found.cuts.max()


def test_the_last_folds_stand_between_rules_with_their_bands():
    found = made(folds=4, H=12)
    lines = backtest_chart(found, 0, width=80, unicode=False)
    top = lines[0].partition(" |")[2]
    assert top.count("|") == 4
    assert sum(line.count(":") for line in lines) > 10
    # a forecast that is far off is seen as marks of its own
    found.columns["median"][-1] += 40
    off = backtest_chart(found, 0, width=80, unicode=False)
    assert 6 <= off[0].count("o") + off[1].count("o") <= 14
    found.values[0][:] = np.nan
    for name in found.columns:
        found.columns[name][:] = np.nan
    assert backtest_chart(found, 0) == []


def test_of_a_mean_only_the_marks_are_drawn():
    found = made(folds=2, H=12, bands=False)
    found.columns["mean"] += 3
    lines = backtest_chart(found, 0, width=80, unicode=True)
    assert sum(line.count("•") for line in lines) >= 12
    assert not any("░" in line for line in lines)


@pytest.mark.parametrize("width", [60, 100, 200])
def test_coverage_bars_are_as_long_as_their_share(width):
    found = made(series=3, folds=100, H=3)
    head, *rows = sparklines.coverage_bars(found, width=width, unicode=False)
    assert " ".join(head.split()) == "steps inside the 80 % band inside the 95 % band"
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all(len(line) <= width for line in (head, *rows))
    for step, row in enumerate(rows):
        hit = (found.columns["lo80"] <= found.actual) & (found.actual <= found.columns["hi80"])
        share = hit[:, step].mean()
        bar = row[head.index("inside") : head.index("inside", 20) - 8]
        room = len(bar)
        assert f"{100 * share:3.0f} %" in row
        assert bar[round(0.8 * room)] == "|"
        filled = len(bar.replace("|", "#").rstrip())
        assert filled == max(round(share * room), round(0.8 * room) + 1)


def test_coverage_of_a_mean_or_of_nothing():
    assert sparklines.coverage_bars(made(bands=False), width=80, unicode=True) == []
    found = made(folds=1)
    found.actual[:] = np.nan
    assert sparklines.coverage_bars(found, width=80, unicode=False)[1].split() == ["1-4", "-", "-"]


# -- many series at once --------------------------------------------------------------------------


def test_examples_in_docstrings():
    assert doctest.testmod(sparklines).failed == 0


def many(count=3, H=4, bands=True, n=40):
    """Rising series whose bands grow with their number."""
    history = [np.arange(n, dtype=float) * 10**i for i in range(count)]
    middle = [np.arange(n, n + H, dtype=float) * 10**i for i in range(count)]
    columns = [
        {"median": m, "lo80": m - 1 - i, "hi80": m + 1 + i} if bands else {"mean": m} for i, m in enumerate(middle)
    ]
    times = [[str(n + i) for i in range(H)]] * count
    names = [f"shop {i}" for i in range(count)]
    return Forecast("t", "shop", names, ["y"] * count, times, columns, history, [[str(i) for i in range(n)]] * count)


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [60, 80, 140, 200])
def test_every_series_has_a_line(width, unicode):
    found = many()
    headers, rows = sparklines.overview(found, [2, 0], width=width, unicode=unicode)
    shown = 6 if width > 60 else 4
    assert headers == ["series", "history and forecast", "last", "end", "lo80", "hi80"][:shown]
    assert [row[0] for row in rows] == ["shop 2", "shop 0"]
    assert rows[0][2:] == ["3,900", "4,300", "4,297", "4,303"][: shown - 2]
    before, after = rows[0][1].split("┊" if unicode else "|")
    levels = sparklines.LEVELS[0 if unicode else 1]
    assert before.strip()[0] == levels[0]
    assert after[-1] == levels[-1]
    assert len(after) == 4
    heights = [levels.index(mark) for mark in before.strip() + after]
    assert heights == sorted(heights)
    taken = max(len(row[0]) for row in rows) + sum(max(map(len, column)) for column in zip(*rows, strict=True)) - 6
    assert taken + 3 * (shown - 1) <= width


def test_a_narrow_screen_keeps_the_spark_and_leaves_the_band_out():
    found = many()
    found.ids[1] = "a very long name of a shop in the north"
    found.columns[1]["lo80"] = found.columns[1]["lo80"] * 1e9
    headers, rows = sparklines.overview(found, [0, 1, 2], width=60, unicode=True)
    assert headers == ["series", "history and forecast", "last", "end"]
    assert all(20 <= len(row[1]) <= 60 - 20 for row in rows)


def test_gaps_constants_and_nothing_known_have_sparks():
    found = many(bands=False)
    found.history[0][:30] = np.nan
    found.history[0][-1] = np.nan
    found.history[1][:] = 5.0
    found.columns[1]["mean"][:] = 5.0
    found.history[2] = np.zeros(0)
    found.columns[2]["mean"][:] = np.nan
    headers, rows = sparklines.overview(found, [0, 1, 2], width=80, unicode=False)
    assert headers == ["series", "history and forecast", "last", "end"]
    assert rows[0][2:] == ["38.00", "43.00"]
    assert set(rows[1][1].strip()) == {"-", "|"}
    assert rows[2][2:] == ["–", "–"]
    assert set(rows[2][1]) == {" ", "|"}


@pytest.mark.parametrize("count", [1, 3, 400])
def test_what_a_screen_shows(monkeypatch, capsys, count):
    monkeypatch.setattr(console, "height", lambda: 24)
    drawing.forecast(many(1) if count == 1 else many(3) if count == 3 else many_alike(400))
    head, *lines = capsys.readouterr().out.splitlines()
    if count == 1:
        assert head == "shop 0: 4 steps ahead, the band holding 80 %"
        assert len(lines) == 16
    elif count == 3:
        assert head == "3 series; the last known value and the forecast 4 steps ahead:"
        assert len(lines) == 4
    else:
        assert head.startswith("18 of 400 series, from the surest to the least sure; the last known value")
        assert [line.split()[1] for line in (lines[1], lines[-1])] == ["0", "399"]
        assert len(lines) == 19
    assert all(len(line) <= 80 for line in lines)


def many_alike(count):
    """The first of ``many`` so many times, with wider and wider bands."""
    one = many(1)
    middle = one.columns[0]["median"]
    columns = [{"median": middle, "lo80": middle - 1 - i, "hi80": middle + 1 + i} for i in range(count)]
    parts = [["y"] * count, one.times * count, columns, one.history * count, one.history_times * count]
    return Forecast("t", "shop", [f"shop {i}" for i in range(count)], *parts)


@pytest.mark.parametrize("series", [1, 9])
def test_what_an_evaluation_draws(capsys, series):
    found = made(series=series, folds=20)
    drawing.backtest(found)
    head, *lines = capsys.readouterr().out.splitlines()
    error = [np.abs(found.columns["median"] - found.actual)[found.series == i].mean() for i in range(series)]
    which = "s0" if series == 1 else f"s{np.argsort(error)[4]}, the median one by error of 9 series"
    assert head == f"{which}: folds of 4 steps ahead, the band holding 80 %"
    assert lines[16] == ""
    assert lines[17].startswith("steps")
    drawing.backtest(made(bands=False))
    assert capsys.readouterr().out.splitlines()[0] == "s0: folds of 4 steps ahead"

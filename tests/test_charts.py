"""Charts made of characters: they fit, they show what they should, in Unicode and in ASCII."""

import math

import pytest

from rnnkit.cli.canvas import Canvas
from rnnkit.cli.charts import forecast_chart, loss_chart


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

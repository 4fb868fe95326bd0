"""Charts as files: what is drawn where, the same bytes every time, nothing global touched."""

import doctest
import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from pictures import axes_of, png_size, titles

from rnnkit import plots
from rnnkit.errors import UsageError
from rnnkit.tasks import Forecast

pytest.importorskip("matplotlib", reason="the plot extra is not installed")


def fan(n, H, names=("",), mean=False):
    """A forecast of sines with bands."""
    history = [10 + np.sin(np.arange(n) / 3) + i for i in range(len(names))]
    middle = 10 + np.sin(np.arange(n, n + H) / 3)
    columns = {"mean": middle} if mean else {"median": middle, "lo80": middle - 1, "hi80": middle + 1}
    if not mean:
        columns |= {"lo95": middle - 2, "hi95": middle + 2}
    times = [f"2024-02-{1 + i % 28:02d}" for i in range(H)]
    before = [f"2024-01-{1 + i % 28:02d}" for i in range(n)]
    shared = [times for _ in names], [columns for _ in names], history, [before for _ in names]
    return Forecast("day", "shop" if len(names) > 1 else "", list(names), ["$sales$"] * len(names), *shared)


@pytest.mark.parametrize(("n", "H"), [(0, 1), (1, 1), (5, 2), (60, 12), (3000, 365)])
@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_forecasts_of_any_length_are_drawn(tmp_path, n, H, ending):
    path = tmp_path / f"f{ending}"
    plots.forecast(fan(n, H), path)
    if ending == ".png":
        assert png_size(path) == (1275, 630)
    else:
        assert path.read_bytes().startswith(b"<?xml")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_same_forecast_same_bytes(tmp_path):
    for ending in (".png", ".svg"):
        for name in "ab":
            plots.forecast(fan(60, 12), tmp_path / f"{name}{ending}")
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_what_is_drawn(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(60, 12)
    plots.forecast(found, tmp_path / "x.png", actual=[np.full(12, 9.0)])
    (axes,) = figures[0].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"data", "forecast (median)", "what came"}
    np.testing.assert_allclose(lines["data"].get_ydata(), found.history[0])
    np.testing.assert_allclose(lines["forecast (median)"].get_ydata()[1:], found.columns[0]["median"])
    assert lines["forecast (median)"].get_ydata()[0] == found.history[0][-1]
    assert list(lines["what came"].get_xdata()) == list(range(1, 13))
    assert {band.get_label() for band in axes.collections} == {"80 %", "95 %"}
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names[-1] == "2024-02-12"
    assert r"\$sales\$" in axes.get_title(loc="left")


@pytest.mark.parametrize("count", [2, 4, 5, 9, 24])
def test_every_series_has_a_panel(monkeypatch, tmp_path, count):
    figures = axes_of(monkeypatch)
    names = [f"s{i}" for i in range(count)]
    plots.forecast(fan(30, 3, names=names), tmp_path / "x.png")
    assert titles(figures[0]) == names
    if count > 4:
        assert figures[0].get_suptitle() == rf"\$sales\$: {count} series"


def many(count, H=6):
    """Series whose bands are the wider the later they come."""
    found = fan(40, H, names=[f"shop-{i}" for i in range(count)])
    for i in range(count):
        middle = found.columns[i]["median"]
        found.columns[i] = {"median": middle, "lo80": middle - 0.01 * (1 + i), "hi80": middle + 0.01 * (1 + i)}
    return found


def test_of_many_series_a_page_is_shown_from_the_surest_on(monkeypatch, tmp_path):
    found = many(400)
    order = np.random.default_rng(0).permutation(400)
    found.columns, found.ids = [found.columns[i] for i in order], [found.ids[i] for i in order]
    figures = axes_of(monkeypatch)
    plots.forecast(found, tmp_path / "x.png", actual=[np.full(6, 9.0 + i) for i in range(400)])
    (figure,) = figures
    assert figure.get_suptitle() == r"\$sales\$: 24 of 400 series, from the surest to the least sure"
    assert titles(figure) == [f"shop-{round(i * 399 / 23)}" for i in range(24)]
    first = figure.axes[0]
    came = next(line for line in first.lines if line.get_label() == "what came")
    assert came.get_ydata()[0] == 9.0 + found.ids.index("shop-0")
    # the same times everywhere: written below the last panel of each column only
    written = [any(label.get_text() for label in axes.get_xticklabels()) for axes in figure.axes]
    assert written == [False] * 20 + [True] * 4


def test_without_bands_series_are_taken_evenly_over_their_order(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    plots.forecast(fan(30, 3, names=[f"s{i}" for i in range(47)], mean=True), tmp_path / "x.png")
    assert figures[0].get_suptitle().endswith("24 of 47 series, evenly over their order")
    assert titles(figures[0]) == [f"s{2 * i}" for i in range(24)]


def test_targets_of_one_id_are_told_apart(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(30, 3, names=["a", "a", "b", "b"])
    found.targets = ["load", "price"] * 2
    plots.forecast(found, tmp_path / "x.png")
    assert titles(figures[0]) == ["a · load", "a · price", "b · load", "b · price"]


def test_a_page_of_400_series_is_small_and_the_same_every_time(tmp_path):
    for name in "ab":
        plots.forecast(many(400), tmp_path / f"{name}.svg")
    content = (tmp_path / "a.svg").read_bytes()
    assert content == (tmp_path / "b.svg").read_bytes()
    assert len(content) < 400_000
    root = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_settings_of_the_user_change_nothing(tmp_path):
    import matplotlib

    plots.forecast(fan(60, 12), tmp_path / "a.png")
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "font.size": 30}):
        before = dict(matplotlib.rcParams)
        plots.forecast(fan(60, 12), tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_lines_break_at_gaps_and_a_lone_value_is_a_dot(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(60, 6)
    found.history[0][20:30] = np.nan
    found.history[0][25] = 11.0
    found.history[0][-1] = np.nan
    plots.forecast(found, tmp_path / "x.png")
    (axes,) = figures[0].axes
    data, dot, forecast = axes.lines
    assert np.isnan(data.get_ydata()).sum() == 10
    assert (list(dot.get_ydata()), dot.get_marker()) == ([11.0], "o")
    assert list(forecast.get_xdata()) == [1, 2, 3, 4, 5, 6]  # nothing known to hang on


def test_one_step_without_history_is_as_wide_as_a_step(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    plots.forecast(fan(0, 1), tmp_path / "x.png")
    (axes,) = figures[0].axes
    line = next(line for line in axes.lines if line.get_label() == "forecast (median)")
    assert list(line.get_xdata()) == [0.6, 1.4]
    assert line.get_ydata()[0] == line.get_ydata()[1]


def test_a_band_that_would_flatten_the_rest_is_cut_and_says_so(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(60, 6)
    found.columns[0]["hi95"] = np.full(6, 5000.0)
    plots.forecast(found, tmp_path / "x.png")
    (axes,) = figures[0].axes
    assert axes.get_ylim()[1] < 15
    assert [text.get_text() for text in axes.texts] == ["95 %: 8.32 to 5,000"]


def test_a_constant_series_is_not_blown_up(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(60, 3, mean=True)
    found.history[0][:] = 1e6
    found.columns[0]["mean"] = np.full(3, 1e6 + 0.06)  # what float32 makes of it
    plots.forecast(found, tmp_path / "x.png")
    low, high = figures[0].axes[0].get_ylim()
    assert (low, high) == (pytest.approx(0.95e6), pytest.approx(1.05e6))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], ["0", "0.5", "1.0"]),
        ([0.25, 0.5], ["0.25", "0.50"]),
        ([-40.0, -38.0], ["−40", "−38"]),
        ([75e3, 100e3, 125e3], ["75k", "100k", "125k"]),
        ([1e6, 1e6 + 500], ["1,000,000", "1,000,500"]),
        ([9.99e6, 10e6, 10.01e6], ["9.99M", "10.00M", "10.01M"]),
        ([0.0, 2e9, 4e9], ["0", "2G", "4G"]),
        ([2e15, 4e15], ["2e15", "4e15"]),
        ([5.0], ["5"]),
        ([], []),
    ],
)
def test_ticks_are_short_and_tell_values_apart(values, expected):
    assert plots.sheet.amounts(values) == expected


def test_examples_in_docstrings():
    assert doctest.testmod(plots.sheet).failed == 0


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["2024-05-01 00:00:00", "2024-05-02 00:00:00"], ["2024-05-01", "2024-05-02"]),
        (["2024-05-01 00:00:00", "2024-05-01 13:00:00"], ["2024-05-01 00:00", "2024-05-01 13:00"]),
        (["2024-05-01T06:00", "2024-05-01T12:00"], ["2024-05-01T06:00", "2024-05-01T12:00"]),
        (["2024-05-01 00:00:00+01:00"], ["2024-05-01 00:00:00+01:00"]),
        (["10", "20"], ["10", "20"]),
    ],
)
def test_times_lose_the_zeros_that_all_of_them_have(names, expected):
    assert plots.sheet.short(names) == expected


def test_long_names_lose_their_middle():
    name = "warehouse/north/aisle-17/shelf-3/article-000117"
    shown = plots.sheet.fitted(name, 2.0, 8)
    assert shown.startswith("warehouse")
    assert shown.endswith("000117")
    assert "…" in shown
    assert plots.sheet.width_of(shown, 8) <= 2.0
    assert plots.sheet.fitted("東京" * 40, 1.0, 8).count("東") < 8
    assert plots.sheet.fitted("a$b", 2.0, 8) == r"a\$b"


def test_names_of_times_keep_clear_of_each_other(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = fan(300, 24, names=[f"s{i}" for i in range(12)])
    found.times = [[f"2024-01-{1 + i // 24:02d} {i % 24:02d}:30:00" for i in range(24)]] * 12
    plots.forecast(found, tmp_path / "x.png")
    figure = figures[0]
    figure.canvas.draw()
    for axes in figure.axes[-3:]:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        frame = axes.get_window_extent()
        assert len(boxes) >= 2
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        assert boxes[0].x0 >= frame.x0 - 2
        assert boxes[-1].x1 <= frame.x1 + 2


def test_mean_output_has_no_band(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    plots.forecast(fan(30, 3, mean=True), tmp_path / "x.png")
    assert not figures[0].axes[0].collections


def test_loss_curve(monkeypatch, tmp_path):
    records = [
        {"stage_number": 0, "step": 10, "loss": 3.0, "selected": 2.5},
        {"stage_number": 0, "step": 20, "loss": None, "selected": 2.0},
        {"stage_number": 0, "step": 30, "loss": 1.0, "selected": 2.25},
        {"stage_number": 1, "step": 10, "loss": 9.0, "selected": 9.0},
    ]
    plots.loss(records, tmp_path / "x.svg")
    plots.loss([], tmp_path / "y.png")
    figures = axes_of(monkeypatch)
    plots.loss(records, tmp_path / "x.png")
    (axes,) = figures[0].axes
    training, selected, best = axes.lines
    assert list(training.get_ydata()) == [3.0, 1.0]
    assert list(selected.get_xdata()) == [10, 20, 30]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([20], [2.0])
    assert best.get_label() == "best 2 at step 20"
    assert not axes.texts
    assert all(tick == int(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize(("n", "H"), [(60, 1), (60, 5), (60, 12), (300, 60)])
def test_the_ends_of_time_are_labelled(monkeypatch, tmp_path, n, H):
    figures = axes_of(monkeypatch)
    found = fan(n, H)
    plots.forecast(found, tmp_path / "x.png")
    (axes,) = figures[0].axes
    names = [text.get_text() for text in axes.get_xticklabels()]
    shown = len(axes.lines[0].get_xdata())
    assert (names[0], names[-1]) == (found.history_times[0][-shown], found.times[0][-1])
    assert list(axes.get_xticks())[:: len(names) - 1] == [1 - shown, H]


def test_no_window_system_is_asked_for(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    plots.forecast(fan(20, 3), tmp_path / "x.png")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_names_that_no_font_has_are_drawn_without_a_warning(tmp_path):
    found = fan(20, 3)
    found.targets = ["売上 🐟 \x1b[31m $x^$"]
    plots.forecast(found, tmp_path / "x.png")
    assert png_size(tmp_path / "x.png") == (1275, 630)


def test_bad_places_are_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"ends in \.png or \.svg"):
        plots.ready(tmp_path / "x.pdf")
    with pytest.raises(UsageError, match="does not exist"):
        plots.ready(tmp_path / "no" / "x.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'rnnkit\[plot\]'"):
        plots.ready(tmp_path / "x.png")


def speeds(*ratios):
    """A report of GRU and LSTM over as many shapes as there are pairs of ratios, for inference and training."""
    from test_benchmark_report import Comparison, Report, Shape, row, setting

    points = [
        Comparison(cell, Shape(n + 1, 2, 3, 4), work, 230.0, (row("cython", peers={"torch": r}, best=r), row("torch")))
        for cell in ("gru", "lstm")
        for n, pair in enumerate(ratios)
        for work, r in zip(("infer", "train"), pair, strict=True)
    ]
    return Report(setting(peers=("torch",)), tuple(points))


def test_speed_has_a_point_for_every_ratio_and_their_means(tmp_path, monkeypatch):
    figures = axes_of(monkeypatch)
    plots.speed(speeds((0.5, 2.0), (8.0, 2.0)), tmp_path / "a.png")
    (figure,) = figures
    assert figure.get_suptitle() == "2 threads, x86-64-v3: times as fast as PyTorch"
    first, second = figure.axes
    assert [first.get_title(loc="left"), second.get_title(loc="left")] == ["GRU", "LSTM"]
    assert first.get_xscale() == "log"
    marked = [list(line.get_xdata()) for line in first.lines if line.get_marker() in ("o", "D")]
    assert marked == [[0.5, 8.0], [pytest.approx(2.0)], [2.0, 2.0], [pytest.approx(2.0)]]
    assert [label.get_text() for label in first.get_yticklabels()] == ["1 2 3 4", "2 2 3 4", "geometric mean"]
    low, high = first.get_xlim()
    assert low < 0.5 < 8.0 < high
    assert {1.0, 2.0} <= set(first.get_xticks())
    assert [text.get_text() for text in first.texts] == ["2.00", "2.00"]


def test_speed_is_drawn_where_nobody_is_ahead_or_one_work_is_missing(tmp_path):
    report = speeds((0.01, 0.02), (300.0, 0.5))
    plots.speed(report, tmp_path / "wide.svg")
    plots.speed(type(report)(report.setting, report.comparisons[:1]), tmp_path / "one.png")
    assert png_size(tmp_path / "one.png")[0] > 1000
    assert (tmp_path / "wide.svg").stat().st_size > 10_000


def test_losses_of_two_trainings_and_their_difference(tmp_path, monkeypatch):
    steps, more = (1, 2, 5), {"a": 0.0, "b": 0.5}
    logs = {name: [{"step": n, "loss": 3 / n, "selected": 3 / n + up} for n in steps] for name, up in more.items()}
    plots.losses(logs, tmp_path / "l.png", title="Both", tolerance=0.1)
    assert png_size(tmp_path / "l.png")[0] == 1275
    figures = axes_of(monkeypatch)
    plots.losses(logs, tmp_path / "l.png", title="Both", tolerance=0.1)
    above, below = figures[0].axes
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["a", "b", "training", "held out"]
    np.testing.assert_allclose(below.lines[1].get_xydata(), [(1, 0.5), (2, 0.5), (5, 0.5)])

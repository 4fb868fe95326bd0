"""Charts as files: what is drawn where, the same bytes every time, nothing global touched."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

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


def axes_of(monkeypatch):
    """Collects the figures that are saved."""
    figures = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    return figures


def png_size(path):
    content = Path(path).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


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


def test_many_series_have_a_panel_each_up_to_four(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    plots.forecast(fan(30, 3, names=[f"s{i}" for i in range(9)]), tmp_path / "x.png")
    assert [axes.get_title(loc="left")[-2:] for axes in figures[0].axes] == ["s0", "s1", "s2", "s3"]


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

"""Charts of backtests: which folds and series are drawn, and what is said of bands and errors."""

import numpy as np
import pytest
from backtests import made
from pictures import axes_of, titles

from rnnkit import metrics, plots
from rnnkit.console import number

pytest.importorskip("matplotlib", reason="the plot extra is not installed")


def test_folds_stand_in_a_row_over_what_came(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(folds=6)
    plots.backtest(found, tmp_path / "x.png")
    (figure,) = figures
    (axes,) = figure.axes
    assert figure.get_suptitle() == "s0: all 6 folds"
    data = axes.lines[0]
    start, cut = int(data.get_xdata()[0]), found.cuts[0]
    np.testing.assert_array_equal(data.get_ydata(), found.values[0][start:])
    assert data.get_zorder() > max(line.get_zorder() for line in axes.lines[1:])
    forecast = next(line for line in axes.lines if line.get_label() == "forecast (median)")
    np.testing.assert_allclose(forecast.get_ydata(), [found.values[0][cut - 1], *found.columns["median"][0]])
    assert list(forecast.get_xdata()) == list(range(cut - 1, cut + 4))
    solid = [line.get_color() for line in axes.lines if len(line.get_xdata()) == 5]
    assert solid == [plots.sheet.BLUE, plots.sheet.GREEN] * 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["data", "95 %", "80 %", "forecast (median)", "drift"]
    drift = next(line for line in axes.lines if line.get_label() == "drift")
    np.testing.assert_allclose(drift.get_ydata(), found.baselines["drift"][0])


def test_of_5000_origins_the_last_and_the_extreme_ones_are_shown(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(folds=5000, stride=1, H=24)
    plots.backtest(found, tmp_path / "x.png")
    (figure,) = figures
    assert figure.get_suptitle() == "s0: the last 8 folds that do not overlap, of 5,000"
    row, *panels = figure.axes
    assert len(row.collections) == 16
    error = np.abs(found.columns["median"] - found.actual).mean(axis=1)
    for axes, place in zip(panels, (error.argmin(), None, error.argmax()), strict=True):
        if place is not None:
            assert f"from {found.cuts[place]}: error {error[place]:.3g}"[:20] in axes.get_title(loc="left")
            came = next(line for line in axes.lines if line.get_color() == plots.sheet.ORANGE)
            np.testing.assert_array_equal(came.get_ydata(), found.actual[place])
    assert [axes.get_title(loc="left").split()[0] for axes in panels] == ["best", "median", "worst"]


def test_a_few_series_have_a_row_each_with_their_error(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(series=3)
    plots.backtest(found, tmp_path / "x.png")
    ratio = [float(np.abs(found.columns["median"] - found.actual)[found.series == i].mean() / 0.5) for i in range(3)]
    assert titles(figures[0]) == [f"s{i}: error {number(r, 3)} of drift's" for i, r in enumerate(ratio)]


def test_of_many_series_the_best_median_and_worst_are_shown(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(series=400, folds=2)
    plots.backtest(found, tmp_path / "x.png")
    assert figures[0].get_suptitle() == "Best, median and worst of 400 series: error / drift's, last 2 folds"
    shown = titles(figures[0])
    assert [title.split(":")[0] for title in shown] == ["best", "median", "worst"] * 3
    ratio = np.array([np.abs(found.columns["median"] - found.actual)[found.series == i].mean() for i in range(400)])
    assert any(f"best: s{ratio.argmin()}," in title for title in shown)
    assert any(f"worst: s{ratio.argmax()}," in title for title in shown)


def test_coverage_and_errors_are_what_they_are(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(series=2, folds=100)
    plots.coverage(found, tmp_path / "x.png")
    (figure,) = figures
    assert figure.get_suptitle() == "200 windows of 4 steps; shaded: what chance allows an honest band"
    diagonal, by_step, error = figure.axes
    bands = {line.get_label(): line for line in diagonal.lines if line.get_marker() == "D"}
    share = metrics.coverage(found.actual, found.columns["lo80"], found.columns["hi80"])
    point = bands[f"inside the 80 % band: {100 * share:.0f} %"]
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([80.0], [pytest.approx(100 * share)])
    shares, edges, _ = by_step.patches[1].get_data()
    assert list(edges) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert shares.mean() == pytest.approx(100 * share)
    shaded = by_step.patches[0].get_extents().height
    assert shaded > 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["forecast", "drift", "naive"]
    assert error.get_title(loc="left") == "Mean error by step, in mean changes per step"
    assert error.get_ylim()[0] == 0


def test_the_three_best_rules_stand_beside_the_errors(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    found = made(series=2, folds=30)
    for n, name in enumerate(("a", "b", "c", "d")):
        found.baselines[name] = found.actual + (4 - n) / 10
    plots.coverage(found, tmp_path / "x.png")
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["forecast", "d", "c", "b"]


def test_few_windows_tell_little_of_coverage(monkeypatch, tmp_path):
    figures = axes_of(monkeypatch)
    plots.coverage(made(folds=6), tmp_path / "x.png")
    title = "6 windows of 4 steps, all steps taken together; too few to tell how well bands hold"
    assert figures[0].get_suptitle() == title
    plots.coverage(made(folds=6, bands=False), tmp_path / "x.png")
    (axes,) = figures[1].axes
    assert axes.get_title(loc="left") == "Mean error by step"


@pytest.mark.parametrize("kind", ["one", "overlapping", "few", "many", "mean", "nothing came", "720"])
def test_the_page_of_an_evaluation(tmp_path, kind):
    found = {
        "one": lambda: made(folds=1),
        "overlapping": lambda: made(folds=30, stride=1),
        "few": lambda: made(series=2, folds=2, H=1),
        "many": lambda: made(series=7, folds=1),
        "mean": lambda: made(folds=2, bands=False, rules=()),
        "nothing came": lambda: made(series=5, folds=2),
        "720": lambda: made(folds=3, H=720),
    }[kind]()
    if kind == "nothing came":
        found.actual[:] = np.nan
    for name in "ab":
        plots.evaluation(found, tmp_path / f"{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()

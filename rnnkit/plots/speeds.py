"""How fast rnnkit is beside its peers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit.benchmark_report import row_of
from rnnkit.plots.sheet import BLUE, INK, ORANGE, dress, sheet

if TYPE_CHECKING:
    from rnnkit.benchmark_report import Report

WORKS = {"infer": ("inference", BLUE, "o"), "train": ("training", ORANGE, "D")}
"""Kind of work → label, colour and mark of its points."""


def speed(report: Report, path: Path) -> None:
    """How many times as fast as the fastest peer (without peers, as the reference), a panel for each cell.

    One line per shape with a point for each kind of work, on a logarithmic axis with a rule at 1; their geometric
    means at the foot.
    """
    cells = list(dict.fromkeys(one.cell for one in report.comparisons))
    shapes = list(dict.fromkeys(one.shape for one in report.comparisons))
    with sheet(path, 1.7 + 0.27 * len(shapes)) as figure:
        panels = figure.subplots(1, len(cells), sharex=True, sharey=True, squeeze=False)[0]
        for cell, axes in zip(cells, panels, strict=True):
            points: dict[str, dict[int, float]] = {work: {} for work in WORKS}
            for one in report.comparisons:
                row = row_of(one, report.ours)
                ratio = row and (row.over_best if report.setting.peers else row.over_reference)
                if one.cell == cell and ratio:
                    points[one.work][shapes.index(one.shape)] = ratio
            _ratios(axes, points, len(shapes))
            axes.set_title(cell.upper(), loc="left", fontsize=11)
        names = [*map(str, shapes), "geometric mean"]
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.3, -0.7)
        panels[0].set_ylabel("rows, steps, inputs, hidden", fontsize=8)
        _doubling(panels[0])
        for axes in panels:
            axes.axvspan(axes.get_xlim()[0], 1, color="#f3f3f3", linewidth=0, zorder=0)  # where the others are ahead
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
        figure.suptitle(f"{report.title}: times as fast as {report.opponent}", x=0.01, ha="left", fontsize=11)


def _ratios(axes: Any, points: dict[str, dict[int, float]], foot: int) -> None:
    """A panel of ``speed``: ratios by kind of work and line, and their means on line ``foot``."""
    axes.axvline(1, color=INK, linewidth=1.0, zorder=1)
    axes.axhline(foot - 0.5, color="#c9c9c9", linewidth=0.8)
    means = {work: math.exp(sum(map(math.log, r.values())) / len(r)) for work, r in points.items() if r}
    for y in range(foot):
        ends = [points[work][y] for work in points if y in points[work]]
        axes.plot(ends, [y] * len(ends), color="#d4d4d4", linewidth=2.2, zorder=1, solid_capstyle="butt")
    for work, (label, colour, marker) in WORKS.items():
        if work in means:
            style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": "none", "zorder": 3}
            axes.plot(list(points[work].values()), list(points[work]), markersize=5, label=label, **style)
            axes.plot([means[work]], [foot], markersize=7, **style)
            first = means[work] == min(means.values())
            axes.annotate(
                f"{means[work]:.2f}",
                (means[work], foot),
                (-7 if first else 7, 0),
                textcoords="offset points",
                color=colour,
                fontsize=8,
                ha="right" if first else "left",
                va="center",
                bbox={"color": "white", "alpha": 0.7, "pad": 0.6},
            )
    dress(axes, most=0)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _doubling(axes: Any) -> None:
    """A logarithmic axis of ratios with ticks that double, 1 and 2 always among them."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    low, high = min(low, 0.8), max(high, 2.5)
    axes.set_xlim(low, high)
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    step = max(1, math.ceil(len(powers) / 8))
    axes.xaxis.set_major_locator(FixedLocator([2.0**n for n in powers if n % step == 0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))

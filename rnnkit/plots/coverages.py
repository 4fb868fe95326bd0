"""How well bands hold, and the error by step beside the simple rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnkit import views
from rnnkit.plots.sheet import BLUE, GREY, INK, ORANGE, PAGE, dress, legend, sheet
from rnnkit.tasks import Backtest

COLOURS = (BLUE, ORANGE, "#12806a", "#8a4fa3")
DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (2.5, 2.5)))
"""Lines of the simple rules, which share a colour."""


def coverage(found: Backtest, path: Path) -> None:
    """Nominal against empirical coverage, coverage by step, and the error by step beside the simple rules."""
    with sheet(path, heights(found), PAGE) as figure:
        draw(figure, found)


def heights(found: Backtest) -> float:
    """Inches of the part that ``draw`` draws."""
    return 3.9


def draw(figure: Any, found: Backtest) -> None:
    """The panels; a forecast without bands has only its error."""
    names = views.bands(found.columns)
    windows, H = found.actual.shape
    edges = views.pools(windows, H)
    panels = list(figure.subplots(1, 3 if names else 1, width_ratios=(0.85, 1, 1) if names else (1,), squeeze=False)[0])
    if names:
        _reliability(panels[0], found, names)
        _by_step(panels[1], found, names, edges)
    _errors(panels[-1], found, edges)
    run = int((edges[1:] - edges[:-1]).max())
    pooled = f", steps pooled by {run}" if run > 1 else ""
    figure.suptitle(f"{windows:,} windows of {H} step{'s' * (H > 1)}{pooled}", x=0.008, ha="left", fontsize=11)


def _reliability(axes: Any, found: Backtest, names: list[str]) -> None:
    """What the forecast promises to the right, what came true upwards: on the diagonal both agree."""
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.9, zorder=1)
    quantiles = [(100 * q, 100 * share) for q, share in views.below(found)]
    axes.plot(*zip(*quantiles, strict=True), color=GREY, marker="o", markersize=4, linewidth=0.8, label="below a quantile")
    for band, colour in zip(names, COLOURS, strict=False):
        share = 100 * views.mean(views.inside(found, band))
        axes.plot([float(band)], [share], color=colour, marker="D", markersize=7, linestyle="none", zorder=3,
                  label=f"inside the {band} % band: {share:.0f} %")  # fmt: skip
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.set_xticks(range(0, 101, 20))
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("promised, %", fontsize=8)
    axes.set_ylabel("came true, %", fontsize=8)
    axes.set_title("Coverage", loc="left", fontsize=10)
    axes.legend(loc="upper left", frameon=False, fontsize=7.5, handlelength=1.4)
    dress(axes, most=0)
    axes.set_box_aspect(1)


def _by_step(axes: Any, found: Backtest, names: list[str], edges: Any) -> None:
    for band, colour in zip(names, COLOURS, strict=False):
        shares = 100 * views.pooled(views.inside(found, band), edges)
        axes.axhline(float(band), color=colour, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        axes.stairs(shares, edges + 0.5, color=colour, linewidth=1.5, baseline=None, label=f"{band} %")
    low = min(axes.get_ylim()[0], 50)
    axes.set_ylim(max(0, low), 101.5)
    axes.set_xlim(0.5, edges[-1] + 0.5)
    axes.set_title("Coverage by step, %", loc="left", fontsize=10)
    axes.set_xlabel("step ahead", fontsize=8)
    legend(axes)
    _whole_steps(axes)
    dress(axes, most=0)


def _errors(axes: Any, found: Backtest, edges: Any) -> None:
    by_step = views.error_by_step(found, edges)
    rules = [name for name in by_step if name]
    for n, name in enumerate(rules):
        axes.stairs(by_step[name], edges + 0.5, color=GREY, linewidth=1.1, linestyle=DASHES[n % 4], baseline=None, label=name)
    axes.stairs(by_step[""], edges + 0.5, color=BLUE, linewidth=1.7, baseline=None, label="forecast")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, edges[-1] + 0.5)
    unit = "" if len(found.labels) == 1 else ", mean change = 1"
    axes.set_title(f"Mean error by step{unit}", loc="left", fontsize=10)
    axes.set_xlabel("step ahead", fontsize=8)
    axes.legend(frameon=False, fontsize=7.5, handlelength=2.4)
    _whole_steps(axes)
    dress(axes)


def _whole_steps(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 4, 5, 10]))

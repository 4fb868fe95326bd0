"""How well bands hold, and the error by step beside the simple rules."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import views
from rnnkit.plots.sheet import BLUE, GREEN, GREY, INK, PAGE, dress, heading, legend, sheet
from rnnkit.tasks import Backtest

HEIGHT = 3.9
"""Inches of the part that ``draw`` draws."""
FEW = 20
"""Windows apart that say something of coverage at least."""
TINTS = (BLUE, "#67a9dc", GREEN, "#8a4fa3")
"""Colours of bands from the narrowest on, as their fans have them: the wider the lighter."""
DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
"""Lines of the simple rules beside the forecast, the best ones first; they share a colour."""


def coverage(found: Backtest, path: Path) -> None:
    """Nominal against empirical coverage, coverage by step, and the error by step beside the simple rules."""
    with sheet(path, HEIGHT, PAGE) as figure:
        draw(figure, found)


def draw(figure: Any, found: Backtest) -> None:
    """The three panels; a forecast without bands has only its error."""
    names = views.bands(found.columns)[::-1]
    windows, H = found.actual.shape
    edges = views.pools(windows, H)
    widths = (0.85, 1, 1) if names else (1,)
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    if names:
        _reliability(panels[0], found, names)
        _by_step(panels[1], found, names, edges)
    _errors(panels[-1], found, edges)
    heading(figure, _evidence(found, edges, bool(names)), panels[-1], PAGE)


def _evidence(found: Backtest, edges: np.ndarray, banded: bool) -> str:
    """What the panels rest on."""
    windows, H = found.actual.shape
    run = int(np.diff(edges).max())
    text = f"{windows:,} window{'s' * (windows > 1)} of {H} step{'s' * (H > 1)}"
    if run > 1:
        text += f", {'all' if run == H else f'up to {run}'} steps taken together"
    if banded:
        few = views.independent(found) < FEW
        text += "; too few to tell how well bands hold" if few else "; shaded: what chance allows an honest band"
    return text


def _reliability(axes: Any, found: Backtest, names: list[str]) -> None:
    """What the forecast promises to the right, what came true upwards: on the diagonal both agree."""
    axes.plot([0, 100], [0, 100], color="#c4c4c4", linewidth=1.0, zorder=1)
    quantiles = [(100 * q, 100 * share) for q, share in views.below(found)]
    x, y = zip(*quantiles, strict=True)
    axes.plot(x, y, color=INK, marker="o", markersize=3.5, linestyle="none", label="at or below a quantile")
    for band, colour in zip(names, TINTS, strict=False):
        share = 100 * views.mean(views.inside(found, band))
        label = f"inside the {band} % band: {share:.0f} %"
        axes.plot([float(band)], [share], color=colour, marker="D", markersize=7, linestyle="none", label=label)
    for limits, ticks in ((axes.set_xlim, axes.set_xticks), (axes.set_ylim, axes.set_yticks)):
        limits(-3, 103)
        ticks(range(0, 101, 20))
    axes.set_xlabel("promised, %", fontsize=8)
    axes.set_ylabel("came true, %", fontsize=8)
    axes.set_title("Coverage", loc="left", fontsize=10)
    crowded = any(x < 65 and y > 72 for x, y in quantiles)
    place = "lower right" if crowded else "upper left"
    axes.legend(loc=place, frameon=False, fontsize=7.5, handlelength=1.2, borderaxespad=0.2)
    dress(axes, most=0)
    axes.set_box_aspect(1)


def _by_step(axes: Any, found: Backtest, names: list[str], edges: np.ndarray) -> None:
    """Shares inside the bands; shaded is how far the share of an honest band strays by chance, 95 times in 100.

    Steps of one window err together, so that each window counts once: ± 1.96 √(p (1 − p) / windows apart).
    """
    windows, lowest = views.independent(found), 100.0
    for band, colour in zip(names, TINTS, strict=False):
        shares, nominal = 100 * views.pooled(views.inside(found, band), edges), float(band)
        stray = 1.96 * math.sqrt(nominal * (100 - nominal) / windows)
        if windows >= FEW:
            axes.axhspan(nominal - stray, min(nominal + stray, 100), color=colour, alpha=0.12, linewidth=0, zorder=0)
        axes.axhline(nominal, color=colour, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
        axes.stairs(shares, edges + 0.5, color=colour, linewidth=1.6, baseline=None, label=f"{band} %")
        lowest = min(lowest, nominal - min(stray, 15), float(np.nanmin(shares, initial=100.0)))
    axes.set_ylim(max(-1, 10 * math.floor(lowest / 10 - 0.2)), 101)
    axes.set_title("Coverage by step, %", loc="left", fontsize=10)
    legend(axes)
    _steps(axes, edges)
    dress(axes)


def _errors(axes: Any, found: Backtest, edges: np.ndarray) -> None:
    by_step = views.error_by_step(found, edges)
    axes.stairs(by_step[""], edges + 0.5, color=BLUE, linewidth=1.8, baseline=None, zorder=3, label="forecast")
    for name, dashes in zip(views.ranked(found), DASHES, strict=False):
        axes.stairs(by_step[name], edges + 0.5, color=GREY, linewidth=1.2, linestyle=dashes, baseline=None, label=name)
    axes.set_ylim(bottom=0)
    unit = "" if len(found.labels) == 1 else ", in mean changes per step"
    axes.set_title(f"Mean error by step{unit}", loc="left", fontsize=10)
    _steps(axes, edges)
    dress(axes)


def _steps(axes: Any, edges: np.ndarray) -> None:
    """The horizon along the bottom, whole steps only."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(0.5, edges[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 4, 5, 10]))
    axes.set_xlabel("step ahead", fontsize=8)

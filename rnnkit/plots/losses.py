"""Losses over the steps of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rnnkit.plots.sheet import BLUE, GREY, INK, ORANGE, dress, legend, sheet


def loss(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Training loss and selecting loss over the steps, from a run's log."""
    with sheet(path, 4.2) as figure:
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        first = [r for r in records if r.get("stage_number", 0) == 0]
        for key, colour, label in (("loss", GREY, "training"), ("selected", BLUE, "held out, selects")):
            points = [(r["step"], r[key]) for r in first if r.get(key) is not None]
            if points:
                axes.plot(
                    *zip(*points, strict=True), color=colour, marker="o", markersize=3, linewidth=1.4, label=label
                )
        best = min((r for r in first if r.get("selected") is not None), key=lambda r: r["selected"], default=None)
        if best is not None:
            ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
            label = f"best {best['selected']:.4g} at step {best['step']:,}"
            axes.plot(best["step"], best["selected"], color=BLUE, label=label, **ring)
        axes.set_title("Loss", loc="left", fontsize=11)
        axes.set_xlabel("step", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        legend(axes)
        dress(axes)


def losses(logs: Mapping[str, Sequence[dict[str, Any]]], path: Path, *, title: str, tolerance: float) -> None:
    """Losses of two trainings over the same steps, and below them what the second's held-out one is above the first's.

    ``logs`` has the two by name, each a run's log (``step``, ``loss``, ``selected``); ``tolerance`` is the band
    around 0 that is drawn under the differences, in the unit of the losses.
    """
    with sheet(path, 5.6) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        # the second is drawn thinner, over the first, so that both are seen where they meet
        for (name, log), colour, width in zip(logs.items(), (BLUE, ORANGE), (3.4, 1.4), strict=True):
            steps = [record["step"] for record in log]
            above.plot(steps, [r["loss"] for r in log], color=colour, linewidth=width / 2, linestyle=":", alpha=0.9)
            above.plot(steps, [r["selected"] for r in log], color=colour, linewidth=width, label=name)
        above.plot([], [], color=GREY, linewidth=1.2, linestyle=":", label="training")
        above.plot([], [], color=GREY, linewidth=1.4, label="held out")
        legend(above)
        above.set_title(title, loc="left", fontsize=11)
        above.set_ylabel("nats per character", fontsize=8)
        first, second = logs
        pairs = list(zip(logs[first], logs[second], strict=True))
        below.axhspan(-tolerance, tolerance, color="#f0f0f0", linewidth=0, zorder=0)
        below.axhline(0, color=INK, linewidth=0.8)
        differences = [two["selected"] - one["selected"] for one, two in pairs]
        below.plot(
            [one["step"] for one, _ in pairs], differences, color=ORANGE, marker="o", markersize=3, linewidth=1.4
        )
        below.set_title(f"held out: {second} less {first} (grey: ± {tolerance:g})", loc="left", fontsize=9)
        below.set_ylabel("nats per character", fontsize=8)
        below.set_xlabel("step", fontsize=9)
        for axes in (above, below):
            dress(axes)

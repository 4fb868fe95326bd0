"""Charts as PNG and SVG files; matplotlib is imported here only."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit.errors import UsageError
from rnnkit.outputs import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rnnkit.benchmark_report import Report
    from rnnkit.tasks import Forecast

ENDINGS = (".png", ".svg")
INK, GREY, BLUE, ORANGE = "#222222", "#8a8a8a", "#1f6fb4", "#d9730d"
WORKS = {"infer": ("inference", BLUE, "o"), "train": ("training", ORANGE, "D")}
"""Kind of work → label, colour and mark of its points."""
SERIES = 4
"""Panels at most: so many series are drawn, the first ones."""


def ready(path: Path) -> None:
    """``UsageError`` when a chart could not be drawn there: wrong ending, no folder, or matplotlib missing."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"a chart ends in {' or '.join(ENDINGS)}, but {path} does not; name it so")
    if not path.parent.is_dir():
        raise UsageError(f"the folder of the chart {path} does not exist; make it first")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("charts need matplotlib, which is not installed; pip install 'rnnkit[plot]'") from error


def forecast(found: Forecast, path: Path, actual: Sequence[Sequence[float]] | None = None) -> None:
    """Each of the first series with its forecast and bands; ``actual[i]``, what really came, beside it if given."""
    ready(path)
    count = min(len(found.ids), SERIES)
    figure = _figure(2.8 * count + 0.8 if count > 1 else 4.2)
    for i in range(count):
        axes = figure.add_subplot(count, 1, i + 1)
        columns, times, H = found.columns[i], found.times[i], len(found.times[i])
        history = found.history[i][-max(5 * H, 60) :]
        n = len(history)
        past, future = range(-n + 1, 1), range(1, H + 1)
        joint = [float(history[-1])] if n and math.isfinite(history[-1]) else []
        ahead = [0, *future] if joint else list(future)
        for low, high, alpha, label in (("lo95", "hi95", 0.15, "95 %"), ("lo80", "hi80", 0.3, "80 %")):
            if low in columns:
                bottom, top = ([*joint, *map(float, columns[name])] for name in (low, high))
                axes.fill_between(ahead, bottom, top, color=BLUE, alpha=alpha, linewidth=0, label=label)
        axes.plot(past, history, color=INK, linewidth=1.1, label="data")
        middle = "median" if "median" in columns else "mean"
        line = [*joint, *map(float, columns[middle])]
        axes.plot(ahead, line, color=BLUE, linewidth=1.6, label=f"forecast ({middle})")
        if actual is not None:
            axes.plot(range(1, len(actual[i]) + 1), actual[i], color=ORANGE, linewidth=1.1, label="what came")
        axes.set_xlim(min(1 - n, 0), H)
        axes.set_xticks(*_ticks([*found.history_times[i][-n:], *times], n))
        title = f"{found.targets[i]}, {found.ids[i]}" if len(found.ids) > 1 else found.targets[i]
        axes.set_title(_plain(title), loc="left", fontsize=11)
        if i == 0:
            axes.legend(loc="upper left", ncols=5, frameon=False, fontsize=8)
            _head_room(axes)
        _dress(axes)
    axes.set_xlabel(_plain(found.time_name), fontsize=9)
    _save(figure, path)


def loss(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Training loss and selecting loss over the steps, from a run's log."""
    ready(path)
    from matplotlib.ticker import MaxNLocator

    figure = _figure(4.2)
    axes = figure.add_subplot()
    first = [r for r in records if r.get("stage_number", 0) == 0]
    for key, colour, label in (("loss", GREY, "training"), ("selected", BLUE, "held out, selects")):
        points = [(r["step"], r[key]) for r in first if r.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, linewidth=1.4, label=label)
    best = min((r for r in first if r.get("selected") is not None), key=lambda r: r["selected"], default=None)
    if best is not None:
        ring: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
        label = f"best {best['selected']:.4g} at step {best['step']:,}"
        axes.plot(best["step"], best["selected"], color=BLUE, label=label, **ring)
    axes.set_title("Loss", loc="left", fontsize=11)
    axes.set_xlabel("step", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if axes.lines:  # above the axes, where no line runs
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=3, frameon=False, fontsize=8)
    _dress(axes)
    _save(figure, path)


def losses(logs: Mapping[str, Sequence[dict[str, Any]]], path: Path, *, title: str, tolerance: float) -> None:
    """Losses of two trainings over the same steps, and below them what the second's held-out one is above the first's.

    ``logs`` has the two by name, each a run's log (``step``, ``loss``, ``selected``); ``tolerance`` is the band
    around 0 that is drawn under the differences, in the unit of the losses.
    """
    ready(path)
    figure = _figure(5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    # the second is drawn thinner, over the first, so that both are seen where they meet
    for (name, log), colour, width in zip(logs.items(), (BLUE, ORANGE), (3.4, 1.4), strict=True):
        steps = [record["step"] for record in log]
        above.plot(steps, [r["loss"] for r in log], color=colour, linewidth=width / 2, linestyle=":", alpha=0.9)
        above.plot(steps, [r["selected"] for r in log], color=colour, linewidth=width, label=name)
    above.plot([], [], color=GREY, linewidth=1.2, linestyle=":", label="training")
    above.plot([], [], color=GREY, linewidth=1.4, label="held out")
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, ncols=4, frameon=False, fontsize=8)
    above.set_title(title, loc="left", fontsize=11)
    above.set_ylabel("nats per character", fontsize=8)
    first, second = logs
    pairs = list(zip(logs[first], logs[second], strict=True))
    below.axhspan(-tolerance, tolerance, color="#f0f0f0", linewidth=0, zorder=0)
    below.axhline(0, color=INK, linewidth=0.8)
    differences = [two["selected"] - one["selected"] for one, two in pairs]
    below.plot([one["step"] for one, _ in pairs], differences, color=ORANGE, marker="o", markersize=3, linewidth=1.4)
    below.set_title(f"held out: {second} less {first} (grey: ± {tolerance:g})", loc="left", fontsize=9)
    below.set_ylabel("nats per character", fontsize=8)
    below.set_xlabel("step", fontsize=9)
    for axes in (above, below):
        _dress(axes)
    _save(figure, path)


def speed(report: Report, path: Path) -> None:
    """How many times as fast as the fastest peer (without peers, as the reference), a panel for each cell.

    One line per shape with a point for each kind of work, on a logarithmic axis with a rule at 1; their geometric
    means at the foot.
    """
    ready(path)
    from rnnkit.benchmark_report import row_of

    cells = list(dict.fromkeys(one.cell for one in report.comparisons))
    shapes = list(dict.fromkeys(one.shape for one in report.comparisons))
    figure = _figure(1.7 + 0.27 * len(shapes))
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
    _save(figure, path)


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
    _dress(axes)
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


def _figure(height: float) -> Figure:
    """A figure of its own, outside pyplot: nothing global, no display asked for."""
    from matplotlib.figure import Figure

    return Figure(figsize=(8.5, height), layout="constrained")


def _dress(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.margins(y=0.08)


def _head_room(axes: Any) -> None:
    """Room above the lines for the legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.14 * (high - low))


def _ticks(times: Sequence[str], n: int) -> tuple[list[int], list[str]]:
    """Places and names of at most five ticks: the first and the last time, the first forecast one, and between."""
    last = len(times) - 1
    room = 0.013 * len(times) * max(map(len, times))  # of one name, in steps
    chosen: list[int] = []
    for step in (last, 0, n, n // 2, (n + last) // 2, n // 4, 3 * n // 4):
        if 0 <= step <= last and all(abs(step - other) > room for other in chosen):
            chosen.append(step)
    chosen.sort()
    return [step - n + 1 for step in chosen], [_plain(times[step]) for step in chosen]


def _plain(text: str) -> str:
    """Text of users, with the signs that matplotlib would read as formulas escaped."""
    from rnnkit.console import visible

    return visible(text).replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    from matplotlib import rc_context

    file = io.BytesIO()
    kind = path.suffix.lower()[1:]
    with rc_context({"svg.hashsalt": "rnnkit", "svg.fonttype": "path"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn for it, which says enough
        figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    write(path, file.getvalue())

"""What every chart shares: colours, the sheet that it is drawn on, ticks and names that can be read, the file."""

from __future__ import annotations

import io
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rnnkit import views
from rnnkit.console import number, visible
from rnnkit.errors import UsageError
from rnnkit.outputs import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
INK, GREY, BLUE, ORANGE, GREEN = "#222222", "#8a8a8a", "#1f6fb4", "#d9730d", "#12806a"
WIDE = 8.5
"""Inches of an ordinary sheet."""
PAGE = 11.0
"""Inches of a sheet with panels side by side."""
NARROW = "iljtfrI.,:;|'!-()[]/ "
"""Letters of a third of the usual width."""
EASTERN = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo",
    "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip
"""Fonts with East Asian letters, which matplotlib's own lacks; those that are installed are asked after it."""

_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8, "handlelength": 1.4, "columnspacing": 1.2}


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


@contextmanager
def sheet(path: Path, height: float, width: float = WIDE) -> Iterator[Figure]:
    """A figure of so many inches to draw on, written to ``path`` at the end.

    It stands outside pyplot and outside the settings of the user: nothing global, no display asked for, the same
    bytes for the same data.
    """
    ready(path)
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in EASTERN if name in known)]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"font.family": fonts, "svg.hashsalt": "rnnkit", "svg.fonttype": "path"})
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        yield figure
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    file = io.BytesIO()
    kind = path.suffix.lower()[1:]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn for it, which says enough
        _settle(figure)
        figure.savefig(
            file, format=kind, dpi="figure", metadata={"Date": None} if kind == "svg" else {"Software": None}
        )
    write(path, file.getvalue())


def _settle(figure: Figure) -> None:
    """Lay the panels out and fix them at places of six digits: the last bits of the solver's vary from run to run."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    parts: list[Any] = figure.subfigs
    for part in parts:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 6))
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6))
    for part in (figure, *parts):
        for text in part.texts:
            text.set_position(np.round(text.get_position(), 6))


# -- words ----------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text of users, with the signs that matplotlib would read as formulas escaped."""
    return visible(text).replace("$", r"\$")


def width_of(text: str, size: float) -> float:
    """Inches that a text takes at a size in points, by kinds of letters: East Asian, capital, narrow and others."""
    ems = 0.0
    for c in text:
        ems += 1.0 if unicodedata.east_asian_width(c) in "WF" else 0.34 if c in NARROW else 0.7 if c.isupper() else 0.61
    return ems * size / 72


def fitted(text: str, inches: float, size: float) -> str:
    """The text, its middle left out where it is wider than so many inches at a size in points; then ``plain``."""
    whole = " ".join(visible(text).split())
    kept, shown = len(whole), whole
    while kept > 4 and width_of(shown, size) > inches:
        kept -= 1
        shown = f"{whole[: kept - kept // 2].rstrip()}…{whole[len(whole) - kept // 2 :].lstrip()}"
    return plain(shown)


def heading(figure: Figure, text: str, axes: Any, inches: float, size: float = 10.5) -> None:
    """A title over all panels of a figure so many inches wide, the legend of one of them at its right."""
    handles, names = axes.get_legend_handles_labels()
    taken = sum(width_of(name, 8) + 0.42 for name in names)
    figure.suptitle(fitted(text, inches - taken, size), x=0.008, ha="left", fontsize=size)
    figure.legend(handles, names, loc="outside upper right", ncols=max(1, len(names)), **_LEGEND)


def legend(axes: Any) -> None:
    """The legend of a panel above it at the right, where no line runs."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
        axes.legend(handles, names, ncols=len(names), **place, **_LEGEND)


# -- axes -----------------------------------------------------------------------------------------


def dress(axes: Any, size: float = 8, most: int = 6) -> None:
    """What every panel wears once it is drawn: two spines, faint lines, ``most`` round values at the left.

    With ``most`` 0 the caller sets the ticks.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=size)
    axes.margins(y=0.08)
    if most:
        _value_ticks(axes, most)


def _value_ticks(axes: Any, most: int) -> None:
    """Round values at the left; a series that hardly moves is not blown up until its rounding shows."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    size = max(abs(low), abs(high))
    if high - low < 1e-6 * size:
        low, high = (low + high) / 2 - 0.05 * size, (low + high) / 2 + 0.05 * size
    places = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    shown = [float(v) for v in places if low <= v <= high]
    axes.set_yticks(shown, amounts(shown))
    axes.set_ylim(low, high)


def amounts(values: Sequence[float]) -> list[str]:
    """Ticks as texts with the decimals that tell them apart, large ones in thousands (k), millions (M) and so on.

    >>> amounts([0.0, 2500.0, 5000.0]), amounts([1.5e6, 2e6]), amounts([0.0, 2e-7])
    (['0', '2,500', '5,000'], ['1.5M', '2.0M'], ['0', '2e−7'])
    """
    top = max((abs(v) for v in values), default=0.0)
    step = min((b - a for a, b in pairwise(values) if b > a), default=top or 1.0)
    power = 0 if not top or 1e-3 <= top < 1e5 else math.floor(math.log10(top))
    power = 3 * (power // 3) if power > 0 else power
    if power > 0 and step < 10.0 ** (power - 3):  # close together, far from 0
        power = 0
    places = next((n for n in range(12) if math.isclose(step, round(step, n - power), rel_tol=1e-3)), 12)
    unit = {0: "", 3: "k", 6: "M", 9: "G", 12: "T"}.get(power, f"e{power}")
    return ["0" if v == 0 else f"{v / 10.0**power:,.{places}f}{unit}".replace("-", "−") for v in values]


def time_ticks(
    axes: Any,
    span: tuple[int, int],
    marks: Sequence[int],
    text: Callable[[list[int]], list[str]],
    inches: float,
    *,
    size: float = 8,
    most: int = 5,
) -> None:
    """Names of times below a panel that is so many inches wide: the ends, then ``marks``, then places between.

    ``text`` writes the times of places of the axis; names keep clear of each other, and those of the ends stay inside.
    """
    first, last = span
    places = list(dict.fromkeys(p for p in (last, first, *marks) if first <= p <= last))
    places += _round_places(span, text) if most > 3 else []
    chosen: dict[int, tuple[str, str]] = {}
    taken: list[tuple[float, float]] = []
    for n, (place, name) in enumerate(zip(places, short(text(places)), strict=True)):
        wide = width_of(name, size)
        at = inches * (place - first) / max(last - first, 1)
        side = "right" if place == last else "left" if at < wide / 2 else "center"
        left = at - {"right": wide, "left": 0.0, "center": wide / 2}[side]
        clear = 0.12 if n < 2 + len(marks) else inches / 20
        if len(chosen) < most and all(left + wide + clear < a or left > b + clear for a, b in taken):
            chosen[place] = plain(name), side
            taken.append((left, left + wide))
    order = sorted(chosen)
    axes.set_xlim(first, last if last > first else first + 1)
    axes.set_xticks(order, [chosen[p][0] for p in order])
    axes.tick_params(axis="x", labelsize=size)
    for label, place in zip(axes.get_xticklabels(), order, strict=True):
        label.set_horizontalalignment(chosen[place][1])


def _round_places(span: tuple[int, int], text: Callable[[list[int]], list[str]]) -> list[int]:
    """The roundest time near the middle of a span, and near its quarters: midnight, the first of a month, 1,000."""
    first, last = span
    found = []
    for share in (0.5, 0.25, 0.75):
        centre, reach = first + share * (last - first), 0.1 * (last - first)
        near = sorted(range(math.ceil(centre - reach), math.floor(centre + reach) + 1), key=lambda p: abs(p - centre))
        names = dict(zip(near, text(near), strict=True)) if near else {}
        found += [max(near, key=lambda p: _zeros(names[p]))] if near else []
    return found


def _zeros(name: str) -> int:
    """How much of a time's end is zeros and ones: '2024-01-01 00:00' is round, '2024-01-08' less so."""
    tail = re.search("0+$" if name.isdigit() else r"(?:[-/. T:]?0[01])+$", name)
    return len(tail.group()) if tail else 0


def short(names: Sequence[str]) -> list[str]:
    """Times without the zeros that all of them end in: midnights become days, and whole minutes lose the seconds."""
    for tail in (r"[ T]00:00(:00)?", r"(?<=[ T]\d\d:\d\d):00"):
        if all(re.search(f"{tail}$", name) for name in names):
            return [re.sub(f"{tail}$", "", name) for name in names]
    return list(names)


def confine(axes: Any, inner: Sequence[np.ndarray], columns: Mapping[str, np.ndarray], size: float = 7) -> None:
    """Cut an outer band that would flatten everything else, and say how far it goes.

    ``inner`` must be seen: where it would have less than a quarter of the height it gets a third.
    """
    names = views.bands(columns)
    seen = np.concatenate([np.ravel(values) for values in (*inner, columns[views.middle(columns)])])
    seen = seen[np.isfinite(seen)]
    low, high = axes.get_ylim()
    room = float(np.ptp(seen)) if len(seen) else 0.0
    if not names or not room or high - low < 4 * room:
        return
    axes.set_ylim(max(low, float(seen.min()) - room), min(high, float(seen.max()) + room))
    ends = (float(np.nanmin(columns[f"lo{names[0]}"])), float(np.nanmax(columns[f"hi{names[0]}"])))
    text = f"{names[0]} %: {' to '.join(number(end, 3) for end in ends)}"
    box = {"color": "white", "alpha": 0.75, "pad": 0.8}
    axes.text(0.99, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=size, color=INK, bbox=box)


# -- lines ----------------------------------------------------------------------------------------


def line(axes: Any, x: ArrayLike, y: ArrayLike, **style: Any) -> None:
    """A line that breaks where a value is missing; a value alone between two gaps is a dot."""
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    axes.plot(at, values, **style)
    known = np.isfinite(values)
    alone = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
    if alone.any():
        size = 2.2 * style.get("linewidth", 1.0)
        dots: dict[str, Any] = {"color": style["color"], "zorder": style.get("zorder", 2)}
        axes.plot(at[alone], values[alone], linestyle="none", marker="o", markersize=size, **dots)


def fan(
    axes: Any,
    start: int,
    columns: Mapping[str, np.ndarray],
    last: float,
    *,
    colour: str = BLUE,
    width: float = 1.6,
    labels: bool = True,
) -> None:
    """A forecast from place ``start`` on with its bands; it hangs on ``last``, the value before it, where known."""
    middle = columns[views.middle(columns)]
    joint = [last] if math.isfinite(last) else []
    x = np.arange(start - len(joint), start + len(middle)).astype(float)
    alone = len(x) == 1  # one step with nothing to hang on: drawn as wide as a step
    if alone:
        x = x + np.array([-0.4, 0.4])

    def whole(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.append(joint, values), 2 if alone else 1)

    names = views.bands(columns)
    for band in names:
        alpha = 0.3 if band == names[-1] and len(names) > 1 else 0.16
        ends = (whole(columns[end + band]) for end in ("lo", "hi"))
        axes.fill_between(x, *ends, color=colour, alpha=alpha, linewidth=0, label=f"{band} %" if labels else None)
    name = f"forecast ({views.middle(columns)})" if labels else None
    line(axes, x, whole(middle), color=colour, linewidth=width, label=name)

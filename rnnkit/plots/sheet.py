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
LETTER = 0.62
"""Mean width of a letter over its size; an East Asian one counts twice."""
EASTERN = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo",
    "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip
"""Fonts with East Asian letters, which matplotlib's own lacks; those that are installed are asked after it."""


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
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    file = io.BytesIO()
    kind = path.suffix.lower()[1:]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn for it, which says enough
        figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    write(path, file.getvalue())


# -- words ----------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Text of users, with the signs that matplotlib would read as formulas escaped."""
    return visible(text).replace("$", r"\$")


def letters(text: str) -> int:
    """Letters' worth of room that a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fitted(text: str, inches: float, size: float) -> str:
    """The text, its middle left out where it is wider than so many inches at a size in points; then ``plain``."""
    room = max(4, int(inches * 72 / (LETTER * size)))
    text = " ".join(visible(text).split())
    if letters(text) > room:
        front, back = len(text), len(text)
        while letters(text[:front]) > room // 2:
            front -= 1
        start = 0
        while letters(text[start:back]) > room - room // 2 - 1:
            start += 1
        text = f"{text[:front].rstrip()}…{text[start:].lstrip()}"
    return plain(text)


def heading(figure: Figure, text: str, axes: Any, size: float = 11) -> None:
    """A title over all panels with the legend of one of them at its right."""
    figure.suptitle(plain(text), x=0.008, ha="left", fontsize=size)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), **_LEGEND)


_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8, "handlelength": 1.4, "columnspacing": 1.2}


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
    if high - low < 1e-5 * size:
        low, high = (low + high) / 2 - 0.05 * size, (low + high) / 2 + 0.05 * size
    places = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    shown = [float(v) for v in places if low <= v <= high]
    axes.set_yticks(shown, amounts(shown))
    axes.set_ylim(low, high)


def amounts(values: Sequence[float]) -> list[str]:
    """Ticks as texts with the decimals that tell them apart, large ones in thousands (k), millions (M) and so on.

    >>> amounts([0.0, 2500.0, 5000.0]), amounts([1.5e6, 2e6]), amounts([0.0, 2e-7])
    (['0', '2,500', '5,000'], ['1.5M', '2.0M'], ['0', '2e-7'])
    """
    top = max((abs(v) for v in values), default=0.0)
    step = min((b - a for a, b in pairwise(values) if b > a), default=top or 1.0)
    power = 0 if not top or 1e-3 <= top < 1e5 else math.floor(math.log10(top))
    power = 3 * (power // 3) if power > 0 else power
    if power > 0 and step < 10.0 ** (power - 3):  # close together, far from 0
        power = 0
    places = next((n for n in range(12) if math.isclose(step, round(step, n - power), rel_tol=1e-3)), 12)
    unit = {0: "", 3: "k", 6: "M", 9: "G", 12: "T"}.get(power, f"e{power}")
    return ["0" if v == 0 else f"{v / 10.0**power:,.{places}f}{unit}" for v in values]


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
    quarters = [first + round(share * (last - first)) for share in (0.5, 0.25, 0.75)]
    places = list(dict.fromkeys(p for p in (last, first, *marks, *quarters) if first <= p <= last))
    names = _short(text(places))
    chosen: dict[int, tuple[str, str]] = {}
    taken: list[tuple[float, float]] = []
    for place, name in zip(places, names, strict=True):
        wide = LETTER * size / 72 * letters(name)
        at = inches * (place - first) / max(last - first, 1)
        side = "right" if place == last else "left" if at < wide / 2 else "center"
        left = at - {"right": wide, "left": 0.0, "center": wide / 2}[side]
        if len(chosen) < most and all(left + wide + 0.12 < a or left > b + 0.12 for a, b in taken):
            chosen[place] = plain(name), side
            taken.append((left, left + wide))
    order = sorted(chosen)
    axes.set_xlim(first, last if last > first else first + 1)
    axes.set_xticks(order, [chosen[p][0] for p in order])
    axes.tick_params(axis="x", labelsize=size)
    for label, place in zip(axes.get_xticklabels(), order, strict=True):
        label.set_horizontalalignment(chosen[place][1])


def _short(names: Sequence[str]) -> list[str]:
    """Times without the zeros that all of them end in: midnights become days, and whole minutes lose the seconds."""
    for tail in (r"[ T]00:00(:00)?", r"(?<=[ T]\d\d:\d\d):00"):
        if all(re.search(f"{tail}$", name) for name in names):
            return [re.sub(f"{tail}$", "", name) for name in names]
    return list(names)


# -- lines ----------------------------------------------------------------------------------------


def line(axes: Any, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
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
    """A forecast from place ``start`` on with its bands; it hangs on ``last``, the value before it, if that is known."""
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

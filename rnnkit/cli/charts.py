"""Charts for the terminal: forecasts, backtests and losses, drawn on a canvas of characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from rnnkit import views
from rnnkit.cli.canvas import Canvas
from rnnkit.tasks import Backtest


def _span(*series: ArrayLike) -> tuple[float, float] | None:
    known = np.concatenate([np.ravel(np.asarray(values, dtype=float)) for values in series])
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if len(known) else None


def forecast_chart(
    history: Sequence[float],
    columns: dict[str, Sequence[float]],
    times: Sequence[str],
    *,
    width: int = 80,
    height: int = 14,
    unicode: bool = True,
) -> list[str]:
    """The end of a series, its forecast (median or mean) and the narrowest band, as lines of text.

    ``columns`` are those of a forecast (``median`` or ``mean``, ``lo80``, ``hi80`` ...), ``times`` its times as text.
    """
    middle = list(columns.get("median", columns.get("mean", ())))
    shown = list(history)[-min(len(history), max(3 * len(middle), 40), 4 * width) :]
    band = next(iter(views.bands(columns)[::-1]), "")
    low, high = list(columns.get(f"lo{band}", ())), list(columns.get(f"hi{band}", ()))
    extent = _span(shown, middle, low, high)
    if extent is None or not middle:
        return []
    n = len(shown)
    canvas = Canvas((0.0, float(n + len(middle) - 1)), extent, max(20, width - 14), height, unicode)
    # The forecast starts from the last known point, so that the line and its fan hang together.
    joint = [(n - 1.0, shown[-1])] if shown and math.isfinite(shown[-1]) else []
    if n:
        canvas.rule(n - 0.5)
    if low and high:
        canvas.band(joint + [(n + i, v) for i, v in enumerate(low)], joint + [(n + i, v) for i, v in enumerate(high)])
    canvas.line([(float(i), v) for i, v in enumerate(shown)], "*")
    canvas.line(joint + [(float(n + i), v) for i, v in enumerate(middle)], "o")
    labels = [(float(n), times[0]), (float(n + len(middle) - 1), times[-1])]
    if n:
        labels.insert(0, (0.0, f"{n} before"))
    return canvas.lines(labels)


def loss_chart(
    steps: Sequence[int],
    loss: Sequence[float],
    selected: Sequence[float],
    *,
    width: int = 80,
    height: int = 12,
    unicode: bool = True,
) -> list[str]:
    """The loss on the part that selects as a line, the training loss as points, over the steps."""
    extent = _span(loss, selected)
    if extent is None:
        return []
    canvas = Canvas((float(steps[0]), float(steps[-1])), extent, max(20, width - 14), height, unicode)
    canvas.points([(float(s), v) for s, v in zip(steps, loss, strict=True)], "·" if unicode else ".")
    canvas.line([(float(s), v) for s, v in zip(steps, selected, strict=True)], "*")
    return canvas.lines([(float(steps[0]), f"step {steps[0]:,}"), (float(steps[-1]), f"{steps[-1]:,}")])


def backtest_chart(
    found: Backtest, series: int, *, width: int = 80, height: int = 14, unicode: bool = True
) -> list[str]:
    """The last folds of a series that do not overlap, as many as can be told apart, over what came.

    What came is the line, the 80 % band (or the narrowest there is) the shade, the forecast a mark where it departs
    from the line; folds begin at the rules.
    """
    H = found.actual.shape[1]
    row = views.apart(found, series, max(1, min(6, 2 * (width - 14) // max(H, 12))))
    names, values = views.bands(found.columns), found.values[series]
    cuts = [int(found.cuts[window]) for window in row]
    start, end = max(0, cuts[0] - max(H, 12)), cuts[-1] + H
    shown = values[start:end].tolist()
    middle = found.columns[views.middle(found.columns)][row]
    ends = [found.columns[f"{side}{names[-1]}"][row] for side in ("lo", "hi")] if names else []
    extent = _span(shown, middle, *ends)
    if extent is None:
        return []
    canvas = Canvas((float(start), float(end - 1)), extent, max(20, width - 14), height, unicode)
    for n, cut in enumerate(cuts):
        if names:
            canvas.band(*(list(zip(np.arange(cut, cut + H) + 0.0, side[n], strict=True)) for side in ends))
        canvas.points([(float(cut + i), v) for i, v in enumerate(middle[n])], "•" if unicode else "o")
        canvas.rule(cut - 0.5)
    canvas.line([(float(start + i), v) for i, v in enumerate(shown)], "*")
    places = np.array([start, cuts[0], end - 1])
    known = np.minimum(places, len(values) - 1)
    return canvas.lines(list(zip(map(float, places), found.times(series, known), strict=True)))

"""Bands of any level from the quantiles that a forecaster was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from rnnkit.errors import UsageError

NORMAL = NormalDist()
BANDS = (80.0, 95.0)
"""Percent that the bands hold when nothing else is asked for."""
COLUMNS: dict[float, str] = {0.025: "lo95", 0.1: "lo80", 0.5: "median", 0.9: "hi80", 0.975: "hi95"}
"""Level of a trained quantile → its column."""


def check_levels(wanted: Sequence[float]) -> list[float]:
    """Levels of bands in percent, each once and in the order given; ``UsageError`` for one that is no level."""
    levels = [float(level) for level in wanted]
    wrong = next((level for level in levels if not 0 < level < 100), None)
    if wrong is not None:
        raise UsageError(f"--interval takes levels in percent, above 0 and below 100 such as 80,95, not {wrong:g}")
    return list(dict.fromkeys(levels))


def at_levels(answer: np.ndarray, levels: Sequence[float], wanted: Sequence[float], log: bool = False) -> np.ndarray:
    """Quantiles of the levels ``wanted [P]`` from those of ``levels [Q]``, ``answer [B,H,Q] -> [B,H,P]``.

    Straight lines through the quantiles over their normal scores, which are exact where errors are normal, and beyond
    the outermost two the lines through these: rising as the quantiles are, so no two of them ever cross. ``log``: lines
    through the logarithms, for values that are all above 0.
    """
    y = np.log(answer) if log else answer
    left, share, same = _places(tuple(levels), tuple(wanted))
    low = y[..., left]
    out = low + share * (y[..., left + 1] - low)
    out = np.exp(np.minimum(out, 700.0)) if log else out
    for i, k in same:
        out[..., i] = answer[..., k]  # to the bit
    return out


def interval_columns(
    answer: np.ndarray,
    levels: Sequence[float],
    wanted: Sequence[float] = BANDS,
    log: bool = False,
    middle: str = "median",
) -> dict[str, np.ndarray]:
    """The columns of forecasts ``answer [B,H,Q]``: ``median``, then ``lo80``, ``hi80`` ... in the order ``wanted``.

    ``levels [Q]`` are those of the quantiles, ascending, of which 0.5 is one; ``middle`` is what that is called where
    it is a mean. ``wanted``: how many percent each band is to hold. Columns are ``[B,H]``.

    >>> list(interval_columns(np.zeros((1, 2, 3)), [0.1, 0.5, 0.9], [50, 99.5]))
    ['median', 'lo50', 'hi50', 'lo99.5', 'hi99.5']
    """
    bands = check_levels(wanted)
    edges = [(1 + side * level / 100) / 2 for level in bands for side in (-1, 1)]
    found = at_levels(answer, levels, [0.5, *edges], log)
    names = [middle, *(f"{side}{level:g}" for level in bands for side in ("lo", "hi"))]
    return {name: found[..., i] for i, name in enumerate(names)}


@lru_cache
def _places(
    levels: tuple[float, ...], wanted: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Of each level that is wanted: the quantile to its left, how far it lies from there to the next in normal scores.

    Last, which of those wanted are trained ones: (wanted, trained).
    """
    scores, at = (np.array([NORMAL.inv_cdf(level) for level in one]) for one in (levels, wanted))
    left = np.clip(np.searchsorted(scores, at), 1, len(scores) - 1) - 1
    same = [(i, k) for i, a in enumerate(at) for k, b in enumerate(scores) if abs(a - b) < 1e-9]
    return left, (at - scores[left]) / (scores[left + 1] - scores[left]), same

"""From where forecasts are judged: rolling origins at the end of every series, those that select before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.errors import DataError

INDEPENDENT = 6
"""Windows that do not overlap, over all series, from which a verdict can be certain."""
ENOUGH = 10
"""Such windows from which on origins stand a horizon apart; fewer are filled up with overlapping ones."""
MOST = 40
"""Origins of a series that are judged at most."""
TYPICAL = 0.25
"""The quantile of the lengths of series by which the parts are measured; of shorter ones some may have none."""
SMALL = 1_000
"""Points of the fitted part, over all series, up to which what is selected on is fitted too before judging."""
BLOCKS, GROWTH = 4, 0.25
"""Trainings that judge at most; one for every such share of the fitted part that is judged."""
JUDGED, SELECTED = 0.4, 0.15
"""Shares of the shortest series that are judged and selected on at most, unless ``val`` or one horizon is more."""


class Parts(NamedTuple):
    """Every series ends with ``selected`` and then ``judged`` points; what comes before is fitted.

    ``select[i]`` and ``judge[i]``: the origins of series i, ``stride`` apart; ``fit`` [S]: points of each series that
    are fitted, 0 of one too short for the three parts, which has no origins. No target of one part is a target of
    another. ``ahead``: steps of the horizon that are judged, all of them unless every series is short. ``blocks``: how
    many trainings judge, each the next ones of the origins after a fit on all that is before them; 0 is none but the
    first, which has the fitted part alone.
    """

    judged: int
    selected: int
    stride: int
    ahead: int
    judge: list[np.ndarray]
    select: list[np.ndarray]
    fit: np.ndarray
    blocks: int = 0

    def first(self, block: int) -> int:
        """The number of the first origin that a block judges."""
        return block * max(map(len, self.judge)) // self.blocks


def origins(length: int, horizon: int, folds: int, stride: int) -> np.ndarray:
    """The last ``folds`` origins of a series, ``stride`` apart, the last one ``horizon`` before its end."""
    return length - horizon - stride * np.arange(folds)[::-1]


def judge_origins(lengths: Sequence[int], horizon: int, val: float, least: int) -> Parts:
    """The parts of series of these lengths for a share ``val`` to judge by.

    ``least``: points of context that a window must have. Few or short series are judged from overlapping windows and
    on more than ``val`` of them, up to ``JUDGED``: from one or two windows nothing can be told. Where no series has
    room for a window to fit, one to select and one to judge, fewer steps than the horizon are judged, a quarter of
    what is left. Raises DataError where that is nothing.
    """
    n, H = np.array(lengths), horizon
    long = n[n >= least + 3 * H]
    if not len(long):
        return _short(n, H, least)
    base = int(np.quantile(long, TYPICAL, method="lower"))
    room, several = base - least - H, min(len(long), INDEPENDENT)  # to select and to judge
    wanted = -(-INDEPENDENT // several) * H
    share = int(val * base)
    judged = max(H, min(max(share, min(wanted, int(JUDGED * base))), room - H))
    stride = H if judged // H >= ENOUGH or len(long) >= ENOUGH else max(1, H // 4)
    folds = min((judged - H) // stride + 1, MOST)
    judged = H + (folds - 1) * stride
    selected = max(H, min(judged, max(share, int(SELECTED * base)), room - judged))
    tries = (selected - H) // stride + 1
    selected = H + (tries - 1) * stride
    whole = n >= least + H + judged + selected
    judge = [origins(k, H, folds if w else 0, stride) for k, w in zip(n, whole, strict=True)]
    select = [origins(k - judged, H, tries if w else 0, stride) for k, w in zip(n, whole, strict=True)]
    fit = np.where(whole, n - judged - selected, 0)
    blocks = 0 if int(fit.sum()) > SMALL else min(BLOCKS, folds, math.ceil(judged / (GROWTH * fit.max())))
    return Parts(judged, selected, stride, H, judge, select, fit, blocks)


def _short(n: np.ndarray, horizon: int, least: int) -> Parts:
    """One origin to judge and one to select, each with less than a horizon before the end of its part."""
    steps = min(horizon, (int(n.max()) - least) // 4)
    if steps < 1:
        raise DataError(
            f"at least {least + 4} points are needed to fit, select and judge a forecast, found {n.max()}; "
            "give a longer series"
        )
    whole = n >= least + 4 * steps
    judge = [np.array([k - steps] if w else [], np.int64) for k, w in zip(n, whole, strict=True)]
    fit = np.where(whole, n - 2 * steps, 0)
    return Parts(steps, steps, steps, steps, judge, [c - steps for c in judge], fit, blocks=1)

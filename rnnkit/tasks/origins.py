"""From where forecasts are judged: rolling origins at the end of every series, those that select before them."""

from __future__ import annotations

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
JUDGED, SELECTED = 0.4, 0.15
"""Shares of the shortest series that are judged and selected on at most, unless ``val`` or one horizon is more."""


class Parts(NamedTuple):
    """Every series ends with ``selected`` and then ``judged`` points; what comes before is fitted.

    ``select[i]`` and ``judge[i]``: the origins of series i, ``stride`` apart; ``fit`` [S]: points of each series that
    are fitted. No target of one part is a target of another.
    """

    judged: int
    selected: int
    stride: int
    judge: list[np.ndarray]
    select: list[np.ndarray]
    fit: np.ndarray


def origins(length: int, horizon: int, folds: int, stride: int) -> np.ndarray:
    """The last ``folds`` origins of a series, ``stride`` apart, the last one ``horizon`` before its end."""
    return length - horizon - stride * np.arange(folds)[::-1]


def judge_origins(lengths: Sequence[int], horizon: int, val: float, least: int) -> Parts:
    """The parts of series of these lengths for a share ``val`` to judge by.

    ``least``: points of context that a window must have. Few or short series are judged from overlapping windows and
    on more than ``val`` of them, up to ``JUDGED``: from one or two windows nothing can be told. Raises DataError where
    the shortest series has no room for a window to fit, one to select and one to judge.
    """
    shortest, H = min(lengths), horizon
    room = shortest - least - H  # to select and to judge
    if room < 2 * H:
        raise DataError(
            f"at least {least + 3 * H} points are needed to fit, select and judge forecasts of {H}, found {shortest}; "
            "give a longer series or a smaller horizon"
        )
    wanted = -(-INDEPENDENT // len(lengths)) * H
    share = int(val * shortest)
    judged = max(H, min(max(share, min(wanted, int(JUDGED * shortest))), room - H))
    stride = H if judged // H >= ENOUGH or len(lengths) >= ENOUGH else max(1, H // 4)
    folds = min((judged - H) // stride + 1, MOST)
    judged = H + (folds - 1) * stride
    selected = max(H, min(judged, max(share, int(SELECTED * shortest)), room - judged))
    tries = (selected - H) // stride + 1
    selected = H + (tries - 1) * stride
    judge = [origins(n, H, folds, stride) for n in lengths]
    select = [origins(n - judged, H, tries, stride) for n in lengths]
    return Parts(judged, selected, stride, judge, select, np.array(lengths) - judged - selected)

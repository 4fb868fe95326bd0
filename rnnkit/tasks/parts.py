"""Which end of each series is judged on, which part before it is selected on, and from which origins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit.errors import DataError

MANY = 20
"""Series from which on origins stand a horizon apart: there are windows enough."""
WINDOWS = 4000
"""Windows of a part at most."""


class Parts(NamedTuple):
    """``size`` points at the end of every series are judged on, as many before them selected on; ``stride`` points
    between two origins."""

    size: int
    stride: int

    def judged(self, lengths: np.ndarray, horizon: int) -> list[np.ndarray]:
        """Origins of each series whose targets are judged: the first at the start of the part, full horizons only,
        or the one from which less than a horizon is left."""
        room = max(0, self.size - horizon)
        return [n - self.size + room % self.stride + np.arange(0, room + 1, self.stride) for n in lengths]

    def selected(self, lengths: np.ndarray, horizon: int) -> list[np.ndarray]:
        """Origins that are selected on."""
        return [cuts - self.size for cuts in self.judged(lengths, horizon)]


def share(lengths: np.ndarray, horizon: int, least: int, val: float) -> Parts:
    """The parts of series of such lengths; ``least``: points that a window needs before its origin.

    A share ``val`` of the data; of short series as much as leaves two thirds to fit, up to two horizons, so that there
    are several origins. Where three parts of a horizon do not fit, less than a horizon is judged.
    """
    shortest = int(lengths.min())
    room = (shortest - least - horizon) // 3  # leaves a window to fit and as much again
    size = min(max(int(val * shortest), 2 * horizon), room)
    if size < horizon:
        size = min(horizon, (shortest - least) // 4)
    if size < 1:
        raise DataError(f"at least {least + 4} points are needed, found {shortest}; give a longer series")
    few = len(lengths) < MANY
    stride = max(1, horizon // 8) if few else horizon
    windows = len(lengths) * (max(0, size - horizon) // stride + 1)
    return Parts(size, stride * max(1, windows // WINDOWS))

"""Numbers so far from their neighbours and from all else that they may be mistakes: reported, never changed.

A series of numbers that vary as measurements do has none: a number must leave the range of nearly all others by twice
its width (positive ones by its width in logarithms too) and stand alone, far from the numbers just before and after.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.numbers import Floats

LEAST = 20
"""Numbers below which none is called far from the others."""
BEYOND, BEYOND_LOG = 2.0, 1.0
"""Widths of the range of nearly all numbers that an outlier lies beyond it."""
ALONE = 8.0
"""Usual changes from one number to the next that an outlier differs from its neighbours by, at least."""
_NORMAL = 1.4826  # standard deviations of a normal distribution per median absolute deviation


def find_outliers(values: Floats) -> NDArray[np.int64]:
    """Indices of the outliers of one series [n], which may hold NaN."""
    at = np.flatnonzero(~np.isnan(values))
    x = values[at]
    if len(x) < LEAST:
        return at[:0]
    far = np.flatnonzero(_outside(x, BEYOND))
    if not far.size:
        return at[:0]
    if x.min() > 0:
        far = far[_outside(np.log(x), BEYOND_LOG)[far]]
    usual = _NORMAL * float(np.median(np.abs(np.diff(x))))
    padded = np.concatenate([x[2:0:-1], x, x[-2:-4:-1]])
    near = np.stack([padded[far + k] for k in (0, 1, 3, 4)])  # two before, two after
    alone = np.abs(x[far] - np.median(near, axis=0)) > ALONE * usual
    return at[far[alone]]


def _outside(x: Floats, widths: float) -> NDArray[np.bool_]:
    """Which numbers lie beyond the range of nearly all by so many of its widths; none where nearly all are one."""
    tail = len(x) // (100 if len(x) >= 200 else 20)
    ordered = np.partition(x, [tail, len(x) - 1 - tail])
    low, high = ordered[tail], ordered[-1 - tail]
    room = widths * (high - low)
    return (x < low - room) | (x > high + room) if room > 0 else np.zeros(len(x), dtype=np.bool_)

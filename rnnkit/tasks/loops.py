"""Whether a text goes in circles, as texts drawn too coldly do."""

from __future__ import annotations

import re

import numpy as np

COPIES, LONG = 3, 60
"""Something with a letter in it is a loop where it stands so often in a row, over so many characters."""
PERIOD = 400
"""Characters of the longest thing looked for."""


def longest_loop(text: str) -> tuple[int, int, int]:
    """(start, period, characters) of the longest stretch that says the same thing ``COPIES`` times or more in a row and
    has at least ``LONG`` characters; zeros where there is none.

    >>> longest_loop("Once upon a time " + "the cat and the mouse and " * 4)
    (16, 26, 105)
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    best = (0, 0, 0)
    for period in range(1, min(PERIOD, len(points) // COPIES) + 1):
        same = points[period:] == points[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        lengths = edges[1::2] - edges[0::2] + period
        for at in np.flatnonzero(lengths >= max(LONG, COPIES * period, best[2] + 1)).tolist():
            start, length = int(edges[2 * at]), int(lengths[at])
            if length > best[2] and re.search(r"\w", text[start : start + period]):
                best = start, period, length
    return best

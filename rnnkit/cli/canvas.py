"""A plot made of characters: braille dots and shades, or plain ASCII where those cannot be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rnnkit.console import numbers

Points = Sequence[tuple[float, float]]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of the dot in row 0..3 and column 0..1 of a braille character (U+2800 + bits)."""


class Canvas:
    """A plot of ``width`` × ``height`` characters over a rectangle of values; NaN breaks a line."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], width: int, height: int, unicode: bool) -> None:
        self.x, self.width, self.height, self.unicode = x, width, height, unicode
        low, high = y
        if not high > low:
            low, high = low - (abs(low) * 0.05 or 1.0), high + (abs(high) * 0.05 or 1.0)
        self.y = (low, high)
        self.fine = (2, 4) if unicode else (1, 1)  # dots per character
        self.bits = [[0] * width for _ in range(height)]
        self.marks = [[" "] * width for _ in range(height)]

    def line(self, points: Points, mark: str = "*") -> None:
        """Join the points; ``mark`` is the character in ASCII."""
        before: tuple[int, int] | None = None
        for px, py in points:
            here = self._dot(px, py)
            if here is not None:
                self._segment(before or here, here, mark)
            before = here

    def band(self, low: Points, high: Points) -> None:
        """Shade between two lines over the same x."""
        for column in range(self.width):
            at = self.x[0] + (column + 0.5) / self.width * (self.x[1] - self.x[0])
            bottom, top = _between(low, at), _between(high, at)
            if bottom is None or top is None:
                continue
            for row in range(self.height):
                value = self.y[1] - (row + 0.5) / self.height * (self.y[1] - self.y[0])
                if bottom <= value <= top:
                    self.marks[row][column] = "░" if self.unicode else ":"

    def rule(self, at: float) -> None:
        """A vertical line behind everything."""
        column = self._column(at)
        for row in range(self.height):
            self.marks[row][column] = "┊" if self.unicode else "|"

    def points(self, points: Points, mark: str) -> None:
        """A character at each point, under the lines."""
        for px, py in points:
            dot = self._dot(px, py)
            if dot is not None:
                self.marks[dot[1] // self.fine[1]][dot[0] // self.fine[0]] = mark

    def lines(self, labels: Sequence[tuple[float, str]]) -> list[str]:
        """The plot with its axes: values at the left, ``labels`` (x, text) below."""
        last = self.height - 1
        ticks = [round(i * last / 4) for i in range(5)] if self.height >= 9 else [0, last]
        values = [self.y[1] - row / last * (self.y[1] - self.y[0]) for row in ticks]
        names = dict(zip(ticks, numbers(values), strict=True))
        gutter = max(map(len, names.values()))
        wall, corner, floor = ("│", "└", "─") if self.unicode else ("|", "+", "-")
        out = []
        for row in range(self.height):
            pairs = zip(self.bits[row], self.marks[row], strict=True)
            cells = "".join(chr(0x2800 + bits) if bits else mark for bits, mark in pairs)
            out.append(f"{names.get(row, ''):>{gutter}} {wall}{cells}".rstrip())
        out.append(f"{'':>{gutter}} {corner}{floor * self.width}")
        out.append((" " * (gutter + 2) + self._under(labels)).rstrip())
        return out

    def _under(self, labels: Sequence[tuple[float, str]]) -> str:
        """The x labels: the first flush left, the last flush right, others where there is room."""
        text = [" "] * self.width
        order = [0, len(labels) - 1, *range(1, len(labels) - 1)] if len(labels) > 1 else [0]
        for i in order:
            at, name = labels[i]
            name = name[: self.width]
            for before in (len(name) // 2, len(name) - 1):  # centred, or else to the left of its place
                start = max(0, min(self._column(at) - before, self.width - len(name)))
                around = text[max(0, start - 2) : start + len(name) + 2]
                if all(c == " " for c in around):
                    text[start : start + len(name)] = name
                    break
        return "".join(text)

    def _column(self, at: float) -> int:
        share = (at - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        return max(0, min(self.width - 1, int(share * self.width)))

    def _dot(self, px: float, py: float) -> tuple[int, int] | None:
        """The dot of a point, None where it has no finite value."""
        if not math.isfinite(py):
            return None
        w, h = self.width * self.fine[0] - 1, self.height * self.fine[1] - 1
        col = round((px - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0) * w)
        row = round((self.y[1] - py) / (self.y[1] - self.y[0]) * h)
        return max(0, min(w, col)), max(0, min(h, row))

    def _segment(self, a: tuple[int, int], b: tuple[int, int], mark: str) -> None:
        count = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        for i in range(count + 1):
            self._set(a[0] + round(i * (b[0] - a[0]) / count), a[1] + round(i * (b[1] - a[1]) / count), mark)

    def _set(self, col: int, row: int, mark: str) -> None:
        fine = self.fine
        if self.unicode:
            self.bits[row // fine[1]][col // fine[0]] |= _DOTS[row % 4][col % 2]
        else:
            self.marks[row][col] = mark


def _between(points: Points, at: float) -> float | None:
    """The value of a line at ``at``, None outside it or next to NaN."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= at <= x1:
            value = y0 + (y1 - y0) * ((at - x0) / ((x1 - x0) or 1.0))
            return value if math.isfinite(value) else None
    return None

"""Where a written text ends: after a length, or before the first of some texts, however these come in pieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rnnkit.errors import UsageError

UNITS = {"tokens": 1, "chars": 8, "words": 64}
"""Unit of a length → tokens that one of them takes at most: a character is spelled in eight half-bytes at worst, and a
text without blanks has to end somewhere."""


class Ending:
    """A text comes in by ``push``, in pieces; what belongs to it comes out, as soon as no ``stop`` can begin in it.

    ``length`` counts ``unit``: characters, words (what stands between blanks), or tokens, which whoever draws counts
    by ``tokens``. Raises ``UsageError`` for a length below 0, another unit and an empty stop.
    """

    def __init__(self, length: int, unit: str = "tokens", stop: str | Sequence[str] = ()) -> None:
        if length < 0:
            raise UsageError(f"--length is a whole number of at least 0, not {length}")
        if unit not in UNITS:
            raise UsageError(f"--unit is one of {', '.join(UNITS)}, not {unit!r}")
        self.stops = [unicodedata.normalize("NFC", text) for text in ([stop] if isinstance(stop, str) else stop)]
        if not all(self.stops):
            raise UsageError("--stop is a text of at least one character, not an empty one")
        self.tokens = length * UNITS[unit]
        self.unit, self.left = unit, length
        self.ended = length == 0
        self.stopped = False
        self._held, self._inside = "", False

    def push(self, text: str) -> str:
        """What may be shown once this further text has come."""
        if self.ended:
            return ""
        text = self._held + text
        at = min((place for place in map(text.find, self.stops) if place >= 0), default=-1)
        keep = len(text) - self._doubtful(text) if at < 0 else at
        self._held = text[keep:]
        shown = self._within(text[:keep])
        if at >= 0 and not self.ended:
            self.ended = self.stopped = True
        return shown

    def rest(self) -> str:
        """What was kept back, when no more will come."""
        text, self._held = self._held, ""
        shown = "" if self.ended else self._within(text)
        self.ended = True
        return shown

    def _doubtful(self, text: str) -> int:
        """Characters at the end that may be the beginning of a stop."""
        most = min(len(text), max(map(len, self.stops), default=1) - 1)
        return next((n for n in range(most, 0, -1) if any(stop.startswith(text[-n:]) for stop in self.stops)), 0)

    def _within(self, text: str) -> str:
        """As much of the text as the length leaves room for."""
        if self.unit == "chars":
            text = text[: self.left]
            self.left -= len(text)
            self.ended = self.left == 0
        elif self.unit == "words":
            for part in re.finditer(r"\S+|\s+", text):
                word = not part[0].isspace()
                if not word and self._inside and self.left == 0:
                    self.ended = True
                    return text[: part.start()]
                self.left -= word and not self._inside
                self._inside = word
        return text

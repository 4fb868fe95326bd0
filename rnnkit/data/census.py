"""What a text is made of: how often each character and each word occurs, however long it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.words import token_blocks

MOST = 2_000_000
"""Different words that are counted; where there are more, the rarest ones are forgotten again."""


@dataclass
class Census:
    """Counts of code points, up to the last one seen, and of words, if asked for; ``forgotten``: words dropped."""

    points: NDArray[np.int64] = field(default_factory=lambda: np.zeros(128, np.int64))
    words: Counter[str] = field(default_factory=Counter)
    forgotten: int = 0

    def letters(self) -> Counter[str]:
        """How often each character occurs."""
        found = np.flatnonzero(self.points)
        return Counter({chr(point): int(self.points[point]) for point in found.tolist()})

    def count(self, blocks: Iterable[str]) -> None:
        """Add the characters of a text."""
        for block in blocks:
            self._count(block)

    def count_words(self, blocks: Iterable[str]) -> None:
        """Add the characters and the words of a text."""
        floor = 1
        for cut in token_blocks(blocks):
            self._count("".join(cut))
            self.words.update(cut)
            while len(self.words) > MOST:
                rare = [word for word, count in self.words.items() if count <= floor]
                self.forgotten += sum(self.words.pop(word) for word in rare)
                floor += 1

    def _count(self, text: str) -> None:
        if text.isascii():
            found = np.bincount(np.frombuffer(text.encode(), np.uint8))
        else:
            found = np.bincount(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4"))
        if len(found) > len(self.points):
            self.points = np.pad(self.points, (0, len(found) - len(self.points)))
        self.points[: len(found)] += found


def frequent(counts: Counter[str], least: int, size: int | None) -> set[str]:
    """The symbols seen often enough, at most `size` of them; equal counts are settled by their order as text."""
    kept = [s for s, n in counts.items() if n >= least]
    if size is not None and len(kept) > size:
        kept = sorted(kept, key=lambda s: (-counts[s], s))[:size]
    return set(kept)

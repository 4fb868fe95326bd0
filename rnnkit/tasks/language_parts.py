"""A text cut into what is fitted, what selects and what judges, and each of them as ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rnnkit.data import spool
from rnnkit.data.bpe import SIZE as PAIRS
from rnnkit.data.corpus import Corpus, divide
from rnnkit.data.spool import Spool
from rnnkit.data.vocabulary import Vocabulary
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks.language_score import GRAM, JUDGED, PIECES, SELECTED, Window, in_pieces, side_by_side
from rnnkit.tasks.options import TrainOptions

PIECE = 5000
"""The selecting part is the ends of at most PIECES stretches of at least PIECE characters each, so that what is learned
reaches to the judged part and covers the whole text."""
LEAST_PIECE = 64
"""Characters of a selecting piece at least; a small --val makes fewer pieces."""
LEARNED = 1 << 26
"""Characters that byte pairs are learned from at most: more would not change what is frequent."""
HELD = 2**62
"""What tells the drawing of documents from other draws with the same seed."""

Ranges = list[tuple[int, int]]
Told = Callable[[float], None]  # takes the share of the characters that is done


@dataclass
class Cut:
    """Ranges of characters by part, and what the judged part is called.

    ``woven``: each fitted range is followed in the text by the selecting one of the same number.
    """

    fit: Ranges
    select: Ranges
    judge: Ranges
    judged: str
    woven: bool

    def parts(self) -> dict[str, Ranges]:
        return {"fit": self.fit, "select": self.select, "judge": self.judge}


def count(ranges: Ranges) -> int:
    """Characters in all ranges."""
    return sum(stop - start for start, stop in ranges)


def cut_text(text: Spool, val: float) -> Cut:
    """The last share ``val`` judges; of the rest, short pieces spread over it select."""
    known = _cut(text, 0, len(text), 1 - val)
    share = min(val / 2, SELECTED / known)
    cuts = [(a, _cut(text, a, b, 1 - share), b) for a, b in _stretches(known, share)]
    judged = f"last {100 * val:g} % of the text, {len(text) - known:,} characters"
    if len(text) - known > JUDGED:
        judged += f", the first {JUDGED:,} of them"
    return Cut(
        [(a, c) for a, c, _ in cuts],
        [(c, b) for _, c, b in cuts],
        [(known, min(known + JUDGED, len(text)))],
        judged,
        True,
    )


def cut_documents(corpus: Corpus, val: float, separator: str | None, seed: int) -> Cut:
    """Whole documents judge and select, drawn by the seed; of those that would be too long, only the beginning."""
    documents = divide(corpus, separator)
    if len(documents) < 3:
        raise DataError(
            f"at least 3 documents are needed to hold whole ones out, found {len(documents)}; give more files, the "
            "line that stands between documents with --document-separator, or leave --split out"
        )
    key = np.random.Philox(key=seed & (2**64 - 1), counter=HELD)
    order = [documents[i] for i in np.random.Generator(key).permutation(len(documents))]
    total = count(documents)
    judge = _drawn(order, val * total, len(order) - 2)
    held = set(judge)
    rest = [document for document in order if document not in held]
    select = _drawn(rest, min(val * total / 2, SELECTED), len(rest) - 1)
    held |= set(select)
    judged = f"{len(judge)} of {len(documents)} documents, {count(judge):,} characters"
    if count(judge) > JUDGED:
        judged += f", the first {JUDGED:,} of them"
    fit = [document for document in documents if document not in held]
    return Cut(fit, _at_most(sorted(select), SELECTED), _at_most(sorted(judge), JUDGED), judged, False)


def _drawn(order: Ranges, wanted: float, most: int) -> Ranges:
    """The first documents in this order that together have about so many characters, one at least."""
    found: Ranges = []
    characters = 0
    for start, stop in order:
        if len(found) < most and characters + (stop - start) / 2 <= wanted:
            found.append((start, stop))
            characters += stop - start
    return found or [min(order, key=lambda document: (document[1] - document[0], document))]


def _at_most(ranges: Ranges, characters: int) -> Ranges:
    found: Ranges = []
    for start, stop in ranges:
        left = characters - count(found)
        if left > 0:
            found.append((start, min(stop, start + left)))
    return found


def _cut(text: Spool, start: int, stop: int, share: float) -> int:
    """Where to cut near ``share`` of a range: after the next line end or blank if one is close, else right there."""
    at = start + round((stop - start) * share)
    for mark in "\n", " ":
        end = text.find(mark, at, at + (stop - at) // 5)
        if end >= 0:
            return end + 1
    return at


def _stretches(length: int, share: float) -> Ranges:
    """So many characters in equal ranges, as many as make sense when ``share`` of each selects."""
    many = max(1, min(PIECES, length // PIECE, int(length * share / LEAST_PIECE)))
    return list(pairwise(round(length * i / many) for i in range(many + 1)))


def vocabulary_of(text: Spool, fit: Ranges, options: TrainOptions, told: Told) -> Vocabulary:
    """The symbols of the fitted part."""
    if options.level == "bpe" and options.vocabulary is not None and options.vocabulary <= 256:
        raise UsageError(
            f"--vocabulary {options.vocabulary} leaves no room for byte pairs beside the 256 bytes; give more, such as "
            f"{PAIRS}"
        )
    share = LEARNED / max(count(fit), LEARNED) if options.level == "bpe" else 1.0
    ranges = [(start, start + round((stop - start) * share)) for start, stop in fit]
    return Vocabulary.gather(_read(text, ranges, told), options.level, max_size=options.vocabulary)


def _read(text: Spool, ranges: Ranges, told: Told) -> Iterator[Iterator[str]]:
    """The blocks of each range; ``told`` hears how much of all is read."""
    done, total = 0, max(1, count(ranges))

    def blocks(start: int, stop: int) -> Iterator[str]:
        nonlocal done
        for block in text.blocks(start, stop):
            yield block
            done += len(block)
            told(done / total)

    return (blocks(start, stop) for start, stop in ranges)


@dataclass
class Encoded:
    """Ids of each part, the last known ones before the judged part, and the window that selects."""

    ids: dict[str, np.ndarray]
    tail: np.ndarray
    selection: Window


def encode(text: Spool, cut: Cut, vocabulary: Vocabulary, told: Told) -> Encoded:
    """The parts as ids, the fitted one in the smallest type that holds them, mapped from a file where it is long."""

    def whole(ranges: Ranges) -> list[np.ndarray]:
        return [
            np.concatenate([np.zeros(0, np.int32), *vocabulary.encode_blocks(text.blocks(start, stop))])
            for start, stop in ranges
        ]

    def fitted() -> Iterable[Iterator[np.ndarray]]:
        return (vocabulary.encode_blocks(blocks) for blocks in _read(text, cut.fit, told))

    fit, ends = spool.store(fitted(), spool.narrowest(vocabulary.size), count(cut.fit) <= spool.SMALL)
    pieces = [fit[start:stop] for start, stop in pairwise([0, *ends])]
    select, judge = whole(cut.select), np.concatenate(whole(cut.judge))
    if cut.woven:
        pairs = list(zip(pieces, select, strict=True))
        tail = _last([part for pair in pairs for part in pair], GRAM + 1)
    else:
        pairs = in_pieces(vocabulary.encode("\n"), np.concatenate(select))
        tail = _last([*pieces, *select], GRAM + 1)
    ids = {"fit": fit, "select": np.concatenate(select), "judge": judge}
    return Encoded(ids, tail, side_by_side(pairs))


def _last(parts: list[np.ndarray], most: int) -> np.ndarray:
    """The last ``most`` of all ids in the parts."""
    first, total = len(parts), 0
    while first and total < most:
        first -= 1
        total += len(parts[first])
    return np.concatenate(parts[first:])[-most:].astype(np.int32)

"""Texts of any length as one: read in pieces, in bounded memory, with the documents that they are made of."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.data.folder import SHOWN, expand
from rnnkit.data.frontmatter import body, left_out
from rnnkit.data.pieces import Pieces, Told
from rnnkit.data.reading import Reader
from rnnkit.data.spool import Spool
from rnnkit.errors import DataError

Reading = Callable[[int, int], None]  # takes the bytes that are read and those there are


@dataclass
class Corpus:
    """A text, its documents as ranges of characters, and what there is to say of it.

    encodings: how many files were in which; wrapped: characters of front and back matter, left out or not, around so
    many ``bodies``; size: bytes of the files that are read by now. ``fingerprint`` is the SHA-256 of the characters,
    the same for every encoding and line end of one text.
    """

    spool: Spool = field(default_factory=Spool)
    documents: list[tuple[int, int]] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    wrapped: int = 0
    bodies: int = 0
    lines: int = 0
    words: int = 0
    size: int = 0
    ends_line: bool = True
    _digest: Any = field(default_factory=hashlib.sha256)
    _blank: bool = True  # whether it was a blank

    def __len__(self) -> int:
        return len(self.spool)

    @property
    def fingerprint(self) -> str:
        return str(self._digest.hexdigest())

    def add(self, block: str) -> None:
        """Append some text."""
        self.spool.write(block)
        self._digest.update(block.encode("utf-8", "surrogatepass"))
        self.lines += block.count("\n")
        self.words += _words(block, self._blank)
        self.ends_line, self._blank = block[-1] == "\n", block[-1].isspace()

    def end_line(self) -> None:
        """Texts are joined at ends of lines."""
        if not self.ends_line:
            self.add("\n")
            if self.documents:
                self.documents[-1] = (self.documents[-1][0], len(self))


def read_corpus(
    source: Any, encoding: str | None = None, *, strip: bool = False, reading: Reading | None = None
) -> Corpus:
    """Reads files, folders, streams or '-' as one text, in the order given, each in the encoding that it is in.

    strip: leave out what is wrapped around each. reading: hears of the bytes read and of those there are.
    Raises UsageError for what cannot be opened, DataError for what is empty or no text.
    """
    sources, notices = expand(source)
    corpus = Corpus(notices=notices)
    changed, joined = 0, [0, 0]
    guessed: list[str] = []
    sizes = list(_sizes(sources))
    total = sum(sizes)
    for one in sources:
        with Pieces(one) as pieces:
            told = _part(reading, corpus.size, max(total, corpus.size + pieces.size))
            reader = Reader(pieces, encoding)
            corpus.end_line()
            start = len(corpus)
            wrapped = _add(corpus, reader, strip, told)
            corpus.size += pieces.size
        corpus.documents.append((start, len(corpus)))
        corpus.labels.append(reader.label)
        corpus.encodings[reader.encoding] += 1
        corpus.wrapped += wrapped
        corpus.bodies += wrapped > 0
        changed += reader.returns
        if reader.joined[0] != reader.joined[1]:
            joined = [joined[0] + reader.joined[0], joined[1] + reader.joined[1]]
        guessed += [reader.notice] if reader.notice else []
    notices += guessed[:SHOWN]
    if len(guessed) > SHOWN:
        notices.append(f"{len(guessed) - SHOWN:,} more files were read as their bytes suggest: {spoken(corpus)}")
    if changed:
        of = f" of {changed} file{'s' * (changed > 1)}" if len(sources) > 1 else ""
        notices.append(f"line ends{of} were changed to a single newline")
    if joined[0]:
        notices.append(f"letters and their accents were joined (NFC): {joined[0]:,} characters became {joined[1]:,}")
    return corpus


def wrapping(corpus: Corpus, strip: bool) -> list[str]:
    """What is to be said of the front and back matter of a text, after it was stripped or not."""
    if strip and not corpus.bodies:
        return ["no front matter was found, the whole text is used"]
    if strip:
        return [left_out(corpus.wrapped, corpus.bodies)]
    if corpus.bodies:
        around = f"{corpus.wrapped:,} characters around the body (a licence, credits)"
        return [f"{around} are trained on; --strip-frontmatter leaves them out"]
    return []


def called(corpus: Corpus) -> str:
    """What messages call a text: its file, or the first one and how many more there are."""
    more = len(corpus.labels) - 1
    return corpus.labels[0] + (f" and {more} more" if more else "")


def spoken(corpus: Corpus) -> str:
    """The encodings of a text's files, with their numbers where they differ."""
    if len(corpus.encodings) == 1:
        return next(iter(corpus.encodings))
    return ", ".join(f"{name} ({count} file{'s' * (count > 1)})" for name, count in corpus.encodings.most_common())


def _words(block: str, blank: bool) -> int:
    """Words that begin in a block, ``blank`` being whether it comes after a blank."""
    if not block.isascii():
        return len(block.split()) - (not blank and not block[0].isspace())
    visible = np.frombuffer(block.encode(), np.uint8) > 32
    return int(np.count_nonzero(visible[1:] & ~visible[:-1])) + bool(blank and visible[0])


def _sizes(sources: list[Any]) -> Iterator[int]:
    """Bytes of the files; of streams 0 until they are read."""
    from os import path

    for source in sources:
        with suppress(OSError, TypeError, ValueError):
            yield path.getsize(source)


def _part(reading: Reading | None, before: int, total: int) -> Told:
    return lambda done: None if reading is None else reading(before + done, total)


def _add(corpus: Corpus, reader: Reader, strip: bool, told: Told) -> int:
    """Append one text; how many characters are wrapped around its body."""
    start = len(corpus)
    target = Spool() if strip else corpus.spool
    for block in reader.characters(told):
        if strip:
            target.write(block)
        else:
            corpus.add(block)
    base = 0 if strip else start
    length = len(target) - base
    found = body(lambda a, b: target.text(base + a, base + b), length)
    if strip:
        first, stop = found or (0, length)
        for block in target.blocks(first, stop):
            corpus.add(block)
        target.close()
        if found:
            corpus.end_line()
            return length - (len(corpus) - start)
    return length - (found[1] - found[0]) - 1 if found else 0


def divide(corpus: Corpus, separator: str | None) -> list[tuple[int, int]]:
    """The documents of a text as ranges of characters: its files, divided after lines that are ``separator``.

    Without one, a single file is divided after form feeds. Blank documents are passed over.
    """
    if separator is None and len(corpus.documents) > 1:
        return corpus.documents
    found = []
    for start, stop in corpus.documents:
        at = start
        for mark, end in [*_cuts(corpus.spool, start, stop, separator), (stop, stop)]:
            if any(block.strip() for block in corpus.spool.blocks(at, mark)):
                found.append((at, end))
            at = end
    if separator is not None and len(found) == len(corpus.documents):
        raise DataError(
            f"no line of {', '.join(corpus.labels[:3])} is {separator!r}, which --document-separator names; "
            "give a line that stands between documents"
        )
    return found


def _cuts(spool: Spool, start: int, stop: int, separator: str | None) -> Iterator[tuple[int, int]]:
    """The range of each separator: the line with its end, or a form feed."""
    wanted = "\f" if separator is None else f"\n{separator.strip()}\n"
    at, rest = start, ""
    for block in spool.blocks(start, stop):
        if separator is not None and at == start and not rest:
            block, at = "\n" + block, start - 1  # the first line has an end before it
        text = rest + block
        here = text.find(wanted)
        last = 0
        while here >= 0:
            first = at + here + (separator is not None)
            yield max(first, start), at + here + len(wanted)
            last = here + len(wanted) - (separator is not None)  # its line end may be the one before the next
            here = text.find(wanted, last)
        kept = min(len(text) - last, len(wanted) - 1)
        rest = text[len(text) - kept :] if kept else ""
        at += len(text) - kept

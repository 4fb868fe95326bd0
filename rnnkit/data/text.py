"""A text at once: one string in Unicode NFC with plain line ends, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnkit.data.corpus import Corpus, read_corpus


@dataclass
class Text:
    """A text, where it came from, the encoding it was in, and what was changed on the way."""

    text: str
    path: str
    encoding: str
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.text)


def read_text(source: Any, encoding: str | None = None) -> Text:
    """Reads a text at once, in the encoding given or in the one that it is found to be in.

    Line ends become '\\n', characters are composed (NFC). source: a path, a folder, '-' for standard input, a binary
    stream, or a list of them. Raises UsageError when it cannot be opened, DataError when it is empty or not text.
    """
    corpus = read_corpus(source, encoding)
    corpus.notices[:] = [notice for notice in corpus.notices if "--strip-frontmatter" not in notice]
    text = corpus.spool.text(0, len(corpus))
    corpus.spool.close()
    return Text(text, called(corpus), spoken(corpus), corpus.notices)


def called(corpus: Corpus) -> str:
    """What messages call a text: its file, or the first one and how many more there are."""
    more = len(corpus.labels) - 1
    return corpus.labels[0] + (f" and {more} more" if more else "")


def spoken(corpus: Corpus) -> str:
    """The encodings of a text's files, with their numbers where they differ."""
    if len(corpus.encodings) == 1:
        return next(iter(corpus.encodings))
    return ", ".join(f"{name} ({count} file{'s' * (count > 1)})" for name, count in corpus.encodings.most_common())

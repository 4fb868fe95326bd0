"""A text at once: one string in Unicode NFC with plain line ends, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rnnkit.data.corpus import called, read_corpus, spoken


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
    text = corpus.spool.text(0, len(corpus))
    corpus.spool.close()
    return Text(text, called(corpus), spoken(corpus), corpus.notices)

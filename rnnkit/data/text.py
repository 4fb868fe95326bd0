"""A text file → one string in Unicode NFC with plain line ends, and its wrapping (licence, credits) found."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field

from rnnkit.data.source import Source, decode, read_bytes

_START = re.compile(r"^\*{3} ?START (?:OF|:)[^*]{0,300}\*{3}[^\n]*\n", re.MULTILINE | re.IGNORECASE)
_END = re.compile(r"^\*{3} ?END (?:OF|:)[^*]{0,300}\*{3}", re.MULTILINE | re.IGNORECASE)
_LAST = re.compile(r"^End of (?:the )?Project Gutenberg[^\n]*\s*\Z", re.MULTILINE | re.IGNORECASE)
_EDGES = re.compile(r"\A(?:[^\S\n]*\n)+|\s+\Z")
BLOCK = 1 << 20
"""Characters encoded at a time for their fingerprint."""


@dataclass
class Text:
    """A text, where it came from, the encoding it was in, and what was changed on the way."""

    text: str
    path: str
    encoding: str
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.text)

    def fingerprint(self) -> str:
        """SHA-256 of the characters, the same for every encoding and line end of one text."""
        digest = hashlib.sha256()
        for start in range(0, len(self.text), BLOCK):
            digest.update(self.text[start : start + BLOCK].encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def read_text(source: Source, encoding: str | None = None) -> Text:
    """Reads a text: UTF-8, UTF-16 with a byte-order mark, else cp1252 or Latin-1 (said), unless encoding is given.

    Line ends become '\\n', characters are composed (NFC). source is a path, '-' for standard input or a binary stream.
    Raises UsageError when it cannot be opened, DataError when it is empty or not text.
    """
    data, label = read_bytes(source)
    text, encoding, notices = decode(data, label, encoding)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        notices.append("line ends were changed to a single newline")
    if not unicodedata.is_normalized("NFC", text):
        before = len(text)
        text = unicodedata.normalize("NFC", text)
        notices.append(f"letters and their accents were joined (NFC): {before:,} characters became {len(text):,}")
    return Text(text, label, encoding, notices)


def find_frontmatter(text: str) -> tuple[int, int] | None:
    """Where the body lies [start, end) between lines '*** START OF … ***' and '*** END OF … ***', or None.

    Anything under a tenth of the text is no body: such marks then belong to something else.
    """
    start = _START.search(text)
    end = _END.search(text, start.end()) if start else None
    if start is None or end is None or end.start() - start.end() < 0.1 * len(text):
        return None
    return start.end(), end.start()


def strip_frontmatter(text: str) -> tuple[str, str | None]:
    """The body alone, without blank lines around it, and a notice; or the text as it is and None."""
    found = find_frontmatter(text)
    if found is None:
        return text, None
    body = _EDGES.sub("", _LAST.sub("", text[found[0] : found[1]])) + "\n"
    dropped = len(text) - len(body)
    return body, f"{dropped:,} characters outside the START and END marks are left out (licence, credits)"

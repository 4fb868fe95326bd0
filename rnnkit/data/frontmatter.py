"""What is wrapped around a book that was typed in: licences, small print, credits."""

from __future__ import annotations

import re
from collections.abc import Callable

WINDOW = 100_000
"""Characters at either end in which wrapping is looked for; the longest licences have about 20,000."""
LEAST = 0.1
"""Share of a text below which what lies between two marks is not its body: they belong to something else."""

_FLAGS = re.MULTILINE | re.IGNORECASE
_START = re.compile(r"^\*{3} ?START (?:OF|:)[^*]{0,300}\*{3}[^\n]*\n", _FLAGS)
_END = re.compile(r"^\*{3} ?END (?:OF|:)[^*]{0,300}\*{3}", _FLAGS)
_SMALL_PRINT = re.compile(r"^\*END[* ]{1,3}THE SMALL PRINT![^\n]*\n", _FLAGS)
_LAST = re.compile(r"^\W{0,3}End of (?:the |this )?Project Gutenberg[^\n]*", _FLAGS)
_CREDITS = re.compile(
    r"(?:Produced|Prepared|Transcribed|Typed|Scanned|Digitized|E-?text (?:prepared|produced|scanned|typed)"
    r"|This (?:e-?text|e-?book|file) was (?:produced|prepared|transcribed|created|typed|scanned)"
    r"|(?:HTML|Text) version)\b[^\n]{0,60}\bby\b",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*\n*")
_BLANK = re.compile(r"(?:[^\S\n]*\n)*")

Part = Callable[[int, int], str]  # the characters [start, stop) of a text


def body(part: Part, length: int) -> tuple[int, int] | None:
    """Where the body of a text lies [start, end), or None where nothing is wrapped around it.

    It begins after '*** START OF … ***' or old small print and the credits that follow, and ends before
    '*** END OF … ***' or 'End of the Project Gutenberg …', without blank lines at either end. Marks of unknown origin
    count in pairs only.
    """
    head, base = part(0, min(length, WINDOW)), max(0, length - WINDOW)
    tail = part(base, length)
    small = _last_match(_SMALL_PRINT, head)
    opening = small or _START.search(head)
    start = opening.end() if opening else 0
    closing = _END.search(tail, max(0, start - base))
    farewell = _LAST.search(tail, max(0, start - base), closing.start() if closing else len(tail))
    ours = small is not None or farewell is not None or "gutenberg" in (opening[0].lower() if opening else "")
    if not (opening and closing) and not (ours and (opening or closing or farewell)):
        return None
    end = min((base + found.start() for found in (closing, farewell) if found), default=length)
    if end - start < LEAST * length:
        return None
    return _trimmed(part, start, end)


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text):
        found = match
    return found


def _trimmed(part: Part, start: int, end: int) -> tuple[int, int]:
    """Without the credits at the beginning, and without blank lines there and blanks at the end."""
    head = part(start, min(start + WINDOW, end))
    at = _blank(head, 0)
    while _CREDITS.match(head, at) and (paragraph := _PARAGRAPH.match(head, at)):
        at = _blank(head, paragraph.end())
    tail = part(max(start + at, end - WINDOW), end)
    return start + at, end - (len(tail) - len(tail.rstrip()))


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def find_frontmatter(text: str) -> tuple[int, int] | None:
    """Where the body lies in a text [start, end), or None where nothing is wrapped around it."""
    return body(lambda start, stop: text[start:stop], len(text))


def strip_frontmatter(text: str) -> tuple[str, str | None]:
    """The body alone and a notice, or the text as it is and None."""
    found = find_frontmatter(text)
    if found is None:
        return text, None
    kept = text[slice(*found)] + "\n"
    return kept, left_out(len(text) - len(kept))


def left_out(characters: int, texts: int = 1) -> str:
    """What is said of wrapping that was cut away."""
    of = f" of {texts} texts" if texts > 1 else ""
    return f"{characters:,} characters around the body{of} are left out (licence, credits)"

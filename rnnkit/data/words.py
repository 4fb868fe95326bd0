"""Text → words, numbers, punctuation and blanks, which joined are the text again; a stream is cut as the whole is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST = 40
"""Letters or digits of a token at most; what is longer is no word, and is cut into several tokens."""
JOINED, MARKED = 4, 20
"""Apostrophes within a word, and runs of combining marks within a part of it, at most."""
REACH = 1 + (LONGEST + MARKED * (LONGEST + 1)) * (JOINED + 1) + JOINED + 1
"""How far behind its beginning a character can decide on a token."""


def _marks() -> str:
    """The combining marks of all alphabets as ranges of a character class: they belong to the letter before them."""
    points = {c for c in range(0x300, 0x3100) if unicodedata.category(chr(c))[0] == "M"}
    first = sorted(c for c in points if c - 1 not in points)
    last = sorted(c for c in points if c + 1 not in points)
    return "".join(f"\\u{a:04x}-\\u{b:04x}" for a, b in zip(first, last, strict=True))


def _any_case(word: str) -> str:
    """A pattern for a word in either case: re.IGNORECASE would make every letter slow."""
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


_LETTER = r"[^\W\d_]"
_PART = rf"{_LETTER}{{1,{LONGEST}}}(?:[{_marks()}]{_LETTER}{{0,{LONGEST}}}){{0,{MARKED}}}"
_ELIDED = "|".join(map(_any_case, [*"cdjlmnst", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu", "quelqu"]))
# French elisions stand alone (l'|homme, qu'|il); other apostrophes stay inside (aujourd'hui, don't). A blank belongs to
# the token after it, so that joining tokens gives the text back. The first line is the usual word, found fast.
_TOKEN = re.compile(
    rf" ?[a-zA-Zà-öø-ÿ]{{1,{LONGEST}}}(?=[\s.,;:!?\-])"
    rf"| ?(?:(?:{_ELIDED})['’](?={_LETTER})|{_PART}(?:['’]{_PART}){{0,{JOINED}}}|\d{{1,{LONGEST}}}|[^\w\s]|_)|\s"
)


def tokens(text: str) -> list[str]:
    """Cuts a text into words, numbers, punctuation and blanks; joined, they are the text again.

    >>> tokens("L'homme d'aujourd'hui, c'est-à-dire nous.")
    ["L'", 'homme', " d'", "aujourd'hui", ',', " c'", 'est', '-', 'à', '-', 'dire', ' nous', '.']
    """
    return _TOKEN.findall(text)


def token_blocks(blocks: Iterable[str]) -> Iterator[list[str]]:
    """The tokens of a text that comes in blocks, the same wherever the blocks end."""
    rest = ""
    for block in blocks:
        cut = tokens(rest + block)
        kept, open_ = len(cut), 0
        while kept and open_ < REACH:  # what stands so near to the end may go on in the next block
            kept -= 1
            open_ += len(cut[kept])
        rest = "".join(cut[kept:])
        if kept:
            yield cut[:kept]
    if rest:
        yield tokens(rest)

"""Which encoding bytes are in: a byte-order mark, a pattern of zeros, or the letters that a single-byte set makes."""

from __future__ import annotations

import codecs
import string
import unicodedata

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.source import BOMS

HEAD = 1 << 16
"""Bytes that are enough to tell UTF-16 and UTF-32 by."""
TYPICAL = "àâäçéèêëîïôöùûüœæñáíóúßåøÀÂÉÈÊÇÎÔÖÜÄŒ«»’‘“”–—…°€§£"
"""Characters beyond ASCII that texts of Western Europe are written with."""
SMALL_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
CYRILLIC = ("cp1251", "koi8-r", "cp866")
WESTERN = ("cp1252", "mac-roman", "cp850")
"""Single-byte sets in the order in which they are taken where they fit equally well."""

_BLANK = frozenset(string.whitespace)


def marked(head: bytes) -> str | None:
    """The encoding that a byte-order mark names."""
    return next((name for bom, name in BOMS if head.startswith(bom)), None)


def unmarked(head: bytes, whole: bool = True) -> str | None:
    """UTF-16 or UTF-32 without a byte-order mark where the zeros of its first bytes leave no doubt.

    whole: whether these are all bytes there are, so that their number must be even.
    """
    if 0 not in head or len(head) < 8 or (whole and len(head) % 2):
        return None
    names = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    likeness = {name: _blanks(head, name) for name in names}
    best = max(names, key=lambda name: likeness[name])  # the first of equals
    others = [likeness[name] for name in names if name != best]
    return best if likeness[best] > 0 and likeness[best] > 5 * max(others) else None


def _blanks(head: bytes, name: str) -> float:
    """The share of blanks and plain letters, or 0 where the bytes make no text in that encoding."""
    width = 4 if name.startswith("utf-32") else 2
    try:
        text = codecs.getincrementaldecoder(name)().decode(head[: len(head) // width * width])
    except UnicodeDecodeError:
        return 0.0
    odd = sum(c not in _BLANK and unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") for c in text)
    if not text or odd:
        return 0.0
    blanks = sum(c in _BLANK for c in text) / len(text)
    plain = sum(c in string.ascii_letters for c in text) / len(text)
    return 0.0 if blanks < 0.01 and plain < 0.5 else blanks + plain


def single_byte(counts: NDArray[np.int64]) -> tuple[str, bool]:
    """(encoding, whether that is sure) for bytes of which there are ``counts [256]``, and which are no UTF-8.

    The one is taken that turns most of the bytes beyond ASCII into letters that are usual where it was used.
    """
    beyond = {byte: int(n) for byte, n in enumerate(counts) if n and byte >= 128}
    total = sum(beyond.values())
    latin = sum(int(counts[ord(c)]) for c in string.ascii_letters)
    names, usual = (CYRILLIC, SMALL_CYRILLIC) if total > latin else (WESTERN, TYPICAL)
    shares = {name: _share(beyond, name, usual) / max(total, 1) for name in names}
    best = max(names, key=lambda name: shares[name])
    if names is CYRILLIC and shares[best] < 0.7:
        return _decodable("cp1252", beyond), False
    if names is WESTERN and shares[best] < shares["cp1252"] + 0.3:
        best = "cp1252"
    return _decodable(best, beyond), total <= latin or names is CYRILLIC


def _share(beyond: dict[int, int], name: str, usual: str) -> int:
    """How many of the bytes are usual characters."""
    return sum(n for byte, n in beyond.items() if bytes((byte,)).decode(name, "replace") in usual)


def _decodable(name: str, beyond: dict[int, int]) -> str:
    """Latin-1, which has a character for every byte, where the set has none for one of these."""
    try:
        bytes(beyond).decode(name)
    except UnicodeDecodeError:
        return "latin-1"
    return name


def known(name: str) -> bool:
    """Whether Python knows an encoding of text of that name, which can be read piece by piece."""
    try:
        b"x".decode(name, "replace")
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError):
        return False
    return True

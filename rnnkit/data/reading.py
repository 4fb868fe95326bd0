"""One source of text → its characters, piece by piece: the encoding found first, line ends made plain, NFC."""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Iterator

import numpy as np

from rnnkit.data import encodings
from rnnkit.data.pieces import Pieces, Told, unheard
from rnnkit.data.source import CONTROL, FOREIGN, SEEN
from rnnkit.errors import DataError, UsageError

LOOSE = 1024
"""Characters that may wait for one that joins them; a longer run of accents is cut somewhere."""
BINARY = 1 / 500
"""Share of control characters from which on bytes that are no UTF-8 are no text either."""
MISTAKES = 1 / 4
"""Faulty bytes to characters beyond ASCII below which a file is UTF-8 with mistakes in it."""

_CONTROLS = [byte for byte in range(256) if CONTROL.fullmatch(bytes((byte,)))]


class Reader:
    """A source and the encoding that it is in: the one given, or else by mark, by zeros, as UTF-8, or by its letters.

    notice: what is worth saying of the encoding, or "". Once `characters` has come to an end, ``returns`` says whether
    line ends were changed, and ``joined`` how many characters there were before and after accents were joined.
    Raises DataError when the bytes are empty or no text, UsageError for an encoding that does not exist.
    """

    def __init__(self, pieces: Pieces, encoding: str | None = None) -> None:
        self.pieces, self.label, self.notice = pieces, pieces.label, ""
        self.returns, self.joined = False, (0, 0)
        self._end: int | None = None  # where an unfinished last character begins
        head = pieces.head(encodings.HEAD)
        for magic, what, remedy in FOREIGN:
            if head.startswith(magic):
                raise DataError(f"{self.label}: expected text, found {what}; {remedy}")
        if encoding is not None and not encodings.known(encoding):
            raise UsageError(f"unknown encoding '{encoding}'; common ones are utf-8, utf-16, cp1252, latin-1")
        mark = encodings.marked(head)
        zeros = None if encoding or mark else encodings.unmarked(head, len(head) < encodings.HEAD)
        self._codec = encoding or mark or zeros or "utf-8"
        if zeros:
            self.notice = f"{self.label} has no byte-order mark and is read as {zeros.upper()}"
        elif not encoding and mark in (None, "utf-8-sig"):
            self._verify(marked=mark is not None)
        self._codec = self._codec.removesuffix("-sig")
        self.encoding = self._codec.removesuffix("-le").removesuffix("-be") if zeros else self._codec

    # -- is it UTF-8? -------------------------------------------------------------------------------

    def _verify(self, marked: bool) -> None:
        """Read all bytes once as UTF-8, and settle what they are where they are not."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        at = lines = longer = 0  # longer: bytes by which characters beyond ASCII exceed one each
        seen, waiting = False, b""
        for piece in self.pieces:
            self._refuse_zero(piece, at, lines)
            seen = seen or SEEN.search(piece) is not None
            if waiting or not piece.isascii():
                try:
                    longer += len(piece) - len(decoder.decode(piece))
                except UnicodeDecodeError as error:
                    self._settle(waiting + piece, error.start, at - len(waiting), lines, longer, marked)
                    return
                waiting = decoder.getstate()[0]
            at, lines = at + len(piece), lines + piece.count(b"\n")
        if not seen:
            raise self._empty()
        if waiting and (marked or longer > len(waiting)):
            self._end = at - len(waiting)
            self.notice = (
                f"{self.label} ends within a character (byte 0x{waiting[0]:02x} at position {self._end + 1}), "
                "which is left out"
            )
        elif waiting:
            self._settle(waiting, 0, at - len(waiting), lines, 0, marked)

    def _settle(self, some: bytes, wrong: int, at: int, lines: int, longer: int, marked: bool) -> None:
        """What bytes are of which one is no UTF-8: UTF-8 with mistakes, binary, or a single-byte set.

        some: the bytes around that one, which is the ``wrong``-th of them; at, lines, longer: how many bytes, line ends
        and, about, characters beyond ASCII came before these.
        """
        text = some.decode("utf-8", "replace")
        bad = text.count("\ufffd")
        good = longer + len(text.encode()) - len(text) - 2 * bad  # U+FFFD has two bytes more than one
        byte, at, line = some[wrong], at + wrong, lines + some.count(b"\n", 0, wrong) + 1
        if marked or bad < MISTAKES * good:
            raise DataError(
                f"{self.label}: not valid utf-8 (byte 0x{byte:02x} at position {at + 1}, line {line}), though it is "
                "otherwise; mend it, or name another encoding with --encoding"
            )
        counts = np.zeros(256, np.int64)
        first: tuple[int, int, int] | None = None  # the first control character, where it is and on which line
        before = lines = 0
        for piece in self.pieces:
            self._refuse_zero(piece, before, lines)
            counts += np.bincount(np.frombuffer(piece, np.uint8), minlength=256)
            if first is None and (control := CONTROL.search(piece)):
                ends = piece.count(b"\n", 0, control.start())
                first = control[0][0], before + control.start(), lines + ends
            before, lines = before + len(piece), lines + piece.count(b"\n")
        if first and counts[_CONTROLS].sum() > BINARY * before:
            raise self._binary(*first)
        self._codec, sure = encodings.single_byte(counts)
        doubt = "" if sure else ", which is a guess: name its encoding with --encoding"
        self.notice = f"{self.label} is not UTF-8 (byte 0x{byte:02x} on line {line}); read as {self._codec}{doubt}"

    def _refuse_zero(self, piece: bytes, at: int, lines: int) -> None:
        zero = piece.find(b"\x00")
        if zero >= 0:
            raise self._binary(0, at + zero, lines + piece.count(b"\n", 0, zero))

    def _binary(self, byte: int, at: int, lines: int) -> DataError:
        found = f"a binary file (byte 0x{byte:02x} at position {at + 1}, line {lines + 1})"
        return DataError(f"{self.label}: expected text, found {found}; save it as UTF-8 text")

    def _empty(self) -> DataError:
        return DataError(f"{self.label}: the file is empty; expected text")

    # -- characters ---------------------------------------------------------------------------------

    def characters(self, told: Told = unheard) -> Iterator[str]:
        """The text in pieces, composed (NFC), its lines ending with '\\n'; ``told`` hears of the bytes read.

        Raises DataError for bytes that the encoding does not have, naming the first one, and for an empty text.
        """
        plain = io.IncrementalNewlineDecoder(None, translate=True)
        first, seen, before, after, rest = True, False, 0, 0, ""
        for text in self._decoded(told):
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            text = plain.decode(text)
            seen = seen or bool(text.strip())
            before += len(text)
            rest, settled = _settled(rest + text)
            if settled:
                settled = composed(settled)
                after += len(settled)
                yield settled
        last = plain.decode("", final=True)
        rest, before = composed(rest + last), before + len(last)
        self.returns = "\r" in "".join(plain.newlines or ())
        self.joined = before, after + len(rest)
        if not seen:
            raise self._empty()
        if rest:
            yield rest

    def _decoded(self, told: Told) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._codec)()
        at = lines = 0
        pieces, final = self.pieces.read(told), False
        while not final:
            piece = next(pieces, b"")
            final, waiting = not piece, decoder.getstate()[0]
            if self._end is not None:
                piece = piece[: max(0, self._end - at)]
            try:
                text = decoder.decode(piece, final)
            except UnicodeDecodeError as error:
                byte = at - len(waiting) + error.start + 1
                line = lines + (waiting + piece).count(b"\n", 0, error.start) + 1
                raise DataError(
                    f"{self.label}: not valid {self.encoding} (byte {byte}, about line {line}); save the file as UTF-8"
                ) from error
            zero = text.find("\x00")
            if zero >= 0:
                line = lines + text.count("\n", 0, zero) + 1
                raise DataError(
                    f"{self.label}: expected text, found a binary file (the character U+0000 on line {line}); "
                    "save it as UTF-8 text"
                )
            at, lines = at + len(piece), lines + text.count("\n")
            yield text


def composed(text: str) -> str:
    """The text in Unicode NFC."""
    return text if text.isascii() or unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _settled(text: str) -> tuple[str, str]:
    """(rest, settled): the text cut where nothing that follows can change what is settled."""
    for at in range(len(text) - 1, max(-1, len(text) - 1 - LOOSE), -1):
        if _begins(text[at]):
            return text[at:], text[:at]
    return ("", text) if len(text) >= LOOSE else (text, "")


def _begins(char: str) -> bool:
    """Whether nothing before a character can join it: no mark, no Hangul vowel or final, no sign of Kirat Rai."""
    return char < "\u0300" or not (
        unicodedata.category(char)[0] == "M" or "\u1160" <= char <= "\u11ff" or "\U00016d63" <= char <= "\U00016d6a"
    )

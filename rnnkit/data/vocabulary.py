"""Text ↔ ids by characters, words, byte pairs or bytes; any text at all can be encoded, and decoding gives it back.

What the vocabulary lacks is spelled by the parts it has: words by their characters, characters by their UTF-8 bytes, a
byte as two half-bytes. Sixteen symbols are thus enough for all of Unicode, where 256 would triple a small output layer.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data import bpe
from rnnkit.data.census import Census, frequent
from rnnkit.data.reading import composed
from rnnkit.data.words import token_blocks
from rnnkit.errors import DataError, UsageError

Ids = NDArray[np.int32]
LEVELS = ("char", "word", "bpe", "byte")
MAX_WORDS = 20_000  # a larger output layer costs more than the words are worth to a small model
REMEMBERED = 1 << 18  # rare words whose spelling is remembered

BLOCK = 1 << 20
"""Characters cut into tokens or ids at a time."""
BLOCK_BYTES = 24
"""About what is between a character and its id: code points, their copy within the table, the id itself."""


class Vocabulary:
    """A fixed set of symbols: specials, then symbols of text, then (fallback) 16 half-bytes; or first the 256 bytes.

    symbols: characters or tokens in id order, after the specials; of level 'bpe' runs of bytes in Latin-1, after the
    bytes. fallback: whether text outside the vocabulary is spelled in half-bytes; without it such characters become
    U+FFFD, which is then a symbol itself. ``rare`` is what `gather` found to be spelled: (different symbols, how often
    they occur, among how many symbols).
    """

    def __init__(
        self, level: str, symbols: Sequence[str], *, fallback: bool = True, specials: Sequence[str] = ()
    ) -> None:
        _check_level(level)
        self.level, self.bytewise = level, level in ("bpe", "byte")
        self.specials = tuple(specials)
        self.fallback = fallback and not self.bytewise
        self.symbols = list(symbols)
        self.rare = (0, 0, 0)
        if not self.fallback and not self.bytewise and "\ufffd" not in self.symbols:
            self.symbols.append("\ufffd")
        self._first = len(self.specials)
        self._halves = self._first + len(self.symbols)
        self._ids = {} if self.bytewise else {s: i + self._first for i, s in enumerate(self.symbols)}
        points = {ord(s): i for s, i in self._ids.items() if len(s) == 1}
        self._table = np.full(max(max(points, default=0) + 2, 128), -1, dtype=np.int32)
        self._table[list(points)] = list(points.values())
        self._spelled: dict[str, list[int]] = {}
        self._joiner = bpe.Joiner(self.symbols if level == "bpe" else ())

    @classmethod
    def build(cls, text: str | Iterable[str], level: str = "char", **options: Any) -> Vocabulary:
        """Collects the symbols that a text (or several) holds often enough; ``options`` are those of `gather`."""
        texts = [text] if isinstance(text, str) else text
        return cls.gather((_blocks(composed(part)) for part in texts), level, **options)

    @classmethod
    def gather(
        cls,
        parts: Iterable[Iterable[str]],
        level: str = "char",
        *,
        min_count: int = 2,
        max_size: int | None = None,
        fallback: bool = True,
        specials: Sequence[str] = (),
    ) -> Vocabulary:
        """Collects the symbols that texts, each in blocks and in NFC, hold at least min_count times.

        max_size bounds the words of level 'word' (the most frequent are kept; 20,000 unless given), the characters of
        level 'char', or all symbols of level 'bpe' (2,048 unless given, never under 256). The order of ids is that of
        the symbols, so equal texts give equal vocabularies. Raises UsageError where 'bpe' lacks its library.
        """
        _check_level(level)
        if level == "byte":
            return cls(level, (), specials=specials)
        if level == "bpe":
            size = max(256, bpe.SIZE if max_size is None else max_size)
            return cls(level, bpe.learn((cut for part in parts for cut in token_blocks(part)), size), specials=specials)
        census = Census()
        for part in parts:
            if level == "word":
                census.count_words(part)
            else:
                census.count(part)
        letters = census.letters()
        chosen = frequent(letters, min_count, max_size if level == "char" else None)
        counts = letters
        if level == "word":
            words = Counter({word: count for word, count in census.words.items() if len(word) > 1})
            chosen |= frequent(words, min_count, MAX_WORDS if max_size is None else max_size)
            counts = census.words
        made = cls(level, sorted(chosen), fallback=fallback, specials=specials)
        left = [count for symbol, count in counts.items() if symbol not in chosen]
        made.rare = (len(left), sum(left) + census.forgotten, counts.total() + census.forgotten)
        return made

    @property
    def size(self) -> int:
        """Number of ids: what the embedding and the output layer need."""
        return self._halves + 256 * self.bytewise + 16 * self.fallback

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def special(self, name: str) -> int:
        """The id of a special symbol, which encoding never gives and decoding passes over."""
        return self.specials.index(name)

    def encode(self, text: str) -> Ids:
        """Text → ids int32 [n], after composing it to NFC."""
        blocks = list(self.encode_blocks(_blocks(composed(text))))
        return blocks[0] if len(blocks) == 1 else np.concatenate([np.zeros(0, np.int32), *blocks])

    def encode_blocks(self, blocks: Iterable[str]) -> Iterator[Ids]:
        """A text in blocks, in NFC → its ids, some at a time; the same ids wherever the blocks end."""
        if self.level == "word":
            yield from map(self._encode_words, token_blocks(blocks))
        elif self.level == "bpe":
            yield from map(self._encode_pairs, token_blocks(blocks))
        else:
            yield from map(self._encode_bytes if self.level == "byte" else self._encode_characters, blocks)

    def _encode_bytes(self, text: str) -> Ids:
        raw = np.frombuffer(_utf8(text), dtype=np.uint8)
        return raw.astype(np.int32) + np.int32(self._first)

    def _encode_pairs(self, cut: list[str]) -> Ids:
        out: list[int] = []
        for word in cut:
            out += self._joiner.ids(word)
        return np.array(out, dtype=np.int32) + np.int32(self._first)

    def _encode_characters(self, text: str) -> Ids:
        if text.isascii():
            points: NDArray[Any] = np.frombuffer(text.encode(), np.uint8)
            ids = self._table[points]
        else:
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            ids = self._table[np.minimum(points, len(self._table) - 1)]
        unknown = np.flatnonzero(ids < 0)
        if not unknown.size:
            return ids
        spelled = {int(p): np.array(self._spell(chr(p)), dtype=np.int32) for p in np.unique(points[unknown])}
        lengths = np.ones(len(ids), dtype=np.int64)
        lengths[unknown] = [len(spelled[int(p)]) for p in points[unknown]]
        out = np.repeat(ids, lengths)
        starts = np.cumsum(lengths) - lengths
        for i in unknown:
            part = spelled[int(points[i])]
            out[starts[i] : starts[i] + len(part)] = part
        return out

    def _encode_words(self, cut: list[str]) -> Ids:
        found: list[Any] = list(map(self._ids.get, cut))
        out: list[int] = []
        start = 0
        for at in [at for at, i in enumerate(found) if i is None]:
            token = cut[at]
            if token not in self._spelled:
                if len(self._spelled) >= REMEMBERED:
                    self._spelled.clear()
                self._spelled[token] = [i for c in token for i in self._spell(c)]
            out += found[start:at]
            out += self._spelled[token]
            start = at + 1
        return np.array(out + found[start:], dtype=np.int32)

    def _spell(self, char: str) -> list[int]:
        """One character as ids: itself, its half-bytes, or U+FFFD."""
        if char in self._ids:
            return [self._ids[char]]
        if not self.fallback:
            return [self._ids["\ufffd"]]
        return [self._halves + half for byte in _utf8(char) for half in (byte >> 4, byte & 15)]

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """Ids → text; bytes that are no valid UTF-8 become U+FFFD. Raises DataError for an id out of range."""
        decoder = Decoder(self)
        return decoder.push(ids) + decoder.flush()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "level": self.level,
            "symbols": list(self.symbols),
            "fallback": self.fallback,
            "specials": list(self.specials),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Vocabulary:
        """The inverse of `to_dict`; DataError when the content is not a vocabulary."""
        problem = _problem(data)
        if problem:
            raise DataError(
                f"expected a vocabulary, found {problem}; the model was made by something else, train again"
            )
        return cls(data["level"], data["symbols"], fallback=data["fallback"], specials=data["specials"])


class Decoder:
    """Ids → text as they come, for streams: only whole characters leave it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._half: int | None = None

    def push(self, ids: Iterable[int] | NDArray[Any] | int) -> str:
        """The text that these further ids complete, possibly empty. Raises DataError for an id out of range."""
        v = self.vocabulary
        plain = (
            [ids] if isinstance(ids, int | np.integer) else np.asarray(ids).tolist() if _is_array(ids) else list(ids)
        )
        out: list[str] = []
        for i in plain:
            if not 0 <= i < v.size:
                raise DataError(f"expected an id from 0 to {v.size - 1}, found {i}; model and vocabulary differ")
            if i < v._first:
                continue
            if v.bytewise:
                at = i - v._first
                out.append(self._utf8.decode(bytes((at,)) if at < 256 else v.symbols[at - 256].encode("latin-1")))
            elif i < v._halves:
                out.append(self.flush() + v.symbols[i - v._first])
            elif self._half is None:
                self._half = i - v._halves
            else:
                out.append(self._utf8.decode(bytes((self._half << 4 | i - v._halves,))))
                self._half = None
        return "".join(out)

    def flush(self) -> str:
        """What is left of an unfinished character, as U+FFFD; empty after a whole one."""
        waiting = bool(self._utf8.getstate()[0])
        rest = self._utf8.decode(b"", final=True) if waiting else ""
        if self._half is not None and not rest:
            rest = "\ufffd"
        self._half = None
        return rest


def _is_array(ids: object) -> bool:
    return isinstance(ids, np.ndarray)


def _blocks(text: str) -> Iterator[str]:
    return (text[start : start + BLOCK] for start in range(0, len(text), BLOCK))


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise UsageError(f"level must be one of {', '.join(LEVELS)}, found '{level}'")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace" if text.isascii() else "surrogatepass")


def _problem(data: object) -> str:
    """What keeps plain data from being a vocabulary, or an empty string."""
    if not isinstance(data, dict) or set(data) != {"level", "symbols", "fallback", "specials"}:
        return "other keys than level, symbols, fallback and specials"
    level, symbols = data["level"], data["symbols"]
    if level not in LEVELS:
        return f"the level {level!r}"
    for name in ("symbols", "specials"):
        part = data[name]
        if not isinstance(part, list) or not all(isinstance(s, str) and s for s in part) or len(set(part)) < len(part):
            return f"{name} that are not a list of distinct texts"
    if not isinstance(data["fallback"], bool):
        return f"the fallback {data['fallback']!r}"
    if level == "byte" and symbols:
        return "symbols beside the bytes"
    if level == "char" and any(len(s) != 1 for s in symbols):
        return "characters that are longer than one"
    if level == "bpe" and any(len(s) < 2 or max(s) > "\xff" for s in symbols):
        return "byte pairs that are no runs of bytes"
    return ""

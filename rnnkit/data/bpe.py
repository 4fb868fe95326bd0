"""Byte-pair symbols: learned by the tokenizers library, used without it.

A symbol is a run of bytes, written in Latin-1 so that it is plain text: one character for each byte. The 256 bytes come
first and are not listed; the others stand in the order in which they were joined.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from rnnkit.errors import UsageError

SIZE = 2048
"""Symbols unless a number is given: a larger output layer pays on longer texts only."""
RUN = 64
"""Bytes of a word that are joined at a time; words are shorter, and the time is the square of it."""
REMEMBERED = 1 << 18
"""Words whose symbols are remembered."""
_BETWEEN = "\x00"


def learn(words: Iterable[list[str]], size: int) -> list[str]:
    """The symbols beyond the 256 bytes that make the words shortest, ``size`` with the bytes at most.

    Raises UsageError where the library is missing.
    """
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError as error:
        raise UsageError(
            "--level bpe learns its symbols with the tokenizers library; pip install 'rnnkit[bpe]'"
        ) from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_BETWEEN, "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    blocks = (_BETWEEN.join(block).encode("utf-8", "replace").decode() for block in words)
    tokenizer.train_from_iterator(blocks, trainer)
    found = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    spelled = {char: chr(byte) for byte, char in enumerate(_alphabet())}
    return ["".join(spelled[char] for char in symbol) for symbol, _ in found if len(symbol) > 1]


def _alphabet() -> list[str]:
    """The printable character that the library writes for each byte: the byte's own, or one from U+0100 on."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in own else chr(next(others)) for byte in range(256)]


class Joiner:
    """Words → symbols: of two neighbours that are a symbol together, the pair with the earliest one is joined first."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._ranks = {symbol.encode("latin-1"): 256 + i for i, symbol in enumerate(symbols)}
        self._known: dict[str, list[int]] = {}

    def ids(self, word: str) -> list[int]:
        """The symbols of a word; bytes are 0 to 255."""
        found = self._known.get(word)
        if found is None:
            raw = word.encode("utf-8", "surrogatepass")
            found = [i for at in range(0, len(raw), RUN) for i in self._joined(raw[at : at + RUN])]
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[word] = found
        return found

    def _joined(self, raw: bytes) -> list[int]:
        parts = [raw[i : i + 1] for i in range(len(raw))]
        ranks, unknown = self._ranks, 256 + len(self._ranks)
        while len(parts) > 1:
            pairs = [ranks.get(a + b, unknown) for a, b in pairwise(parts)]
            best = min(pairs)
            if best == unknown:
                break
            at = pairs.index(best)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [ranks[part] if len(part) > 1 else part[0] for part in parts]

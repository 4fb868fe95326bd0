"""The likeliest next words after a text, with their probabilities.

Whatever a vocabulary spells words in, what follows is searched token by token until a word is whole: a word's
probability is that of its letters and of something after them that ends it, summed over everything that does (« pom »
is not « pomme »), over the blanks before it and over its spellings with and without capitals. All beginnings of a depth
go on in one batched step, likeliest first, and those that can change the list no more are left out.
"""

from __future__ import annotations

import copy
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rnnkit.data.vocabulary import Decoder, Vocabulary
from rnnkit.data.words import tokens
from rnnkit.errors import UsageError
from rnnkit.nn import Network
from rnnkit.nn.stepper import Stepper

DEPTH = 40
"""Tokens of a word at most, the blank before it and four bytes in halves after it included."""
ROWS = 64
"""Beginnings followed at a time at least, and twice as many as the words that are asked for."""
LEAST, SHARE = 1e-5, 0.02
"""A beginning is left out below this probability, or below this share of that of the last word on the list."""
APOSTROPHES = "'’"
BLANKS = 2
"""Blanks and line ends that may stand before a word."""


class Choice(NamedTuple):
    """A word, its probability, and what is to be put behind the text for it: the word after its blank, if any."""

    word: str
    probability: float
    text: str


class _Beginning(NamedTuple):
    text: str  # so far, its blanks included
    probability: float
    decoder: Decoder | None = None  # in the middle of a character; None between two

    @property
    def word(self) -> str:
        """What there is of the word."""
        return self.text.lstrip()


class Speller:
    """What every token of a vocabulary spells by itself."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.texts: list[str] = []
        whole = []
        for token in range(vocabulary.size):
            decoder = Decoder(vocabulary)
            self.texts.append(decoder.push(token))
            whole.append(not decoder.flush())
        self.whole = np.array(whole)
        first = [text[:1] for text in self.texts]
        self.silent = self.whole & np.array([c == "" for c in first])
        self.blank = np.array([c == " " for c in first])
        self.goes_on = np.array([c != "" and (c.isalnum() or c in APOSTROPHES) for c in first])
        self.ends_letters = self.whole & np.array([not _letter(c) and c not in APOSTROPHES for c in first])
        self.ends_digits = self.whole & np.array([c != "" and not c.isdecimal() for c in first])

    def ends(self, beginning: _Beginning) -> np.ndarray | None:
        """Which tokens end the word of a beginning; None where that takes more than a look at their first letter."""
        last = beginning.word[-1:]
        if beginning.decoder is not None or not last.isalnum():
            return None
        return self.ends_letters if _letter(last) else self.ends_digits

    def child(self, parent: _Beginning, token: int, probability: float) -> _Beginning:
        """A beginning and one more token."""
        if parent.decoder is None and self.whole[token]:
            return _Beginning(parent.text + self.texts[token], probability)
        shared = {id(self.vocabulary): self.vocabulary}
        decoder = copy.deepcopy(parent.decoder or Decoder(self.vocabulary), shared)
        text = parent.text + decoder.push(token)
        waits = copy.deepcopy(decoder, shared).flush()
        return _Beginning(text, probability, decoder if waits else None)

    def complete(self, parent: _Beginning, token: int) -> bool:
        """Whether a token is a word that nothing makes longer."""
        return self.vocabulary.level == "word" and not parent.word and len(self.texts[token]) > 1


class _Found:
    """The words found so far."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.chances: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, text: str, probability: float) -> None:
        """A word with the blanks before it was found once more."""
        self.chances[text.strip().casefold()][text] += probability

    def floor(self) -> float:
        """The probability below which nothing changes the list any more."""
        totals = sorted((sum(each.values()) for each in self.chances.values()), reverse=True)
        return max(LEAST, SHARE * totals[self.top - 1]) if len(totals) >= self.top else LEAST

    def best(self) -> list[Choice]:
        """The likeliest words, each in its likeliest spelling."""
        words = []
        for each in self.chances.values():
            text = max(sorted(each), key=lambda spelling: each[spelling])
            words.append(Choice(text.strip(), sum(each.values()), text))
        return sorted(words, key=lambda choice: (-choice.probability, choice.word))[: self.top]


def next_words(
    network: Network, speller: Speller, text: str, encode: Callable[[str], np.ndarray], top: int
) -> list[Choice]:
    """The ``top`` likeliest words to follow ``text``, likeliest first; what stands between words is none.

    Given that a word which the text ends with is whole. Raises ``UsageError`` for fewer than one word.
    """
    if top < 1:
        raise UsageError(f"--top is a whole number of words of at least 1, not {top}")
    vocabulary = speller.vocabulary
    begun = text.endswith(" ") and vocabulary.level not in ("char", "byte") and bool(text.strip())
    text = text[:-1] if begun else text  # there a blank belongs to the word after it
    stepper, found, live = Stepper(network), _Found(top), [_Beginning("", 1.0)]
    logs = stepper.read(encode(text))
    if begun or text[-1:].isalnum():
        logs[:, ~speller.blank if begun else speller.goes_on] = -np.inf
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    for _ in range(DEPTH):
        children: list[tuple[int, int, _Beginning]] = []
        floor = found.floor()
        for row, (beginning, chance) in enumerate(zip(live, np.exp(logs), strict=True)):
            each = np.where(speller.silent, 0, beginning.probability * chance)
            ends = speller.ends(beginning)
            if ends is not None:
                found.add(beginning.text, float(each[ends].sum()))
                each[ends] = 0
            for token in np.flatnonzero(each >= floor).tolist():
                child = speller.child(beginning, token, float(each[token]))
                word = _whole(child.text, text[-1:])
                if word == "" and speller.complete(beginning, token):
                    word = child.text
                if word == "":
                    children.append((row, token, child))
                elif word is not None:
                    found.add(word, child.probability)
        children.sort(key=lambda entry: -entry[2].probability)
        del children[max(ROWS, 2 * top) :]
        if not children:
            break
        live = [child for _, _, child in children]
        stepper.reorder([row for row, _, _ in children])
        logs = stepper.step([token for _, token, _ in children])
    return found.best()


def _letter(char: str) -> bool:
    return char.isalnum() and not char.isdecimal()


def _whole(text: str, last: str) -> str | None:
    """The first word of a text that goes on after ``last``, with the blanks before it: "" while more may belong to it,
    None where it is none."""
    word = text.lstrip()
    blanks = text[: len(text) - len(word)]
    if not word:
        return "" if len(blanks) <= BLANKS else None
    first = word[0]
    if not blanks and last.isalnum() and (first.isalnum() or first in APOSTROPHES):
        return None  # the last word would not have been whole
    if not first.isalnum():
        # a fish is a word, a comma is none, nor is a piece of a character
        return blanks + first if unicodedata.category(first) == "So" and first != "\ufffd" else None
    cut = tokens(word)
    if len(cut) == 1 or (len(cut) == 2 and cut[1] in APOSTROPHES):
        return ""
    return blanks + cut[0]

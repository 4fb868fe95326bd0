"""What is done to words before anything is learned from them: sentences, stop words, stems, lemmas, counts.

French and English.  Stems are Snowball's (Porter 2001), lemmas those of simplemma, stop words those of the stop-words
package; weights are scikit-learn's (smoothed idf, rows of length 1: Salton & Buckley 1988).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from rnnkit.data.words import tokens
from rnnkit.errors import DataError, UsageError

LANGUAGES = {"fr": "french", "en": "english"}
"""Languages by their code, with Snowball's name for them."""
GUESSED = 20_000
"""Characters that a language is guessed from, at most."""

_ABBREVIATIONS = {
    "fr": "m mm mme mmes mlle mlles dr pr me st ste cf p pp vol no n° art av env etc ex fig",
    "en": "mr mrs ms dr prof st jr sr vs cf p pp vol no art fig etc inc ltd e.g i.e",
}
"""What may stand before a full stop within a sentence."""
_END = re.compile(r"[.!?…]+(?:\s?»|[”\"’')\]])*(?=\s)|\n[^\S\n]*\n")
_BEFORE = re.compile(r"(?:^|[\s(«“\"'’])([^\s(«“\"'’]+)$")


class Token(NamedTuple):
    """A word, number or mark, and where it stands: ``text[start:end]``."""

    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """The words, numbers and marks of a text, blanks left out.

    >>> [token.text for token in tokenize("L'homme qu'il voit aujourd'hui.")]
    ["L'", 'homme', "qu'", 'il', 'voit', "aujourd'hui", '.']
    """
    found, at = [], 0
    for piece in tokens(text):
        word = piece.strip()
        if word:
            start = at + piece.index(word)
            found.append(Token(word, start, start + len(word)))
        at += len(piece)
    return found


def words(text: str) -> list[str]:
    """The tokens that hold a letter or a digit."""
    return [token.text for token in tokenize(text) if any(map(str.isalnum, token.text))]


def sentences(text: str, language: str = "fr") -> list[str]:
    """The sentences of a text, blanks and line ends around them left out.

    A sentence ends with . ! ? or …, with what closes it (», a quote, a bracket), where no small letter follows and no
    abbreviation or initial stands before the full stop; and at an empty line.

    >>> sentences("M. Dupont paie 3.5 euros, etc. Il part… enfin. « Ah ! »")
    ['M. Dupont paie 3.5 euros, etc.', 'Il part… enfin.', '« Ah ! »']
    """
    short = set(_ABBREVIATIONS[_known(language)].split())
    found, start = [], 0
    for match in _END.finditer(text):
        if not match[0].isspace() and _goes_on(text, start, match, short):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    return [sentence for sentence in [*found, text[start:].strip()] if sentence]


def _goes_on(text: str, start: int, match: re.Match[str], short: set[str]) -> bool:
    """Whether the sentence that began at ``start`` goes on after these marks."""
    rest = text[match.end() : match.end() + 80].lstrip()
    if rest and (rest[0].islower() or rest[0] in "»,;:)]"):
        return True
    if match[0] != ".":
        return False
    before = _BEFORE.search(text[start : match.start()])
    word = before[1] if before else text[start : match.start()].strip()
    initial = len(word) == 1 and word.isupper()
    return bool(rest) and (initial or (word.lower() in short and word.lower() != "etc"))


def guess_language(text: str) -> str:
    """``fr`` or ``en``: the one whose stop words are the larger share of the text; ``DataError`` where none is seen."""
    seen = Counter(word.lower() for word in words(text[:GUESSED]))
    shares = {language: sum(seen[word] for word in stop_words(language)) for language in LANGUAGES}
    best = max(shares, key=lambda language: shares[language])
    if not shares[best]:
        raise DataError("a text in French or English was expected, found no common word of either; give --language")
    return best


@cache
def stop_words(language: str = "fr") -> frozenset[str]:
    """Words so frequent that they tell little of a text, in small letters.

    >>> {"le", "de", "et"} <= stop_words("fr")
    True
    """
    _known(language)
    library: Any = _library("stop_words")
    return frozenset(library.get_stop_words(language))


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    library: Any = _library("snowballstemmer")
    stem: Callable[[str], str] = library.stemmer(LANGUAGES[_known(language)]).stemWord
    return stem


def stem(word: str, language: str = "fr") -> str:
    """What is left of a word without its endings, in small letters.

    >>> stem("mangeait"), stem("running", "en")
    ('mang', 'run')
    """
    return _stemmer(language)(word.lower())


def lemma(word: str, language: str = "fr") -> str:
    """The form under which a dictionary has a word.

    >>> lemma("mangeait"), lemma("mice", "en")
    ('manger', 'mouse')
    """
    library: Any = _library("simplemma")
    found: str = library.lemmatize(word, lang=_known(language))
    return found


class Count(NamedTuple):
    """How often a term stands in a document, and its TF-IDF weight there."""

    document: int
    term: str
    times: int
    tfidf: float


def count(
    documents: Sequence[str],
    *,
    prepare: Callable[[str], Iterable[str]] = words,
    ngrams: tuple[int, int] = (1, 1),
) -> Iterator[Count]:
    """The bag of words of each document, the most frequent terms first, with weights over all documents.

    ``prepare`` makes the terms of a document, which are taken in small letters; ``ngrams``: least and most words of
    a term. ``DataError`` where no document holds a word.
    """
    library: Any = _library("sklearn.feature_extraction.text", "scikit-learn")

    def terms(text: str) -> list[str]:
        return [word.lower() for word in prepare(text)]

    vectorizer = library.CountVectorizer(tokenizer=terms, lowercase=False, token_pattern=None, ngram_range=ngrams)
    try:
        bags = vectorizer.fit_transform(documents)
    except ValueError as error:
        raise DataError("words to count were expected, found none") from error
    weights = library.TfidfTransformer().fit_transform(bags)
    names = vectorizer.get_feature_names_out()
    for i in range(len(documents)):
        row, weight = bags.getrow(i), weights.getrow(i)
        tfidf = dict(zip(weight.indices.tolist(), weight.data.tolist(), strict=True))
        found = [Count(i, str(names[j]), int(n), tfidf[j]) for j, n in zip(row.indices.tolist(), row.data, strict=True)]
        yield from sorted(found, key=lambda c: (-c.times, c.term))


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise UsageError(f"language is one of {', '.join(LANGUAGES)}, not {language!r}")
    return language


def _library(name: str, called: str = "") -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"this needs the {called or name} library; pip install 'rnnkit[text]'") from error

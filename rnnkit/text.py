"""Words of French and English texts: tokens, sentences, stop words, stems, lemmas and counts (``rnnkit text``)."""

from rnnkit.data.wording import (
    LANGUAGES,
    Count,
    Token,
    count,
    guess_language,
    lemma,
    sentences,
    stem,
    stop_words,
    tokenize,
    words,
)

__all__ = [
    "LANGUAGES",
    "Count",
    "Token",
    "count",
    "guess_language",
    "lemma",
    "sentences",
    "stem",
    "stop_words",
    "tokenize",
    "words",
]

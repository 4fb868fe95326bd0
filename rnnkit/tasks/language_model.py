"""A trained language model: what its file must hold, text from it, and how well it knows one."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnkit.data.text import Text, read_text
from rnnkit.data.vocabulary import Vocabulary
from rnnkit.data.words import tokens
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Chain, Network
from rnnkit.nn.generation import parts_of
from rnnkit.tasks import Source
from rnnkit.tasks.beam import check_width, likeliest
from rnnkit.tasks.ending import Ending
from rnnkit.tasks.language_score import JUDGED, SELECTED, ngram_nats, per_character, stepwise_nats, text_nats, verdict
from rnnkit.tasks.next_words import Choice, Speller, next_words
from rnnkit.tasks.sampling import Sampler, check_no_repeat
from rnnkit.tasks.writing import Pen

MEASURED, SAMPLE = 100_000, 20_000
"""Most tokens that a measurement one by one reads, and how many make a text to measure by: some seconds each."""


class Facts(msgspec.Struct, forbid_unknown_fields=True):
    """What a language model must know of its text."""

    vocabulary: dict[str, Any]
    opening: str


class LanguageModel:
    """A trained language model."""

    task = "language"

    def __init__(self, network: Network, meta: ModelMeta) -> None:
        self.network, self.meta = network, meta
        try:
            facts = msgspec.convert(meta.facts, Facts)
            self.vocabulary = Vocabulary.from_dict(facts.vocabulary)
        except (msgspec.ValidationError, DataError) as error:
            raise ModelFileError(f"the facts of a language model cannot be read: {error}; train again") from error
        self.opening = facts.opening or "\n"
        parts = parts_of(network)
        if parts is None:
            layers = network.root.layers if isinstance(network.root, Chain) else (network.root,)
            raise ModelFileError(
                "a language model begins with an embedding, goes on with recurrent layers in one direction and ends "
                f"with a linear dense layer, found {', '.join(layer.kind for layer in layers)}; train again"
            )
        first, _, last = parts
        if not first.size == last.outputs == self.vocabulary.size:
            raise ModelFileError(
                f"a vocabulary of {self.vocabulary.size} symbols needs a network with as many ids and logits, found "
                f"{first.size} and {last.outputs}; train again"
            )

    def generate(self, seed: str = "", *, text: int = 0, **settings: Any) -> Iterator[str]:
        """The seed and what follows it, in pieces of whole characters as they are drawn; settings as for ``texts``.

        Any seed works: what the vocabulary lacks is spelled in bytes. Another number of ``text`` is another draw by
        the same ``rng``. Raises ``UsageError`` for settings that make no sense.
        """
        return next(self.texts([seed], first=text, **settings))

    def texts(
        self,
        seeds: Sequence[str],
        count: int = 1,
        *,
        first: int = 0,
        length: int = 500,
        unit: str = "tokens",
        stop: str | Sequence[str] = (),
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        no_repeat: int | None = None,
        rng: int = 0,
        **options: Any,
    ) -> Iterator[Iterator[str]]:
        """For every seed ``count`` texts, each in pieces, the seed first; one is to be read before the next.

        ``length`` counts ``unit`` ("tokens", "chars" or "words") after the seed, where none of the texts ``stop``
        comes before; ``no_repeat`` counts tokens, and the seed's own runs may not come again either. A text depends on
        its seed, its number (from ``first`` on) and ``rng``, not on the others.
        """
        if count < 1:
            raise UsageError(f"-n is a whole number of texts of at least 1, not {count}")
        ending = Ending(length, unit, stop)
        sampler = Sampler(temperature, top_k, top_p, rng, repetition_penalty, no_repeat, min_p)
        pen = Pen(self.network, self.vocabulary, sampler)
        return (
            self._after(seed, pen.write(self._read(seed), copy.copy(ending), number))
            for seed in seeds
            for number in range(first, first + count)
        )

    def beam(
        self,
        seed: str = "",
        width: int = 8,
        *,
        length: int = 500,
        unit: str = "tokens",
        stop: str | Sequence[str] = (),
        no_repeat: int | None = None,
    ) -> Iterator[str]:
        """The seed and its likeliest continuation that a beam of ``width`` lines finds: of those that end, by their
        length or before a ``stop``, the one with the highest log-probability per token; the same every time."""
        ending = Ending(length, unit, stop)
        check_no_repeat(no_repeat)
        check_width(width)
        found = likeliest(self.network, self.vocabulary, self._read(seed), ending, width, no_repeat)
        return self._after(seed, found)

    def predict_words(self, text: str, top: int = 5) -> list[tuple[str, float]]:
        """The likeliest next words and their probabilities, likeliest first.

        >>> model.predict_words("Le chat mange une")    # doctest: +SKIP
        [('souris', 0.32), ('sardine', 0.19), ('croquette', 0.12), ('crevette', 0.09), ('petite', 0.02)]
        """
        return [(word, probability) for word, probability, _ in self.choices(text, top)]

    def choices(self, text: str, top: int = 5) -> list[Choice]:
        """The same, each with what is to be put behind the text for it."""
        return next_words(self.network, self._speller, text or self._nothing, self._read, top)

    @cached_property
    def _speller(self) -> Speller:
        return Speller(self.vocabulary)

    def _read(self, seed: str) -> np.ndarray:
        """The tokens to go on from."""
        seed = seed or self._nothing
        seed = seed[:-1] if self._begins_a_word(seed) else seed
        if seed.endswith(("'", "’")) and tokens(seed + "a")[-1] == "a":  # l' is a token only before a letter
            return self.vocabulary.encode(seed + "a")[: -len(self.vocabulary.encode("a"))]
        return self.vocabulary.encode(seed)

    @property
    def _nothing(self) -> str:
        """What is read where there is no text to go on from: a line end, unless none was ever met."""
        return "\n" if len(self.vocabulary.encode("\n")) == 1 else self.opening

    def _after(self, seed: str, pieces: Iterator[str]) -> Iterator[str]:
        if seed:
            yield seed
        first = next(pieces, "")
        yield from filter(None, [first.removeprefix(" ") if self._begins_a_word(seed) else first])
        yield from pieces

    def _begins_a_word(self, seed: str) -> bool:
        """Whether a text ends with a blank that belongs to the token after it."""
        return self.vocabulary.level not in ("char", "byte") and seed.endswith(" ") and bool(seed.strip())

    def evaluate(self, source: Source, **options: Any) -> dict[str, Any]:
        """Nats and bits per character of a whole text; the verdict is on its second half, which an n-gram model of its
        first half scores too.

        Raises ``DataError`` for fewer than 64 tokens.
        """
        began = time.monotonic()
        text = read_text(source)
        ids, size = self.vocabulary.encode(text.text), self.vocabulary.size
        if len(ids) < 64:
            raise DataError(f"{text.path} has {len(ids)} tokens, too few to score; give at least 64")
        nats = text_nats(self.network, self.vocabulary.encode("\n"), ids, size)
        half = len(ids) // 2
        both = slice(half, half + JUDGED)
        characters = max(1, len(self.vocabulary.decode(ids[both])))
        name, total = ngram_nats(ids[:half], ids[both], size, min(half // 10, SELECTED))
        table = {f"{name} of its first half": per_character(total, characters)}
        where = "its second half" if both.stop >= len(ids) else f"{characters:,} characters from its middle on"
        return {
            "part": f"{text.path}, {len(text.text):,} characters (compared with the n-gram model on {where})",
            "metrics": per_character(float(nats.sum()), len(text.text)),
            "baselines": table,
            "verdict": verdict(per_character(float(nats[both].sum()), characters), table),
            "notices": text.notices,
            "seconds": time.monotonic() - began,
        }

    def measure(self, source: Source) -> tuple[str, dict[str, float]]:
        """Nats and bits per character of a text's first tokens, read one by one as ``generate`` reads them."""
        text = source if isinstance(source, Text) else read_text(source)
        ids, size = self.vocabulary.encode(text.text)[:MEASURED], self.vocabulary.size
        if len(ids) < 64:
            raise DataError(f"{text.path} has {len(ids)} tokens, too few to measure by; give at least 64")
        characters = max(1, len(self.vocabulary.decode(ids)))
        total = stepwise_nats(self.network, self.vocabulary.encode("\n"), ids, size)
        return f"{Path(text.path).name}, {characters:,} characters", per_character(total, characters)

    def sample(self) -> Source:
        """A text that the network writes by itself, at temperature 1: what it holds for likely."""
        text = "".join(self.generate(length=SAMPLE, temperature=1.0))
        return Text(text, "a text that the run wrote itself", "utf-8")

    def predict(self, source: Source | None = None, *, top: int = 5, **options: Any) -> list[tuple[str, float]]:
        """``predict_words`` of a text."""
        if not isinstance(source, str):
            raise UsageError(
                "a language model predicts the words after a text; give one, or write on from one with rnnkit generate"
            )
        return self.predict_words(source, top)

"""A trained language model: what its file must hold, text from it, and how well it knows one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from rnnkit.data.text import Text, read_text
from rnnkit.data.vocabulary import Decoder, Vocabulary
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Chain, Network
from rnnkit.nn.generation import Writer, parts_of
from rnnkit.nn.pace import CHUNK
from rnnkit.tasks import Source
from rnnkit.tasks.language_score import JUDGED, SELECTED, ngram_nats, per_character, stepwise_nats, text_nats, verdict
from rnnkit.tasks.sampling import Sampler

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

    def generate(
        self,
        seed: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        no_repeat: int | None = None,
        rng: int = 0,
        **options: Any,
    ) -> Iterator[str]:
        """The seed and ``length`` further tokens, in pieces of whole characters as they are drawn, some at a time.

        Any seed works: what the vocabulary lacks is spelled in bytes. ``no_repeat`` counts tokens, and the seed's own
        runs may not come again either. Raises ``UsageError`` for settings that make no sense.
        """
        if length < 0:
            raise UsageError(f"--length is a whole number of at least 0, not {length}")
        sampler = Sampler(temperature, top_k, top_p, rng, repetition_penalty, no_repeat)
        return self._stream(seed, length, sampler)

    def _stream(self, seed: str, length: int, sampler: Sampler) -> Iterator[str]:
        ids = self.vocabulary.encode(seed or self.opening)
        decoder = Decoder(self.vocabulary)
        writer = Writer(self.network, len(ids) + length, sampler.rules)
        writer.feed(ids)
        if seed:
            yield seed
        for at in range(0, length, CHUNK):
            piece = decoder.push(writer.write(sampler.uniforms(min(CHUNK, length - at))))
            if piece:
                yield piece
        rest = decoder.flush()
        if rest:
            yield rest

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

    def predict(self, source: Source | None = None, **options: Any) -> Any:
        raise UsageError("this run is a language model; rnnkit generate RUN --seed TEXT writes on from a text")

"""Language models: the next character, word or byte of a text."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.data.text import Text, find_frontmatter, read_text, strip_frontmatter
from rnnkit.data.vocabulary import BLOCK, BLOCK_BYTES, Decoder, Vocabulary
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent
from rnnkit.nn.generation import Writer, parts_of
from rnnkit.nn.losses import Loss, SoftmaxCrossEntropy
from rnnkit.nn.pace import CHUNK
from rnnkit.tasks import Findings, Source
from rnnkit.tasks.language_plan import plan_of, resolve
from rnnkit.tasks.language_score import (
    GRAM,
    GRAM_BYTES,
    GRAM_SECONDS,
    PIECES,
    ngram_nats,
    per_character,
    piece_shape,
    reading_bytes,
    side_by_side,
    stepwise_nats,
    text_nats,
    token_nats,
    verdict,
)
from rnnkit.tasks.memory import described, peak_bytes
from rnnkit.tasks.options import TrainOptions, plain, stored
from rnnkit.tasks.sampling import Sampler

PIECE = 5000
"""The selecting part is the ends of at most PIECES stretches of at least PIECE characters each, so that what is learned
reaches to the judged part and covers the whole text."""
SELECTED, JUDGED = 100_000, 500_000
"""Most characters to select and to judge by: more would cost time and tell no more."""
MEASURED, SAMPLE = 100_000, 20_000
"""Most tokens that a measurement one by one reads, and how many make a text to measure by: some seconds each."""
LEAST_PIECE = 64
"""Characters of a selecting piece at least; a small --val makes fewer pieces."""
LEAST = {"select": 32, "judge": 64}
"""Tokens below which a part decides by chance."""


class Facts(msgspec.Struct, forbid_unknown_fields=True):
    """What a language model must know of its text."""

    vocabulary: dict[str, Any]
    opening: str


class LanguageJob:
    """Judging on the last part of a text, learning from the rest but for short pieces spread over it that select."""

    task = "language"
    stages: tuple[str, ...] = ("fit",)
    loss: Loss = SoftmaxCrossEntropy()

    def __init__(self, text: Text, options: TrainOptions) -> None:
        self.notices = list(text.notices)
        body = text.text
        if options.strip_frontmatter:
            body, said = strip_frontmatter(body)
            self.notices.append(said or "no START and END marks of front matter were found, the whole text is used")
        elif find_frontmatter(body):
            self.notices.append(
                "text around START and END marks (a licence, credits) is trained on; --strip-frontmatter leaves it out"
            )
        self.fingerprint = dataclasses.replace(text, text=body).fingerprint()
        known = _cut(body, 0, len(body), 1 - options.val)
        share = min(options.val / 2, SELECTED / known)
        cuts = [(a, _cut(body, a, b, 1 - share), b) for a, b in _stretches(known, share)]
        self.text, judged = body, len(body) - known
        self.slices = {
            "fit": [slice(a, c) for a, c, _ in cuts],
            "select": [slice(c, b) for _, c, b in cuts],
            "judge": [slice(known, min(known + JUDGED, len(body)))],
        }
        self.judged = f"last {100 * options.val:g} % of the text, {judged:,} characters"
        if judged > JUDGED:
            self.judged += f", the first {JUDGED:,} of them"
        self.vocabulary = Vocabulary.build((body[part] for part in self.slices["fit"]), options.level)
        pieces = {name: [self.vocabulary.encode(body[part]) for part in parts] for name, parts in self.slices.items()}
        pairs = list(zip(pieces["fit"], pieces["select"], strict=True))
        self.tail = _last([part for pair in pairs for part in pair], GRAM + 1)
        self.selection = side_by_side(pairs)
        del pairs
        self.ids = {name: np.concatenate(pieces.pop(name)) for name in list(pieces)}
        self.asked_dropout = options.dropout
        self.resolved = resolve(len(self.ids["fit"]), self.vocabulary.size, options, self.notices)
        for name, least in LEAST.items():
            if len(self.ids[name]) < least:
                raise DataError(
                    f"at least {least} tokens are needed to {name} by, and --val {options.val:g} leaves "
                    f"{len(self.ids[name])}; give a longer text or a larger --val"
                )
        self.opening = body[:1]
        self._settle()

    def _settle(self) -> None:
        """Everything that follows from the resolved options."""
        o = self.resolved
        assert o.batch is not None
        assert o.context is not None
        self.rows = min(o.batch, (len(self.ids["fit"]) - 1) // 2)
        self.span = (len(self.ids["fit"]) - 1) // self.rows  # tokens that each row walks in an epoch
        self.length = min(o.context, self.span)
        self.per_epoch = self.span // self.length
        self.options = plain(o)
        self.plan: Plan = plan_of(o)
        self.turned = (0, 0)  # an epoch, and how far the text is turned in it

    @property
    def parts(self) -> dict[str, str]:
        """The text of each part."""
        return {name: "".join(self.text[part] for part in parts) for name, parts in self.slices.items()}

    @property
    def first_words(self) -> str:
        """How the text begins, to go on from."""
        return " ".join(self.text[:200].split()[:2])[:40]

    def network(self) -> Network:
        o = self.resolved
        assert o.embedding is not None
        assert o.hidden is not None
        assert o.dropout is not None
        size = self.vocabulary.size
        recurrent = Recurrent(
            o.cell,
            o.embedding,
            o.hidden,
            layers=o.layers,
            dropout=o.dropout,
            recurrent_dropout=o.recurrent_dropout,
            options=get_cell(o.cell).complete(o.cell_options()),
            weight_init=o.init or "uniform",
            recurrent_init=o.init or ("orthogonal" if o.cell == "rnn" else "uniform"),
            forget_bias=0.0,  # with short cuts of carried state, 1 was worse by 0.045 nats on small texts
        )
        parts = (
            Embedding(size, o.embedding),
            Dropout(o.dropout / 4),
            recurrent,
            Dropout(o.dropout),
            Dense(o.hidden, size),
        )
        return Network(Chain(parts), seed=o.seed).configure(o.backend, o.threads, o.recompute, o.precision)

    def batch(self, stage: str, step: int) -> Batch:
        """Rows walk side by side through the text, turned by a random offset anew each epoch; state is carried on."""
        epoch, i = divmod(step, self.per_epoch)
        ids = self.ids["fit"]
        window = side_by_side_window(ids, self._offset(epoch) + i * self.length, self.rows, self.span, self.length + 1)
        return Batch(window[:-1], window[1:], fresh=i == 0)

    def _offset(self, epoch: int) -> int:
        """Where the first row begins."""
        if self.turned[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=self.plan.seed & (2**64 - 1), counter=epoch << 128))
            self.turned = epoch, int(rng.integers(0, len(self.ids["fit"]))) if epoch else 0
        return self.turned[1]

    def select(self, network: Network) -> float:
        """Nats per token over the selecting pieces, read side by side."""
        return float(token_nats(network, self.selection, self.vocabulary.size).mean())

    def judge(self, network: Network) -> dict[str, Any]:
        size, ids = self.vocabulary.size, self.ids["judge"]
        characters = sum(part.stop - part.start for part in self.slices["judge"])
        scores = per_character(float(text_nats(network, self.tail, ids, size).sum()), characters)
        name, total = ngram_nats(self.tail, ids, size, len(self.ids["select"]))
        table = {name: per_character(total, characters)}
        return {"part": self.judged, "metrics": scores, "baselines": table, "verdict": verdict(scores, table)}

    def last_stage(self, best_step: int) -> tuple[int, int]:
        raise NotImplementedError  # a language model has one stage

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        """At least half the time goes to steps; the rest to 12 selections, judging and the n-gram model."""
        judging = per_select * len(self.ids["judge"]) / len(self.ids["select"]) + GRAM_SECONDS * len(self.tail)
        left = seconds - 12 * per_select - 0.02 * seconds - judging
        steps = int(max(20, max(left, seconds / 2) / (1.03 * per_step)))
        most = 60 * self.per_epoch
        self.resolved = resolve(
            len(self.ids["fit"]),
            self.vocabulary.size,
            msgspec.structs.replace(self.resolved, steps=min(steps, most), dropout=self.asked_dropout),
            [],
        )
        self._settle()
        return self.plan

    def memory(self, network: Network) -> int:
        """Bytes that a training with this network takes at most."""
        V, tokens = self.vocabulary.size, self.rows * self.length
        blocks = BLOCK_BYTES * min(len(self.text), BLOCK)
        own = [*self.ids.values(), self.tail, *self.selection]
        held = sys.getsizeof(self.text) + sum(array.nbytes for array in own)
        return peak_bytes(
            network,
            self.plan,
            (self.length, self.rows),
            data=held + blocks // 4,  # of what the blocks took, a part stays
            loss=tokens * (4 * V + 24),  # gradient of the logits, ids and float64 losses
            phases=[
                reading_bytes(network, self.selection[1].shape, V),
                reading_bytes(network, piece_shape(len(self.ids["judge"])), V),
                GRAM_BYTES * len(self.tail),
            ],
            apart=held + self.ids["fit"].nbytes + blocks,
        )

    def spared(self, network: Network) -> int:
        """Bytes that recomputation spares."""
        return network.spared((self.length, self.rows))

    def meta(self, report: dict[str, Any], network: Network) -> ModelMeta:
        facts = Facts(self.vocabulary.to_dict(), self.opening)
        return ModelMeta(self.task, network.describe(), msgspec.to_builtins(facts), stored(self.options), report)

    def data(self) -> dict[str, np.ndarray]:
        return {}


def _cut(text: str, start: int, stop: int, share: float) -> int:
    """Where to cut near ``share`` of a range: after the next line end or blank if one is close, else right there."""
    at = start + round((stop - start) * share)
    for mark in "\n", " ":
        end = text.find(mark, at, at + (stop - at) // 5)
        if end >= 0:
            return end + 1
    return at


def side_by_side_window(ids: np.ndarray, start: int, rows: int, span: int, length: int) -> np.ndarray:
    """``[length, rows]``: row r begins at ``start + r·span`` of ``ids``, which go round; a view unless a row does."""
    start %= len(ids)
    if start + (rows - 1) * span + length <= len(ids):
        at, step = ids.itemsize * start, ids.itemsize
        return np.ndarray((length, rows), ids.dtype, ids, at, (step, span * step))  # within ids, or NumPy refuses
    return ids[(start + np.arange(rows) * span + np.arange(length)[:, None]) % len(ids)]


def _stretches(length: int, share: float) -> list[tuple[int, int]]:
    """So many characters in equal ranges, as many as make sense when ``share`` of each selects."""
    count = max(1, min(PIECES, length // PIECE, int(length * share / LEAST_PIECE)))
    return list(pairwise(round(length * i / count) for i in range(count + 1)))


def _last(parts: list[np.ndarray], count: int) -> np.ndarray:
    """The last ``count`` of all ids in the parts."""
    first, total = len(parts), 0
    while first and total < count:
        first -= 1
        total += len(parts[first])
    return np.concatenate(parts[first:])[-count:].copy()


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


# -- what the table of tasks asks for -----------------------------------------------------------


def recognises(source: Source) -> str:
    """Whatever is no table is taken for a text."""
    return "a text"


def prepare(source: Source, options: TrainOptions) -> LanguageJob:
    """The job that trains a language model on a text."""
    return LanguageJob(read_text(source, options.encoding), options)


def check(source: Source, options: TrainOptions) -> Findings:
    """What a training would read and choose."""
    text = read_text(source, options.encoding)
    facts: dict[str, Any] = {
        "characters": len(text.text),
        "lines": text.text.count("\n") + 1,
        "encoding": text.encoding,
    }
    try:
        job = LanguageJob(text, options)
    except DataError as error:
        return Findings("language", facts, [*text.notices, str(error)])
    network = job.network()
    facts |= {
        "vocabulary": f"{job.vocabulary.size} symbols ({options.level})",
        "tokens": sum(len(ids) for ids in job.ids.values()),
        "parameters": len(network.parameters),
        "memory of training": described(job.memory(network), job.spared(network)),
    }
    return Findings("language", facts, job.notices, job, job.options)


def open_model(network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> LanguageModel:
    """A trained language model from its file."""
    return LanguageModel(network, meta)

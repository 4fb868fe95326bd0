"""Language models: learning the next character, word or byte of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from rnnkit.data.corpus import Corpus, read_corpus, spoken, wrapping
from rnnkit.data.vocabulary import BLOCK, BLOCK_BYTES
from rnnkit.errors import DataError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.losses import Loss, SoftmaxCrossEntropy
from rnnkit.tasks import Findings, Reading, Source
from rnnkit.tasks.language_model import Facts, LanguageModel
from rnnkit.tasks.language_network import network_of
from rnnkit.tasks.language_parts import count, cut_documents, cut_text, encode, vocabulary_of
from rnnkit.tasks.language_plan import plan_of, resolve, size_for
from rnnkit.tasks.language_score import (
    GRAM_BYTES,
    GRAM_SECONDS,
    ngram_nats,
    per_character,
    piece_shape,
    reading_bytes,
    text_nats,
    token_nats,
    verdict,
)
from rnnkit.tasks.memory import described, peak_bytes
from rnnkit.tasks.options import TrainOptions, plain, stored

LEAST = {"select": 32, "judge": 64}
"""Tokens below which a part decides by chance."""


class LanguageJob:
    """Judging on the last part of a text, learning from the rest but for short pieces spread over it that select."""

    task = "language"
    stages: tuple[str, ...] = ("fit",)
    loss: Loss = SoftmaxCrossEntropy()

    def __init__(
        self, corpus: Corpus, options: TrainOptions, told: Callable[[float], None] = lambda share: None
    ) -> None:
        """``told`` hears which share of counting and encoding is done; the text is given up at the end."""
        self.notices = list(corpus.notices)
        text, self.fingerprint = corpus.spool, corpus.fingerprint
        if options.split == "documents":
            cut = cut_documents(corpus, options.val, options.document_separator, options.seed)
            ranges = repr(cut.parts()).encode()
            self.fingerprint = hashlib.sha256(self.fingerprint.encode() + ranges).hexdigest()
        else:
            cut = cut_text(text, options.val)
        self.judged, self.judged_characters = cut.judged, count(cut.judge)
        self.vocabulary = vocabulary_of(text, cut.fit, options, lambda share: told(share / 2))
        made = encode(text, cut, self.vocabulary, lambda share: told(0.5 + share / 2))
        self.ids, self.tail, self.selection = made.ids, made.tail, made.selection
        self.opening, self.beginning = text.text(0, 1), text.text(0, 200)
        self.read = text.nbytes, min(len(text), BLOCK)
        text.close()
        self.asked, self.sized = options, options.hidden is not None or options.preset is not None
        self.resolved = resolve(len(self.ids["fit"]), self.vocabulary.size, options, self.notices)
        for name, least in LEAST.items():
            if len(self.ids[name]) < least:
                raise DataError(
                    f"at least {least} tokens are needed to {name} by, and --val {options.val:g} leaves "
                    f"{len(self.ids[name])}; give a longer text or a larger --val"
                )
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
        """The text of each part, as its ids spell it."""
        return {name: self.vocabulary.decode(ids) for name, ids in self.ids.items()}

    @property
    def first_words(self) -> str:
        """How the text begins, to go on from."""
        return " ".join(self.beginning.split()[:2])[:40]

    def network(self) -> Network:
        return network_of(self.resolved, self.vocabulary.size)

    def batch(self, stage: str, step: int) -> Batch:
        """Rows walk side by side through the text, turned by a random offset anew each epoch; state is carried on."""
        epoch, i = divmod(step, self.per_epoch)
        ids = self.ids["fit"]
        window = side_by_side_window(ids, self._offset(epoch) + i * self.length, self.rows, self.span, self.length + 1)
        window = window.astype(np.int32)  # they are kept in the smallest type that holds them
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

    def judge(self, network: Network, stage: str, report: dict[str, Any]) -> dict[str, Any]:
        size, ids = self.vocabulary.size, self.ids["judge"]
        characters = self.judged_characters
        scores = per_character(float(text_nats(network, self.tail, ids, size).sum()), characters)
        name, total = ngram_nats(self.tail, ids, size, len(self.ids["select"]))
        table = {name: per_character(total, characters)}
        return {"part": self.judged, "metrics": scores, "baselines": table, "verdict": verdict(scores, table)}

    def last_stage(self, best_step: int) -> tuple[int, int]:
        raise NotImplementedError  # a language model has one stage

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        """At least half the time goes to steps; the rest to 12 selections, judging and the n-gram model.

        The first time it is asked, it also chooses the size of the network where nobody has.
        """
        judging = per_select * len(self.ids["judge"]) / len(self.ids["select"]) + GRAM_SECONDS * len(self.tail)
        left = max(seconds - 12 * per_select - 0.02 * seconds - judging, seconds / 2)
        tokens, size, hidden = len(self.ids["fit"]), self.vocabulary.size, self.resolved.hidden
        if not self.sized:
            hidden = size_for(tokens, size, self.resolved, left, per_step / (self.rows * self.length))
        self.sized = True
        steps = min(int(max(20, left / (1.03 * per_step))), 60 * self.per_epoch)
        self.resolved = resolve(tokens, size, msgspec.structs.replace(self.asked, hidden=hidden, steps=steps), [])
        self._settle()
        return self.plan

    def memory(self, network: Network) -> int:
        """Bytes that a training with this network takes at most."""
        V, tokens = self.vocabulary.size, self.rows * self.length
        text, block = self.read
        blocks = BLOCK_BYTES * block
        fit = self.ids["fit"].nbytes if text else 0  # ids of a long text are mapped, and may leave memory again
        own = [self.ids["select"], self.ids["judge"], self.tail, *self.selection]
        held = fit + sum(array.nbytes for array in own)
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
            apart=held + text + fit + blocks,
        )

    def spared(self, network: Network) -> int:
        """Bytes that recomputation spares."""
        return network.spared((self.length, self.rows))

    def meta(self, report: dict[str, Any], network: Network) -> ModelMeta:
        facts = Facts(self.vocabulary.to_dict(), self.opening)
        return ModelMeta(self.task, network.describe(), msgspec.to_builtins(facts), stored(self.options), report)

    def data(self) -> dict[str, np.ndarray]:
        return {}


def side_by_side_window(ids: np.ndarray, start: int, rows: int, span: int, length: int) -> np.ndarray:
    """``[length, rows]``: row r begins at ``start + r·span`` of ``ids``, which go round; a view unless a row does."""
    start %= len(ids)
    if start + (rows - 1) * span + length <= len(ids):
        at, step = ids.itemsize * start, ids.itemsize
        return np.ndarray((length, rows), ids.dtype, ids, at, (step, span * step))  # within ids, or NumPy refuses
    return ids[(start + np.arange(rows) * span + np.arange(length)[:, None]) % len(ids)]


# -- what the table of tasks asks for -----------------------------------------------------------


def recognises(source: Source) -> str:
    """Whatever is no table is taken for a text."""
    return "a text"


def prepare(source: Source, options: TrainOptions, reading: Reading | None = None) -> LanguageJob:
    """The job that trains a language model on a text, or on several as one."""
    return _job(_read(source, options, reading), options, reading)


def _read(source: Source, options: TrainOptions, reading: Reading | None) -> Corpus:
    part = None if reading is None else lambda done, whole: reading(done // 3, whole)
    corpus = read_corpus(source, options.encoding, strip=options.strip_frontmatter, reading=part)
    corpus.notices += wrapping(corpus, options.strip_frontmatter)
    return corpus


def _job(corpus: Corpus, options: TrainOptions, reading: Reading | None) -> LanguageJob:
    """Reading, counting and encoding each are a third of what ``reading`` hears of."""
    size = corpus.size
    return LanguageJob(
        corpus, options, lambda share: reading(round(size * (1 + 2 * share) / 3), size) if reading else None
    )


def check(source: Source, options: TrainOptions, reading: Reading | None = None) -> Findings:
    """What a training would read and choose."""
    corpus = _read(source, options, reading)
    facts: dict[str, Any] = {
        "files": len(corpus.labels),
        "characters": len(corpus),
        "words": corpus.words,
        "lines": corpus.lines + (not corpus.ends_line),
        "encoding": spoken(corpus),
    }
    if corpus.wrapped:
        cut = "left out" if options.strip_frontmatter else "trained on"
        facts["front and back matter"] = f"{corpus.wrapped:,} characters, {cut}"
    try:
        job = _job(corpus, options, reading)
    except DataError as error:
        return Findings("language", facts, [*corpus.notices, str(error)])
    network = job.network()
    facts |= {
        "vocabulary": f"{job.vocabulary.size:,} symbols ({options.level})",
        **_spelled(job),
        "tokens": sum(len(ids) for ids in job.ids.values()),
        "parameters": len(network.parameters),
        "memory of training": described(job.memory(network), job.spared(network)),
    }
    return Findings("language", facts, job.notices, job, job.options)


def _spelled(job: LanguageJob) -> dict[str, Any]:
    """What the vocabulary has no symbol for."""
    different, occurring, among = job.vocabulary.rare
    if not different:
        return {}
    what, how = ("words", "their characters") if job.vocabulary.level == "word" else ("characters", "bytes")
    return {f"rare {what}": f"{different:,}, spelled by {how} ({100 * occurring / among:.2g} % of the {what})"}


def open_model(network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> LanguageModel:
    """A trained language model from its file."""
    return LanguageModel(network, meta)

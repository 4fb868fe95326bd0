"""Language models: the next character, word or byte of a text."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.data.text import Text, find_frontmatter, read_text, strip_frontmatter
from rnnkit.data.vocabulary import Decoder, Vocabulary
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent, Tape
from rnnkit.nn.losses import Loss, SoftmaxCrossEntropy
from rnnkit.tasks import Findings, Source
from rnnkit.tasks.language_plan import plan_of, resolve
from rnnkit.tasks.options import TrainOptions, plain
from rnnkit.tasks.sampling import Sampler

PIECES, PIECE, WARM = 48, 5000, 256
"""The selecting part is the ends of at most PIECES stretches of at least PIECE characters each, so that what is learned
reaches to the judged part and covers the whole text; each end is read after WARM tokens of warming up."""
STRETCH = 2048
"""Tokens per pass when a text is read in one stream."""


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
        self.fingerprint = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
        self.known, judged = _halve(body, 1 - options.val)
        stretches = [_halve(stretch, 1 - options.val / 2) for stretch in _stretches(self.known)]
        fit, select = ("".join(part) for part in zip(*stretches, strict=True))
        self.parts = {"fit": fit, "select": select, "judge": judged}
        self.vocabulary = Vocabulary.build(fit, options.level)
        self.ids = {name: self.vocabulary.encode(part) for name, part in self.parts.items()}
        self.selection = _side_by_side([tuple(map(self.vocabulary.encode, pair)) for pair in stretches])
        self.asked_dropout = options.dropout
        self.resolved = resolve(len(self.ids["fit"]), self.vocabulary.size, options, self.notices)
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
        self._epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int32))

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
        return Network(Chain(parts), seed=o.seed).configure(o.backend, o.threads)

    def batch(self, stage: str, step: int) -> Batch:
        """Rows walk side by side through the text, turned by a random offset anew each epoch; state is carried on."""
        epoch, i = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=self.plan.seed & (2**64 - 1), counter=epoch << 128))
            offset = int(rng.integers(0, len(self.ids["fit"]))) if epoch else 0
            turned = np.roll(self.ids["fit"], -offset)
            self._epoch = (epoch, turned)
        turned = self._epoch[1]
        starts = np.arange(self.rows) * self.span + i * self.length
        window = turned[starts + np.arange(self.length + 1)[:, None]]
        return Batch(window[:-1], window[1:], fresh=i == 0)

    def select(self, network: Network) -> float:
        """Nats per token over the selecting pieces, read side by side."""
        window, counts = self.selection
        return float(_read(network, window[:-1], window[1:], 256)[counts].mean())

    def judge(self, network: Network) -> dict[str, Any]:
        from rnnkit import baselines

        before = self.vocabulary.encode(self.known)
        nats = stream_nats(network, before[-4 * WARM :], self.ids["judge"])
        characters = len(self.parts["judge"])
        share = len(self.ids["select"]) / len(before)
        gram, _ = baselines.best_ngram(before, self.vocabulary.size, held_out=share)
        total = gram.nats(self.ids["judge"]) * len(self.ids["judge"])
        table = {f"{gram.order}-gram": per_character(total, characters)}
        scores = per_character(nats, characters)
        part = f"last {100 * self.resolved.val:g} % of the text, {characters:,} characters"
        return {"part": part, "metrics": scores, "baselines": table, "verdict": verdict(scores, table)}

    def last_stage(self, best_step: int) -> tuple[int, int]:
        raise NotImplementedError  # a language model has one stage

    def budget(self, seconds: float, per_step: float, per_select: float) -> Plan:
        evaluations = 12
        judged = 0.02 * seconds + 4 * per_select
        steps = int(max(20, (seconds - evaluations * per_select - judged) / (1.03 * per_step)))
        most = 60 * self.per_epoch
        self.resolved = resolve(
            len(self.ids["fit"]),
            self.vocabulary.size,
            msgspec.structs.replace(self.resolved, steps=min(steps, most), dropout=self.asked_dropout),
            [],
        )
        self._settle()
        return self.plan

    def meta(self, report: dict[str, Any]) -> ModelMeta:
        from rnnkit.tasks.forecast import stored

        facts = Facts(self.vocabulary.to_dict(), self.opening)
        return ModelMeta(self.task, self.network().describe(), msgspec.to_builtins(facts), stored(self.options), report)

    def data(self) -> dict[str, np.ndarray]:
        return {}


def _halve(text: str, share: float) -> tuple[str, str]:
    """The text in two near ``share`` of it: after the next line end or blank if one is close, else right there."""
    at = round(len(text) * share)
    for mark in "\n", " ":
        end = text.find(mark, at, at + len(text) // 100)
        if end >= 0:
            return text[: end + 1], text[end + 1 :]
    return text[:at], text[at:]


def _stretches(text: str) -> list[str]:
    """The text in equal parts, as many as make sense."""
    count = max(1, min(PIECES, len(text) // PIECE))
    edges = [round(len(text) * i / count) for i in range(count + 1)]
    return [text[a:b] for a, b in pairwise(edges)]


def _side_by_side(stretches: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """(ids [1 + W + N, P], which of the W + N predictions count): each piece after the W tokens before it."""
    warm = min(WARM, *(len(fit) - 1 for fit, _ in stretches))
    longest = max(len(select) for _, select in stretches)
    window = np.zeros((1 + warm + longest, len(stretches)), np.int32)
    counts = np.zeros((warm + longest, len(stretches)), bool)
    for i, (fit, select) in enumerate(stretches):
        window[: 1 + warm, i] = fit[len(fit) - 1 - warm :]
        window[1 + warm : 1 + warm + len(select), i] = select
        counts[warm : warm + len(select), i] = True
    return window, counts


def _read(network: Network, x: np.ndarray, target: np.ndarray, steps: int) -> np.ndarray:
    """Nats of ``target [T,B]`` after ``x [T,B]``, read ``steps`` at a time with the state carried on."""
    tape, state, parts = Tape(training=False), None, []
    loss = SoftmaxCrossEntropy()
    for t in range(0, len(x), steps):
        logits, state = network.forward(x[t : t + steps], state, tape.begin())
        parts.append(loss.nats(logits, target[t : t + steps]))
    return np.concatenate(parts)


def stream_nats(network: Network, before: np.ndarray, ids: np.ndarray) -> float:
    """Total nats of ``ids``, read as one stream after ``before``."""
    stream = np.concatenate([before, ids])
    nats = _read(network, stream[:-1, None], stream[1:, None], STRETCH)
    return float(nats[len(before) - 1 :].sum()) if len(before) else float(nats.sum())


def per_character(nats: float, characters: int) -> dict[str, float]:
    """Total nats as nats and bits per character."""
    return {"nats_per_char": nats / characters, "bits_per_char": nats / characters / math.log(2)}


def verdict(scores: dict[str, float], table: dict[str, dict[str, float]]) -> str:
    """One sentence beside the best baseline."""
    best = min(table, key=lambda name: table[name]["bits_per_char"])
    a, b = scores["bits_per_char"], table[best]["bits_per_char"]
    if a < b:
        share = 100 * (1 - a / b)
        return f"beats the best n-gram model ({best}) by {share:.0f} % ({a:.3f} bits per character against {b:.3f})"
    return (
        f"does not beat the best n-gram model ({best}: {b:.3f} bits per character against {a:.3f}); "
        "train longer, on more text, or with a smaller network"
    )


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
        first = next(layer for _, layer in network.root.walk() if isinstance(layer, Embedding))
        if first.size != self.vocabulary.size:
            raise ModelFileError(
                f"a vocabulary of {first.size} symbols was expected, found {self.vocabulary.size}; train again"
            )

    def generate(
        self,
        seed: str = "",
        *,
        length: int = 500,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        rng: int = 0,
        **options: Any,
    ) -> Iterator[str]:
        """The seed and ``length`` further tokens, in pieces of whole characters as they are drawn.

        Any seed works: what the vocabulary lacks is spelled in bytes. Raises ``UsageError`` for
        settings that make no sense.
        """
        if length < 0:
            raise UsageError(f"--length is a whole number of at least 0, not {length}")
        sampler = Sampler(temperature, top_k, top_p, rng)
        return self._stream(seed, length, sampler)

    def _stream(self, seed: str, length: int, sampler: Sampler) -> Iterator[str]:
        ids = self.vocabulary.encode(seed or self.opening)
        decoder, tape, state = Decoder(self.vocabulary), Tape(training=False), None
        logits = None
        for t in range(0, len(ids), STRETCH):
            logits, state = self.network.forward(ids[t : t + STRETCH, None], state, tape.begin())
        if seed:
            yield seed
        for _ in range(length):
            assert logits is not None
            token = sampler(logits[-1, 0])
            piece = decoder.push(token)
            if piece:
                yield piece
            logits, state = self.network.forward(np.array([[token]], np.int32), state, tape.begin())
        rest = decoder.flush()
        if rest:
            yield rest

    def evaluate(self, source: Source, **options: Any) -> dict[str, Any]:
        """Nats and bits per character of a whole text, beside an n-gram model of its own first half."""
        from rnnkit import baselines

        began = time.monotonic()
        text = read_text(source)
        ids = self.vocabulary.encode(text.text)
        if len(ids) < 64:
            raise DataError(f"{text.path} has {len(ids)} tokens, too few to score; give at least 64")
        scores = per_character(stream_nats(self.network, self.vocabulary.encode("\n"), ids), len(text.text))
        half = len(ids) // 2
        gram, _ = baselines.best_ngram(ids[:half], self.vocabulary.size)
        characters = max(1, len(self.vocabulary.decode(ids[half:])))
        total = gram.nats(ids[half:]) * (len(ids) - half)
        table = {f"{gram.order}-gram of its first half": per_character(total, characters)}
        part = f"{text.path}, {len(text.text):,} characters (the n-gram model: its second half)"
        return {
            "part": part,
            "metrics": scores,
            "baselines": table,
            "verdict": verdict(scores, table),
            "notices": text.notices,
            "seconds": time.monotonic() - began,
        }

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
        "memory of training": f"{_megabytes(job, network):.0f} MB",
    }
    return Findings("language", facts, job.notices, job, job.options)


def _megabytes(job: LanguageJob, network: Network) -> float:
    """Weights, gradients, optimiser and copies (8 vectors), the text as ids, and one batch with its tape."""
    o = job.resolved
    assert o.hidden is not None
    assert o.embedding is not None
    per_token = 4 * (12 * o.hidden * o.layers + 4 * o.embedding + 4 * job.vocabulary.size)
    return (
        8 * 4 * len(network.parameters) + job.rows * job.length * per_token + 12 * sum(map(len, job.ids.values()))
    ) / 1e6


def open_model(network: Network, meta: ModelMeta, data: dict[str, np.ndarray]) -> LanguageModel:
    """A trained language model from its file."""
    return LanguageModel(network, meta)

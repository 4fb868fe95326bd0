"""Language models: learning the next character, word or byte of a text."""

from __future__ import annotations

import dataclasses
import sys
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from rnnkit.data.text import Text, find_frontmatter, read_text, strip_frontmatter
from rnnkit.data.vocabulary import BLOCK, BLOCK_BYTES, Vocabulary
from rnnkit.errors import DataError
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Network
from rnnkit.nn.losses import Loss, SoftmaxCrossEntropy
from rnnkit.tasks import Findings, Reading, Source
from rnnkit.tasks.language_model import Facts, LanguageModel
from rnnkit.tasks.language_network import network_of
from rnnkit.tasks.language_plan import plan_of, resolve, size_for
from rnnkit.tasks.language_score import (
    GRAM,
    GRAM_BYTES,
    GRAM_SECONDS,
    JUDGED,
    PIECES,
    SELECTED,
    ngram_nats,
    per_character,
    piece_shape,
    reading_bytes,
    side_by_side,
    text_nats,
    token_nats,
    verdict,
)
from rnnkit.tasks.memory import described, peak_bytes
from rnnkit.tasks.options import TrainOptions, plain, stored

PIECE = 5000
"""The selecting part is the ends of at most PIECES stretches of at least PIECE characters each, so that what is learned
reaches to the judged part and covers the whole text."""
LEAST_PIECE = 64
"""Characters of a selecting piece at least; a small --val makes fewer pieces."""
LEAST = {"select": 32, "judge": 64}
"""Tokens below which a part decides by chance."""


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
        self.asked, self.sized = options, options.hidden is not None or options.preset is not None
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
        return network_of(self.resolved, self.vocabulary.size)

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

    def judge(self, network: Network, stage: str, report: dict[str, Any]) -> dict[str, Any]:
        size, ids = self.vocabulary.size, self.ids["judge"]
        characters = sum(part.stop - part.start for part in self.slices["judge"])
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


# -- what the table of tasks asks for -----------------------------------------------------------


def recognises(source: Source) -> str:
    """Whatever is no table is taken for a text."""
    return "a text"


def prepare(source: Source, options: TrainOptions, reading: Reading | None = None) -> LanguageJob:
    """The job that trains a language model on a text, which is read at once."""
    return LanguageJob(read_text(source, options.encoding), options)


def check(source: Source, options: TrainOptions, reading: Reading | None = None) -> Findings:
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

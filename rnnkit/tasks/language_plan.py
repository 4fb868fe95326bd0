"""The settings of a language model, chosen from the length of the text."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from rnnkit import pacing
from rnnkit.errors import DataError, UsageError
from rnnkit.job import Plan
from rnnkit.tasks.language_network import parameters_of
from rnnkit.tasks.options import TrainOptions


class Preset(NamedTuple):
    """A size of network, and how many tokens it is trained on (a text is read as often as that takes)."""

    hidden: int
    tokens: int


PRESETS: dict[str, Preset] = {
    "tiny": Preset(128, 2_000_000),
    "small": Preset(256, 4_000_000),
    "medium": Preset(512, 13_000_000),
}
"""One layer each; ``medium`` reached 1.400 nats per character on a text of a million, its products in bfloat16."""
SIZES = (128, 256, 384, 512, 768, 1024)
"""Hidden units to choose from for the time there is."""
ENOUGH = 4
"""Tokens per parameter from which on a network is worth its size: below, a smaller one learns more in the same time."""
FULL = 1.5
"""Parameters per token of the text up to which a network is worth its size: beyond, it learns the text by heart."""
MOST_EPOCHS = 20.0
"""Readings of a short text beyond which more of them stopped helping, with the dropout below."""
MOST_DROPPED = 0.5
WORDS = 1024
"""Symbols from which on a vocabulary shares its vectors with the output, which would else be most of the network."""
LOGITS = 2**24
"""Logits of a step by default at most: 64 MiB, and as much again for their gradient."""
SHORTEST = 400
"""Tokens below which there is nothing to learn from and nothing to judge by."""


def resolve(tokens: int, vocabulary: int, options: TrainOptions, notices: list[str]) -> TrainOptions:
    """Fill in what the options leave open for ``tokens`` of training text; ``DataError`` when they are too few."""
    if options.bidirectional:
        raise UsageError("--bidirectional would show a language model the tokens that it is to predict; leave it out")
    if tokens < SHORTEST:
        raise DataError(
            f"at least {SHORTEST} tokens are needed to train a language model, once a part to select and one to judge "
            f"by are held out, found {tokens}; give a longer text"
        )
    if options.preset not in (None, *PRESETS):
        raise UsageError(f"--preset is one of {', '.join(PRESETS)}, not {options.preset!r}")
    size = PRESETS[options.preset or ("tiny" if tokens < 20_000 else "small")]
    hidden = options.hidden or size.hidden
    tied = vocabulary > WORDS and options.embedding in (None, hidden) if options.tied is None else options.tied
    embedding = options.embedding or (hidden if tied else min(64, vocabulary, hidden))
    if tied and embedding != hidden:
        raise UsageError(
            f"--tied shares the vectors of the symbols with the output, so that --embedding is --hidden, {hidden}, "
            f"not {embedding}; leave --embedding out, or give --untied"
        )
    context = options.context or 32
    batch = options.batch or max(1, min(16 if tokens < 200_000 else 32, LOGITS // (context * vocabulary)))
    rows = min(batch, (tokens - 1) // 2)
    span = (tokens - 1) // rows
    length = min(context, span)
    if length < context:
        notices.append(f"context shrinks from {context} to {length} tokens: the text is short")
    per_epoch = span // length
    epochs = options.epochs or min(MOST_EPOCHS, max(2.0, size.tokens / tokens))
    steps = options.steps or max(1, round(epochs * per_epoch))
    epochs = steps / per_epoch
    peak = {"rnn": 2e-3}.get(options.cell, min(1e-2, 8e-3 * math.sqrt(256 / hidden)))
    lr = options.lr or {"adamw": peak, "adam": peak, "rmsprop": peak / 4}.get(options.optimizer, 0.5)
    settled = msgspec.structs.replace(
        options, task="language", hidden=hidden, batch=batch, context=context, steps=steps, epochs=None, lr=lr,
        tied=tied, layers=options.layers or 1, embedding=embedding,
    )  # fmt: skip
    if options.dropout is None:
        settled.dropout = _dropout(epochs * parameters_of(settled, vocabulary) / tokens)
    return settled


def _dropout(pressure: float) -> float:
    """The share to drop, by how often a text is read times the parameters that each of its tokens has to itself.

    Near the best of .2 to .5 in trainings of 256, 384, 512 and 768 units on 4, 7, 13 and 12 million characters, from a
    text of one million: .2, .3, .4 and .5 or more.
    """
    return round(min(MOST_DROPPED, 0.18 * pressure**0.28), 2)


def size_for(tokens: int, vocabulary: int, options: TrainOptions, seconds: float, per_token: float) -> int:
    """Hidden units that make the most of ``seconds``, where the resolved ``options`` take ``per_token`` a token.

    The time of a step is about proportional to the parameters that take part in it.
    """
    assert options.hidden is not None

    def working(hidden: int) -> int:
        embedding = hidden if options.tied else options.embedding
        sized = msgspec.structs.replace(options, hidden=hidden, embedding=embedding)
        return parameters_of(sized, vocabulary) - (0 if options.tied else vocabulary * (embedding or 0))

    affordable = seconds / per_token * working(options.hidden)
    fitting = [h for h in SIZES if working(h) <= FULL * tokens and affordable / working(h) >= ENOUGH * working(h)]
    return max(fitting, default=SIZES[0])


def plan_of(options: TrainOptions) -> Plan:
    """The loop's plan from resolved options."""
    assert options.steps is not None
    assert options.lr is not None
    chosen: dict[str, float] = {}
    if options.optimizer == "adamw":
        chosen = {"b2": 0.99, "decay": 0.05 if options.weight_decay is None else options.weight_decay}
    if options.momentum is not None and options.optimizer in ("sgd", "rmsprop"):
        chosen["momentum"] = options.momentum
    return Plan(
        steps=options.steps,
        evaluate_every=max(1, options.steps // 12),
        lr=options.lr,
        optimizer=options.optimizer,
        optimizer_options=chosen,
        schedule=options.schedule,
        schedule_options={"warmup": 0.03 if options.warmup is None else options.warmup},
        clip=options.clip,
        clip_value=options.clip_value,
        patience=options.patience or 0,
        stop=options.stop or 0,
        turns=pacing.read(options.turns),
        seed=options.seed,
    )

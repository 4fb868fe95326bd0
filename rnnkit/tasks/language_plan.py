"""The settings of a language model, chosen from the length of the text."""

from __future__ import annotations

import math

import msgspec

from rnnkit import pacing
from rnnkit.errors import DataError, UsageError
from rnnkit.job import Plan
from rnnkit.tasks.options import TrainOptions

TOKENS = 4_000_000
"""Tokens to train on by default: about where a 1 × 256 network stops gaining fast on a text of a million."""
MOST_EPOCHS = 20.0
"""Readings of a short text beyond which more of them stopped helping, with the dropout below."""
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
    hidden = options.hidden or (128 if tokens < 20_000 else 256)
    embedding = options.embedding or (hidden if options.tied else min(64, vocabulary, hidden))
    if options.tied and embedding != hidden:
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
    epochs = options.epochs or min(MOST_EPOCHS, max(2.0, TOKENS / tokens))
    steps = options.steps or max(1, round(epochs * per_epoch))
    epochs = steps / per_epoch
    dropout = options.dropout if options.dropout is not None else _dropout(epochs)
    peak = {"rnn": 2e-3}.get(options.cell, min(1e-2, 8e-3 * math.sqrt(256 / hidden)))
    lr = options.lr or {"adamw": peak, "adam": peak, "rmsprop": peak / 4}.get(options.optimizer, 0.5)
    return msgspec.structs.replace(
        options, task="language", hidden=hidden, batch=batch, context=context, steps=steps, epochs=None, lr=lr,
        dropout=dropout, layers=options.layers or 1, embedding=embedding,
    )  # fmt: skip


def _dropout(epochs: float) -> float:
    """The more often a text is read, the more dropout pays (found on two texts with one layer of 256 and 512)."""
    return 0.0 if epochs < 3 else 0.2 if epochs < 5 else 0.3 if epochs < 9 else 0.5


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

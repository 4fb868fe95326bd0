"""The network of a language model: embedding, recurrent layers, logits."""

from __future__ import annotations

import math

import msgspec

from rnnkit.cells import get_cell
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent
from rnnkit.tasks.options import TrainOptions


def table_init(options: TrainOptions) -> str:
    """How the vectors of the symbols begin.

    A table that is the output's weights too meets an h of length √H where that is normalised: with N(0, 1) its logits
    would begin at a deviation of √H, with U(−1/√H, 1/√H) at 0.6. Where h is not, N(0, 1) does as well as apart.
    """
    return "uniform" if options.tied and options.norm else "normal"


def network_of(options: TrainOptions, vocabulary: int) -> Network:
    """Logits ``[T,B,V]`` of the next token from ids ``[T,B]``, by resolved options; ``vocabulary`` is V."""
    o = options
    return Network(_layers(o, vocabulary), seed=o.seed).configure(o.backend, o.threads, o.recompute, o.precision)


def parameters_of(options: TrainOptions, vocabulary: int) -> int:
    """How many numbers such a network learns; the share that is dropped does not matter."""
    declared = _layers(msgspec.structs.replace(options, dropout=0.0), vocabulary).declared()
    return sum(math.prod(param.shape) for param in declared.values() if not param.tied)


def _layers(options: TrainOptions, vocabulary: int) -> Chain:
    o = options
    assert o.embedding is not None
    assert o.hidden is not None
    assert o.dropout is not None
    assert o.layers is not None
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
        norm=o.norm,
        residual=o.residual,
        forget_bias=0.0,  # with short cuts of carried state, 1 was worse by 0.045 nats on small texts
    )
    return Chain(
        (
            Embedding(vocabulary, o.embedding, table_init(o)),
            Dropout(o.dropout / 4),
            recurrent,
            Dropout(o.dropout),
            Dense(o.hidden, vocabulary, tied="0.E" if o.tied else ""),
        )
    )

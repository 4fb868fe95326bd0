"""How well a network knows a text: reading it in pieces side by side, beside the best n-gram model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rnnkit import metrics
from rnnkit.nn import Network, Tape
from rnnkit.nn.generation import Writer
from rnnkit.nn.losses import SoftmaxCrossEntropy

PIECES = 48
"""A text is read as at most so many pieces side by side: wide enough for the matrix products to be fast."""
WARM = 128
"""Tokens before a piece that warm its state up; with 64 a character model's mean moves by less than 1e-6 nats."""
SHORTEST_PIECE = 2048
"""Tokens below which a piece is mostly warming up."""
TOKENS, LOGITS = 2**13, 2**23
"""Most tokens per pass, and most logits (32 MiB)."""
SELECTED, JUDGED = 100_000, 500_000
"""Most characters to select and to judge by: more would cost time and tell no more."""
GRAM, ORDER = 2_000_000, 1_000_000
"""Tokens that an n-gram model is counted from, and its order chosen by, at most: the last ones."""
GRAM_BYTES, GRAM_SECONDS = 136, 4e-6
"""About what each of them takes, in memory and in time on one core."""

Window = tuple[np.ndarray, np.ndarray]


def side_by_side(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Window:
    """(ids [1 + T, P], which of the T predictions count [T, P]): each piece after the WARM tokens before it.

    A pair is (what comes before, the piece); before it stands one token at least.
    """
    columns = [np.concatenate([before[-1 - WARM :], piece]) for before, piece in pairs]
    window = np.zeros((max(map(len, columns)), len(columns)), np.int32)
    counts = np.zeros((len(window) - 1, len(columns)), bool)
    for i, (column, (_, piece)) in enumerate(zip(columns, pairs, strict=True)):
        window[: len(column), i] = column
        counts[len(column) - 1 - len(piece) : len(column) - 1, i] = True
    return window, counts


def passes(length: int, rows: int, vocabulary: int) -> Iterator[slice]:
    """Ranges of steps, few enough at a time for their logits to stay within bounds."""
    steps = max(1, min(TOKENS, LOGITS // vocabulary) // rows)
    for t in range(0, length, steps):
        yield slice(t, min(t + steps, length))


def token_nats(network: Network, window: Window, vocabulary: int) -> np.ndarray:
    """Nats of the tokens that count, piece after piece, read with the state carried on; ``vocabulary`` is its size."""
    ids, counts = window
    tape, state, loss = Tape(training=False), None, SoftmaxCrossEntropy()
    nats = np.empty(counts.shape)
    for part in passes(len(counts), ids.shape[1], vocabulary):
        logits, state = network.forward(ids[part], state, tape.begin())
        nats[part] = loss.nats(logits, ids[1:][part], network.engine)
    return nats.T[counts.T]


def text_nats(network: Network, before: np.ndarray, ids: np.ndarray, vocabulary: int) -> np.ndarray:
    """Nats of each of ``ids [n]`` after the tokens ``before``, read in as many pieces as make sense."""
    return token_nats(network, side_by_side(in_pieces(before, ids)), vocabulary)


def in_pieces(before: np.ndarray, ids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """``ids [n]`` in as many pieces as make sense, each with what comes before it, the first after ``before``."""
    stream = np.concatenate([before[-1 - WARM :], ids])
    first = len(stream) - len(ids)
    _, count = piece_shape(len(ids))
    edges = [first + round(len(ids) * i / count) for i in range(count + 1)]
    return [(stream[max(0, a - 1 - WARM) : a], stream[a:b]) for a, b in pairwise(edges)]


def stepwise_nats(network: Network, before: np.ndarray, ids: np.ndarray, vocabulary: int) -> float:
    """Total nats of ``ids [n]`` after ``before``, token after token in the arithmetic of generation."""
    writer, loss = Writer(network, len(before) + len(ids)), SoftmaxCrossEntropy()
    stream = np.concatenate([before, ids])
    writer.feed(stream[: len(before) - 1])
    stream = stream[len(before) - 1 :]
    total = 0.0
    for part in passes(len(ids), 1, vocabulary):
        total += float(loss.nats(writer.logits(stream[:-1][part]), stream[1:][part]).sum())
    return total


def piece_shape(tokens: int) -> tuple[int, int]:
    """(steps, pieces) in which so many tokens are read side by side."""
    count = max(1, min(PIECES, tokens // SHORTEST_PIECE))
    return WARM + -(-tokens // count), count


def reading_bytes(network: Network, shape: tuple[int, ...], vocabulary: int) -> int:
    """Memory that ``token_nats`` takes for so many (steps, rows), beside the network."""
    steps, rows = shape
    longest = max((part.stop - part.start for part in passes(steps, rows, vocabulary)), default=0)
    return network.memory((longest, rows), training=False).kept + 17 * steps * rows  # float64 nats twice, and counts


def ngram_nats(known: np.ndarray, ids: np.ndarray, vocabulary: int, held_out: int) -> tuple[str, float]:
    """The best n-gram model's name and its total nats on ``ids``, its order chosen by the last ``held_out`` known."""
    from rnnkit.baselines import NGram, best_ngram

    last = known[-ORDER:]
    gram, _ = best_ngram(last, vocabulary, held_out=held_out / len(last))
    if len(known) > ORDER:
        gram = NGram(vocabulary, gram.order).fit(known[-GRAM:])
    limit = f" of the last {GRAM:,} tokens" if len(known) > GRAM else ""
    return f"{gram.order}-gram{limit}", gram.nats(ids) * len(ids)


def per_character(nats: float, characters: int) -> dict[str, float]:
    """Total nats as nats and bits per character."""
    each = metrics.nats_per_char(nats, characters)
    return {"nats_per_char": each, "bits_per_char": metrics.bits(each)}


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

"""A Kneser–Ney n-gram model of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import DataError

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


class NGram:
    """An n-gram model of ids with interpolated modified Kneser–Ney smoothing (Chen & Goodman 1998).

    Grams of every length are numbered by sorting pairs (number of the context, id), so that fitting and scoring are
    a few sorts and searches over whole arrays. Lower orders count in how many contexts a gram occurs instead of how
    often; the lowest is mixed with the uniform distribution, so that no id has probability zero.
    """

    def __init__(self, vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        self._keys: list[Longs] = []  # per order: sorted context · V + id
        self._mass: list[Floats] = []  # per order and gram: discounted count over the context's total
        self._rest: list[Floats] = []  # per order and context: weight of the next lower order

    def fit(self, ids: NDArray[Any]) -> NGram:
        """Counts a text of ids [n] and returns the model; DataError when there is none or one is out of range."""
        x = np.asarray(ids, dtype=np.int64)
        vocab_size = self.vocab_size
        if not len(x) or x.min() < 0 or x.max() >= vocab_size:
            found = f"{x.min()} to {x.max()}" if len(x) else "none"
            raise DataError(f"expected ids from 0 to {vocab_size - 1}, found {found}; give a longer text")
        order = min(self.order, len(x))
        self._keys, self._mass, self._rest = [], [], []
        grams: list[Longs] = []  # per order: number of the gram that ends at each position, from position order − 1 on
        first: list[Longs] = []
        raw = []
        context = np.zeros(len(x), dtype=np.int64)
        for k in range(order):
            keys, start, gram, count = np.unique(
                context * vocab_size + x[k:], return_index=True, return_inverse=True, return_counts=True
            )
            self._keys.append(keys)
            grams.append(gram)
            first.append(start)
            raw.append(count)
            context = gram[:-1]
        for k in range(order):
            # The (k+2)-gram first seen at i (counted from k+1) has the (k+1)-gram ending there as its suffix.
            counts = raw[k] if k == order - 1 else np.bincount(grams[k][first[k + 1] + 1], minlength=len(raw[k]))
            self._smooth(k, counts.astype(np.int64))
        return self

    def _smooth(self, k: int, counts: Longs) -> None:
        """Discounts D₁, D₂, D₃₊ from the counts of counts; what they free goes to the lower order."""
        n1, n2, n3, n4 = (int(np.sum(counts == c)) for c in (1, 2, 3, 4))
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            d = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
            d = np.clip(d, 0.05, [0.05, 0.95, 1.95, 2.95])
        else:  # too few grams to estimate from
            d = np.array([0, 0.5, 0.5, 0.5])
        d[0] = 0
        discount = d[np.minimum(counts, 3)]
        context = self._keys[k] // self.vocab_size
        size = 1 if k == 0 else len(self._keys[k - 1])
        total = np.bincount(context, counts, size)
        freed = np.bincount(context, discount, size)
        self._mass.append((counts - discount) / np.maximum(total, 1)[context])
        self._rest.append(np.where(total > 0, freed / np.maximum(total, 1), 1.0))

    def _extend(self, k: int, context: Longs, x: Longs) -> Longs:
        """Numbers of the (k+1)-grams (context, x), −1 where they were not seen."""
        keys = self._keys[k]
        wanted = context * self.vocab_size + x
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((context >= 0) & (keys[at] == wanted), at, -1)

    def _mix(self, k: int, context: Longs, gram: Longs, lower: Floats) -> Floats:
        """p = discounted count / total + freed weight · lower; lower alone after a context never seen."""
        seen = context >= 0
        rest = np.where(seen, self._rest[k][np.maximum(context, 0)], 1.0)
        return np.where(gram >= 0, self._mass[k][np.maximum(gram, 0)], 0.0) + rest * lower

    def score(self, ids: NDArray[Any]) -> Floats:
        """Negative log-probability of each id [n] given those before it, in nats."""
        x = np.asarray(ids, dtype=np.int64)
        p = np.full(len(x), 1 / self.vocab_size)
        context = np.zeros(len(x), dtype=np.int64)
        for k in range(min(len(self._keys), len(x))):
            gram = self._extend(k, context, x[k:])
            p[k:] = self._mix(k, context, gram, p[k:])
            context = gram[:-1]
        return -np.log(p)

    def nats(self, ids: NDArray[Any]) -> float:
        """Mean nats per id of a text of ids [n]."""
        return float(self.score(ids).mean())

    def probabilities(self, context: NDArray[Any] | Iterable[int]) -> Floats:
        """[vocab_size]: the distribution of the id that follows these."""
        before = np.asarray(list(context), dtype=np.int64)
        every = np.arange(self.vocab_size, dtype=np.int64)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for k in range(min(len(self._keys), len(before) + 1)):
            number = np.zeros(1, dtype=np.int64)
            for j, i in enumerate(before[len(before) - k :]):
                number = self._extend(j, number, np.array([i]))
            whole = np.repeat(number, self.vocab_size)
            p = self._mix(k, whole, self._extend(k, whole, every), p)
        return p


def best_ngram(
    ids: NDArray[Any], vocab_size: int, orders: Iterable[int] = range(1, 9), held_out: float = 0.1
) -> tuple[NGram, dict[int, float]]:
    """The n-gram order with the fewest nats on the held-out end of the ids, fitted again on all of them.

    Returns (model, {order: held-out nats per id}); orders are tried upwards until two in a row are no better than
    the best before them.
    """
    cut = len(ids) - int(held_out * len(ids))
    tried: dict[int, float] = {}
    for order in sorted(orders):
        tried[order] = NGram(vocab_size, order).fit(ids[:cut]).nats(ids[cut:]) if cut < len(ids) else 0.0
        nats = list(tried.values())
        if len(nats) > 2 and min(nats[-2:]) >= min(nats[:-2]):
            break
    return NGram(vocab_size, min(tried, key=lambda k: (tried[k], k))).fit(ids), tried

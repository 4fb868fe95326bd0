"""A network of token ids that goes on step by step, many rows at once: what a search over continuations asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.errors import RnnkitError
from rnnkit.nn.layer import State
from rnnkit.nn.network import Network, fill_state, flatten_state
from rnnkit.nn.tape import Tape

STEPS = 256
"""Steps read at a time: logits of all of a long text with a large vocabulary would take gigabytes."""


class Stepper:
    """Rows that each have read tokens of their own, and know how likely every next one is.

    Begins with one row, or with those of ``state``, whose arrays ``[layers, rows, hidden]`` have a row each on their
    second axis. In the network's own float32 numbers, whatever the form of its weights.

    >>> stepper = Stepper(network); stepper.read(ids)      # doctest: +SKIP
    >>> stepper.reorder([0, 0]); stepper.step([7, 9])      # two continuations, log-probabilities [2,V] after each
    """

    def __init__(self, network: Network, state: State = None) -> None:
        self.network, self.state = network, state
        self._tape = Tape(training=False)

    def read(self, ids: Any) -> np.ndarray:
        """Log-probabilities ``[B,V]`` (float64) of what follows tokens ``ids [T,B]``, or ``[T]`` of the only row; the
        rows go on from there."""
        ids = np.asarray(ids, np.intp)
        ids = ids[:, None] if ids.ndim == 1 else ids
        for at in range(0, max(1, len(ids)), STEPS):
            logits, self.state = self.network.forward(ids[at : at + STEPS], self.state, self._tape.begin())
        return log_probabilities(logits[-1])

    def step(self, ids: Any) -> np.ndarray:
        """The same after one more token of each row, ``ids [B]``."""
        return self.read(np.asarray(ids, np.intp)[None])

    def reorder(self, rows: Sequence[int] | np.ndarray) -> None:
        """Go on with these rows, in this order; one may come several times, or not at all."""
        arrays = [np.ascontiguousarray(array[:, rows]) for array in flatten_state(self.state)]
        self.state = fill_state(self.state, arrays)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """log softmax of ``logits [B,V]`` in float64; ``RnnkitError`` where they are no finite numbers."""
    a = logits.astype(np.float64)
    if not np.isfinite(a).all():
        raise RnnkitError(
            "logits were expected to go on by, but the network gives numbers that are not finite; train again with a "
            "smaller --lr"
        )
    a -= a.max(axis=1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=1, keepdims=True))

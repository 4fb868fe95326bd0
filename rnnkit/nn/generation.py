"""A network of embedding, recurrent layers and logits that writes on from a text, token after token."""

from __future__ import annotations

import copy

import numpy as np

from rnnkit._kernels import generation
from rnnkit._kernels.generation import Rules, Stack
from rnnkit._kernels.quantization import WEIGHTS, rounded
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.nn.dense import Dense, Dropout, Embedding
from rnnkit.nn.network import Network
from rnnkit.nn.pace import Pace
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.structure import Chain


def parts_of(network: Network) -> tuple[Embedding, Recurrent, Dense] | None:
    """The three layers of a network that can write, dropout aside; None for any other."""
    root = network.root
    layers = [layer for layer in (root.layers if isinstance(root, Chain) else ()) if not isinstance(layer, Dropout)]
    match layers:
        case [Embedding() as first, Recurrent() as middle, Dense() as last]:
            if middle.directions == (False,) and last.activation == "linear":
                return first, middle, last
    return None


class Writer:
    """The text of one network: tokens go in by ``feed``, and come out by ``write``.

    In float32 whatever the network's dtype; ``weights`` is the form in which matrices are multiplied (default: that of
    the network's file).  Raises ``UsageError`` for a network of other layers and for a form that does not exist.
    """

    def __init__(self, network: Network, capacity: int, rules: Rules | None = None, weights: str = "") -> None:
        parts = parts_of(network)
        if parts is None:
            raise UsageError(
                "an embedding, recurrent layers in one direction and a linear dense layer were expected to write with"
            )
        self.weights = weights or network.weights
        if self.weights not in WEIGHTS:
            raise UsageError(f"weights are {', '.join(WEIGHTS)}, not {self.weights!r}")
        embedding, recurrent, dense = parts
        self.size = embedding.size
        self._pace = Pace(recurrent.threads)
        self.rules = rules or Rules()
        self._kernels = generation.load(recurrent.backend)
        self._prepared = self._kernels.prepare(self._stack(embedding, recurrent, dense), self.weights)
        self._text = self._kernels.begin(self._prepared, capacity, self.rules)

    def another(self, capacity: int) -> Writer:
        """A writer of another text with the same rules, and with the same weights, which are prepared once."""
        other = copy.copy(self)
        other._text = self._kernels.begin(self._prepared, capacity, self.rules)
        return other

    def _stack(self, embedding: Embedding, recurrent: Recurrent, dense: Dense) -> Stack:
        def matrix(values: np.ndarray) -> np.ndarray:
            values = np.ascontiguousarray(values, np.float32)
            return rounded(values, self.weights) if values.ndim == 2 else values

        layers = [{name: matrix(value) for name, value in params.items()} for params in recurrent.by_layer()]
        W = matrix(dense.p["W"])
        E = np.ascontiguousarray(W.T) if dense.tied else matrix(embedding.p["E"])  # one table has one rounding
        norms = [(matrix(recurrent.p[f"norm{n}.gain"]), matrix(recurrent.p[f"norm{n}.shift"])) for n in recurrent.norms]
        return Stack(recurrent.variant, E, layers, W, matrix(dense.p["b"]), norms, recurrent.residual)

    def feed(self, ids: np.ndarray) -> None:
        """Read tokens ``ids [n]``."""
        ids = self._checked(ids)

        def work(part: slice, threads: int) -> bool:
            self._kernels.feed(self._text, ids[part], None, threads)
            return True

        self._pace.run(len(ids), work)

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """Read tokens ``ids [n]`` and return the logits ``[n,V]`` after each."""
        ids = self._checked(ids)
        logits = np.empty((len(ids), self.size), np.float32)

        def work(part: slice, threads: int) -> bool:
            self._kernels.feed(self._text, ids[part], logits[part], threads)
            return True

        self._pace.run(len(ids), work)
        return logits

    def write(self, uniforms: np.ndarray) -> np.ndarray:
        """Draw a token by each of the uniform numbers and read it; returns their ids.

        Raises ``RnnkitError`` where the network's logits are no finite numbers.
        """
        uniforms = np.ascontiguousarray(uniforms, np.float64)
        out = np.empty(len(uniforms), np.int32)

        def work(part: slice, threads: int) -> bool:
            return self._kernels.generate(self._text, uniforms[part], out[part], threads) == part.stop - part.start

        if not self._pace.run(len(out), work):
            raise RnnkitError(
                "logits were expected to draw a token from, but the network gives numbers that are not finite; "
                "train again with a smaller --lr"
            )
        return out

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iu" or (len(ids) and not 0 <= ids.min() <= ids.max() < self.size):
            raise UsageError(f"ids from 0 to {self.size - 1} were expected, found others")
        return np.ascontiguousarray(ids, np.int32)

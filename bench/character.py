"""One training step of a character model, as ``rnnkit train`` makes it: what the suite and the peer both run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent, Tape
from rnnkit.nn.clipping import factor, norm
from rnnkit.nn.losses import make_loss
from rnnkit.nn.optim import make_optimizer
from rnnkit.nn.threads import single_blas


class Sizes(NamedTuple):
    """Batch rows, steps, characters that there are, width of their vectors, hidden units; the cell and its layers."""

    rows: int
    steps: int
    characters: int = 65
    embedding: int = 64
    hidden: int = 256
    cell: str = "lstm"
    layers: int = 1

    @property
    def tokens(self) -> int:
        """Characters that one step learns from."""
        return self.rows * self.steps


SIZES = {"32x32": Sizes(32, 32), "64x128": Sizes(64, 128)}
"""Many small steps, which learn most from a text, and few large ones."""
LR, CLIP = 2e-3, 1.0
ADAMW = {"b1": 0.9, "b2": 0.99, "decay": 0.05}


class Windows:
    """Pieces of text one after another, ``[steps, rows]`` of characters and of those that follow them.

    Each row reads a part of its own; pieces are views of one array.  Without a text, one piece at random that
    comes again and again.
    """

    def __init__(self, sizes: Sizes, path: str | None = None) -> None:
        if path is None:
            rng = np.random.Generator(np.random.Philox(0))
            self.parts = rng.integers(0, sizes.characters, (sizes.steps + 1, sizes.rows))
        else:
            ids = np.unique(np.array(list(read_text(path))), return_inverse=True)[1]
            length = len(ids) // sizes.rows
            self.parts = np.ascontiguousarray(ids[: length * sizes.rows].reshape(sizes.rows, length).T)
        self.steps = sizes.steps
        self.count = (len(self.parts) - 1) // sizes.steps
        if self.count < 1:
            raise SystemExit(f"{path} is too short for {sizes.rows} rows of {sizes.steps} characters; give another")

    def __getitem__(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        start = n % self.count * self.steps
        stop = start + self.steps
        return self.parts[start:stop], self.parts[start + 1 : stop + 1]


def read_text(path: str) -> str:
    """A text in UTF-8, whole."""
    return Path(path).read_text(encoding="utf-8")


class Step:
    """Embedding, recurrent layers, dense, loss, backward, clip, AdamW; ``with step.threads():`` as training runs it."""

    def __init__(
        self,
        sizes: Sizes,
        backend: str = "auto",
        threads: int = 1,
        text: str | None = None,
        **configuration: str,
    ) -> None:
        layers = (
            Embedding(sizes.characters, sizes.embedding),
            Recurrent(sizes.cell, sizes.embedding, sizes.hidden, layers=sizes.layers),
            Dense(sizes.hidden, sizes.characters),
        )
        self.network = Network(Chain(layers), seed=0).configure(backend, threads, **configuration)
        self.windows = Windows(sizes, text)
        self.loss = make_loss("softmax_cross_entropy")
        self.optimizer = make_optimizer("adamw", **ADAMW)
        parameters = self.network.parameters
        self.state = self.optimizer.init(len(parameters), parameters.values.dtype)
        self.decay = parameters.decay_mask()
        self.tape = Tape(seed=0)
        self.t = 0

    @contextmanager
    def threads(self) -> Iterator[None]:
        """NumPy's BLAS on one thread, as in training: the kernels have the others."""
        with single_blas():
            yield

    def gradients(self) -> float:
        """Forward and backward, adding to the gradients; returns the loss in nats per character."""
        self.tape.begin(self.t)
        inputs, targets = self.windows[self.t]
        logits, _ = self.network.forward(inputs, tape=self.tape)
        value, dlogits = self.loss(logits, targets, out=logits, engine=self.network.engine)
        self.network.backward(dlogits, self.tape)
        return value

    def __call__(self) -> float:
        """One whole step; returns the loss before it."""
        value = self.gradients()
        parameters, engine = self.network.parameters, self.network.engine
        self.t += 1
        self.optimizer.step(
            parameters.values,
            parameters.grads,
            self.state,
            LR,
            self.t,
            self.decay,
            scale=factor(norm(parameters.grads, engine), CLIP),
            clear=True,
            engine=engine,
        )
        parameters.touch()
        return value

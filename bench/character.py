"""One training step of a character model, as ``rnnkit train`` makes it: what the suite and the peer both run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent, Tape
from rnnkit.nn.clipping import factor, norm
from rnnkit.nn.losses import make_loss
from rnnkit.nn.optim import make_optimizer
from rnnkit.nn.threads import single_blas


class Sizes(NamedTuple):
    """Batch rows, steps, characters that there are, width of their vectors, hidden units."""

    rows: int
    steps: int
    characters: int = 65
    embedding: int = 64
    hidden: int = 256

    @property
    def tokens(self) -> int:
        """Characters that one step learns from."""
        return self.rows * self.steps


SIZES = {"32x32": Sizes(32, 32), "64x128": Sizes(64, 128)}
"""Many small steps, which learn most from a text, and few large ones."""
LR, CLIP = 2e-3, 1.0
ADAMW = {"b1": 0.9, "b2": 0.99, "decay": 0.05}


def make_batch(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Characters at random, and those that follow them: ``[steps, rows]`` each."""
    rng = np.random.Generator(np.random.Philox(0))
    text = rng.integers(0, sizes.characters, (sizes.steps + 1, sizes.rows))
    return text[:-1].copy(), text[1:].copy()


class Step:
    """Embedding, LSTM, dense, loss, backward, clip, AdamW; ``with step.threads():`` as training runs it."""

    def __init__(self, sizes: Sizes, backend: str = "auto", threads: int = 1) -> None:
        layers = (
            Embedding(sizes.characters, sizes.embedding),
            Recurrent("lstm", sizes.embedding, sizes.hidden),
            Dense(sizes.hidden, sizes.characters),
        )
        self.network = Network(Chain(layers), seed=0).configure(backend, threads)
        self.inputs, self.targets = make_batch(sizes)
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
        logits, _ = self.network.forward(self.inputs, tape=self.tape)
        value, dlogits = self.loss(logits, self.targets, out=logits, engine=self.network.engine)
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

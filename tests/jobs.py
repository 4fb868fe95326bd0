"""Small jobs for the training loop: tiny data, every cell, no files read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from rnnkit.cells import get_cell
from rnnkit.job import Batch, Plan
from rnnkit.modelfile import ModelMeta
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent
from rnnkit.nn.losses import make_loss

SYMBOLS = 6


class TinyJob:
    """Next symbol of a fixed sequence, state carried between steps; two stages, as a forecaster has."""

    fingerprint = "tiny"

    def __init__(self, cell="gru", stages=("fit", "final"), backend="auto", threads=1, dropout=0.2, **plan):
        self.cell, self.stages, self.backend, self.threads, self.dropout = cell, stages, backend, threads, dropout
        self.plan = Plan(**{"steps": 6, "evaluate_every": 2, "lr": 0.05, **plan})
        self.options = {"cell": cell}
        self.loss = make_loss("softmax_cross_entropy")
        self.ids = np.random.default_rng(0).integers(0, SYMBOLS, (200, 5))

    def network(self):
        masked = self.dropout if get_cell(self.cell).recurrent else 0.0
        parts = (
            Embedding(SYMBOLS, 4),
            Recurrent(self.cell, 4, 7, layers=2, dropout=self.dropout, recurrent_dropout=masked),
            Dropout(self.dropout),
            Dense(7, SYMBOLS),
        )
        return Network(Chain(parts), seed=self.plan.seed).configure(self.backend, self.threads)

    def batch(self, stage, step):
        at = 4 * (step % 40) + 10 * self.stages.index(stage)
        return Batch(self.ids[at : at + 4], self.ids[at + 1 : at + 5], fresh=step % 3 == 0)

    def select(self, network):
        y, _ = network.forward(self.ids[180:190])
        return self.loss(y, self.ids[181:191])[0]

    def judge(self, network, stage, report):
        return {"metrics": {"loss": self.select(network)}}

    def last_stage(self, best_step):
        return self.plan.steps, best_step

    def budget(self, seconds, per_step, per_select):
        return msgspec.structs.replace(self.plan, steps=7)

    def memory(self, network):
        return network.parameters.values.nbytes

    def spared(self, network):
        return 0

    def meta(self, report, network):
        return ModelMeta("tiny", network.describe(), {}, self.options, report)

    def data(self):
        return {}


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one_by_one(layer, x):
    """What a layer gives for the steps of ``x [T,B,I]`` one at a time, its state carried on, and the last state."""
    state, rows = None, []
    for t in range(len(x)):
        y, state = layer.forward(x[t : t + 1], state)
        rows.append(y[0])
    return rows, state

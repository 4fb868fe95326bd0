"""The character model's training step here and in PyTorch, from the same weights, in alternation.

    python bench/torch_peer.py [--threads N] [--seconds S] [--backend NAME]

Each has a process of its own.  Before anything is timed, loss and gradients of the first step must agree,
and so must the weights after three.  PyTorch has its fused AdamW; its LSTM's second bias, which adds
nothing, stays at 0 and is not learned, so that both sides have the same parameters.  ``bfloat16`` is PyTorch
under autocast: faster where the processor has such products, and not the same arithmetic.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from character import ADAMW, CLIP, LR, SIZES, Sizes, Step

from rnnkit.benchmark import Timing, alternate
from rnnkit.contestants import TOLERANCE
from rnnkit.errors import RnnkitError
from rnnkit.lanes import open_lanes
from rnnkit.nn.threads import resolve

AFTER = "after three steps"


class OurStep:
    """rnnkit's step."""

    def __init__(self, sizes: Sizes, backend: str, threads: int) -> None:
        self.step = Step(sizes, backend, threads)

    def train(self) -> float:
        return self.step()

    def results(self) -> dict[str, np.ndarray]:
        """Loss and gradients of the first step, weights after three."""
        parameters = self.step.network.parameters
        found = {"the loss": np.array(self.step.gradients())}
        found |= {f"the gradient of {name}": parameters.grad(name).copy() for name in parameters}
        parameters.clear()
        for _ in range(3):
            self.step()
        return found | {f"{name} {AFTER}": value.copy() for name, value in parameters.arrays().items()}


class TorchStep:
    """The same step in PyTorch, beginning with the same weights."""

    def __init__(self, sizes: Sizes, threads: int, bfloat16: bool = False) -> None:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        step = Step(sizes, "numpy")
        self.torch = torch
        self.bfloat16 = bfloat16
        self.embedding = torch.nn.Embedding(sizes.characters, sizes.embedding)
        self.lstm = torch.nn.LSTM(sizes.embedding, sizes.hidden)
        self.dense = torch.nn.Linear(sizes.hidden, sizes.characters)
        self.inputs, self.targets = torch.tensor(step.inputs), torch.tensor(step.targets)
        second = self.lstm.bias_hh_l0
        with torch.no_grad():
            second.zero_()
            theirs = self.ours()
            for name, value in step.network.parameters.arrays().items():
                theirs[name].copy_(torch.tensor(value))
        second.requires_grad_(False)
        matrices = [self.embedding.weight, self.lstm.weight_ih_l0, self.lstm.weight_hh_l0, self.dense.weight]
        vectors = [self.lstm.bias_ih_l0, self.dense.bias]
        self.learned = matrices + vectors
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": ADAMW["decay"]}, {"params": vectors, "weight_decay": 0.0}],
            lr=LR,
            betas=(ADAMW["b1"], ADAMW["b2"]),
            fused=True,
        )

    def ours(self, grads: bool = False) -> dict[str, Any]:
        """The parameters, or their gradients, by rnnkit's names and in its layout."""

        def view(parameter: Any) -> Any:
            return parameter.grad if grads else parameter.detach()

        return {
            "0.E": view(self.embedding.weight),
            "1.l0.W": view(self.lstm.weight_ih_l0).T,
            "1.l0.R": view(self.lstm.weight_hh_l0).T,
            "1.l0.b": view(self.lstm.bias_ih_l0),
            "2.W": view(self.dense.weight).T,
            "2.b": view(self.dense.bias),
        }

    def gradients(self) -> float:
        """Forward and backward; returns the loss in nats per character."""
        torch = self.torch
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            hidden, _ = self.lstm(self.embedding(self.inputs))
            logits = self.dense(hidden)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), self.targets.flatten())
        loss.backward()
        return float(loss.detach())

    def train(self) -> float:
        """One whole step; returns the loss before it."""
        value = self.gradients()
        self.torch.nn.utils.clip_grad_norm_(self.learned, CLIP)
        self.optimizer.step()
        return value

    def results(self) -> dict[str, np.ndarray]:
        """As ``OurStep.results``, by the same names and in the same layout."""
        found = {"the loss": np.array(self.gradients())}
        found |= {f"the gradient of {name}": grad.numpy().copy() for name, grad in self.ours(grads=True).items()}
        for _ in range(3):
            self.train()
        return found | {f"{name} {AFTER}": value.numpy().copy() for name, value in self.ours().items()}


def check_equal(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    """``RnnkitError`` unless loss and gradients of the first step and weights after three agree."""
    for name, expected in theirs.items():
        # Adam divides by the size of a gradient, so where that is next to nothing rounding decides the direction.
        tolerance = TOLERANCE * (10 if name.endswith(AFTER) else 1)
        error = float(np.abs(ours[name] - expected).max()) / float(np.abs(expected).max())
        if not error <= tolerance:
            raise RnnkitError(f"{name} should be PyTorch's, but is off by {error:.1e} where {tolerance:.0e} is allowed")


def show(label: str, sizes: Sizes, timings: Mapping[str, Timing]) -> None:
    """One line for each side."""
    for name, timing in timings.items():
        low, high = (1e3 * bound for bound in timing.quartiles)
        rate, ratio = sizes.tokens / timing.median, timing.times(timings["torch"])
        print(f"{label:8}{name:18}{1e3 * timing.median:8.2f}{f'{low:.2f}–{high:.2f}':>18}{rate:15,.0f}{ratio:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="A character model's training step: rnnkit and PyTorch.")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each size")
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    threads = resolve(options.threads)
    print(f"{'batch':8}{'':18}{'ms':>8}{'quartiles':>18}{'characters/s':>15}{'× torch':>9}")
    makers: dict[str, Any] = {
        "rnnkit": partial(OurStep, backend=options.backend, threads=threads),
        "torch": partial(TorchStep, threads=threads),
        "torch bfloat16": partial(TorchStep, threads=threads, bfloat16=True),
    }
    with open_lanes(makers, threads=1) as lanes:  # of NumPy's BLAS, as in training: the kernels have the others
        for label, sizes in SIZES.items():
            for name, lane in lanes.items():
                lane.ask("hold", makers[name], sizes)
            check_equal(*(lanes[name].ask("call", "results") for name in ("rnnkit", "torch")))
            timings = alternate(
                {name: partial(lane.ask, "sample", "train") for name, lane in lanes.items()}, seconds=options.seconds
            )
            show(label, sizes, timings)


if __name__ == "__main__":
    main()

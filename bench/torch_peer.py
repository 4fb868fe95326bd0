"""The character model's training step here and in PyTorch, from the same weights, in alternation.

    python bench/torch_peer.py [--threads N] [--seconds S] [--backend NAME]

Before anything is timed, loss and gradients of the first step must agree, and so must the weights
after three.  PyTorch has its fused AdamW; its LSTM's second bias, which adds nothing, stays at 0
and is not learned, so that both sides have the same parameters.  ``bfloat16`` is PyTorch under
autocast: faster where the processor has such products, and not the same arithmetic.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from character import ADAMW, CLIP, LR, SIZES, Sizes, Step

from rnnkit.benchmark import alternate, pools
from rnnkit.contestants import TOLERANCE
from rnnkit.errors import RnnkitError
from rnnkit.nn.threads import resolve


class TorchStep:
    """The same step in PyTorch, beginning with the weights of ``step``."""

    def __init__(self, step: Step, sizes: Sizes, bfloat16: bool = False) -> None:
        import torch

        self.torch: Any = torch
        self.bfloat16 = bfloat16
        self.embedding = torch.nn.Embedding(sizes.characters, sizes.embedding)
        self.lstm = torch.nn.LSTM(sizes.embedding, sizes.hidden)
        self.dense = torch.nn.Linear(sizes.hidden, sizes.characters)
        self.inputs, self.targets = torch.tensor(step.inputs), torch.tensor(step.targets)
        second = self.lstm.bias_hh_l0
        with torch.no_grad():
            second.zero_()
            for ours, theirs in self.pairs(step.network.parameters.arrays()):
                theirs.copy_(torch.tensor(ours))
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

    def pairs(self, arrays: dict[str, np.ndarray]) -> list[tuple[np.ndarray, Any]]:
        """Each of our arrays, in PyTorch's layout, with the parameter that it is."""
        lstm, dense = self.lstm, self.dense
        return [
            (arrays["0.E"], self.embedding.weight),
            (arrays["1.l0.W"].T, lstm.weight_ih_l0),
            (arrays["1.l0.R"].T, lstm.weight_hh_l0),
            (arrays["1.l0.b"], lstm.bias_ih_l0),
            (arrays["2.W"].T, dense.weight),
            (arrays["2.b"], dense.bias),
        ]

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

    def __call__(self) -> float:
        """One whole step; returns the loss before it."""
        value = self.gradients()
        self.torch.nn.utils.clip_grad_norm_(self.learned, CLIP)
        self.optimizer.step()
        return value


def check_equal(step: Step, peer: TorchStep) -> None:
    """``RnnkitError`` unless loss and gradients of the first step and weights after three agree."""
    ours, theirs = step.gradients(), peer.gradients()
    _close("the loss", np.array(ours), np.array(theirs))
    parameters = step.network.parameters
    grads = {name: parameters.grad(name) for name in parameters}
    for name, (mine, parameter) in zip(grads, peer.pairs(grads), strict=True):
        _close(f"the gradient of {name}", mine, parameter.grad.numpy())
    for _ in range(3):
        step()
        peer()
    # Adam divides by the size of a gradient, so where that is next to nothing rounding decides the direction.
    for name, (mine, parameter) in zip(grads, peer.pairs(parameters.arrays()), strict=True):
        _close(f"{name} after three steps", mine, parameter.detach().numpy(), 10 * TOLERANCE)


def _close(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    error = float(np.abs(found - expected).max()) / float(np.abs(expected).max())
    if not error <= tolerance:
        raise RnnkitError(f"{what} should be PyTorch's, but is off by {error:.1e} where {tolerance:.0e} is allowed")


def main() -> None:
    parser = argparse.ArgumentParser(description="A character model's training step: rnnkit and PyTorch.")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each size")
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    threads = resolve(options.threads)
    print(f"{'batch':8}{'':18}{'ms':>8}{'quartiles':>18}{'characters/s':>15}{'× torch':>9}")
    for label, sizes in SIZES.items():
        step = Step(sizes, options.backend, threads)
        with pools(threads, ("torch",)), step.threads():
            peer = TorchStep(step, sizes)
            check_equal(step, peer)
            timings = alternate(
                {"rnnkit": step, "torch": peer, "torch bfloat16": TorchStep(step, sizes, bfloat16=True)},
                seconds=options.seconds,
            )
        for name, timing in timings.items():
            low, high = (1e3 * bound for bound in timing.quartiles)
            rate, ratio = sizes.tokens / timing.median, timing.times(timings["torch"])
            print(f"{label:8}{name:18}{1e3 * timing.median:8.2f}{f'{low:.2f}–{high:.2f}':>18}{rate:15,.0f}{ratio:9.2f}")


if __name__ == "__main__":
    main()

"""Character models in training, here and in PyTorch, from the same weights, in alternation.

    python bench/torch_peer.py [--cell lstm,gru] [--sizes 1x128,2x256] [--batch 64x128,32x32] [--text FILE]
                               [--threads N] [--seconds S] [--backend NAME] [--json]

Embedding of 64, recurrent layers, dense, loss, backward, clipping, AdamW: everything that a training step does.
Each side has a process of its own.  Before anything is timed, loss and gradients of the first step must agree,
and so must the weights after three.  PyTorch has its fused AdamW; of its second bias only the part of the GRU that
rnnkit has too (``bn``) is learned, the rest stays at 0, so that both sides have the same parameters.

``torch bfloat16`` is PyTorch at its fastest: the layers are called with tensors in bfloat16, made from float32
weights at every step, and the loss is in float32.  ``rnnkit bfloat16`` is the same arithmetic here, where it exists.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from character import ADAMW, CLIP, LR, Sizes, Step, Windows, read_text

from rnnkit.benchmark import Timing, alternate
from rnnkit.cells import get_cell
from rnnkit.contestants import TOLERANCE
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import open_lanes
from rnnkit.nn import Network
from rnnkit.nn.threads import resolve

AFTER = "after three steps"
HALF = "bfloat16"


class OurStep:
    """rnnkit's step."""

    def __init__(self, sizes: Sizes, text: str | None, threads: int, backend: str = "auto", **more: str) -> None:
        self.step = Step(sizes, backend, threads, text, **more)

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

    def __init__(self, sizes: Sizes, text: str | None, threads: int, half: bool = False) -> None:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        self.torch, self.half, self.sizes = torch, half, sizes
        self.windows = Windows(sizes, text)
        self.t = 0
        self.embedding = torch.nn.Embedding(sizes.characters, sizes.embedding)
        self.layers = getattr(torch.nn, sizes.cell.upper())(sizes.embedding, sizes.hidden, sizes.layers)
        self.dense = torch.nn.Linear(sizes.hidden, sizes.characters)
        self.run = getattr(torch, f"{sizes.cell}_tanh" if sizes.cell == "rnn" else sizes.cell)
        seconds = [getattr(self.layers, f"bias_hh_l{n}") for n in range(sizes.layers)]
        with torch.no_grad():
            for second in seconds:
                second.zero_()
            theirs = self.ours()
            for name, value in Step(sizes, "numpy").network.parameters.arrays().items():
                theirs[name].copy_(torch.tensor(value))
        if sizes.cell == "gru":
            for second in seconds:  # r and z have one bias, n has two
                second.register_hook(lambda grad: torch.cat([0 * grad[: -sizes.hidden], grad[-sizes.hidden :]]))
        else:
            for second in seconds:
                second.requires_grad_(False)
        modules = (self.embedding, self.layers, self.dense)
        self.learned = [p for module in modules for p in module.parameters() if p.requires_grad]
        matrices, vectors = ([p for p in self.learned if (p.ndim > 1) == wide] for wide in (True, False))
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

        found = {"0.E": view(self.embedding.weight)}
        for n in range(self.sizes.layers):
            found[f"1.l{n}.W"] = view(getattr(self.layers, f"weight_ih_l{n}")).T
            found[f"1.l{n}.R"] = view(getattr(self.layers, f"weight_hh_l{n}")).T
            found[f"1.l{n}.b"] = view(getattr(self.layers, f"bias_ih_l{n}"))
            if self.sizes.cell == "gru":
                found[f"1.l{n}.bn"] = view(getattr(self.layers, f"bias_hh_l{n}"))[-self.sizes.hidden :]
        return found | {"2.W": view(self.dense.weight).T, "2.b": view(self.dense.bias)}

    def logits(self, inputs: Any) -> Any:
        """Scores of every next character, in float32."""
        torch = self.torch
        x = self.embedding(inputs)
        if not self.half:
            return self.dense(self.layers(x)[0])
        zero = torch.zeros(self.sizes.layers, self.sizes.rows, self.sizes.hidden, dtype=torch.bfloat16)
        weights = [weight.to(torch.bfloat16) for weight in self.layers.parameters()]
        first = (zero, zero) if self.sizes.cell == "lstm" else zero
        hidden = self.run(x.to(torch.bfloat16), first, weights, True, self.sizes.layers, 0.0, True, False, False)[0]
        dense = [weight.to(torch.bfloat16) for weight in self.dense.parameters()]
        return torch.nn.functional.linear(hidden, *dense).float()

    def gradients(self) -> float:
        """Forward and backward; returns the loss in nats per character."""
        torch = self.torch
        self.optimizer.zero_grad()
        inputs, targets = map(torch.from_numpy, self.windows[self.t])
        logits = self.logits(inputs)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        return float(loss.detach())

    def train(self) -> float:
        """One whole step; returns the loss before it."""
        value = self.gradients()
        self.torch.nn.utils.clip_grad_norm_(self.learned, CLIP)
        self.optimizer.step()
        self.t += 1
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


def check_loss(name: str, loss: float, expected: float) -> None:
    """``RnnkitError`` unless the first loss is that of float32 to what bfloat16 may cost, 0.01 nats."""
    if not abs(loss - expected) <= 0.01:
        raise RnnkitError(f"{name} begins with a loss of {loss:.4f} where float32 has {expected:.4f}")


def contestants(threads: int, backend: str) -> dict[str, Any]:
    """Name → maker of a step from sizes and a text; rnnkit's bfloat16 where this build and processor have it."""
    found = {
        "rnnkit": partial(OurStep, threads=threads, backend=backend),
        "torch": partial(TorchStep, threads=threads),
        f"torch {HALF}": partial(TorchStep, threads=threads, half=True),
    }
    if "precision" in inspect.signature(Network.configure).parameters:
        maker = partial(OurStep, threads=threads, backend=backend, precision=HALF)
        try:
            maker(Sizes(1, 1, hidden=16), None).train()
        except UsageError as error:
            print(f"left out: {error}")
        else:
            found[f"rnnkit {HALF}"] = maker
    return found


def pair(text: str, what: str) -> tuple[int, int]:
    """``"64x128"`` as two whole numbers of at least 1."""
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise SystemExit(f"{what} is two whole numbers of at least 1 such as 64x128, not {text!r}")
    return int(parts[0]), int(parts[1])


def show(sizes: Sizes, timings: Mapping[str, Timing]) -> None:
    """One line for each side."""
    model, batch = f"{sizes.cell} {sizes.layers}x{sizes.hidden}", f"{sizes.rows}x{sizes.steps}"
    for name, timing in timings.items():
        low, high = (1e3 * bound for bound in timing.quartiles)
        ratio = timing.times(timings["torch"])
        print(
            f"{model:12}{batch:8}{name:16}{1e3 * timing.median:8.1f}{f'{low:.1f}–{high:.1f}':>15}"
            f"{sizes.tokens / timing.median:13,.0f}{ratio:8.2f}",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Character models in training: rnnkit and PyTorch.")
    parser.add_argument("--cell", default="lstm", help="cells, separated by commas (default lstm)")
    parser.add_argument("--sizes", default="1x256", help="layers x hidden units, by commas: 1x128,1x256,2x256,1x512")
    parser.add_argument("--batch", default="64x128", help="rows x steps, by commas (default 64x128)")
    parser.add_argument("--text", help="text to learn from (default: characters at random)")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each model")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    threads = resolve(options.threads)
    for cell in options.cell.split(","):
        if not get_cell(cell).recurrent:
            parser.error(f"--cell names cells that PyTorch has a layer of, and {cell} is none; leave it out")
    characters = len(set(read_text(options.text))) if options.text else 65
    makers = contestants(threads, options.backend)
    chosen = (options.cell, options.sizes, options.batch)
    models = [
        Sizes(*pair(batch, "--batch"), characters=characters, hidden=hidden, cell=cell, layers=layers)
        for cell, size, batch in itertools.product(*(each.split(",") for each in chosen))
        for layers, hidden in [pair(size, "--sizes")]
    ]
    results = []
    if not options.json:
        print(f"{'model':12}{'batch':8}{'':16}{'ms':>8}{'quartiles':>15}{'characters/s':>13}{'× torch':>8}")
    with open_lanes(makers, threads=1) as lanes:  # of NumPy's BLAS, as in training: the kernels have the others
        for sizes in models:
            for name, lane in lanes.items():
                lane.ask("hold", makers[name], sizes, options.text)
            found = {name: lane.ask("call", "results") for name, lane in lanes.items()}
            check_equal(found["rnnkit"], found["torch"])
            for name in found:
                check_loss(name, float(found[name]["the loss"]), float(found["torch"]["the loss"]))
            timings = alternate(
                {name: partial(lane.ask, "sample", "train") for name, lane in lanes.items()}, seconds=options.seconds
            )
            results += [
                {**sizes._asdict(), "by": name, "seconds": timing.median, "times_torch": timing.times(timings["torch"])}
                for name, timing in timings.items()
            ]
            if not options.json:
                show(sizes, timings)
    if options.json:
        print(json.dumps({"threads": threads, "results": results}))


if __name__ == "__main__":
    main()

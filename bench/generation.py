"""Characters a second of writing on at batch 1, sampling included: here, in PyTorch and in ONNX Runtime.

    python bench/generation.py [--threads N] [--seconds S] [--hidden 128,256,512]

Each has a process of its own and the same weights: an embedding of 64, an LSTM, logits for 65 characters, temperature
0.8.  PyTorch runs twice, with its LSTM called step by step and with a cell written by hand; ONNX Runtime runs a graph
of one step.  Both draw with NumPy.  Before anything is timed, all must give equal logits for the same
characters, and with the same random numbers draw the same; rnnkit's bfloat16 and int8 weights are other numbers, whose
cost in nats ``rnnkit quantize`` measures.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.benchmark import alternate
from rnnkit.errors import RnnkitError
from rnnkit.lanes import open_lanes
from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent
from rnnkit.nn.generation import Writer
from rnnkit.nn.threads import resolve
from rnnkit.tasks.sampling import Sampler

CHARACTERS, EMBEDDING, TEMPERATURE = 65, 64, 0.8
CHECKED = 40
"""Characters that all must read alike and draw alike."""
PIECE = 256
"""Characters of a timed call."""
TOLERANCE = {"rnnkit bfloat16": 0.02, "rnnkit int8": 0.05}
"""Largest difference of logits, relative to their scale, where it is not that of float32 (1e-4)."""


def make_network(hidden: int) -> Network:
    """The model, its weights at random and wide enough for the logits to tell characters apart."""
    layers = (Embedding(CHARACTERS, EMBEDDING), Recurrent("lstm", EMBEDDING, hidden), Dense(hidden, CHARACTERS))
    network = Network(Chain(layers), seed=0)
    network.parameters.value("2.W")[...] *= 4
    network.parameters.touch()
    return network


def draw(logits: np.ndarray, uniform: float) -> int:
    """The next character by a number in [0, 1), as one would write it in NumPy."""
    p = np.exp((logits - logits.max()) / TEMPERATURE)
    return int(np.searchsorted(np.cumsum(p), uniform * p.sum(), side="right"))


class Ours:
    """rnnkit's loop."""

    def __init__(self, hidden: int, weights: str, threads: int) -> None:
        network = make_network(hidden).configure("auto", threads)
        self.sampler = Sampler(TEMPERATURE)
        self.writer, self.checked = (Writer(network, n, self.sampler.rules, weights) for n in (10**7, 2 * CHECKED))
        self.writer.feed(np.zeros(1, np.int32))

    def write(self) -> None:
        self.writer.write(self.sampler.uniforms(PIECE))

    def results(self) -> dict[str, np.ndarray]:
        logits = self.checked.logits(np.arange(CHECKED))
        return {"logits": logits, "drawn": self.checked.write(np.random.default_rng(1).random(CHECKED))}


class Peer:
    """A model that takes one character and gives logits; ``step`` and ``state`` are its own."""

    state: Any

    def step(self, character: int) -> np.ndarray:
        raise NotImplementedError

    def fresh(self) -> Any:
        raise NotImplementedError

    def loop(self, logits: np.ndarray, uniforms: np.ndarray) -> list[int]:
        found = []
        for uniform in uniforms:
            found.append(draw(logits, uniform))
            logits = self.step(found[-1])
        self.logits = logits
        return found

    def write(self) -> None:
        self.loop(self.logits, self.rng.random(PIECE))

    def results(self) -> dict[str, np.ndarray]:
        self.rng, self.state = np.random.default_rng(0), self.fresh()
        logits = np.stack([self.step(character) for character in range(CHECKED)])
        return {"logits": logits, "drawn": np.array(self.loop(logits[-1], np.random.default_rng(1).random(CHECKED)))}


class Torch(Peer):
    """PyTorch: ``nn.LSTM`` step by step, or its equations written out."""

    def __init__(self, hidden: int, threads: int, by_hand: bool) -> None:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        arrays = {k: torch.tensor(v) for k, v in make_network(hidden).parameters.arrays().items()}
        self.torch, self.hidden, self.by_hand = torch, hidden, by_hand
        self.embedding, self.W, self.b = arrays["0.E"], arrays["2.W"].T.contiguous(), arrays["2.b"]
        self.gates = torch.cat([arrays["1.l0.W"], arrays["1.l0.R"]]).T.contiguous()
        self.bias = arrays["1.l0.b"]
        self.lstm = torch.nn.LSTM(EMBEDDING, hidden)
        with torch.no_grad():
            self.lstm.weight_ih_l0.copy_(arrays["1.l0.W"].T)
            self.lstm.weight_hh_l0.copy_(arrays["1.l0.R"].T)
            self.lstm.bias_ih_l0.copy_(self.bias)
            self.lstm.bias_hh_l0.zero_()

    def fresh(self) -> Any:
        shape = (self.hidden,) if self.by_hand else (1, 1, self.hidden)
        return self.torch.zeros(shape), self.torch.zeros(shape)

    def step(self, character: int) -> np.ndarray:
        torch, linear = self.torch, self.torch.nn.functional.linear
        with torch.inference_mode():
            x = self.embedding[character]
            if self.by_hand:
                h, c = self.state
                i, f, g, o = linear(torch.cat([x, h]), self.gates, self.bias).chunk(4)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                self.state = h, c
            else:
                y, self.state = self.lstm(x.view(1, 1, -1), self.state)
                h = y.view(-1)
            return linear(h, self.W, self.b).numpy()


class OnnxRuntime(Peer):
    """ONNX Runtime: one run of a graph of gather, LSTM and matrix product per character."""

    def __init__(self, hidden: int, threads: int) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        with tempfile.TemporaryDirectory() as folder:
            path = os.fspath(Path(folder, "step.onnx"))
            save_graph(path, make_network(hidden).parameters.arrays(), hidden)
            self.session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.hidden = hidden

    def fresh(self) -> Any:
        return np.zeros((1, 1, self.hidden), np.float32), np.zeros((1, 1, self.hidden), np.float32)

    def step(self, character: int) -> np.ndarray:
        h, c = self.state
        logits, *self.state = self.session.run(None, {"id": np.array([[character]]), "h": h, "c": c})
        return logits.reshape(-1)


def save_graph(path: str, arrays: dict[str, np.ndarray], hidden: int) -> None:
    """One step as an ONNX file; its gates stand in the order i o f g."""
    onnx: Any = importlib.import_module("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT

    def turned(matrix: np.ndarray) -> np.ndarray:
        i, f, g, o = np.split(matrix, 4, axis=-1)
        return np.ascontiguousarray(np.concatenate([i, o, f, g], axis=-1).T)[None]

    bias = np.concatenate([turned(arrays["1.l0.b"]), np.zeros((1, 4 * hidden), np.float32)], axis=1)
    constants = {
        "E": arrays["0.E"],
        "W": turned(arrays["1.l0.W"]),
        "R": turned(arrays["1.l0.R"]),
        "B": bias,
        "D": arrays["2.W"],
        "d": arrays["2.b"],
        "flat": np.array([1, hidden]),
    }
    state = [1, 1, hidden]
    nodes = [
        helper.make_node("Gather", ["E", "id"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h1", "c1"], hidden_size=hidden),
        helper.make_node("Reshape", ["h1", "flat"], ["y"]),
        helper.make_node("Gemm", ["y", "D", "d"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "step",
        [
            helper.make_tensor_value_info("id", onnx.TensorProto.INT64, [1, 1]),
            *(helper.make_tensor_value_info(name, real, state) for name in ("h", "c")),
        ],
        [
            helper.make_tensor_value_info("logits", real, [1, CHARACTERS]),
            *(helper.make_tensor_value_info(name, real, state) for name in ("h1", "c1")),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def check(name: str, found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """``RnnkitError`` unless the logits are equal and, in float32, the characters drawn are."""
    error = float(np.abs(found["logits"] - expected["logits"]).max() / np.abs(expected["logits"]).max())
    allowed = TOLERANCE.get(name, 1e-4)
    same = name in TOLERANCE or np.array_equal(found["drawn"], expected["drawn"])
    if not (error <= allowed and same):
        raise RnnkitError(
            f"{name} should give PyTorch's logits to {allowed:.0e} and draw alike, but is off by {error:.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Characters a second: rnnkit, PyTorch, ONNX Runtime.")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each size")
    parser.add_argument("--hidden", default="128,256,512")
    options = parser.parse_args()
    threads = resolve(options.threads)
    makers: dict[str, Any] = {
        "rnnkit float32": partial(Ours, weights="float32", threads=threads),
        "rnnkit bfloat16": partial(Ours, weights="bfloat16", threads=threads),
        "rnnkit int8": partial(Ours, weights="int8", threads=threads),
        "torch": partial(Torch, threads=threads, by_hand=False),
        "torch by hand": partial(Torch, threads=threads, by_hand=True),
        "onnxruntime": partial(OnnxRuntime, threads=threads),
    }
    print(f"{'hidden':8}{'':18}{'characters/s':>14}{'quartiles':>22}{'× onnxruntime':>16}{'× torch':>9}")
    with open_lanes(makers, threads=threads) as lanes:
        for hidden in map(int, options.hidden.split(",")):
            for name, lane in lanes.items():
                lane.ask("hold", makers[name], hidden)
            results = {name: lane.ask("call", "results") for name, lane in lanes.items()}
            for name, found in results.items():
                check(name, found, results["torch"])
            calls = {name: partial(lane.ask, "sample", "write") for name, lane in lanes.items()}
            timings = alternate(calls, seconds=options.seconds)
            for name, timing in timings.items():
                high, low = (PIECE / bound for bound in timing.quartiles)
                against = (timing.times(timings[peer]) for peer in ("onnxruntime", "torch"))
                ratios = "".join(f"{ratio:{width}.1f}" for ratio, width in zip(against, (16, 9), strict=True))
                spread = f"{low:,.0f}–{high:,.0f}"
                print(f"{hidden:<8}{name:18}{PIECE / timing.median:14,.0f}{spread:>22}{ratios}", flush=True)


if __name__ == "__main__":
    main()

"""Other people's layers, for comparison; never needed, and imported only in the lanes that hold them.

Notation as in ``rnnkit.contestants``.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rnnkit.contestants import WORKS, Problem


def scan(torch: Any, keep: Any, add: Any, first: Any) -> Any:
    """h_t = keep_t ⊙ h_{t−1} + add_t ``[T,B,H]`` from ``first [B,H]`` on, in log₂ T sweeps (Hillis & Steele 1986)."""
    add = torch.cat([add[:1] + keep[:1] * first, add[1:]])
    reach = 1
    while reach < len(add):
        add = torch.cat([add[:reach], add[reach:] + keep[reach:] * add[:-reach]])
        keep = torch.cat([keep[:reach], keep[reach:] * keep[:-reach]])
        reach *= 2
    return add


class TorchRun:
    """PyTorch's layer with the same weights; its second bias is 0 but for the reset-after GRU's ``bn``.

    It has none of the cells without R: they are a linear layer, then PyTorch's operators and ``scan``.

    Sets PyTorch's number of threads, for good.
    """

    title = "PyTorch"
    packages = ("torch",)
    works = WORKS

    def __init__(self, problem: Problem, threads: int) -> None:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(threads)
        _, _, I, H = problem.shape  # noqa: E741
        self.torch, self.problem = torch, problem
        recurrent = problem.cell.recurrent
        layer = (
            getattr(torch.nn, problem.cell.name.upper())(I, H)
            if recurrent
            else torch.nn.Linear(I, len(problem.params["b"]))
        )
        self.names = (
            {"W": "weight_ih_l0", "R": "weight_hh_l0", "b": "bias_ih_l0"} if recurrent else {"W": "weight", "b": "bias"}
        )
        second = np.zeros_like(problem.params["b"])
        if "bn" in problem.params:
            second[-H:] = problem.params["bn"]
        with torch.no_grad():
            for ours, theirs in self.names.items():
                getattr(layer, theirs).copy_(torch.tensor(problem.params[ours].T))
            if recurrent:
                layer.bias_hh_l0.copy_(torch.tensor(second))
        self.layer = layer
        self.x = torch.tensor(problem.x, requires_grad=True)
        self.first = tuple(torch.tensor(first[None], requires_grad=True) for first in problem.first)
        self.dy = torch.tensor(problem.dy)
        self.dlast = tuple(torch.tensor(last[None]) for last in problem.dlast)

    def _forward(self) -> tuple[Any, tuple[Any, ...]]:
        if not self.problem.cell.recurrent:
            return self._minimal()
        first = self.first if len(self.first) > 1 else self.first[0]
        y, last = self.layer(self.x, first)
        return y, last if len(self.first) > 1 else (last,)

    def _minimal(self) -> tuple[Any, tuple[Any, ...]]:
        torch = self.torch
        *gates, n = self.layer(self.x).chunk(len(self.problem.cell.gates), -1)
        if len(gates) == 1:
            keep, take = torch.sigmoid(-gates[0]), torch.sigmoid(gates[0])
        else:
            soft = torch.nn.functional.softplus
            log_ratio = soft(-gates[1]) - soft(-gates[0])
            keep, take = torch.sigmoid(log_ratio), torch.sigmoid(-log_ratio)
        y = scan(torch, keep, take * n, self.first[0][0])
        return y, (y[-1:],)

    def infer(self) -> Any:
        with self.torch.inference_mode():
            return self._forward()

    def train(self) -> Any:
        y, last = self._forward()
        wanted = (self.x, *self.first, *self.layer.parameters())
        return y, last, self.torch.autograd.grad((y, *last), wanted, (self.dy, *self.dlast))

    def results(self) -> dict[str, np.ndarray]:
        found = {"h of inference": self.infer()[0].numpy()}
        y, last, grads = self.train()
        names = self.problem.cell.states
        dx, *rest = (grad.numpy() for grad in grads)
        dfirst = rest[: len(names)]
        by_name = dict(zip((name for name, _ in self.layer.named_parameters()), rest[len(names) :], strict=True))
        found["h"] = y.detach().numpy()
        found |= {f"last {name}": state.detach().numpy()[0] for name, state in zip(names, last, strict=True)}
        found |= {f"gradient of first {name}": grad[0] for name, grad in zip(names, dfirst, strict=True)}
        found["gradient of x"] = dx
        found |= {f"gradient of {ours}": by_name[theirs].T for ours, theirs in self.names.items()}
        if "bn" in self.problem.params:
            found["gradient of bn"] = by_name["bias_hh_l0"][-self.problem.shape.H :]
        return found


class OnnxRun:
    """ONNX Runtime's operator with the same weights, in a model of one node: inference only.

    Gates go from rnnkit's order to that of the ONNX operators (LSTM i o f c, GRU z r h); ``Wb`` is ``b``, ``Rb`` is 0
    but for the reset-after GRU's ``bn``.  Inputs and outputs are bound once, so that nothing is copied.
    """

    title = "ONNX Runtime"
    packages = ("onnxruntime", "onnx")
    works = ("infer",)
    order = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # noqa: RUF012 - never changed
    """For each gate of the operator, its place in rnnkit's order; the cells that there are operators of."""

    def __init__(self, problem: Problem, threads: int) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        self.problem = problem
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors
        self.session = runtime.InferenceSession(
            self._model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.binding = self.session.io_binding()
        self.bound = [runtime.OrtValue.ortvalue_from_numpy(value) for value in self._inputs().values()]
        for name, value in zip(self._inputs(), self.bound, strict=True):
            self.binding.bind_ortvalue_input(name, value)
        for name in self._outputs():
            self.binding.bind_output(name)

    def _inputs(self) -> dict[str, np.ndarray]:
        names = [f"initial {name}" for name in self.problem.cell.states]
        return {"x": self.problem.x, **{n: first[None] for n, first in zip(names, self.problem.first, strict=True)}}

    def _outputs(self) -> list[str]:
        return ["y", *(f"last {name}" for name in self.problem.cell.states)]

    def _weights(self) -> dict[str, np.ndarray]:
        """W ``[1,G·H,I]``, R ``[1,G·H,H]`` and B ``[1,2·G·H]``, the operator's gates one below the other."""
        params, H = self.problem.params, self.problem.shape.H
        second = np.zeros_like(params["b"])
        if "bn" in params:
            second[-H:] = params["bn"]

        def ordered(array: np.ndarray) -> np.ndarray:
            return np.concatenate([array[..., g * H : (g + 1) * H] for g in self.order[self.problem.cell.name]], -1)

        return {
            "W": np.ascontiguousarray(ordered(params["W"]).T[None]),
            "R": np.ascontiguousarray(ordered(params["R"]).T[None]),
            "B": np.concatenate([ordered(params["b"]), ordered(second)])[None],
        }

    def _model(self) -> Any:
        onnx: Any = importlib.import_module("onnx")
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        attributes = {"hidden_size": self.problem.shape.H}
        if self.problem.cell.name == "gru":
            attributes["linear_before_reset"] = 1
        inputs, outputs = self._inputs(), self._outputs()
        feeds = ["x", "W", "R", "B", "", *list(inputs)[1:]]  # "": all rows have all steps
        node = helper.make_node(self.problem.cell.name.upper(), feeds, outputs, **attributes)
        graph = helper.make_graph(
            [node],
            "layer",
            [helper.make_tensor_value_info(name, kind, value.shape) for name, value in inputs.items()],
            [helper.make_tensor_value_info(name, kind, None) for name in outputs],
            [onnx.numpy_helper.from_array(value, name) for name, value in self._weights().items()],
        )
        # The first version of the operators, and of the format, that has all of this: every runtime of today reads it.
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    def infer(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def results(self) -> dict[str, np.ndarray]:
        self.infer()
        y, *last = self.binding.copy_outputs_to_cpu()
        names = self.problem.cell.states
        return {"h of inference": y[:, 0], **{f"last {name}": s[0] for name, s in zip(names, last, strict=True)}}


PEERS: dict[str, type[TorchRun] | type[OnnxRun]] = {"torch": TorchRun, "onnxruntime": OnnxRun}
"""What ``--against`` offers."""


def able(peer: str, cell: str) -> tuple[str, ...]:
    """The kinds of work that a peer can do with a cell; none where it has no such operator."""
    return () if PEERS[peer] is OnnxRun and cell not in OnnxRun.order else PEERS[peer].works


LIMITED: dict[str, dict[str, str]] = {
    "x86-64-v3": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",  # SSE2; what names SSE4 is ignored on processors of other makers
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}
"""Value of ``RNNKIT_ISA`` → what holds PyTorch, its libraries and NumPy's BLAS to the same instructions.

All read it once, when they are loaded.  ONNX Runtime has no such switch."""


def limits() -> dict[str, str]:
    """What must be in the environment of those who are compared, so that all have the instructions of ``RNNKIT_ISA``.

    What the environment has already stays.
    """
    found = LIMITED.get(os.environ.get("RNNKIT_ISA", ""), {})
    return {name: os.environ.get(name, value) for name, value in found.items()}

"""Other people's layers, for comparison; never needed, and imported only in the lanes that hold them.

Notation as in ``rnnkit.contestants``.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rnnkit.contestants import WORKS, Problem


class TorchRun:
    """PyTorch's layer with the same weights; its second bias is 0 but for the reset-after GRU's ``bn``.

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
        layer = getattr(torch.nn, problem.cell.name.upper())(I, H)
        second = np.zeros_like(problem.params["b"])
        if "bn" in problem.params:
            second[-H:] = problem.params["bn"]
        with torch.no_grad():
            for name, value in (
                ("weight_ih_l0", problem.params["W"].T),
                ("weight_hh_l0", problem.params["R"].T),
                ("bias_ih_l0", problem.params["b"]),
                ("bias_hh_l0", second),
            ):
                getattr(layer, name).copy_(torch.tensor(value))
        self.layer = layer
        self.x = torch.tensor(problem.x, requires_grad=True)
        self.first = tuple(torch.tensor(first[None], requires_grad=True) for first in problem.first)
        self.dy = torch.tensor(problem.dy)
        self.dlast = tuple(torch.tensor(last[None]) for last in problem.dlast)

    def _forward(self) -> tuple[Any, tuple[Any, ...]]:
        first = self.first if len(self.first) > 1 else self.first[0]
        y, last = self.layer(self.x, first)
        return y, last if len(self.first) > 1 else (last,)

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
        dfirst, (dW, dR, db, db2) = rest[: len(names)], rest[len(names) :]
        found["h"] = y.detach().numpy()
        found |= {f"last {name}": state.detach().numpy()[0] for name, state in zip(names, last, strict=True)}
        found |= {f"gradient of first {name}": grad[0] for name, grad in zip(names, dfirst, strict=True)}
        found |= {"gradient of x": dx, "gradient of W": dW.T, "gradient of R": dR.T, "gradient of b": db}
        if "bn" in self.problem.params:
            found["gradient of bn"] = db2[-self.problem.shape.H :]
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
    """For each gate of the operator, its place in rnnkit's order."""

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

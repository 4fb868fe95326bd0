"""A network: a tree of layers with its parameters, its threads and its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from rnnkit.nn import threads as threads_
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.layer import Layer, State, layer_from
from rnnkit.nn.memory import Footprint
from rnnkit.nn.parameters import Parameters
from rnnkit.nn.recurrent import Recurrent
from rnnkit.nn.tape import Tape


class Network:
    """A tree of layers, ready to run; what training, model files and ``info`` handle.

    ``weights`` says in which form its file keeps the matrices (``_kernels.quantization.WEIGHTS``): generation computes
    in that form, everything else with the float32 numbers that it stands for.
    """

    weights = "float32"

    engine: Engine = ENGINE
    """What its losses and optimisers may run on too."""

    def __init__(self, root: Layer, *, seed: int = 0, dtype: Any = np.float32) -> None:
        self.root = root if root.parameters is not None else root.init(seed, dtype)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, seed: int = 0, dtype: Any = np.float32) -> Network:
        """The network that ``describe`` described, freshly initialised."""
        return cls(layer_from(description), seed=seed, dtype=dtype)

    @classmethod
    def empty(cls, root: Layer, dtype: Any = np.float32) -> Network:
        """The network around a tree with every parameter zero, for values that are read from elsewhere."""
        return cls(root.bind(Parameters(root.declared(), dtype)))

    def configure(
        self,
        backend: str = "auto",
        threads: int | str = "auto",
        recompute: int | str = "auto",
        precision: str = "float32",
    ) -> Self:
        """Choose what runs every layer (see ``Recurrent.configure``); it is not stored with the model."""
        self.engine = Engine(backend, threads_.resolve(threads))
        for _, layer in self.root.walk():
            if isinstance(layer, Recurrent):
                layer.configure(backend, threads, recompute, precision)
            else:
                layer.configure(backend, threads)
        return self

    @property
    def threads(self) -> int:
        """The most threads that one of its layers uses."""
        recurrent = (layer.threads for _, layer in self.root.walk() if isinstance(layer, Recurrent))
        return max(self.engine.threads, *recurrent, 1)

    @property
    def parameters(self) -> Parameters:
        return self.root.bound()

    def describe(self) -> dict[str, Any]:
        """The tree as JSON-able values."""
        return self.root.describe()

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        """Run the tree; see ``nn.layer``."""
        return self.root.forward(x, state, tape)

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = False) -> tuple[Any, State]:
        """Undo the latest ``forward`` on the tape, adding to the gradients."""
        return self.root.backward(dy, tape, dstate, want_dx)

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        """Bytes that inputs of that shape (a dictionary of shapes for one of arrays) take, beside the parameters."""
        return self.root.memory(shape, training)

    def spared(self, shape: Any) -> int:
        """Bytes by which recomputation makes a training with inputs of that shape smaller."""
        layers = [layer for _, layer in self.root.walk() if isinstance(layer, Recurrent)]
        chosen, now = [layer.recompute for layer in layers], self.memory(shape).kept
        try:
            for layer in layers:
                layer.recompute = "off"
            return max(0, self.memory(shape).kept - now)
        finally:
            for layer, recompute in zip(layers, chosen, strict=True):
                layer.recompute = recompute

    def summary(self) -> list[dict[str, Any]]:
        """One row per layer with parameters: path, kind, what it is, shapes and number of parameters."""
        rows = []
        for path, layer in self.root.walk():
            declared = layer.params()
            if declared:
                rows.append(
                    {
                        "layer": path or layer.kind,
                        "kind": layer.kind,
                        "what": _what(layer),
                        "shapes": {param.name: list(param.shape) for param in declared},
                        "parameters": sum(int(np.prod(p.shape, dtype=np.int64)) for p in declared if not p.tied),
                    }
                )
        return rows


def _what(layer: Layer) -> str:
    """A layer's own fields in a few words."""
    if isinstance(layer, Recurrent):
        stack = f" × {layer.layers}" if layer.layers > 1 else ""
        options = "".join(f", {name} {value}" for name, value in layer.options.items())
        both = ", both directions" if layer.bidirectional else ""
        joints = ", residual" * layer.residual + ", layer norm" * layer.norm
        return f"{layer.cell} {layer.inputs} → {layer.hidden}{stack}{both}{options}{joints}"
    fields = {
        k: v
        for k, v in layer.describe().items()
        if isinstance(v, int | str) and k not in ("kind", "init_name", "bias_init")
    }
    if {"inputs", "outputs"} <= set(fields):
        extra = "" if fields.get("activation", "linear") == "linear" else f", {fields['activation']}"
        tied = f", weights of {fields['tied']}" if fields.get("tied") else ""
        return f"{fields['inputs']} → {fields['outputs']}{extra}{tied}"
    return ", ".join(f"{k} {v}" for k, v in fields.items())


def flatten_state(state: State) -> list[np.ndarray]:
    """The arrays of a nested state, in order."""
    if state is None:
        return []
    if isinstance(state, np.ndarray):
        return [state]
    return [array for part in state for array in flatten_state(part)]


def fill_state(like: State, arrays: list[np.ndarray]) -> State:
    """A state nested as ``like`` from the arrays that ``flatten_state`` gave."""
    remaining = iter(arrays)

    def rebuild(part: State) -> State:
        if part is None:
            return None
        if isinstance(part, np.ndarray):
            return next(remaining)
        return tuple(rebuild(item) for item in part)

    return rebuild(like)


__all__ = ["Network", "fill_state", "flatten_state"]

"""Gradients checked against central differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn.layer import Layer, State
from rnnkit.nn.network import Network, fill_state, flatten_state
from rnnkit.nn.tape import Tape


def gradcheck(
    layer: Layer | Network,
    x: Any,
    state: State = None,
    *,
    lengths: np.ndarray | None = None,
    seed: int = 0,
    step: float = 1e-5,
) -> dict[str, float]:
    """Relative errors of a layer's gradients, by name: its parameters, ``x`` and ``state.0`` ....

    The loss is a fixed random combination of the outputs and of the final state; each error
    is ``max |backward - difference| / max(1e-3, max |difference|)`` over that array, with the difference
    ``(loss(v + step) - loss(v - step)) / (2 step)`` (Bengio 2012, 4.1). In training mode: dropout takes part,
    its masks being functions of ``seed``. The layer must have been made with ``dtype=float64``.

    >>> from rnnkit.nn import Recurrent
    >>> max(gradcheck(Recurrent("gru", 2, 3).init(dtype="float64"), np.ones((4, 1, 2))).values()) < 1e-6
    True
    """
    root = layer.root if isinstance(layer, Network) else layer
    parameters = root.bound()
    if parameters.values.dtype != np.float64:
        raise UsageError("gradients are checked in float64: make the layer with .init(dtype='float64')")
    rng = np.random.default_rng(seed)
    tape = Tape(seed=seed)

    def run() -> tuple[list[np.ndarray], Any, State]:
        y, final = root.forward(x, state, tape.begin(step=1, lengths=lengths))
        return [y, *flatten_state(final)], y, final

    outputs, y, final = run()
    directions = [rng.standard_normal(o.shape) for o in outputs]
    if lengths is not None and y.ndim == 3:  # outputs past a row's end carry no gradient
        directions[0] *= (np.arange(len(y))[:, None] < lengths)[:, :, None]

    def loss() -> float:
        return float(sum(np.vdot(o, d) for o, d in zip(run()[0], directions, strict=True)))

    run()
    parameters.clear()
    dx, dstate = root.backward(directions[0], tape, fill_state(final, directions[1:]))
    checked: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (parameters.value(name), parameters.grad(name).copy()) for name in parameters
    }
    for name, value in x.items() if isinstance(x, dict) else [("x", x)]:
        grad = dx[name] if isinstance(x, dict) else dx
        if grad is not None and np.issubdtype(value.dtype, np.floating):
            checked[name] = (value, grad.copy())
    for i, (value, grad) in enumerate(
        zip(flatten_state(state), flatten_state(dstate) if state is not None else [], strict=True)
    ):
        checked[f"state.{i}"] = (value, grad.copy())

    errors = {}
    for name, (value, grad) in checked.items():
        numeric = np.zeros_like(grad)
        for at in np.ndindex(value.shape):
            kept = value[at]
            value[at] = kept + step
            parameters.touch()
            above = loss()
            value[at] = kept - step
            parameters.touch()
            numeric[at] = (above - loss()) / (2 * step)
            value[at] = kept
        scale = max(1e-3, float(np.abs(numeric).max(initial=0)))
        errors[name] = float(np.abs(grad - numeric).max(initial=0)) / scale
    parameters.touch()
    return errors

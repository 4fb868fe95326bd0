"""The same weights in PyTorch: equal outputs and equal gradients, to the tolerance of the dtype."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

T, B, I, H = SHAPE = (7, 5, 6, 9)  # noqa: E741
TWINS = {
    "rnn_tanh": lambda: torch.nn.RNN(I, H, nonlinearity="tanh"),
    "rnn_relu": lambda: torch.nn.RNN(I, H, nonlinearity="relu"),
    "lstm": lambda: torch.nn.LSTM(I, H),
    "gru_after": lambda: torch.nn.GRU(I, H),
}


def twin(layer):
    """PyTorch's layer with the same weights: transposed; b whole in b_ih, but for h·R_n's own, which is b_hn."""
    module = TWINS[layer.variant.name]().to(getattr(torch, layer.dtype.name))
    bias_h = np.zeros_like(layer.params["b"])
    if "bn" in layer.params:
        bias_h[-H:] = layer.params["bn"]
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(layer.params["W"].T.copy()))
        module.weight_hh_l0.copy_(torch.from_numpy(layer.params["R"].T.copy()))
        module.bias_ih_l0.copy_(torch.from_numpy(layer.params["b"]))
        module.bias_hh_l0.copy_(torch.from_numpy(bias_h))
    return module


def torch_run(layer) -> dict[str, np.ndarray]:
    """What ``Layer.run`` returns, from PyTorch; of the states only h after each step and the last c."""
    module = twin(layer)
    x = torch.tensor(layer.x, requires_grad=True)
    initial = [torch.tensor(state[None], requires_grad=True) for state in layer.initial]
    y, final = module(x, tuple(initial) if len(initial) > 1 else initial[0])
    final = final if isinstance(final, tuple) else (final,)
    loss = (y * torch.tensor(layer.dy)).sum()
    for state, d in zip(final, layer.dfinal, strict=True):
        loss = loss + (state[0] * torch.tensor(d)).sum()
    loss.backward()
    results = {"y": y, "dx": x.grad, "db": module.bias_ih_l0.grad}
    results |= {"dW": module.weight_ih_l0.grad.T, "dR": module.weight_hh_l0.grad.T}
    for name, state, start in zip(layer.variant.cell.states, final, initial, strict=True):
        results |= {f"last {name}": state[0], f"d{name}": start.grad[0]}
    if "bn" in layer.params:
        results["dbn"] = module.bias_hh_l0.grad[-H:]
    return {name: value.detach().numpy() for name, value in results.items()}


def test_equals_torch(backend, variant, dtype, make_layer, assert_close):
    if variant.name not in TWINS:
        pytest.skip(f"PyTorch has no {variant.name}")
    layer = make_layer(variant, SHAPE, dtype)
    actual = layer.run(backend)
    states = {name: actual.pop(name) for name in variant.cell.states}
    actual |= {"y": states["h"][1:]} | {f"last {name}": state[-1] for name, state in states.items()}
    assert_close(actual, torch_run(layer))

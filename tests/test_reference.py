"""The reference against central differences: every parameter, input and initial state of every cell."""

import numpy as np
import pytest

from rnnkit._kernels import load
from rnnkit._kernels.reference import sigmoid

STEP = 1e-5
TOLERANCE = 1e-6


def loss(layer) -> float:
    """Σ dy ⊙ h over the steps that a row has, and Σ dfinal ⊙ final states."""
    T, B = layer.shape[:2]
    kernels = load("numpy", layer.variant.name)
    weights = kernels.prepare(layer.params)
    states = layer.states()
    kernels.forward(weights, layer.x, states, kernels.allocate(weights, T, B, False), layer.span())
    outputs = states[0][:T] if layer.reverse else states[0][1:]
    alive = np.arange(T)[:, None] < (np.full(B, T) if layer.lengths is None else layer.lengths)
    final = 0 if layer.reverse else T
    total = float((outputs * layer.dy)[alive].sum())
    return total + sum(float((state[final] * d).sum()) for state, d in zip(states, layer.dfinal, strict=True))


def numerical(layer, array: np.ndarray) -> np.ndarray:
    """Central differences of the loss by every element of one of the layer's arrays."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = loss(layer)
        array[index] = kept - STEP
        gradient[index] = (above - loss(layer)) / (2 * STEP)
        array[index] = kept
    return gradient


@pytest.mark.parametrize("options", ["", "reverse masked", "ragged masked", "ragged reverse masked"])
def test_gradients_are_those_of_central_differences(variant, make_layer, options):
    layer = make_layer(variant, (4, 3, 2, 4), "float64", **dict.fromkeys(options.split(), True))
    assert layer.lengths is None or (0 in layer.lengths and layer.lengths.max() == 4)
    actual = layer.run("numpy")
    arrays = {"dx": layer.x} | {f"d{name}": value for name, value in layer.params.items()}
    arrays |= {f"d{name}": value for name, value in zip(variant.cell.states, layer.initial, strict=True)}
    assert arrays.keys() | set(variant.cell.states) == actual.keys()
    for name, array in arrays.items():
        expected = numerical(layer, array)
        scale = np.abs(expected).max()
        assert scale > 1e-3, f"{name} has no gradient to compare"
        np.testing.assert_allclose(actual[name], expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def test_states_past_a_row_s_length_repeat_its_last(variant, make_layer):
    layer = make_layer(variant, (5, 4, 2, 3), "float64", ragged=True)
    state = layer.run("numpy")["h"]
    for row, length in enumerate(layer.lengths):
        np.testing.assert_array_equal(state[length:, row], np.broadcast_to(state[length, row], (6 - length, 3)))


def test_reverse_starts_each_row_at_its_own_end(variant, make_layer):
    layer = make_layer(variant, (5, 3, 2, 4), "float64", ragged=True, reverse=True)
    state = layer.run("numpy")["h"]
    for row, length in enumerate(layer.lengths):
        alone = make_layer(variant, (5, 3, 2, 4), "float64")
        alone.params, alone.initial, alone.x = layer.params, layer.initial, layer.x.copy()
        alone.x[:length] = layer.x[:length][::-1]
        np.testing.assert_allclose(alone.run("numpy")["h"][length, row], state[0, row], rtol=0, atol=1e-14)


@pytest.mark.parametrize("value", [-800.0, 800.0])
def test_sigmoid_does_not_overflow(value):
    assert sigmoid(np.array(value)) == (value > 0)

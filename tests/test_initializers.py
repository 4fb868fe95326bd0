"""Initialisers have the moments, bounds and orthogonality that their formulas promise."""

import math

import numpy as np
import pytest

from rnnkit.cells import CELLS, Param
from rnnkit.errors import UsageError
from rnnkit.nn.initializers import EMBEDDING_STD, INITIALIZERS, fill

FAN = (300, 200)

BOUNDS = {
    "uniform": 1 / math.sqrt(200),
    "xavier_uniform": math.sqrt(6 / 500),
    "he_uniform": math.sqrt(6 / 300),
}
DEVIATIONS = {
    "xavier_normal": math.sqrt(2 / 500),
    "he_normal": math.sqrt(2 / 300),
    "normal": EMBEDDING_STD,
}


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(11))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initialiser_gives_finite_float64_of_the_shape_and_repeats_itself(name):
    first = INITIALIZERS[name](generator(), (7, 3), (7, 3))
    assert first.dtype == np.float64
    assert first.shape == (7, 3)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, INITIALIZERS[name](generator(), (7, 3), (7, 3)))


def test_every_initialiser_has_a_law_that_is_tested():
    assert set(INITIALIZERS) == {"zeros", "ones", "orthogonal", *BOUNDS, *DEVIATIONS}
    assert (INITIALIZERS["zeros"](generator(), (4,), (1, 1)) == 0).all()
    assert (INITIALIZERS["ones"](generator(), (4,), (1, 1)) == 1).all()


@pytest.mark.parametrize(("name", "bound"), BOUNDS.items())
def test_uniform_laws_fill_their_interval(name, bound):
    a = INITIALIZERS[name](generator(), FAN, FAN)
    assert np.abs(a).max() <= bound
    assert np.abs(a).max() > 0.999 * bound
    assert a.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert abs(a.mean()) < 0.01 * bound


@pytest.mark.parametrize(("name", "std"), DEVIATIONS.items())
def test_normal_laws_have_their_deviation(name, std):
    a = INITIALIZERS[name](generator(), FAN, FAN)
    assert a.std() == pytest.approx(std, rel=0.01)
    assert abs(a.mean()) < 0.01 * std
    assert np.abs(a).max() > 3.5 * std


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1), (2, 3, 4)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape):
    a = INITIALIZERS["orthogonal"](generator(), shape, (1, 1)).reshape(-1, shape[-1])
    product = a.T @ a if a.shape[0] >= a.shape[1] else a @ a.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


def test_orthogonal_is_uniform_thanks_to_the_sign():
    """The top left entry of a uniform Q has mean 0 and variance 1/n; without the sign fix LAPACK's are all negative."""
    rng = generator()
    corner = np.array([INITIALIZERS["orthogonal"](rng, (3, 3), (3, 3))[0, 0] for _ in range(300)])
    assert abs(corner.mean()) < 0.12
    assert corner.var() == pytest.approx(1 / 3, abs=0.06)


def test_blocks_are_drawn_each_on_its_own():
    param = Param("R", (5, 15), "orthogonal", blocks=3, fan=(5, 5))
    blocks = np.split(fill(param, generator()), 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(5), atol=1e-12)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.1
    np.testing.assert_array_equal(blocks[0], INITIALIZERS["orthogonal"](generator(), (5, 5), (5, 5)))


def test_constants_fill_their_own_block():
    param = Param("b", (8,), "constant", blocks=4, constants=(0.0, 1.0, -2.0, 0.5))
    np.testing.assert_array_equal(fill(param, generator()), [0, 0, 1, 1, -2, -2, 0.5, 0.5])


def test_fan_of_the_parameter_sets_the_bound():
    a = fill(Param("W", (300, 400), "xavier_uniform", blocks=2, fan=(300, 200)), generator())
    assert 0.999 * math.sqrt(6 / 500) < np.abs(a).max() <= math.sqrt(6 / 500)


def test_override_wins():
    param = Param("W", (3, 4), "xavier_uniform", fan=(3, 4))
    np.testing.assert_array_equal(fill(param, generator(), "ones"), np.ones((3, 4)))


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_of_every_cell_can_be_filled(cell):
    for param in CELLS[cell].params(3, 5):
        values = fill(param, generator())
        assert values.shape == param.shape
        assert np.isfinite(values).all()
        if param.name == "b" and "f" in CELLS[cell].gates:
            forget = CELLS[cell].gates.index("f")
            assert (values[forget * 5 : forget * 5 + 5] == 1).all()


def test_what_cannot_be_filled_is_said():
    param = Param("W", (3, 4), "glorot")
    with pytest.raises(UsageError, match=r"initialiser is one of zeros, .*orthogonal.*, constant, not 'glorot'"):
        fill(param, generator())
    with pytest.raises(UsageError, match="one value for each of the 1 blocks of W, not 0"):
        fill(param, generator(), "constant")
    with pytest.raises(UsageError, match="multiple of its 3 blocks"):
        fill(Param("W", (3, 4), "zeros", blocks=3), generator())

"""Values that parameters start from: INITIALIZERS by name, and ``fill`` for one declared parameter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnnkit.cells import Param
from rnnkit.errors import UsageError

Initializer = Callable[[np.random.Generator, tuple[int, ...], tuple[int, int]], np.ndarray]

EMBEDDING_STD = 1.0
"""Standard deviation of ``normal``, PyTorch's for embeddings; 0.1 cost 0.05 nats per character on a long text."""


def _zeros(rng: np.random.Generator, shape: tuple[int, ...], fan: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape)


def _ones(rng: np.random.Generator, shape: tuple[int, ...], fan: tuple[int, int]) -> np.ndarray:
    return np.ones(shape)


def _uniform(bound: Callable[[int, int], float]) -> Initializer:
    """U(−bound, bound), the bound being a function of inputs and outputs."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan: tuple[int, int]) -> np.ndarray:
        edge = bound(*fan)
        return rng.uniform(-edge, edge, shape)

    return draw


def _normal(std: Callable[[int, int], float]) -> Initializer:
    """N(0, std²), the deviation being a function of inputs and outputs."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan: tuple[int, int]) -> np.ndarray:
        return std(*fan) * rng.standard_normal(shape)

    return draw


def _orthogonal(rng: np.random.Generator, shape: tuple[int, ...], fan: tuple[int, int]) -> np.ndarray:
    """Orthonormal rows or columns, whichever are fewer, uniformly distributed (Saxe et al. 2014).

    A = Q R with the diagonal of R made positive, without which Q is not uniform (Mezzadri 2007).
    LAPACK runs on one thread: its sums, hence the bits, may follow the number of threads.
    """
    from threadpoolctl import threadpool_limits

    rows, columns = math.prod(shape[:-1]), shape[-1]
    a = rng.standard_normal((max(rows, columns), min(rows, columns)))
    with threadpool_limits(1, "blas"):
        q, r = np.linalg.qr(a)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if rows >= columns else q.T).reshape(shape)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": _zeros,
    "ones": _ones,
    "uniform": _uniform(lambda inputs, outputs: 1 / math.sqrt(outputs)),  # PyTorch's rule for recurrent layers
    "xavier_uniform": _uniform(lambda inputs, outputs: math.sqrt(6 / (inputs + outputs))),  # Glorot & Bengio 2010
    "xavier_normal": _normal(lambda inputs, outputs: math.sqrt(2 / (inputs + outputs))),
    "he_uniform": _uniform(lambda inputs, outputs: math.sqrt(6 / inputs)),  # He et al. 2015
    "he_normal": _normal(lambda inputs, outputs: math.sqrt(2 / inputs)),
    "orthogonal": _orthogonal,
    "normal": _normal(lambda inputs, outputs: EMBEDDING_STD),
}
"""Initialiser name → ``f(rng, shape, (inputs, outputs))`` → float64 array; a new row is tested the day it is added."""


def fill(param: Param, rng: np.random.Generator, override: str | None = None) -> np.ndarray:
    """First values of a parameter, float64 of ``param.shape``, each of its blocks drawn on its own.

    ``override`` names another initialiser than ``param.init``.  ``UsageError`` when the name is
    unknown, or when a constant is missing for a block.
    """
    name = override or param.init
    if name == "constant":
        if len(param.constants) != param.blocks:
            raise UsageError(
                f"initialiser constant needs one value for each of the {param.blocks} blocks of {param.name}, "
                f"not {len(param.constants)}"
            )
    elif name not in INITIALIZERS:
        raise UsageError(f"initialiser is one of {', '.join(INITIALIZERS)}, constant, not {name!r}")
    if param.shape[-1] % param.blocks:
        raise UsageError(f"the last axis of {param.name} {param.shape} must be a multiple of its {param.blocks} blocks")
    shape = (*param.shape[:-1], param.shape[-1] // param.blocks)
    if name == "constant":
        return np.concatenate([np.full(shape, value, dtype=np.float64) for value in param.constants], axis=-1)
    return np.concatenate([INITIALIZERS[name](rng, shape, param.fan) for _ in range(param.blocks)], axis=-1)

"""Layer normalisation in Numba, row by row: y = gain ⊙ x̂ + shift, x̂ = (x − mean)·inverse, inverse = 1/√(var + ε)."""

from __future__ import annotations

from functools import partial

import numpy as np

from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.operations import EPSILON


@partial(jit, regroup=True)
def normalise(x, first, K, gain, shift, at, y, to):
    """K numbers of x from ``first`` on, with gain and shift from ``at`` on, into y from ``to`` on; (mean, inverse)."""
    real = x.dtype.type
    mean = real(0)
    for j in range(K):
        mean += x[first + j]
    mean /= real(K)
    var = real(0)
    for j in range(K):
        d = x[first + j] - mean
        var += d * d
    inverse = real(1) / np.sqrt(var / real(K) + real(EPSILON))
    for j in range(K):
        y[to + j] = (x[first + j] - mean) * inverse * gain[at + j] + shift[at + j]
    return mean, inverse


@jit
def _forward(x, K, gain, shift, y, stats):
    for i in range(len(stats)):
        stats[i, 0], stats[i, 1] = normalise(x, i * K, K, gain, shift, 0, y, i * K)


@partial(jit, regroup=True)
def _backward(x, gain, stats, dy, dx, dgain, dshift):
    N, K = x.shape
    real = x.dtype.type
    for i in range(N):
        mean, inverse = stats[i]
        along, across = real(0), real(0)
        for j in range(K):
            hat, d = (x[i, j] - mean) * inverse, dy[i, j] * gain[j]
            along += d
            across += d * hat
        along /= real(K)
        across /= real(K)
        for j in range(K):
            hat, d = (x[i, j] - mean) * inverse, dy[i, j]
            dgain[j] += d * hat
            dshift[j] += d
            dx[i, j] = inverse * (d * gain[j] - along - hat * across)


def layer_norm(
    x: np.ndarray, gain: np.ndarray, shift: np.ndarray, y: np.ndarray, stats: np.ndarray, threads: int
) -> None:
    _forward(x.reshape(-1), x.shape[1], gain, shift, y.reshape(-1), stats)


def layer_norm_backward(
    x: np.ndarray,
    gain: np.ndarray,
    stats: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    sums: np.ndarray,
    dgain: np.ndarray,
    dshift: np.ndarray,
    threads: int,
) -> None:
    _backward(x, gain, stats, dy, dx, dgain, dshift)

"""Generation by Numba: the loop of ``generate.pxi`` on one thread, matrices row by row.

``y += v·M`` goes down the rows of M, each added to a y that stays in the first-level cache: a stream that LLVM turns
into vectors.  bfloat16 and int8 are widened on the way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnnkit._kernels.generation import RECENT, TABLE, Generation, Rules, Stack
from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.quantization import to_bfloat16, to_int8

RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)
VARIANTS = ("rnn_tanh", "rnn_relu", "lstm", "gru_after", "gru_before")
TINY = np.float32(1e-30)  # vectors no larger are zero in whole numbers: the inverse of their scale might overflow


class _Matrix(NamedTuple):
    """One matrix: float32 numbers, the bits of bfloat16, or int8 with scales; the other arrays are empty."""

    single: np.ndarray
    bits: np.ndarray
    whole: np.ndarray
    scale: np.ndarray


def _matrix(values: np.ndarray, weights: str) -> _Matrix:
    none = (np.empty((0, 0), np.float32), np.empty((0, 0), np.uint16), np.empty((0, 0), np.int8))
    if weights == "int8":
        numbers, scale = to_int8(values)
        return _Matrix(none[0], none[1], numbers, scale)
    empty = np.empty(0, np.float32)
    if weights == "bfloat16":
        return _Matrix(none[0], to_bfloat16(values), none[2], empty)
    return _Matrix(np.ascontiguousarray(values), none[1], none[2], empty)


# -- the step ----------------------------------------------------------------------------------


@jit
def _add_product(v, m, y, q, sums, row):
    """y += v · m; q, sums and row are scratch."""
    if m.whole.shape[0]:
        _add_whole(v, m, y, q, sums)
        return
    for k in range(len(v)):
        a = v[k]
        if m.bits.shape[0]:
            half = m.bits[k]
            wide = row[: len(half)]
            for j in range(len(half)):
                wide[j] = np.uint32(half[j]) << np.uint32(16)
            numbers = wide.view(np.float32)
            for j in range(len(y)):
                y[j] += a * numbers[j]
        else:
            numbers = m.single[k]
            for j in range(len(y)):
                y[j] += a * numbers[j]


@jit
def _add_whole(v, m, y, q, sums):
    """The same in whole numbers: exact but for the rounding of v (see generation.py)."""
    largest, strange = np.float32(0), np.float32(0)
    for k in range(len(v)):
        a = abs(v[k])
        largest = a if a > largest else largest
        strange += np.float32(0) * a
    inverse = np.float32(127) / largest if largest > TINY and strange == 0 else np.float32(0)
    for k in range(len(v)):
        q[k] = np.int32(np.rint(v[k] * inverse)) if strange == 0 else 0
    sums[: len(y)] = 0
    for k in range(len(v)):
        numbers, factor = m.whole[k], q[k]
        for j in range(len(y)):
            sums[j] += factor * np.int32(numbers[j])
    scale = largest / np.float32(127) + strange
    for j in range(len(y)):
        y[j] += np.float32(sums[j]) * (scale * m.scale[j])


@jit
def _sigmoid(x):
    return np.float32(0.5) * np.float32(np.tanh(np.float32(0.5) * x)) + np.float32(0.5)


@jit
def _layer(variant, p, x, h, c, ax, ah, reset, q, sums, row):
    """One layer's step: INOUT h and c; ``ax`` holds what enters before x is added."""
    H, one = len(h), np.float32(1)
    if len(x):
        _add_product(x, p.W, ax, q, sums, row)
    if variant >= GRU_AFTER:
        ah[:] = 0
        _add_product(h, p.R, ah[: p.columns], q, sums, row)
        for j in range(H):
            r = _sigmoid(ax[j] + ah[j])
            ax[H + j] = _sigmoid(ax[H + j] + ah[H + j])
            if variant == GRU_AFTER:
                ax[2 * H + j] += r * (ah[2 * H + j] + p.bn[j])
            else:
                reset[j] = r * h[j]
        if variant == GRU_BEFORE:
            _add_product(reset, p.Rn, ax[2 * H :], q, sums, row)
        for j in range(H):
            z = ax[H + j]
            h[j] = (one - z) * np.float32(np.tanh(ax[2 * H + j])) + z * h[j]
        return
    _add_product(h, p.R, ax, q, sums, row)
    for j in range(H):
        if variant == LSTM:
            c[j] = _sigmoid(ax[H + j]) * c[j] + _sigmoid(ax[j]) * np.float32(np.tanh(ax[2 * H + j]))
            h[j] = _sigmoid(ax[3 * H + j]) * np.float32(np.tanh(c[j]))
        elif variant == RNN_TANH:
            h[j] = np.float32(np.tanh(ax[j]))
        else:
            h[j] = np.float32(0) if ax[j] < 0 else ax[j]

"""A vector times a matrix for generation in Numba, in every form of weights.

All matrices of a network lie in one array, each from a cache line on; ``at [n,4]`` says where each begins, its rows,
its columns and where its scales begin.  float32 goes through the tiles of ``numba_product``.  The other forms lie row
by row, with zero rows up to a multiple of ``RUN``: ``y += v·M`` adds that many rows at a time to a y that stays in
the first-level cache, a stream that LLVM turns into vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.numba_jit import intrinsic, part
from rnnkit._kernels.numba_product import aligned, packed, rows_of, tile_code, times, whole
from rnnkit._kernels.quantization import to_bfloat16, to_int8

RUN = 4
TINY = np.float32(1e-30)  # vectors no larger are zero in whole numbers: the inverse of their scale might overflow
ZERO, LARGEST = np.float32(0), np.float32(127)


class Matrices(NamedTuple):
    """IN."""

    tile: int  # where the code of the tiles is
    numbers: np.ndarray  # float32, bits of bfloat16 (uint16) or int8
    scales: np.ndarray  # of the columns in int8
    at: np.ndarray


class Room(NamedTuple):
    """Room for a vector with its zeros, as numbers of either kind, and for the whole sums of all columns."""

    v: np.ndarray
    q: np.ndarray
    sums: np.ndarray


def _runs(matrix: np.ndarray) -> np.ndarray:
    """The matrix with zero rows up to whole runs, flat."""
    deep = np.zeros((-(-len(matrix) // RUN) * RUN, matrix.shape[1]), matrix.dtype)
    deep[: len(matrix)] = matrix
    return deep.reshape(-1)


def lay(matrices: Sequence[np.ndarray], weights: str) -> Matrices:
    """Float32 matrices in the form ``weights``, one behind the other; those without elements take no room."""
    at, parts, scales = [], [], [np.empty(0, np.float32)]
    first = columns = 0
    for matrix in matrices:
        at.append((first, *matrix.shape, columns))
        if weights == "int8":
            numbers, scale = to_int8(matrix)
            scales.append(scale)
            columns += len(scale)
            numbers = _runs(numbers)
        elif weights == "bfloat16":
            numbers = _runs(to_bfloat16(matrix))
        else:
            numbers = packed(matrix)
        parts.append((first, numbers))
        first += whole(len(numbers), numbers.dtype)
    laid = aligned(first, parts[0][1].dtype)
    for begin, numbers in parts:
        laid[begin : begin + len(numbers)] = numbers
    return Matrices(tile_code(np.dtype(np.float32)), laid, np.concatenate(scales), np.array(at, np.intp))


def room_for(matrices: Matrices) -> Room:
    """Room for the products with any of them."""
    rows, columns = matrices.at[:, 1].max() + RUN, matrices.at[:, 2].max()
    return Room(np.zeros(rows, np.float32), np.zeros(rows, np.int32), np.zeros(columns, np.int32))


@intrinsic
def _single(typing, bits):
    """The float32 that has these bits."""
    return types.float32(types.uint32), lambda _, build, __, given: build.bitcast(given[0], ir.FloatType())


@part
def _wide(half):
    """bfloat16 as float32, whose upper half it is."""
    return _single(np.uint32(half) << np.uint32(16))


@part
def _rows(numbers, at, N):
    """A run of rows."""
    return (
        numbers[at : at + N],
        numbers[at + N : at + 2 * N],
        numbers[at + 2 * N : at + 3 * N],
        numbers[at + 3 * N : at + 4 * N],
    )


# -- the three forms ---------------------------------------------------------------------------


def add_product(matrices, number, v, first, y, to, room):
    """y from ``to`` on += v from ``first`` on, times the matrix of that number."""
    raise NotImplementedError


@overload(add_product)
def _compile_product(matrices, number, v, first, y, to, room):
    form = matrices.types[1].dtype
    return {types.float32: _add_single, types.uint16: _add_half, types.int8: _add_whole}[form]


def _add_single(matrices, number, v, first, y, to, room):
    begin, K, N, _ = matrices.at[number]
    sums = rows_of(y, to, 0, 0)
    times(matrices.tile, 1, 1, N, K, rows_of(v, first, 0, 0), matrices.numbers[begin:], sums, sums)


def _add_half(matrices, number, v, first, y, to, room):
    begin, K, N, _ = matrices.at[number]
    numbers, sums, factors = matrices.numbers, y[to : to + N], room.v
    cells.copy(1, K, (v, factors), (first, 0), (0, 0))
    cells.clear(1, RUN, (factors,), (K,), (0,))
    for k in range(0, K, RUN):
        row0, row1, row2, row3 = _rows(numbers, begin + k * N, N)
        v0, v1, v2, v3 = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        for j in range(N):
            sums[j] += v0 * _wide(row0[j]) + v1 * _wide(row1[j]) + v2 * _wide(row2[j]) + v3 * _wide(row3[j])


def _add_whole(matrices, number, v, first, y, to, room):
    begin, K, N, columns = matrices.at[number]
    numbers, sums, q = matrices.numbers, room.sums[:N], room.q
    largest, strange = ZERO, ZERO
    for k in range(K):
        size = abs(v[first + k])
        largest = size if size > largest else largest
        strange += ZERO * size
    inverse = LARGEST / largest if largest > TINY and strange == 0 else ZERO
    for k in range(K):
        q[k] = np.int32(np.rint(v[first + k] * inverse)) if strange == 0 else 0
    q[K : K + RUN] = 0
    sums[:] = 0
    for k in range(0, K, RUN):
        row0, row1, row2, row3 = _rows(numbers, begin + k * N, N)
        q0, q1, q2, q3 = q[k], q[k + 1], q[k + 2], q[k + 3]
        for j in range(N):
            sums[j] += q0 * np.int32(row0[j]) + q1 * np.int32(row1[j]) + q2 * np.int32(row2[j]) + q3 * np.int32(row3[j])
    scale = largest / LARGEST + strange
    for j in range(N):
        y[to + j] += np.float32(sums[j]) * (scale * matrices.scales[columns + j])

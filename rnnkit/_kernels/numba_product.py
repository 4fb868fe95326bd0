"""Products of matrices for the Numba backend: register tiles, and the panels that they read.

A tile takes up to six rows of A against one panel of P, 256 bytes wide where the processor has AVX-512, and holds
the sums in vector registers along all of K.  Every product is such tiles over rows and panels, so the order of a
sum depends on K alone: a row comes out with the same bits whatever the batch around it.

A BLAS was tried in their place: SciPy's OpenBLAS, which ``np.dot`` inside Numba calls, did the products of the twelve
shapes of ``rnnkit bench`` on one AVX-512 core at 0.79 of these tiles' speed (geometric mean; h·R 0.70, da·Rᵀ 0.71,
x·W 0.95, hᵀ·da 0.82; at best 1.21), which is no reason to install 114 MB.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from rnnkit._kernels.numba_cells import copy
from rnnkit._kernels.numba_jit import compiled, intrinsic, jit, part
from rnnkit._kernels.numba_vector import VECTOR, load, mask_of, store

ROWS = 6
# Vectors in a panel: ROWS × VECTORS sums, the panel and one factor must fit the registers.
VECTORS = 4 if VECTOR == 64 or llvm.get_host_cpu_features().get("neon") else 2
PANEL = VECTOR * VECTORS


class Rows(NamedTuple):
    """Rows in a flat array: row m of block s begins at ``at + s·block + m·row``."""

    array: np.ndarray
    at: int
    row: int
    block: int


def _emit_tile(build: ir.IRBuilder, rows: int, vectors: int, scalar: ir.Type, size: int, arguments: Any) -> None:
    """The code of one size of tile; ``arguments`` as in ``tile``."""
    depth, A, row_step, k_step, P, panel_step, S, s_step, C, c_step, columns = arguments
    integer = depth.type
    lanes = VECTOR // size
    vector = ir.VectorType(scalar, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    all_first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    fma_type = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(build.module, fma_type, f"llvm.fmuladd.v{lanes}f{8 * size}")
    a_rows = [build.gep(A, [build.mul(row_step, integer(r))]) for r in range(rows)]
    before, loop, after = build.block, build.append_basic_block("k"), build.append_basic_block("store")
    build.branch(loop)
    build.position_at_end(loop)
    k = build.phi(integer)
    sums = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    panel_row = build.gep(P, [build.mul(k, panel_step)])
    panel = [load(build, build.gep(panel_row, [integer(v * lanes)]), vector, size, None) for v in range(vectors)]
    column = build.mul(k, k_step)
    for r in range(rows):
        factor = build.load(build.gep(a_rows[r], [column]))
        factor = build.shuffle_vector(build.insert_element(undefined, factor, ir.IntType(32)(0)), undefined, all_first)
        for v in range(vectors):
            total = build.call(fma, [factor, panel[v], sums[r][v]])
            sums[r][v].add_incoming(ir.Constant(vector, [0.0] * lanes), before)
            sums[r][v].add_incoming(total, loop)
            sums[r][v] = total
    following = build.add(k, integer(1))
    k.add_incoming(integer(0), before)
    k.add_incoming(following, loop)
    build.cbranch(build.icmp_signed("<", following, depth), loop, after)
    build.position_at_end(after)
    mask = mask_of(build, build.sub(columns, integer((vectors - 1) * lanes)), lanes)
    for r in range(rows):
        for v in range(vectors):
            some = mask if v == vectors - 1 else None
            start = build.gep(S, [build.add(build.mul(s_step, integer(r)), integer(v * lanes))])
            place = build.gep(C, [build.add(build.mul(c_step, integer(r)), integer(v * lanes))])
            total = build.fadd(load(build, start, vector, size, some), sums[r][v])
            store(build, total, place, size, some)
    build.ret_void()


_INTEGER = ir.IntType(64)


def _tile_type(scalar: ir.Type) -> ir.FunctionType:
    i, p = _INTEGER, scalar.as_pointer()
    return ir.FunctionType(ir.VoidType(), [i, i, p, i, i, p, i, p, i, p, i, i])


@intrinsic
def _tiles(typing, rows, K, A, rs, ks, P, ps, S, ss, C, cs, n):
    """All sizes of tiles behind one switch: see ``tile``, with pointers to where each matrix begins."""

    def emit(context, build, signature, arguments):
        size = A.dtype.bitwidth // 8
        scalar, lanes = context.get_data_type(A.dtype), VECTOR // size
        function = ir.Function(build.module, _tile_type(scalar), build.module.get_unique_name("tiles"))
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        rows, *others = function.args
        vectors = inside.sdiv(inside.add(others[-1], _INTEGER(lanes - 1)), _INTEGER(lanes))
        choice = inside.add(inside.mul(rows, _INTEGER(VECTORS)), vectors)
        nowhere = function.append_basic_block("nowhere")
        switch = inside.switch(choice, nowhere)
        inside.position_at_end(nowhere)
        inside.unreachable()
        for r in range(1, ROWS + 1):
            for v in range(1, VECTORS + 1):
                block = function.append_basic_block(f"tile{r}x{v}")
                switch.add_case(_INTEGER(r * VECTORS + v), block)
                inside.position_at_end(block)
                _emit_tile(inside, r, v, scalar, size, others)
        build.call(function, arguments)
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, A, i, i, P, i, S, i, C, i, i), emit


def _all_tiles(rows, K, A, rs, ks, P, ps, S, ss, C, cs, n):
    _tiles(rows, K, A, rs, ks, P, ps, S, ss, C, cs, n)


@cache
def tile_code(dtype: np.dtype) -> int:
    """The address of the tiles' code, which is compiled once for all who call it."""
    i, p = types.int64, types.CPointer(types.float32 if dtype == np.float32 else types.float64)
    return int(compiled(types.void(i, i, p, i, i, p, i, p, i, p, i, i), _all_tiles).address)


@intrinsic
def tile(typing, code, rows, K, A, ia, rs, ks, P, ip, ps, S, js, ss, C, jc, cs, n):
    """C[rows,n] = S[rows,n] + A[rows,K] · P[K,n] for 1 to ROWS rows, n up to a panel and K > 0; S may be C.

    In flat arrays A[r, k] stands at ia + r·rs + k·ks, P[k, 0] at ip + k·ps, S[r, 0] at js + r·ss and C[r, 0] at
    jc + r·cs.  Whole vectors of P are read, of the others only what is named.  ``code``: see ``tile_code``.
    """

    def emit(context, build, signature, arguments):
        def place(at):
            data = context.make_array(signature.args[at])(context, build, value=arguments[at]).data
            return build.gep(data, [arguments[at + 1]])

        code, rows, K, rs, ks, ps, ss, cs, n = (arguments[at] for at in (0, 1, 2, 5, 6, 9, 12, 15, 16))
        scalar = context.get_data_type(A.dtype)
        function = build.inttoptr(code, _tile_type(scalar).as_pointer())
        build.call(function, [rows, K, place(3), rs, ks, place(7), ps, place(10), ss, place(13), cs, n])
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, A, i, i, i, P, i, i, S, i, i, C, i, i, i), emit


@part
def rows_of(array, at, row, block):
    """``Rows`` of one type, whichever of the numbers are written out where it is called."""
    return Rows(array, at, row, block)


@jit
def times(code, blocks, M, N, K, A, P, S, C):
    """C = S + A·P, each block [M,K]·[K,N], for a P that ``pack`` laid out; A, S and C are ``Rows``, C may be S."""
    panel, lanes = PANEL // P.itemsize, VECTOR // P.itemsize
    for j in range(0, N, panel):
        n = min(panel, N - j)
        step = (n + lanes - 1) // lanes * lanes
        for s in range(blocks):
            a, start, c = A.at + s * A.block, S.at + s * S.block + j, C.at + s * C.block + j
            m = 0
            while m < M:
                rows = _height(M - m)
                tile(
                    code, rows, K, A.array, a + m * A.row, A.row, 1, P, j * K, step,
                    S.array, start + m * S.row, S.row, C.array, c + m * C.row, C.row, n,
                )  # fmt: skip
                m += rows


@part
def _height(rows):
    """Rows of the next tile: what is left goes into the fewest tiles, as even as can be."""
    tiles = (rows + ROWS - 1) // ROWS
    return (rows + tiles - 1) // tiles


_DEPTH = 64  # of a transposed matrix at a time: some cache lines of each row


@jit
def pack(source, K, N, by_k, by_column, P):
    """OUT P: [K,N], element (k, j) at k·by_k + j·by_column, as panels [K][panel], the last as wide as it needs."""
    panel, lanes = PANEL // P.itemsize, VECTOR // P.itemsize
    for j in range(0, N, panel):
        n = min(panel, N - j)
        step = (n + lanes - 1) // lanes * lanes
        if by_column == 1:
            copy(K, n, (source, P), (j, j * K), (by_k, step))
        else:
            for low in range(0, K, _DEPTH):
                high = min(K, low + _DEPTH)
                for column in range(n):
                    at, to = (j + column) * by_column, j * K + column
                    for k in range(low, high):
                        P[to + k * step] = source[at + k * by_k]


def whole(columns: int, dtype: np.dtype) -> int:
    """Columns in whole vectors."""
    lanes = VECTOR // dtype.itemsize
    return -(-columns // lanes) * lanes


def aligned(count: int, dtype: np.dtype) -> np.ndarray:
    """That many zeros from the start of a cache line on, and one panel more, since products read whole vectors."""
    raw = np.zeros(count + (PANEL + 64) // dtype.itemsize, dtype)
    skip = -raw.ctypes.data % 64 // dtype.itemsize
    return raw[skip : skip + count + PANEL // dtype.itemsize]


def packed(matrix: np.ndarray, transposed: bool = False) -> np.ndarray:
    """A C-contiguous matrix, or its transpose, in panels for ``times``."""
    K, N = matrix.T.shape if transposed else matrix.shape
    P = aligned(K * whole(N, matrix.dtype), matrix.dtype)
    width = matrix.shape[1]
    pack(matrix.reshape(-1), K, N, *((1, width) if transposed else (width, 1)), P)
    return P

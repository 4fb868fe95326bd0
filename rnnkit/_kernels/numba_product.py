"""Products of matrices for the Numba backend: one register tile, no BLAS.

``_tile`` takes six rows of A against one panel of P, 256 bytes wide where the processor has AVX-512, and holds
the sums in vector registers along all of K.  Every product here is that tile over rows and panels, so the order
of a sum depends on K alone: a row comes out with the same bits whatever the batch around it.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rnnkit._kernels.numba_jit import jit

_HOST = llvm.get_host_cpu_features()
# Bytes in a vector and vectors in a panel: ROWS × VECTORS sums, the panel and one factor must fit the registers.
ROWS = 6
if _HOST.get("avx512f"):
    VECTOR, VECTORS = 64, 4
elif _HOST.get("avx"):
    VECTOR, VECTORS = 32, 2
else:
    VECTOR, VECTORS = 16, 4 if _HOST.get("neon") else 2
PANEL = VECTOR * VECTORS


def _make_tile(rows: int) -> Any:
    """``tile(A, ia, rs, ks, K, P, ip, ps, C, ic, cs)``: C[rows, panel] += A[rows, K] · P[K, panel], as LLVM vectors.

    In flat arrays A[r, k] stands at ia + r·rs + k·ks, P[k, 0] at ip + k·ps and C[r, 0] at ic + r·cs.
    """

    @intrinsic
    def tile(typing, A, ia, rs, ks, K, P, ip, ps, C, ic, cs):
        def emit(context, build, signature, arguments):
            scalar = context.get_data_type(A.dtype)
            size = A.dtype.bitwidth // 8
            vector = ir.VectorType(scalar, VECTOR // size)
            nothing = ir.Constant(vector, ir.Undefined)
            all_first = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
            fma_type = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(build.module, fma_type, f"llvm.fmuladd.v{vector.count}f{8 * size}")
            first = {
                name: build.gep(context.make_array(kind)(context, build, value=arguments[at]).data, [arguments[at + 1]])
                for name, kind, at in (("A", A, 0), ("P", P, 5), ("C", C, 8))
            }
            row_step, k_step, depth, panel_step, c_step = (arguments[at] for at in (2, 3, 4, 7, 10))
            integer = depth.type

            def vector_at(pointer, v):
                return build.bitcast(build.gep(pointer, [integer(v * vector.count)]), vector.as_pointer())

            a_rows = [build.gep(first["A"], [build.mul(row_step, integer(r))]) for r in range(rows)]
            before, loop, after = build.block, build.append_basic_block("k"), build.append_basic_block("store")
            build.branch(loop)
            build.position_at_end(loop)
            k = build.phi(integer)
            sums = [[build.phi(vector) for _ in range(VECTORS)] for _ in range(rows)]
            panel_row = build.gep(first["P"], [build.mul(k, panel_step)])
            panel = [build.load(vector_at(panel_row, v), align=size) for v in range(VECTORS)]
            column = build.mul(k, k_step)
            for r in range(rows):
                factor = build.load(build.gep(a_rows[r], [column]))
                factor = build.insert_element(nothing, factor, ir.IntType(32)(0))
                factor = build.shuffle_vector(factor, nothing, all_first)
                for v in range(VECTORS):
                    total = build.call(fma, [factor, panel[v], sums[r][v]])
                    sums[r][v].add_incoming(ir.Constant(vector, [0.0] * vector.count), before)
                    sums[r][v].add_incoming(total, loop)
                    sums[r][v] = total
            following = build.add(k, integer(1))
            k.add_incoming(integer(0), before)
            k.add_incoming(following, loop)
            build.cbranch(build.icmp_signed("<", following, depth), loop, after)
            build.position_at_end(after)
            for r in range(rows):
                c_row = build.gep(first["C"], [build.mul(c_step, integer(r))])
                for v in range(VECTORS):
                    pointer = vector_at(c_row, v)
                    build.store(build.fadd(build.load(pointer, align=size), sums[r][v]), pointer, align=size)
            return context.get_dummy_value()

        return types.void(A, ia, rs, ks, K, P, ip, ps, C, ic, cs), emit

    return tile


_tile = _make_tile(ROWS)
_tile_row = _make_tile(1)


@jit
def _product(M, N, K, A, rs, ks, P, ps, next_panel, C, cs):
    """C[M,N] += A[M,K] · P[K,N]: INOUT C, its rows as wide as N in whole panels."""
    panel, ip = PANEL // C.itemsize, 0
    if M > 0 and K > 0:
        for j in range(0, N, panel):
            i = 0
            while i + ROWS <= M:
                _tile(A, i * rs, rs, ks, K, P, ip, ps, C, i * cs + j, cs)
                i += ROWS
            while i < M:
                _tile_row(A, i * rs, rs, ks, K, P, ip, ps, C, i * cs + j, cs)
                i += 1
            ip += next_panel


@jit
def times(M, N, K, A, lda, P, C, ldc):
    """C[M,N] += A[M,K] · P for a matrix P that ``pack`` laid out."""
    panel = PANEL // C.itemsize
    _product(M, N, K, A, lda, 1, P, panel, panel * K, C, ldc)


@jit
def outer(M, N, K, A, D, C, width):
    """C[M,N] += Aᵀ · D over K rows of A [K,M] and of gate gradients D [K,width]: a weight gradient."""
    _product(M, N, K, A, 1, M, D, width, PANEL // C.itemsize, C, width)


def padded_width(columns: int, dtype: np.dtype) -> int:
    """Columns in whole panels."""
    panel = PANEL // dtype.itemsize
    return -(-columns // panel) * panel


def pack(matrix: np.ndarray) -> np.ndarray:
    """[K, N] → flat [N/panel][K][panel], zeros where N ends."""
    K, N = matrix.shape
    panel = PANEL // matrix.itemsize
    wide = np.zeros((K, padded_width(N, matrix.dtype)), matrix.dtype)
    wide[:, :N] = matrix
    return wide.reshape(K, -1, panel).transpose(1, 0, 2).ravel()

"""Compiled at run time by Numba: fast without a C compiler, one thread, no BLAS.

Notation as in ``_kernels/__init__.py``.  Every product of matrices goes through one register tile (``_tile``):
six rows of A against a panel of 256 bytes of columns of B, the sums held in vector registers along all
of K.  So the order of every sum is fixed by the shapes of one row alone, whatever the batch or the threads.

Gates lie side by side in ``a [T,B,width]``, width being G·H rounded up to whole panels; the GRU keeps its
candidate apart in ``n [T,B,width_n]`` (and h·R_n + bn in ``q``), since x and h do not meet it in the same way:
``a`` then holds r and z.  Gate loops are one equation each, on slices, which is what LLVM can vectorise
without a proof that nothing overlaps.  ``1 − v`` is written ``u − u·v``, free of constants of another dtype.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from rnnkit._kernels import Kernels, Span

if numba.config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")

RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)


# -- compiling, and where the result is kept ---------------------------------------------------


def _cache_folder() -> str:
    """A folder that only this user can write to (compiled code is read back from it), or nothing."""
    if numba.config.CACHE_DIR:
        return str(numba.config.CACHE_DIR)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "rnnkit" / f"numba-{version('numba')}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):
        return ""
    safe = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return str(folder) if safe and os.access(folder, os.W_OK | os.X_OK) else ""


_CACHE = _cache_folder()


def _jit(function: Callable[..., Any]) -> Any:
    """Compile at first use, keep in ``_CACHE``, run without the GIL; NaN and infinity keep their meaning."""
    others, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _CACHE  # Numba reads it here, once for each function
    try:
        return numba.njit(nogil=True, cache=bool(_CACHE), fastmath={"contract"}, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = others


# -- the product of matrices -------------------------------------------------------------------

_HOST = llvm.get_host_cpu_features()
# Bytes in a vector and vectors in a panel: ROWS × VECTORS sums, the panel and one factor must fit the registers.
ROWS = 6
VECTOR, VECTORS = (64, 4) if _HOST.get("avx512f") else (32, 2) if _HOST.get("avx") else (16, 4 if _HOST.get("neon") else 2)
PANEL = VECTOR * VECTORS


def _make_tile(rows: int) -> Any:
    """``tile(A, ia, rs, ks, K, P, ip, ps, C, ic, cs)``: C[rows, panel] += A[rows, K] · P[K, panel], as LLVM vectors.

    Flat arrays and in each the first element: A[r, k] is at ia + r·rs + k·ks, P[k, 0] at ip + k·ps, C[r, 0] at ic + r·cs.
    """

    @intrinsic
    def tile(typing, A, ia, rs, ks, K, P, ip, ps, C, ic, cs):
        def emit(context, build, signature, arguments):
            scalar = context.get_data_type(A.dtype)
            size = A.dtype.bitwidth // 8
            vector = ir.VectorType(scalar, VECTOR // size)
            lane = ir.VectorType(ir.IntType(32), VECTOR // size)
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
                factor = build.insert_element(ir.Constant(vector, ir.Undefined), factor, ir.IntType(32)(0))
                factor = build.shuffle_vector(factor, ir.Constant(vector, ir.Undefined), ir.Constant(lane, [0] * vector.count))
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


@_jit
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


@_jit
def _times(M, N, K, A, lda, P, C, ldc):
    """C[M,N] += A[M,K] · P for a matrix P that ``_pack`` laid out."""
    panel = PANEL // C.itemsize
    _product(M, N, K, A, lda, 1, P, panel, panel * K, C, ldc)


@_jit
def _outer(M, N, K, A, D, C, width):
    """C[M,N] += Aᵀ · D over K rows of A [K,M] and of gate gradients D [K,width]: a weight gradient."""
    _product(M, N, K, A, 1, M, D, width, PANEL // C.itemsize, C, width)


def _width(columns: int, dtype: np.dtype) -> int:
    """Columns in whole panels."""
    panel = PANEL // dtype.itemsize
    return -(-columns // panel) * panel


def _pack(matrix: np.ndarray) -> np.ndarray:
    """[K, N] → flat [N/panel][K][panel], zeros where N ends."""
    K, N = matrix.shape
    panel = PANEL // matrix.itemsize
    wide = np.zeros((K, _width(N, matrix.dtype)), matrix.dtype)
    wide[:, :N] = matrix
    return wide.reshape(K, -1, panel).transpose(1, 0, 2).ravel()


# -- tanh and σ that vectorise -----------------------------------------------------------------


def _tanh(x):
    """tanh x = u/(u + 2) with u = e^{2x} − 1: a Taylor sum near zero, then e^{2y} − 1 = u(u + 2) once for each halving."""
    raise NotImplementedError


@overload(_tanh)
def _compile_tanh(x):
    # float32: 2x/2⁵ stays under 0.57 and terms past the 7th under 1e-8; float64: 2x/2⁶ under 0.63, past the 12th under 1e-15.
    real = np.float32 if x == types.float32 else np.float64
    limit, halvings, terms = (real(9), 5, 7) if x == types.float32 else (real(20), 6, 12)
    one, two, scale = real(1), real(2), real(2.0 ** (1 - halvings))
    inverse = tuple(real(1 / k) for k in range(terms, 1, -1))

    def tanh(x):
        x = limit if limit < x else x  # in this order a NaN passes
        x = -limit if x < -limit else x
        y = x * scale
        u = one
        for k in range(terms - 1):
            u = one + y * inverse[k] * u
        u = y * u
        for _ in range(halvings):
            u = u * (u + two)
        return u / (u + two)

    return tanh


def _sigmoid(x):
    """σ(x) = ½ + ½ tanh(x/2)."""
    raise NotImplementedError


@overload(_sigmoid)
def _compile_sigmoid(x):
    half = np.float32(0.5) if x == types.float32 else np.float64(0.5)
    return lambda x: half + half * _tanh(half * x)


# -- small loops: slices of Numba, assigned whole, would each take it a second to compile --------


@_jit
def _row(array, k, width):
    return array[k * width : (k + 1) * width]


@_jit
def _clear(array):
    for j in range(len(array)):
        array[j] = 0


@_jit
def _copy(source, target):
    for j in range(len(target)):
        target[j] = source[j]


@_jit
def _multiply(a, b, out):
    for j in range(len(out)):
        out[j] = a[j] * b[j]


@_jit
def _fill_rows(rows, bias, out):
    for k in range(rows):
        _copy(bias, _row(out, k, len(bias)))


# -- one row of one step -----------------------------------------------------------------------
# IN pre-activations, turned into gates where they stand; OUT the new states.  Back: INOUT dh and dc, gradients of the
# new states in and, but for what passes through h·R, of the old states out; OUT the gradients of the pre-activations.


@_jit
def _rnn_row(relu, a, h):
    for j in range(len(h)):
        if not relu:
            h[j] = _tanh(a[j])
        elif a[j] < 0:
            h[j] = 0
        else:
            h[j] = a[j]


@_jit
def _rnn_row_back(relu, h, dh, da):
    for j in range(len(h)):
        if not relu:
            da[j] = dh[j] - dh[j] * h[j] * h[j]
        elif h[j] > 0:
            da[j] = dh[j]
        else:
            da[j] = 0
    _clear(dh)


@_jit
def _squash(a):
    for j in range(len(a)):
        a[j] = _sigmoid(a[j])


@_jit
def _bend(a):
    for j in range(len(a)):
        a[j] = _tanh(a[j])


@_jit
def _lstm_row(a, c0, c, h):
    H = len(h)
    i, f, g, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H : 4 * H]
    _squash(a[: 2 * H])
    _bend(g)
    _squash(o)
    for j in range(H):
        c[j] = f[j] * c0[j] + i[j] * g[j]
    for j in range(H):
        h[j] = o[j] * _tanh(c[j])


@_jit
def _lstm_row_back(a, c0, c, dh, dc, da):
    H = len(c)
    i, f, g, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H : 4 * H]
    di, df, dg, do = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H : 4 * H]
    for j in range(H):
        dg[j] = _tanh(c[j])  # until dg itself is known
    for j in range(H):
        do[j] = dh[j] * dg[j] * (o[j] - o[j] * o[j])
    for j in range(H):
        dc[j] += o[j] * (dh[j] - dh[j] * dg[j] * dg[j])
    for j in range(H):
        di[j] = dc[j] * g[j] * (i[j] - i[j] * i[j])
    for j in range(H):
        dg[j] = dc[j] * (i[j] - i[j] * g[j] * g[j])
    for j in range(H):
        df[j] = dc[j] * c0[j] * (f[j] - f[j] * f[j])
    for j in range(H):
        dc[j] *= f[j]
    _clear(dh)


@_jit
def _gru_row(z, n, h0, h):
    """IN the candidate n before its tanh."""
    _bend(n)
    for j in range(len(h)):
        h[j] = n[j] - z[j] * n[j] + z[j] * h0[j]


@_jit
def _gru_row_back(z, n, h0, dh, dz, dn):
    for j in range(len(dh)):
        dz[j] = dh[j] * (h0[j] - n[j]) * (z[j] - z[j] * z[j])
    for j in range(len(dh)):
        u = dh[j] - dh[j] * z[j]
        dn[j] = u - u * n[j] * n[j]
    for j in range(len(dh)):
        dh[j] *= z[j]


@_jit
def _reset_back(d, v, r, dr):
    """Of r ⊙ v: INOUT d, of the product in, of v out; OUT dr, before σ."""
    for j in range(len(r)):
        dr[j] = d[j] * v[j] * (r[j] - r[j] * r[j])
    for j in range(len(r)):
        d[j] *= r[j]


# -- the passes over time ----------------------------------------------------------------------


class _Weights(NamedTuple):
    """One layer, packed for ``_times``; names in ``_n`` are the GRU's candidate, ``_t`` is transposed."""

    W: np.ndarray
    R: np.ndarray
    b: np.ndarray  # [width]
    W_t: np.ndarray
    R_t: np.ndarray
    W_n: np.ndarray
    R_n: np.ndarray
    b_n: np.ndarray  # [width_n]
    W_nt: np.ndarray
    R_nt: np.ndarray
    bn: np.ndarray  # [width_n], h·R_n's own


class _Tape(NamedTuple):
    """Flat buffers; without training the gates are those of one chunk of steps and the gradients are empty."""

    a: np.ndarray  # gates [T,B,width]
    n: np.ndarray  # candidate [T,B,width_n]
    q: np.ndarray  # h·R_n + bn of the reset-after GRU [T,B,width_n]
    da: np.ndarray  # their gradients, before the activations
    dn: np.ndarray
    dq: np.ndarray
    left: np.ndarray  # [rows of a chunk, H]: masked h
    reset: np.ndarray  # the same: r ⊙ masked h
    dh: np.ndarray  # [B, width_n]: of the masked h
    dx: np.ndarray  # [rows of a chunk, I in whole panels]
    dW: np.ndarray  # [I, width]
    dR: np.ndarray  # [H, width]
    dW_n: np.ndarray
    dR_n: np.ndarray
    db: np.ndarray
    db_n: np.ndarray
    dbn: np.ndarray


class _Sizes(NamedTuple):
    """Numbers that a pass needs, all of them integers."""

    kind: int
    inputs: int
    hidden: int
    gates: int  # columns of a that are used
    width: int  # of a
    width_n: int  # of n and q: H in whole panels
    width_i: int  # I in whole panels
    rows: int  # B
    chunk: int  # steps whose inputs are projected together
    training: int
    start: int
    stop: int
    reverse: int
    masked: int


@_jit
def _forward(w, tape, size, x, h, c, lengths, mask):
    kind, B, I, H, width, width_n = size.kind, size.rows, size.inputs, size.hidden, size.width, size.width_n
    gru = kind >= GRU_AFTER
    done = 0
    while done < size.stop - size.start:
        steps = min(size.chunk, size.stop - size.start - done)
        low = size.stop - done - steps if size.reverse else size.start + done
        base = low * B if size.training else 0  # first row of this chunk in the buffers of gates
        _fill_rows(steps * B, w.b, tape.a[base * width :])
        _times(steps * B, width, I, x[low * B * I :], I, w.W, tape.a[base * width :], width)
        if gru:
            _fill_rows(steps * B, w.b_n, tape.n[base * width_n :])
            _times(steps * B, width_n, I, x[low * B * I :], I, w.W_n, tape.n[base * width_n :], width_n)
        for s in range(steps):
            t = low + (steps - 1 - s if size.reverse else s)
            old, new = (t + 1, t) if size.reverse else (t, t + 1)
            row = base + (t - low) * B
            left = _row(h, old, B * H)
            if size.masked:
                _multiply(left, mask, tape.left[: B * H])
                left = tape.left
            _times(B, width, H, left, H, w.R, tape.a[row * width :], width)
            if gru:
                for b in range(B):
                    a = _row(tape.a, row + b, width)
                    _squash(a[: 2 * H])
                    if kind == GRU_BEFORE:
                        _multiply(a[:H], _row(left, b, H), _row(tape.reset, b, H))
                if kind == GRU_BEFORE:
                    _times(B, width_n, H, tape.reset, H, w.R_n, tape.n[row * width_n :], width_n)
                else:
                    _fill_rows(B, w.bn, tape.q[row * width_n :])
                    _times(B, width_n, H, left, H, w.R_n, tape.q[row * width_n :], width_n)
            for b in range(B):
                h0, h1 = _row(h, old * B + b, H), _row(h, new * B + b, H)
                a = _row(tape.a, row + b, width)
                if kind == LSTM:
                    c0, c1 = _row(c, old * B + b, H), _row(c, new * B + b, H)
                    _lstm_row(a, c0, c1, h1)
                elif gru:
                    n = _row(tape.n, row + b, width_n)[:H]
                    if kind == GRU_AFTER:
                        q = _row(tape.q, row + b, width_n)[:H]
                        for j in range(H):
                            n[j] += a[j] * q[j]
                    _gru_row(a[H : 2 * H], n, h0, h1)
                else:
                    _rnn_row(kind == RNN_RELU, a, h1)
                if t >= lengths[b]:
                    _copy(h0, h1)
                    if kind == LSTM:
                        _copy(c0, c1)
        done += steps


@_jit
def _backward(w, tape, size, h, c, lengths, mask, dy, dh, dc):
    kind, B, H, width, width_n = size.kind, size.rows, size.hidden, size.width, size.width_n
    for s in range(size.stop - size.start):
        t = size.start + s if size.reverse else size.stop - 1 - s
        old, new = (t + 1, t) if size.reverse else (t, t + 1)
        row = t * B
        for b in range(B):
            a, da = _row(tape.a, row + b, width), _row(tape.da, row + b, width)
            n, dn = _row(tape.n, row + b, width_n)[:H], _row(tape.dn, row + b, width_n)[:H]
            q, dq = _row(tape.q, row + b, width_n)[:H], _row(tape.dq, row + b, width_n)[:H]
            if t >= lengths[b]:
                _clear(da)
                _clear(dn)
                _clear(dq)
                continue
            d, dy_t = _row(dh, b, H), _row(dy, row + b, H)
            for j in range(H):
                d[j] += dy_t[j]
            h0, h1 = _row(h, old * B + b, H), _row(h, new * B + b, H)
            if kind == LSTM:
                _lstm_row_back(a, _row(c, old * B + b, H), _row(c, new * B + b, H), d, _row(dc, b, H), da)
            elif kind >= GRU_AFTER:
                _gru_row_back(a[H : 2 * H], n, h0, d, da[H : 2 * H], dn)
                if kind == GRU_AFTER:
                    _copy(dn, dq)
                    _reset_back(dq, q, a[:H], da[:H])
            else:
                _rnn_row_back(kind == RNN_RELU, h1, d, da)
        _clear(tape.dh)
        if kind == GRU_AFTER:
            _times(B, H, H, tape.dq[row * width_n :], width_n, w.R_nt, tape.dh, width_n)
        elif kind == GRU_BEFORE:
            _times(B, H, H, tape.dn[row * width_n :], width_n, w.R_nt, tape.dh, width_n)
            left = _row(h, old, B * H)
            if size.masked:
                _multiply(left, mask, tape.left[: B * H])
                left = tape.left
            for b in range(B):
                if t < lengths[b]:
                    r, dr = _row(tape.a, row + b, width)[:H], _row(tape.da, row + b, width)[:H]
                    _reset_back(_row(tape.dh, b, width_n)[:H], _row(left, b, H), r, dr)
        _times(B, H, size.gates, tape.da[row * width :], width, w.R_t, tape.dh, width_n)
        for b in range(B):
            if t < lengths[b]:
                d, back = _row(dh, b, H), _row(tape.dh, b, width_n)[:H]
                if size.masked:
                    keep = _row(mask, b, H)
                    for j in range(H):
                        d[j] += back[j] * keep[j]
                else:
                    for j in range(H):
                        d[j] += back[j]


@_jit
def _input_gradient(w, tape, size, dx):
    B, H, I, width_i = size.rows, size.hidden, size.inputs, size.width_i
    for low in range(size.start, size.stop, size.chunk):
        rows = min(size.chunk, size.stop - low) * B
        _clear(tape.dx)
        _times(rows, I, size.gates, tape.da[low * B * size.width :], size.width, w.W_t, tape.dx, width_i)
        if size.kind >= GRU_AFTER:
            _times(rows, I, H, tape.dn[low * B * size.width_n :], size.width_n, w.W_nt, tape.dx, width_i)
        for row in range(rows):
            _copy(_row(tape.dx, row, width_i), _row(dx, low * B + row, I))


@_jit
def _add_rows(rows, d, out):
    width = len(out)
    for k in range(rows):
        row = _row(d, k, width)
        for j in range(width):
            out[j] += row[j]


@_jit
def _weight_gradients(tape, size, x, h, mask):
    """Into the tape, chunk by chunk: dW = Xᵀ·dA, dR = Hᵀ·dA, and each bias the sum of its column."""
    kind, B, H, I, width, width_n = size.kind, size.rows, size.hidden, size.inputs, size.width, size.width_n
    for low in range(size.start, size.stop, size.chunk):
        steps = min(size.chunk, size.stop - low)
        rows, row = steps * B, low * B
        da, dn, dq = tape.da[row * width :], tape.dn[row * width_n :], tape.dq[row * width_n :]
        left = h[(row + B if size.reverse else row) * H :]
        if size.masked:
            for s in range(steps):
                _multiply(_row(left, s, B * H), mask, _row(tape.left, s, B * H))
            left = tape.left
        _outer(I, width, rows, x[row * I :], da, tape.dW, width)
        _outer(H, width, rows, left, da, tape.dR, width)
        _add_rows(rows, da, tape.db)
        if kind >= GRU_AFTER:
            _outer(I, width_n, rows, x[row * I :], dn, tape.dW_n, width_n)
            _add_rows(rows, dn, tape.db_n)
        if kind == GRU_AFTER:
            _outer(H, width_n, rows, left, dq, tape.dR_n, width_n)
            _add_rows(rows, dq, tape.dbn)
        elif kind == GRU_BEFORE:
            for k in range(rows):
                _multiply(_row(tape.a, row + k, width)[:H], _row(left, k, H), _row(tape.reset, k, H))
            _outer(H, width_n, rows, tape.reset, dn, tape.dR_n, width_n)


# -- the five functions ------------------------------------------------------------------------

_ROWS_AT_ONCE = 240  # rows of a chunk: a whole number of tiles, and its gates stay in the second-level cache


def _split(kind: int, H: int) -> int:
    """Columns of W and R that belong to ``a``: all, but for the GRU's candidate."""
    return {LSTM: 4 * H, GRU_AFTER: 2 * H, GRU_BEFORE: 2 * H}.get(kind, H)


class _Layer(NamedTuple):
    """What ``prepare`` returns."""

    inputs: int
    hidden: int
    dtype: np.dtype
    packed: _Weights


class _Pass(NamedTuple):
    """What ``allocate`` returns."""

    T: int
    chunk: int
    training: bool
    lengths: np.ndarray
    tape: _Tape


def _padded(vector: np.ndarray) -> np.ndarray:
    wide = np.zeros(_width(len(vector), vector.dtype), vector.dtype)
    wide[: len(vector)] = vector
    return wide


def _kernels(kind: int) -> Kernels:
    gru = kind >= GRU_AFTER

    def prepare(params: Mapping[str, np.ndarray]) -> _Layer:
        W, R, b = params["W"], params["R"], params["b"]
        I, H = len(W), len(R)  # noqa: E741
        cut, empty = _split(kind, H), np.empty(0, W.dtype)

        def half(columns: slice) -> tuple[np.ndarray, ...]:
            w, r = W[:, columns], R[:, columns]
            return _pack(w), _pack(r), _padded(b[columns]), _pack(w.T), _pack(r.T)

        candidate = half(slice(cut, None)) if gru else (empty,) * 5
        bn = _padded(params["bn"]) if kind == GRU_AFTER else empty
        return _Layer(I, H, W.dtype, _Weights(*half(slice(cut)), *candidate, bn))

    def allocate(layer: _Layer, T: int, B: int, training: bool) -> _Pass:
        I, H, dtype = layer.inputs, layer.hidden, layer.dtype  # noqa: E741
        width, width_n, width_i = (_width(n, dtype) for n in (_split(kind, H), H, I))
        chunk = max(1, min(T, _ROWS_AT_ONCE // max(B, 1)))
        rows = (T if training else chunk) * B
        after, train, both = kind == GRU_AFTER, int(training), int(training and gru)

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(int(np.prod(shape)), dtype)

        tape = _Tape(
            a=zeros(rows, width),
            n=zeros(rows, width_n, gru),
            q=zeros(rows, width_n, after),
            da=zeros(rows, width, train),
            dn=zeros(rows, width_n, both),
            dq=zeros(rows, width_n, train * after),
            left=zeros(chunk * B, H),
            reset=zeros(chunk * B, H, kind == GRU_BEFORE),
            dh=zeros(B, width_n, train),
            dx=zeros(chunk * B, width_i, train),
            dW=zeros(I, width, train),
            dR=zeros(H, width, train),
            dW_n=zeros(I, width_n, both),
            dR_n=zeros(H, width_n, both),
            db=zeros(width, train),
            db_n=zeros(width_n, both),
            dbn=zeros(width_n, train * after),
        )
        return _Pass(T, chunk, training, np.zeros(B, np.intp), tape)

    def sizes(layer: _Layer, memory: _Pass, span: Span) -> _Sizes:
        memory.lengths[:] = memory.T if span.lengths is None else span.lengths
        I, H, cut = layer.inputs, layer.hidden, _split(kind, layer.hidden)  # noqa: E741
        widths = (_width(n, layer.dtype) for n in (cut, H, I))
        steps = (memory.chunk, int(memory.training), span.start, span.stop, int(span.reverse))
        return _Sizes(kind, I, H, cut, *widths, len(memory.lengths), *steps, int(span.mask is not None))

    def flat(array: np.ndarray | None, layer: _Layer) -> np.ndarray:
        """IN arrays as Numba wants them: one dimension, and one type whether or not they may be written to."""
        return np.empty(0, layer.dtype) if array is None else np.require(array, layer.dtype, "CAW").reshape(-1)

    def forward(layer, x, states, memory, span: Span) -> None:
        h, c = states[0].reshape(-1), states[-1].reshape(-1)
        size = sizes(layer, memory, span)
        _forward(layer.packed, memory.tape, size, flat(x, layer), h, c, memory.lengths, flat(span.mask, layer))

    def backward(layer, x, states, memory, dy, dstates, dx, span: Span) -> None:
        size, mask = sizes(layer, memory, span), flat(span.mask, layer)
        h, c, dh, dc = (array.reshape(-1) for array in (states[0], states[-1], dstates[0], dstates[-1]))
        _backward(layer.packed, memory.tape, size, h, c, memory.lengths, mask, flat(dy, layer), dh, dc)
        if dx is not None:
            _input_gradient(layer.packed, memory.tape, size, dx.reshape(-1))

    def accumulate(layer, x, states, memory, grads, span: Span) -> None:
        tape, cut = memory.tape, _split(kind, layer.hidden)
        for total in tape[-7:]:
            total[:] = 0
        _weight_gradients(tape, sizes(layer, memory, span), flat(x, layer), states[0].reshape(-1), flat(span.mask, layer))
        for name, main, candidate in (("W", tape.dW, tape.dW_n), ("R", tape.dR, tape.dR_n)):
            grads[name][:, :cut] += main.reshape(len(grads[name]), -1)[:, :cut]
            if gru:
                grads[name][:, cut:] += candidate.reshape(len(grads[name]), -1)[:, : layer.hidden]
        grads["b"][:cut] += tape.db[:cut]
        if gru:
            grads["b"][cut:] += tape.db_n[: layer.hidden]
        if kind == GRU_AFTER:
            grads["bn"] += tape.dbn[: layer.hidden]

    return Kernels(prepare, allocate, forward, backward, accumulate)


KERNELS: dict[str, Kernels] = {
    "rnn_tanh": _kernels(RNN_TANH),
    "rnn_relu": _kernels(RNN_RELU),
    "lstm": _kernels(LSTM),
    "gru_after": _kernels(GRU_AFTER),
    "gru_before": _kernels(GRU_BEFORE),
}


def describe() -> str:
    """Numba and the processor it compiles for."""
    where = f"compiled code kept in {_CACHE}" if _CACHE else "compiled again in every process: no cache folder of one's own"
    return f"Numba {numba.__version__}, {llvm.get_host_cpu_name()}, {8 * VECTOR}-bit vectors, one thread; {where}"

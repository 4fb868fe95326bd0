"""The cells in Numba: one row of one step, forward and back, and the small loops that they are made of.

A gate loop is one equation on slices, which is what LLVM can vectorise without a proof that nothing overlaps.
``1 − v`` is written ``u − u·v``, free of constants of another dtype.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from rnnkit._kernels.numba_jit import jit


def _tanh(x):
    """tanh x = u/(u + 2) with u = e^{2x} − 1, whose Taylor sum near zero is doubled by e^{2y} − 1 = u(u + 2)."""
    raise NotImplementedError


@overload(_tanh)
def _compile_tanh(x):
    # Beyond the limit tanh is 1 to the dtype's precision.  2x is halved to below 0.57 (float32) or 0.63 (float64),
    # where the first term left out is under 5e-7 of the sum or 6e-13, and e^{2x}, on which that bears, is far from 1.
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


# Slices assigned whole, as NumPy would, each take Numba a second to compile.


@jit
def row_of(array, k, width):
    return array[k * width : (k + 1) * width]


@jit
def clear(array):
    for j in range(len(array)):
        array[j] = 0


@jit
def copy(source, target):
    for j in range(len(target)):
        target[j] = source[j]


@jit
def add_rows(rows, d, out):
    width = len(out)
    for k in range(rows):
        row = row_of(d, k, width)
        for j in range(width):
            out[j] += row[j]


@jit
def multiply(a, b, out):
    for j in range(len(out)):
        out[j] = a[j] * b[j]


@jit
def fill_rows(rows, bias, out):
    for k in range(rows):
        copy(bias, row_of(out, k, len(bias)))


# -- one row of one step -----------------------------------------------------------------------
# IN pre-activations, turned into gates where they stand; OUT the new states.  Back: INOUT dh and dc, gradients of the
# new states in and, but for what passes through h·R, of the old states out; OUT the gradients of the pre-activations.


@jit
def rnn_row(relu, a, h):
    for j in range(len(h)):
        if not relu:
            h[j] = _tanh(a[j])
        elif a[j] < 0:
            h[j] = 0
        else:
            h[j] = a[j]


@jit
def rnn_row_back(relu, h, dh, da):
    for j in range(len(h)):
        if not relu:
            da[j] = dh[j] - dh[j] * h[j] * h[j]
        elif h[j] > 0:
            da[j] = dh[j]
        else:
            da[j] = 0
    clear(dh)


@jit
def squash(a):
    for j in range(len(a)):
        a[j] = _sigmoid(a[j])


@jit
def bend(a):
    for j in range(len(a)):
        a[j] = _tanh(a[j])


@jit
def lstm_row(a, c0, c, h):
    H = len(h)
    i, f, g, o = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H : 4 * H]
    squash(a[: 2 * H])
    bend(g)
    squash(o)
    for j in range(H):
        c[j] = f[j] * c0[j] + i[j] * g[j]
    for j in range(H):
        h[j] = o[j] * _tanh(c[j])


@jit
def lstm_row_back(a, c0, c, dh, dc, da):
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
    clear(dh)


@jit
def gru_row(z, n, h0, h):
    """IN the candidate n before its tanh."""
    bend(n)
    for j in range(len(h)):
        h[j] = n[j] - z[j] * n[j] + z[j] * h0[j]


@jit
def gru_row_back(z, n, h0, dh, dz, dn):
    for j in range(len(dh)):
        dz[j] = dh[j] * (h0[j] - n[j]) * (z[j] - z[j] * z[j])
    for j in range(len(dh)):
        u = dh[j] - dh[j] * z[j]
        dn[j] = u - u * n[j] * n[j]
    for j in range(len(dh)):
        dh[j] *= z[j]


@jit
def reset_back(d, v, r, dr):
    """Of r ⊙ v: INOUT d, of the product in, of v out; OUT dr, before σ."""
    for j in range(len(r)):
        dr[j] = d[j] * v[j] * (r[j] - r[j] * r[j])
    for j in range(len(r)):
        d[j] *= r[j]

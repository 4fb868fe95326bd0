"""The operations without a compiler: NumPy's, with the loss, the optimisers and the scatter in Numba loops."""

from __future__ import annotations

import numpy as np

from rnnkit._kernels import reference_ops
from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.numba_norm import layer_norm, layer_norm_backward
from rnnkit._kernels.numba_team import wake

RULES = {"sgd": 0, "rmsprop": 1, "adam": 2}


@jit
def _scatter(dy, ids, table):
    for i in range(len(ids)):
        to, row = table[ids[i]], dy[i]
        for j in range(len(row)):
            to[j] += row[j]


def scatter(dy: np.ndarray, ids: np.ndarray, table: np.ndarray, threads: int) -> None:
    _scatter(dy, ids, table)


@jit
def _step(rule, p, g, m, v, mask, lr, eps, b1, b2, nesterov, scale, keep, tiny, clear):
    """``m``, ``v`` and ``mask`` are empty where there are none; scalars are of p's dtype."""
    for i in range(len(p)):
        d = g[i] * scale
        x = p[i]
        if len(mask) == 0 or mask[i] != 0:
            x *= keep
        if rule != 0:
            v[i] = b2 * v[i] + d * d
        if rule == 1:
            d /= np.sqrt(v[i]) + eps
        if len(m) > 0:
            m[i] = b1 * m[i] + d
            if rule == 2:
                d = m[i] / (np.sqrt(v[i]) + eps)
            elif nesterov:
                d += b1 * m[i]
            else:
                d = m[i]
        p[i] = x - lr * d
        if tiny > 0:
            if len(m) > 0 and abs(m[i]) < tiny:
                m[i] = 0
            if rule != 0 and abs(v[i]) < tiny:
                v[i] = 0
        if clear:
            g[i] = 0


def step(
    rule: str,
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray | None,
    v: np.ndarray | None,
    mask: np.ndarray | None,
    scalars: tuple[float, float, float, float, bool],
    scale: float,
    decay: float,
    tiny: float,
    clear: bool,
    threads: int,
) -> None:
    real = p.dtype.type
    m, v = (p[:0] if a is None else a for a in (m, v))
    mask = np.empty(0, np.uint8) if mask is None else mask
    *numbers, nesterov = scalars
    rates = (real(number) for number in numbers)
    rest = (bool(nesterov), real(scale), real(1 - decay), real(tiny), clear)
    _step(RULES[rule], p, g, m, v, mask, *rates, *rest)


OPS = reference_ops.OPS._replace(
    scatter=scatter, layer_norm=layer_norm, layer_norm_backward=layer_norm_backward, step=step, wake=wake
)

"""The definition of the operations (``operations.py``) in plain NumPy; its blocks are for the caches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rnnkit._kernels.operations import EPSILON, Ops

BLOCK = 32768
"""Elements of the flat vectors treated at a time: four float32 vectors and the scratch take 640 KiB."""
CHUNK = 131072
"""Logits treated at a time: 512 KiB in float32."""


# -- dense layers and embeddings ---------------------------------------------------------------


def dense(W: np.ndarray, b: np.ndarray, old: Any = None) -> tuple[np.ndarray, np.ndarray]:
    return W, b


def dense_forward(weights: Any, x: np.ndarray, activation: str, y: np.ndarray, threads: int) -> None:
    W, b = weights
    np.matmul(x, W, out=y)
    y += b
    if activation == "relu":
        np.maximum(y, 0, out=y)
    elif activation == "tanh":
        np.tanh(y, out=y)
    elif activation == "sigmoid":  # σ(a) = ½ + ½ tanh(a/2)
        np.tanh(np.multiply(y, 0.5, out=y), out=y)
        y *= 0.5
        y += 0.5


def dense_backward(
    weights: Any,
    x: np.ndarray,
    da: np.ndarray,
    dW: np.ndarray,
    db: np.ndarray,
    dx: np.ndarray | None,
    threads: int,
) -> None:
    dW += x.T @ da
    db += da.sum(axis=0)
    if dx is not None:
        np.matmul(da, weights[0].T, out=dx)


def gather(table: np.ndarray, ids: np.ndarray, y: np.ndarray, threads: int) -> None:
    np.take(table, ids, axis=0, out=y, mode="clip")  # with an out, any other mode copies


def scatter(dy: np.ndarray, ids: np.ndarray, table: np.ndarray, threads: int) -> None:
    if ids.size:  # sums over equal ids, in the order in which they stand
        order = np.argsort(ids, kind="stable")
        seen, starts = np.unique(ids[order], return_index=True)
        table[seen] += np.add.reduceat(dy[order], starts, axis=0)


# -- the loss ----------------------------------------------------------------------------------


def softmax_cross_entropy(
    z: np.ndarray,
    ids: np.ndarray,
    weight: np.ndarray | None,
    scale: float,
    smooth: float,
    g: np.ndarray | None,
    losses: np.ndarray,
    threads: int,
) -> None:
    N, K = z.shape
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the loss itself says what is not finite
        for part in _chunks(N, K):
            here = ids[part]
            rows = np.arange(len(here))
            e = z[part] - z[part].max(axis=1, keepdims=True)
            expected = (1 - smooth) * e[rows, here].astype(np.float64)
            if smooth:
                expected += smooth * e.mean(axis=1, dtype=np.float64)
            np.exp(e, out=e)
            total = np.add.reduce(e, axis=1)
            losses[part] = np.log(total, dtype=np.float64) - expected
            w = 1.0 if weight is None else weight[part]
            if weight is not None:
                losses[part] = np.where(w != 0, losses[part] * w, 0.0)
            if g is not None:
                share = np.broadcast_to(w * scale, total.shape)
                e *= (share / total).astype(e.dtype)[:, None]
                if smooth:
                    e -= (share * (smooth / K)).astype(e.dtype)[:, None]
                e[rows, here] -= (share * (1 - smooth)).astype(e.dtype)
                if weight is not None:
                    e[w == 0] = 0
                g[part] = e


def _chunks(rows: int, K: int) -> Iterator[slice]:
    """Slices of rows of about CHUNK logits."""
    step = max(1, math.ceil(CHUNK / max(K, 1)))
    for start in range(0, rows, step):
        yield slice(start, start + step)


# -- layer normalisation -----------------------------------------------------------------------


def layer_norm(
    x: np.ndarray, gain: np.ndarray, shift: np.ndarray, y: np.ndarray, stats: np.ndarray, threads: int
) -> None:
    stats[:, 0] = x.mean(axis=1)
    np.subtract(x, stats[:, :1], out=y)
    stats[:, 1] = 1 / np.sqrt(np.einsum("nk,nk->n", y, y) / x.shape[1] + EPSILON)
    y *= stats[:, 1:]
    y *= gain
    y += shift


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
    hat = (x - stats[:, :1]) * stats[:, 1:]
    dgain += (dy * hat).sum(axis=0)
    dshift += dy.sum(axis=0)
    np.multiply(dy, gain, out=dx)
    hat *= (dx * hat).mean(axis=1, keepdims=True)
    hat += dx.mean(axis=1, keepdims=True)
    dx -= hat
    dx *= stats[:, 1:]


# -- optimisers and the norm --------------------------------------------------------------------


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
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite stays so and shows in the next loss
        for start in range(0, p.size, BLOCK):
            part = slice(start, start + BLOCK)
            moments = [None if a is None else a[part] for a in (m, v)]
            if decay:
                where: Any = True if mask is None else mask[part].view(bool)
                np.multiply(p[part], p.dtype.type(1 - decay), out=p[part], where=where)
            p[part] -= _change(rule, g[part] * p.dtype.type(scale), moments[0], moments[1], scalars)
            for moment in moments:
                if tiny and moment is not None:
                    moment[np.abs(moment) < tiny] = 0
    if clear:
        g.fill(0)


def _change(rule: str, g: np.ndarray, m: Any, v: Any, scalars: tuple[float, float, float, float, bool]) -> np.ndarray:
    """What the parameters lose; ``g`` is overwritten, ``m`` and ``v`` go one step on."""
    lr, eps, b1, b2, nesterov = scalars
    if v is not None:
        v *= b2
        v += g * g
    if rule == "rmsprop":
        g /= np.sqrt(v) + eps
    if m is not None:
        m *= b1
        m += g
        if rule == "adam":
            np.divide(m, np.sqrt(v) + eps, out=g)
        elif nesterov:
            g += b1 * m
        else:
            g[...] = m
    g *= lr
    return g


def square_sum(g: np.ndarray, threads: int) -> float:
    """Block by block in a fixed order (no BLAS, hence no threads)."""
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a norm that is not finite is the answer
        for start in range(0, g.size, BLOCK):
            square = g[start : start + BLOCK].astype(np.float64)
            total += float(np.add.reduce(np.multiply(square, square, out=square)))
    return total


def wake(threads: int) -> None:
    """There are none."""


OPS = Ops(
    dense, dense_forward, dense_backward, gather, scatter, softmax_cross_entropy, layer_norm, layer_norm_backward, step,
    square_sum, wake,
)  # fmt: skip

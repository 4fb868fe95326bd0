"""What a training step does outside the recurrent layers: dense products, embeddings, losses, optimisers, norms.

Notation: N rows, K inputs, V outputs or classes.  Arrays are C-contiguous, float32 or float64, all of one dtype in a
call; ids are intp and within bounds.  A backend's operations are ``OPS``, whose functions are

``dense(W, b, old=None) -> weights``
    IN ``W [K,V]``, ``b [V]``.  Opaque (packed), and made again whenever the parameters change; until then it may
    read W and b.  The memory of ``old``, earlier weights that are no longer needed, may be taken over.
``dense_forward(weights, x, activation, y, threads)``
    IN ``x [N,K]``; OUT ``y [N,V]`` = activation(x W + b), one of linear, relu, tanh, sigmoid.
``dense_backward(weights, x, da, dW, db, dx, threads)``
    IN ``da [N,V]``: gradient before the activation; INOUT ``dW``, ``db``: added to; OUT ``dx [N,K]`` or None.
``gather(table, ids, y, threads)`` and ``scatter(dy, ids, table, threads)``
    OUT ``y [N,K]`` = table[ids]; INOUT ``table [V,K]``: each row of ``dy [N,K]`` is added at its id.
``softmax_cross_entropy(z, ids, weight, scale, smooth, g, losses, threads)``
    IN ``z [N,V]``, ``weight [N]`` in float64 or None (1), ``smooth``: the share of every class; OUT ``losses [N]`` in
    float64: weight·(ln Σ eᶻ − Σ q·z); OUT ``g [N,V]``: scale·weight·(softmax(z) − q), in the memory of z or another,
    or None.  A row of weight 0 is not looked at: loss and gradient are 0.
``layer_norm(x, gain, shift, y, stats, threads)``
    IN ``x [N,K]``, ``gain [K]``, ``shift [K]``; OUT ``y [N,K]`` = gain ⊙ (x − mean)/√(var + EPSILON) + shift, mean and
    variance over each row (Ba et al. 2016); OUT ``stats [N,2]``: mean and 1/√(var + EPSILON) of the rows.
``layer_norm_backward(x, gain, stats, dy, dx, sums, dgain, dshift, threads)``
    IN ``dy [N,K]``; OUT ``dx [N,K]``, in the memory of dy or another; INOUT ``dgain``, ``dshift``: added to; ``sums``:
    scratch ``[PARTS,2,K]``.
``step(rule, p, g, m, v, mask, scalars, scale, decay, tiny, clear, threads)``
    One update by the ``rule`` sgd, rmsprop or adam: INOUT ``p``, its moments ``m`` and ``v`` (None where there is
    none); IN ``g``, taken ``scale`` times, and set to zero afterwards if ``clear``; ``decay``: the share that p loses
    first, where ``mask`` (uint8, or None: everywhere) is 1.  Moments whose absolute value is below ``tiny`` become 0.
    ``scalars``: (η, ε, β of m, β of v, nesterov), those of ``nn/optim.py``.
``square_sum(g, threads) -> float``
    Σ g² in float64.
``wake(threads)``
    Starts the threads that operations and passes called from this one with that many share, so that they can be told
    where to run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnnkit._kernels import choose, module

EPSILON = 1e-5
"""What layer normalisation adds to the variance: PyTorch's."""
PARTS = 16
"""Stretches of rows whose gradients of gain and shift are summed apart: more threads than that have nothing to do."""


class Ops(NamedTuple):
    """The operations of one backend (see the module's docstring)."""

    dense: Callable[..., Any]
    dense_forward: Callable[..., None]
    dense_backward: Callable[..., None]
    gather: Callable[..., None]
    scatter: Callable[..., None]
    softmax_cross_entropy: Callable[..., None]
    layer_norm: Callable[..., None]
    layer_norm_backward: Callable[..., None]
    step: Callable[..., None]
    square_sum: Callable[[np.ndarray, int], float]
    wake: Callable[[int], None]


def load_ops(backend: str = "auto") -> Ops:
    """The operations of a backend; one named outright never falls back to another."""
    ops: Ops = module(choose(backend), "operations").OPS
    return ops

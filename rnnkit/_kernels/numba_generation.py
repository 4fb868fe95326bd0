"""Generation by Numba: the whole loop without the lock, on one thread, over the cells of the passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnnkit._kernels import numba_cells as cells
from rnnkit._kernels.generation import TABLE, Generation, Rules, Stack
from rnnkit._kernels.numba_dot import Matrices, Room, add_product, lay, room_for
from rnnkit._kernels.numba_draw import Desk, desk_for, draw
from rnnkit._kernels.numba_jit import jit, part
from rnnkit._kernels.numba_layout import GRU_AFTER, GRU_BEFORE, LSTM, MINGRU_LINEAR, RNN_RELU, VARIANTS, columns
from rnnkit._kernels.numba_norm import normalise
from rnnkit._kernels.numba_vector import flush_denormals, restore
from rnnkit._kernels.numba_walk import minimal_units

W, R, RN = range(3)  # the matrices of a layer, in this order; the dense layer's is the last of all


class _Sizes(NamedTuple):
    kind: int
    layers: int
    hidden: int
    embedding: int  # columns of E
    table: int  # 1 where E holds E·W + b of the first layer
    x_columns: int  # as in numba_layout
    h_first: int
    residual: int
    norms: int


class _Network(NamedTuple):
    """IN; every array is flat."""

    size: _Sizes
    matrices: Matrices
    E: np.ndarray
    b: np.ndarray  # [L, x_columns]
    bn: np.ndarray  # [L,H]
    gain: np.ndarray  # [L,H], with shift: of what each layer hands on, where there are norms
    shift: np.ndarray
    out: np.ndarray  # [V]


class _Memory(NamedTuple):
    """INOUT states ``[L,H]``, logits ``[V]``, tokens; the rest is scratch."""

    h: np.ndarray
    c: np.ndarray
    logits: np.ndarray
    tokens: np.ndarray
    a: np.ndarray  # a row of the gates
    reset: np.ndarray  # [H]: r ⊙ h
    sum: np.ndarray  # [H]: what a layer hands on, before its norm
    passed: np.ndarray  # [H]: and after it
    room: Room
    desk: Desk


# -- a step ------------------------------------------------------------------------------------


@part
def _units(size, memory, h):
    """Pre-activations in ``a`` into the states from ``h`` on; a reset-before GRU has come as far as n."""
    kind, H, a, states, c = size.kind, size.hidden, memory.a, memory.h, memory.c
    if kind == LSTM:
        cells.lstm_units(1, H, (a, a, a, a, c, c, states), (0, H, 2 * H, 3 * H, h, h, h), (0, 0, 0, 0, 0, 0, 0))
    elif kind == GRU_AFTER:
        cells.gru_after_units(1, H, (a, a, a, a, states, states), (0, H, 2 * H, 3 * H, h, h), (0, 0, 0, 0, 0, 0))
    elif kind == GRU_BEFORE:
        cells.gru_before_units(1, H, (a, a, states, states), (2 * H, H, h, h), (0, 0, 0, 0))
    elif kind >= MINGRU_LINEAR:
        minimal_units(kind, 1, H, a, 0, 0, states, h, h)
    elif kind == RNN_RELU:
        cells.relu_units(1, H, (a, states), (0, h), (0, 0))
    else:
        cells.tanh_units(1, H, (a, states), (0, h), (0, 0))


@part
def _hand_on(net, memory, n):
    """What layer n gives to the next."""
    H, h = net.size.hidden, n * net.size.hidden
    if n > 0 and net.size.residual:
        cells.add(1, H, (memory.h, memory.sum), (h, 0), (0, 0))
    else:
        cells.copy(1, H, (memory.h, memory.sum), (h, 0), (0, 0))
    if net.size.norms:
        normalise(memory.sum, 0, H, net.gain, net.shift, h, memory.passed, 0)
    else:
        cells.copy(1, H, (memory.sum, memory.passed), (0, 0), (0, 0))


@jit
def _read(net, memory, token, count):
    """One step: the token is written down, states and logits are those after it."""
    size, matrices, room, a = net.size, net.matrices, memory.room, memory.a
    H, X = size.hidden, size.x_columns
    memory.tokens[count] = token
    for n in range(size.layers):
        h = n * H
        if n == 0 and size.table:
            cells.copy(1, X, (net.E, a), (token * X, 0), (0, 0))
        else:
            cells.copy(1, X, (net.b, a), (n * X, 0), (0, 0))
            if n == 0:
                add_product(matrices, W, net.E, token * size.embedding, a, 0, room)
            else:
                add_product(matrices, 3 * n + W, memory.passed, 0, a, 0, room)
        if size.kind == GRU_AFTER:
            cells.copy(1, H, (net.bn, a), (h, 3 * H), (0, 0))
        if size.kind < MINGRU_LINEAR:
            add_product(matrices, 3 * n + R, memory.h, h, a, size.h_first, room)
        if size.kind == GRU_BEFORE:
            cells.gru_before_gates(1, H, (a, a, memory.h, memory.reset), (0, H, h, 0), (0, 0, 0, 0))
            add_product(matrices, 3 * n + RN, memory.reset, 0, a, 2 * H, room)
        _units(size, memory, h)
        _hand_on(net, memory, n)
    V = len(net.out)
    cells.copy(1, V, (net.out, memory.logits), (0, 0), (0, 0))
    add_product(matrices, 3 * size.layers, memory.passed, 0, memory.logits, 0, room)


@jit
def _read_all(net, memory, count, ids, logits):
    """OUT ``logits [n,V]``, flat, or empty."""
    mode, V = flush_denormals(), len(net.out)
    for i in range(len(ids)):
        _read(net, memory, ids[i], count + i)
        if len(logits) > 0:
            cells.copy(1, V, (memory.logits, logits), (0, i * V), (0, 0))
    restore(mode)


@jit
def _write_all(net, memory, count, uniforms, rules, out):
    mode, drawn = flush_denormals(), 0
    while drawn < len(uniforms):
        token = draw(memory.logits, uniforms[drawn], rules, memory.tokens, count + drawn, memory.desk)
        if token < 0:
            break
        out[drawn] = token
        _read(net, memory, token, count + drawn)
        drawn += 1
    restore(mode)
    return drawn


# -- the four functions ------------------------------------------------------------------------


def _prepare(stack: Stack, weights: str) -> _Network:
    kind, first, H = VARIANTS.index(stack.variant), stack.layers[0], stack.hidden
    _, x_columns, h_first, h_columns = columns(kind, H)
    order, h_order = np.arange(x_columns), np.arange(h_columns)
    if kind == GRU_AFTER:  # r z n of the parameters are n r z among the columns, and h meets r z q
        order = np.roll(order, H)
    none = np.empty((0, 0), np.float32)
    table = len(stack.E) <= TABLE
    matrices = []
    for n, p in enumerate(stack.layers):
        met = none if n == 0 and table else p["W"][:, order]
        below = p["R"][:, h_order] if stack.cell.recurrent else none
        matrices += [met, below, p["R"][:, h_columns:] if kind == GRU_BEFORE else none]
    E = np.einsum("ve,en->vn", stack.E, first["W"]) + first["b"] if table else stack.E  # einsum: one fixed order
    b = np.concatenate([p["b"][order] for p in stack.layers])
    bn = np.concatenate([p.get("bn", none[0:0].reshape(-1)) for p in stack.layers])
    gains, shifts = (np.concatenate([none[0:0].reshape(-1), *(pair[i] for pair in stack.norms)]) for i in range(2))
    how = int(stack.residual), int(bool(stack.norms))
    size = _Sizes(kind, len(stack.layers), H, stack.E.shape[1], int(table), x_columns, h_first, *how)
    E = np.ascontiguousarray(E[:, order] if table else E)
    laid = lay([*map(np.ascontiguousarray, matrices), stack.W], weights)
    return _Network(size, laid, E.reshape(-1), b, bn, gains, shifts, np.array(stack.b))


class _Text:
    def __init__(self, net: _Network, capacity: int, rules: Rules) -> None:
        size, V = net.size, len(net.out)
        self.net, self.count = net, 0
        self.rules = Rules(
            float(rules.temperature), int(rules.top_k), float(rules.top_p), float(rules.penalty), int(rules.no_repeat),
            float(rules.min_p),
        )  # fmt: skip
        states, width = size.layers * size.hidden, columns(size.kind, size.hidden)[0]
        sizes = (states, states, V, width, *[size.hidden] * 3)
        h, c, logits, a, reset, total, passed = (np.zeros(n, np.float32) for n in sizes)
        tokens = np.zeros(capacity, np.int32)
        self.memory = _Memory(h, c, logits, tokens, a, reset, total, passed, room_for(net.matrices), desk_for(V))


def _feed(text: _Text, ids: np.ndarray, logits: np.ndarray | None, threads: int) -> None:
    kept = np.empty(0, np.float32) if logits is None else logits.reshape(-1)
    _read_all(text.net, text.memory, text.count, ids, kept)
    text.count += len(ids)


def _generate(text: _Text, uniforms: np.ndarray, out: np.ndarray, threads: int) -> int:
    drawn: Any = _write_all(text.net, text.memory, text.count, uniforms, text.rules, out)
    text.count += drawn
    return int(drawn)


GENERATION = Generation(_prepare, _Text, _feed, _generate)

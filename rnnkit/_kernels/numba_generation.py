"""Generation by Numba: the whole loop without the lock, on one thread, its matrices read row by row.

``y += v·M`` goes down the rows of M, each added to a y that stays in the first-level cache: a stream that LLVM turns
into vectors.  All matrices lie in one array; ``at [n,4]`` says where each begins, its rows, its columns and its scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from rnnkit._kernels.generation import RECENT, TABLE, Generation, Rules, Stack
from rnnkit._kernels.numba_cells import clear, copy, gru_row, lstm_row, rnn_row, squash
from rnnkit._kernels.numba_jit import jit
from rnnkit._kernels.quantization import to_bfloat16, to_int8

RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)
VARIANTS = ("rnn_tanh", "rnn_relu", "lstm", "gru_after", "gru_before")
TINY = np.float32(1e-30)  # vectors no larger are zero in whole numbers: the inverse of their scale might overflow
ONE, ZERO, LARGEST = np.float32(1), np.float32(0), np.float32(127)
W, R, RN = range(3)  # the matrices of a layer, in this order; the dense layer's is the last of all


class _Network(NamedTuple):
    """IN."""

    variant: int
    numbers: np.ndarray  # float32, bits of bfloat16 (uint16) or int8
    scales: np.ndarray
    at: np.ndarray
    E: np.ndarray  # [V,E], or [V,G·H] with E·W + b of the first layer in it
    b: np.ndarray  # [L,G·H]
    bn: np.ndarray  # [L,H]
    out: np.ndarray  # [V]


class _Memory(NamedTuple):
    """INOUT states ``[L,H]``, logits ``[V]``, tokens; the rest is scratch."""

    h: np.ndarray
    c: np.ndarray
    logits: np.ndarray
    tokens: np.ndarray
    ax: np.ndarray  # [G·H]
    ah: np.ndarray  # [G·H]
    next: np.ndarray  # [H]
    wide: np.ndarray  # uint32 or int32, as wide as the widest matrix
    whole: np.ndarray  # int32, as long as the longest vector


# -- the products ------------------------------------------------------------------------------


def _add_product(net, matrix, v, y, memory):
    """y += v · the matrix of that number."""
    raise NotImplementedError


@overload(_add_product)
def _compile_product(net, matrix, v, y, memory):
    kind = net.types[1].dtype
    return {types.float32: _add_single, types.uint16: _add_half, types.int8: _add_whole}[kind]


def _add_single(net, matrix, v, y, memory):
    first, K, N, _ = net.at[matrix]
    for k in range(K):
        a, row = v[k], net.numbers[first + k * N : first + (k + 1) * N]
        for j in range(N):
            y[j] += a * row[j]


def _add_half(net, matrix, v, y, memory):
    first, K, N, _ = net.at[matrix]
    bits = memory.wide[:N]
    row = bits.view(np.float32)
    for k in range(K):
        a, half = v[k], net.numbers[first + k * N : first + (k + 1) * N]
        for j in range(N):
            bits[j] = np.uint32(half[j]) << np.uint32(16)
        for j in range(N):
            y[j] += a * row[j]


def _add_whole(net, matrix, v, y, memory):
    first, K, N, scales = net.at[matrix]
    sums, q = memory.wide[:N].view(np.int32), memory.whole
    largest, strange = ZERO, ZERO
    for k in range(K):
        a = abs(v[k])
        largest = a if a > largest else largest
        strange += ZERO * a
    inverse = LARGEST / largest if largest > TINY and strange == 0 else ZERO
    for k in range(K):
        q[k] = np.int32(np.rint(v[k] * inverse)) if strange == 0 else 0
    clear(sums)
    for k in range(K):
        a, row = q[k], net.numbers[first + k * N : first + (k + 1) * N]
        for j in range(N):
            sums[j] += a * np.int32(row[j])
    scale = largest / LARGEST + strange
    for j in range(N):
        y[j] += np.float32(sums[j]) * (scale * net.scales[scales + j])


# -- a step ------------------------------------------------------------------------------------


@jit
def _gru(net, memory, n, h):
    variant, ax, ah, H = net.variant, memory.ax, memory.ah, len(h)
    z, candidate = ax[H : 2 * H], ax[2 * H :]
    clear(ah)
    _add_product(net, 3 * n + R, h, ah, memory)
    for j in range(2 * H):
        ax[j] += ah[j]
    squash(ax[: 2 * H])
    if variant == GRU_AFTER:
        for j in range(H):
            candidate[j] += ax[j] * (ah[2 * H + j] + net.bn[n, j])
    else:
        for j in range(H):
            memory.next[j] = ax[j] * h[j]
        _add_product(net, 3 * n + RN, memory.next, candidate, memory)
    gru_row(z, candidate, h, memory.next)
    copy(memory.next, h)


@jit
def _read(net, memory, token, count):
    memory.tokens[count] = token
    ax = memory.ax
    for n in range(len(memory.h)):
        h = memory.h[n]
        copy(net.b[n], ax)
        if n > 0:
            _add_product(net, 3 * n + W, memory.h[n - 1], ax, memory)
        elif net.at[W, 1] == 0:
            copy(net.E[token], ax)
        else:
            _add_product(net, W, net.E[token], ax, memory)
        if net.variant >= GRU_AFTER:
            _gru(net, memory, n, h)
        else:
            _add_product(net, 3 * n + R, h, ax, memory)
            if net.variant == LSTM:
                lstm_row(ax, memory.c[n], memory.c[n], h)
            else:
                rnn_row(net.variant == RNN_RELU, ax, h)
    copy(net.out, memory.logits)
    _add_product(net, len(net.at) - 1, memory.h[-1], memory.logits, memory)


# -- drawing -----------------------------------------------------------------------------------


@jit
def _forbid(z, tokens, count, n):
    """z = -inf where a token would write a run of n again, unless that would leave none."""
    out = np.zeros(len(z), np.bool_)
    for i in range(count - n + 1):
        k = 0
        while k < n - 1 and tokens[i + k] == tokens[count - n + 1 + k]:
            k += 1
        if k == n - 1:
            out[tokens[i + n - 1]] = True
    if not out.all():
        for i in range(len(z)):
            if out[i]:
                z[i] = -np.inf


@jit
def _draw(logits, uniform, rules, tokens, count):
    z = logits.astype(np.float64)
    if not np.isfinite(z).all():
        return -1
    if rules.penalty != 1:
        seen = np.zeros(len(z), np.bool_)
        for i in range(max(0, count - RECENT), count):
            token = tokens[i]
            if not seen[token]:
                z[token] = z[token] / rules.penalty if z[token] > 0 else z[token] * rules.penalty
                seen[token] = True
    if rules.no_repeat and count:
        _forbid(z, tokens, count, rules.no_repeat)
    if rules.temperature == 0:
        return np.argmax(z)
    p = np.exp((z - z.max()) / rules.temperature)
    if rules.top_k or rules.top_p < 1:
        order = np.argsort(-z, kind="mergesort")
        kept = min(len(z), rules.top_k) if rules.top_k else len(z)
        p[order[kept:]] = 0
        wanted, held, i = rules.top_p * p.sum(), 0.0, 0
        while i < kept and (rules.top_p >= 1 or i == 0 or held < wanted):
            held += p[order[i]]
            i += 1
        p[order[i:]] = 0
    target, held, token = uniform * p.sum(), 0.0, 0
    for i in range(len(p)):
        held += p[i]
        if p[i] > 0:
            token = i
        if held > target:
            break
    return token


# -- the four functions ------------------------------------------------------------------------


@jit
def _feed_all(net, memory, count, ids, logits):
    for i in range(len(ids)):
        _read(net, memory, ids[i], count + i)
        if len(logits):
            copy(memory.logits, logits[i])


@jit
def _generate_all(net, memory, count, uniforms, rules, out):
    for i in range(len(uniforms)):
        token = _draw(memory.logits, uniforms[i], rules, memory.tokens, count + i)
        if token < 0:
            return i
        out[i] = token
        _read(net, memory, token, count + i)
    return len(uniforms)


_STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float32": np.ascontiguousarray,
    "bfloat16": to_bfloat16,
    "int8": lambda matrix: to_int8(matrix)[0],
}


def _lay(matrices: Sequence[np.ndarray], weights: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, scales and where each matrix begins."""
    at, stored, scales = [], [], [np.empty(0, np.float32)]
    first = scale = 0
    for matrix in matrices:
        at.append((first, *matrix.shape, scale))
        stored.append(_STORED[weights](matrix).ravel())
        first += matrix.size
        if weights == "int8":
            scales.append(to_int8(matrix)[1])
            scale += matrix.shape[1]
    return np.concatenate(stored), np.concatenate(scales), np.array(at, np.intp)


def _prepare(stack: Stack, weights: str) -> _Network:
    variant, first = VARIANTS.index(stack.variant), stack.layers[0]
    H, none = len(first["R"]), np.empty((0, 0), np.float32)
    cut = 2 * H if variant == GRU_BEFORE else None
    table = len(stack.E) <= TABLE
    matrices = []
    for n, p in enumerate(stack.layers):
        matrices += [none if n == 0 and table else p["W"], p["R"][:, :cut], p["R"][:, cut:] if cut else none]
    E = np.einsum("ve,en->vn", stack.E, first["W"]) + first["b"] if table else stack.E
    bn = [p.get("bn", np.zeros(H, np.float32)) for p in stack.layers]
    b = np.stack([p["b"] for p in stack.layers])
    return _Network(variant, *_lay([*matrices, stack.W], weights), E, b, np.stack(bn), stack.b)


class _Text:
    def __init__(self, net: _Network, capacity: int, rules: Rules) -> None:
        L, width = net.b.shape
        H = net.bn.shape[1]

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros(shape, np.float32)

        wide, longest = int(net.at[:, 2].max()), int(net.at[:, 1].max())
        self.net, self.count = net, 0
        self.rules = Rules(float(rules.temperature), int(rules.top_k), float(rules.top_p), float(rules.penalty),
                           int(rules.no_repeat))  # fmt: skip
        self.memory = _Memory(
            zeros(L, H), zeros(L, H), zeros(len(net.out)), np.zeros(capacity, np.int32), zeros(width), zeros(width),
            zeros(H), np.zeros(wide, np.uint32), np.zeros(longest, np.int32),
        )  # fmt: skip


def _feed(text: _Text, ids: np.ndarray, logits: np.ndarray | None, threads: int) -> None:
    _feed_all(text.net, text.memory, text.count, ids, np.empty((0, 0), np.float32) if logits is None else logits)
    text.count += len(ids)


def _generate(text: _Text, uniforms: np.ndarray, out: np.ndarray, threads: int) -> int:
    drawn: Any = _generate_all(text.net, text.memory, text.count, uniforms, text.rules, out)
    text.count += drawn
    return int(drawn)


GENERATION = Generation(_prepare, _Text, _feed, _generate)

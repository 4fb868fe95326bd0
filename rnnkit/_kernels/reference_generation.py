"""The definition of generation: plain NumPy over the reference's cells, nothing clever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit._kernels.generation import RECENT, TABLE, Generation, Rules, Stack
from rnnkit._kernels.operations import EPSILON
from rnnkit._kernels.quantization import LARGEST, to_int8
from rnnkit._kernels.reference import candidate, shares, sigmoid

# -- products and cells ------------------------------------------------------------------------

Product = Callable[[np.ndarray], np.ndarray]
TINY = np.float32(1e-30)
"""Vectors no larger than this are zero in whole numbers: the inverse of their scale might overflow."""


def whole(v: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """(q, s) with v ≈ q·s: the vector in whole numbers of 8 bits; s is NaN where v holds what is no finite number."""
    largest = np.abs(v).max(initial=0)
    if not np.isfinite(largest):
        return np.zeros(len(v), np.int32), np.float32(np.nan)
    inverse = np.float32(LARGEST) / largest if largest > TINY else np.float32(0)
    return np.rint(v * inverse).astype(np.int32), largest / np.float32(LARGEST)


def _product(matrix: np.ndarray, weights: str) -> Product:
    """``v ↦ v · matrix`` in the arithmetic of that form."""
    if weights != "int8":
        return lambda v: v @ matrix
    numbers, scales = to_int8(matrix)
    numbers = numbers.astype(np.int32)

    def product(v: np.ndarray) -> np.ndarray:
        q, scale = whole(v)
        return (q @ numbers).astype(np.float32) * (scale * scales)

    return product


def _step(variant: str, H: int, p: Any, ax: np.ndarray, states: list[np.ndarray], times_R: Any) -> list[np.ndarray]:
    """The states after a step, from ``ax = x W + b`` and those before it."""
    h = states[0]
    if not times_R:
        activation = variant.partition("_")[2]
        *gates, n = np.split(ax, len(ax) // H)
        keep, take = shares(*gates) if len(gates) == 2 else (1 - sigmoid(gates[0]), sigmoid(gates[0]))
        return [keep * h + take * candidate(n, activation)]
    if variant.startswith("rnn"):
        a = ax + times_R[0](h)
        return [np.tanh(a) if variant == "rnn_tanh" else np.maximum(a, 0)]
    if variant == "lstm":
        i, f, g, o = np.split(ax + times_R[0](h), 4)
        c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
        return [sigmoid(o) * np.tanh(c), c]
    ah = times_R[0](h)
    r, z = np.split(sigmoid(ax[: 2 * H] + ah[: 2 * H]), 2)
    q = times_R[1](r * h) if variant == "gru_before" else r * (ah[2 * H :] + p["bn"])
    return [(1 - z) * np.tanh(ax[2 * H :] + q) + z * h]


def normalised(u: np.ndarray, gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Layer normalisation of one vector."""
    d = u - u.mean()
    return d / np.sqrt((d * d).mean() + np.float32(EPSILON)) * gain + shift


class _Weights:
    def __init__(self, stack: Stack, weights: str) -> None:
        self.stack = stack
        self.hidden = stack.hidden
        cut = 2 * self.hidden if stack.variant == "gru_before" else None  # R_n meets r ⊙ h, the other gates h
        self.times_W = [_product(p["W"], weights) for p in stack.layers]
        self.times_R = [
            [_product(p["R"][:, :cut], weights), _product(p["R"][:, cut:], weights) if cut else None]
            if stack.cell.recurrent
            else []
            for p in stack.layers
        ]
        self.times_out = _product(stack.W, weights)
        first = stack.layers[0]
        self.table = stack.E @ first["W"] + first["b"] if len(stack.E) <= TABLE else None

    def enter(self, token: int) -> np.ndarray:
        """x W + b of the first layer."""
        if self.table is not None:
            return self.table[token]
        return self.times_W[0](self.stack.E[token]) + self.stack.layers[0]["b"]


class _Text:
    def __init__(self, weights: _Weights, capacity: int, rules: Rules) -> None:
        self.weights, self.rules = weights, rules
        kinds = len(weights.stack.cell.states)
        self.states = [[np.zeros(weights.hidden, np.float32) for _ in range(kinds)] for _ in weights.stack.layers]
        self.logits = np.zeros(len(weights.stack.b), np.float32)
        self.tokens: list[int] = []


def _read(text: _Text, token: int) -> None:
    """One step."""
    w = text.weights
    text.tokens.append(token)
    ax = w.enter(token)
    u = passed = np.zeros(w.hidden, np.float32)
    for n, p in enumerate(w.stack.layers):
        if n > 0:
            ax = w.times_W[n](passed) + p["b"]
        text.states[n] = _step(w.stack.variant, w.hidden, p, ax, text.states[n], w.times_R[n])
        u = text.states[n][0] + u if w.stack.residual else text.states[n][0]
        passed = normalised(u, *w.stack.norms[n]) if w.stack.norms else u
    text.logits = w.times_out(passed) + w.stack.b


# -- drawing -----------------------------------------------------------------------------------


def banned(tokens: list[int], n: int) -> list[int]:
    """The tokens that would end a run of ``n`` that stands in ``tokens`` already."""
    if not n or len(tokens) < n:
        return []
    last = tokens[len(tokens) - n + 1 :]
    return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tokens[i : i + n - 1] == last]


def draw(logits: np.ndarray, uniform: float, rules: Rules, tokens: list[int]) -> int:
    """One token after ``tokens``, or -1 where the logits are no finite numbers."""
    a = logits.astype(np.float64)
    if not np.isfinite(a).all():
        return -1
    recent = sorted(set(tokens[-RECENT:])) if rules.penalty != 1 else []
    a[recent] = np.where(a[recent] > 0, a[recent] / rules.penalty, a[recent] * rules.penalty)
    out = banned(tokens, rules.no_repeat)
    if len(set(out)) < len(a):
        a[out] = -np.inf
    if not rules.temperature:
        return int(np.argmax(a))
    order = np.argsort(-a, kind="stable")
    if rules.top_k:
        a[order[rules.top_k :]] = -np.inf
    p = np.exp((a - a.max()) / rules.temperature)
    p /= p.sum()
    if rules.top_p < 1:
        p[order[int(np.searchsorted(np.cumsum(p[order]), rules.top_p)) + 1 :]] = 0
    p[p < rules.min_p * p.max()] = 0
    p /= p.sum()
    return int(np.searchsorted(np.cumsum(p), uniform, side="right").clip(0, np.flatnonzero(p)[-1]))


# -- the four functions ------------------------------------------------------------------------


def _feed(text: _Text, ids: np.ndarray, logits: np.ndarray | None, threads: int) -> None:
    for i, token in enumerate(ids.tolist()):
        _read(text, token)
        if logits is not None:
            logits[i] = text.logits


def _generate(text: _Text, uniforms: np.ndarray, out: np.ndarray, threads: int) -> int:
    for i, uniform in enumerate(uniforms.tolist()):
        token = draw(text.logits, uniform, text.rules, text.tokens)
        if token < 0:
            return i
        out[i] = token
        _read(text, token)
    return len(uniforms)


GENERATION = Generation(_Weights, _Text, _feed, _generate)

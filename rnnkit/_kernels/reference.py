"""The definition of truth: every cell in plain NumPy, any float dtype, nothing clever.

A cell here is two functions over one step of all rows, ``p`` being the ``Weights``:

``step(p, x, s, hr) -> states, saved``      the equations of ``cells.CELLS``
``step_back(p, s, hr, new, saved, d) -> dgates, dhr, carry``
    IN ``d``: gradients of the states after the step.  OUT ``dgates``: gradients of the
    pre-activations that meet x (first) and h (second) in the products; ``dhr``: gradient of
    the masked h that entered them; ``carry``: gradients of the old states by every other way.
    A cell without R has no second ``dgates`` and 0 for ``dhr``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from rnnkit._kernels import PRECISIONS, Kernels, Span
from rnnkit._kernels.quantization import rounded
from rnnkit.errors import UsageError

Arrays = tuple[np.ndarray, ...]


def sigmoid(a: np.ndarray) -> np.ndarray:
    """σ(a) = ½ + ½ tanh(a/2), which cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)


class Weights(dict[str, np.ndarray]):
    """A cell's parameters by name, and how the factors of a product are rounded; their own W and R are already."""

    def __init__(self, params: Mapping[str, np.ndarray], table: np.ndarray | None, precision: str) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        if precision == "bfloat16" and params["W"].dtype != np.float32:
            raise UsageError(f"bfloat16 products need float32 parameters, not {params['W'].dtype}; leave precision out")
        self.low: Callable[[np.ndarray], np.ndarray] = partial(rounded, weights=precision)
        super().__init__({name: self.low(v).copy() if name in "WR" else v.copy() for name, v in params.items()})
        self.table = None if table is None else table.copy()

    def x(self, x: np.ndarray) -> np.ndarray:
        """The inputs of one step, looked up where they are ids, as they enter x·W."""
        return self.low(x if self.table is None else self.table[x])


# -- the cells -------------------------------------------------------------------------------


def _rnn(activation: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def step(p, x, s, hr):
        a = p.x(x) @ p["W"] + p.low(hr) @ p["R"] + p["b"]
        h = np.tanh(a) if activation == "tanh" else np.maximum(a, 0)
        return (h,), ()

    def step_back(p, s, hr, new, saved, d):
        (h,) = new
        da = d[0] * (1 - h * h) if activation == "tanh" else np.where(h > 0, d[0], 0)
        return (da, da), p.low(da) @ p["R"].T, (np.zeros_like(h),)

    return step, step_back


def _lstm_step(p, x, s, hr):
    i, f, g, o = np.split(p.x(x) @ p["W"] + p.low(hr) @ p["R"] + p["b"], 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * s[1] + i * g
    return (o * np.tanh(c), c), (i, f, g, o)


def _lstm_back(p, s, hr, new, saved, d):
    i, f, g, o = saved
    tc = np.tanh(new[1])
    dc = d[1] + d[0] * o * (1 - tc * tc)
    da = np.concatenate(
        [dc * g * i * (1 - i), dc * s[1] * f * (1 - f), dc * i * (1 - g * g), d[0] * tc * o * (1 - o)], axis=1
    )
    return (da, da), p.low(da) @ p["R"].T, (np.zeros_like(dc), dc * f)


def _gru_after_step(p, x, s, hr):
    H = s[0].shape[1]
    ax, ah = p.x(x) @ p["W"] + p["b"], p.low(hr) @ p["R"]
    r, z = np.split(sigmoid(ax[:, : 2 * H] + ah[:, : 2 * H]), 2, axis=1)
    q = ah[:, 2 * H :] + p["bn"]
    n = np.tanh(ax[:, 2 * H :] + r * q)
    return ((1 - z) * n + z * s[0],), (r, z, n, q)


def _gru_after_back(p, s, hr, new, saved, d):
    r, z, n, q = saved
    (dh,) = d
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (s[0] - n) * z * (1 - z)
    dr = dn * q * r * (1 - r)
    da_x = np.concatenate([dr, dz, dn], axis=1)
    da_h = np.concatenate([dr, dz, dn * r], axis=1)
    return (da_x, da_h), p.low(da_h) @ p["R"].T, (dh * z,)


def _gru_before_step(p, x, s, hr):
    H = s[0].shape[1]
    ax = p.x(x) @ p["W"] + p["b"]
    r, z = np.split(sigmoid(ax[:, : 2 * H] + p.low(hr) @ p["R"][:, : 2 * H]), 2, axis=1)
    n = np.tanh(ax[:, 2 * H :] + p.low(r * hr) @ p["R"][:, 2 * H :])
    return ((1 - z) * n + z * s[0],), (r, z, n)


def _gru_before_back(p, s, hr, new, saved, d):
    r, z, n = saved
    (dh,) = d
    H = dh.shape[1]
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (s[0] - n) * z * (1 - z)
    drh = p.low(dn) @ p["R"][:, 2 * H :].T
    dr = drh * hr * r * (1 - r)
    da = np.concatenate([dr, dz, dn], axis=1)
    return (da, da), drh * r + p.low(da[:, : 2 * H]) @ p["R"][:, : 2 * H].T, (dh * z,)


# Cells without R.  g(a) is a, or positive: a + ½ where a ≥ 0, else σ(a); so g(a) ≥ ½ there, and g' follows from g.


def candidate(a: np.ndarray, activation: str) -> np.ndarray:
    """g(a)."""
    return a if activation == "linear" else np.where(a >= 0, a + 0.5, sigmoid(np.minimum(a, 0)))


def _slope(n: np.ndarray, activation: str) -> np.ndarray:
    """g' where g is n."""
    return np.ones_like(n) if activation == "linear" else np.where(n >= 0.5, 1, n * (1 - n))


def shares(f: np.ndarray, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f/(f+i) and i/(f+i) of two gates by their pre-activations, also where both are 0 in floating point.

    With 1/σ(a) = 1 + e^−a they are (1 + e^−i) and (1 + e^−f) over their sum; all is scaled by e^−m, m the largest
    exponent, so that no exponential is above 1 and one of them is 1.
    """
    most = np.finfo(f.dtype).max / 4
    f, i = np.clip(f, -most, most), np.clip(i, -most, most)  # no ∞ − ∞
    m = np.maximum(np.maximum(-f, -i), 0)
    keep, take = np.exp(-m) + np.exp(-i - m), np.exp(-m) + np.exp(-f - m)
    return keep / (keep + take), take / (keep + take)


def _mingru(activation: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def step(p, x, s, hr):
        z, n = np.split(p.x(x) @ p["W"] + p["b"], 2, axis=1)
        z, n = sigmoid(z), candidate(n, activation)
        return ((1 - z) * s[0] + z * n,), (z, n)

    def step_back(p, s, hr, new, saved, d):
        z, n = saved
        (dh,) = d
        da = np.concatenate([dh * (n - s[0]) * z * (1 - z), dh * z * _slope(n, activation)], axis=1)
        return (da,), 0, (dh * (1 - z),)

    return step, step_back


def _minlstm(activation: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def step(p, x, s, hr):
        f, i, n = np.split(p.x(x) @ p["W"] + p["b"], 3, axis=1)
        keep, take = shares(f, i)
        n = candidate(n, activation)
        return (keep * s[0] + take * n,), (sigmoid(f), sigmoid(i), keep, take, n)

    def step_back(p, s, hr, new, saved, d):
        f, i, keep, take, n = saved
        (dh,) = d
        ratio = dh * (s[0] - n) * keep * take  # gradient of log(f/i)
        da = np.concatenate([ratio * (1 - f), -ratio * (1 - i), dh * take * _slope(n, activation)], axis=1)
        return (da,), 0, (dh * keep,)

    return step, step_back


# -- the passes over time --------------------------------------------------------------------


class _Tape:
    """Per step: what ``step`` saved, and after ``backward`` the gate gradients."""

    def __init__(self, steps: int) -> None:
        self.saved: list[Arrays] = [()] * steps
        self.dgates: list[Arrays] = [()] * steps


def _order(span: Span) -> range:
    return range(span.stop - 1, span.start - 1, -1) if span.reverse else range(span.start, span.stop)


def _alive(span: Span, t: int, like: np.ndarray) -> np.ndarray:
    """Rows that have a step t, as a column of booleans."""
    rows = like.shape[0]
    return (np.full(rows, True) if span.lengths is None else t < span.lengths)[:, None]


def _masked(span: Span, h: np.ndarray) -> np.ndarray:
    return h if span.mask is None else h * span.mask


def _kernels(step: Callable[..., Any], step_back: Callable[..., Any]) -> Kernels:
    def prepare(
        params: Mapping[str, np.ndarray],
        table: np.ndarray | None = None,
        precision: str = "float32",
        threads: int = 1,
    ) -> Weights:
        return Weights(params, table, precision)

    def allocate(weights: Any, T: int, B: int, training: bool) -> _Tape:
        return _Tape(T)

    def forward(p, x, states, tape, span: Span) -> None:
        for t in _order(span):
            before, after = (t + 1, t) if span.reverse else (t, t + 1)
            old = tuple(s[before] for s in states)
            new, tape.saved[t] = step(p, x[t], old, _masked(span, old[0]))
            alive = _alive(span, t, old[0])
            for s, fresh, stale in zip(states, new, old, strict=True):
                s[after] = np.where(alive, fresh, stale)

    def backward(p, x, states, tape, dy, dstates, dx, span: Span) -> None:
        for t in reversed(_order(span)):
            before, after = (t + 1, t) if span.reverse else (t, t + 1)
            old = tuple(s[before] for s in states)
            new = tuple(s[after] for s in states)
            alive = _alive(span, t, old[0])
            d = tuple(np.where(alive, g, 0) for g in dstates)
            d = (d[0] + np.where(alive, dy[t], 0), *d[1:])
            dgates, dhr, carry = step_back(p, old, _masked(span, old[0]), new, tape.saved[t], d)
            dgates = tuple(np.where(alive, g, 0) for g in dgates)
            carry = (carry[0] + _masked(span, dhr), *carry[1:])
            for g, fresh in zip(dstates, carry, strict=True):
                g[...] = np.where(alive, fresh, g)
            tape.dgates[t] = dgates
            if dx is not None:
                dx[t] = p.low(dgates[0]) @ p["W"].T

    def accumulate(p, x, states, tape, grads, span: Span) -> None:
        for t in _order(span):
            hr = _masked(span, states[0][t + 1 if span.reverse else t])
            da_x, *da_h = tape.dgates[t]
            low_x = p.low(da_x)
            grads["W"] += p.x(x[t]).T @ low_x
            grads["b"] += low_x.sum(axis=0)
            if "E" in grads:  # rows of one id add up
                np.add.at(grads["E"], x[t], low_x @ p["W"].T)
            if not da_h:
                continue
            low_h = p.low(da_h[0])
            if step is _gru_before_step:  # R_n met r ⊙ h, the other gates h
                H = hr.shape[1]
                grads["R"][:, : 2 * H] += p.low(hr).T @ low_h[:, : 2 * H]
                grads["R"][:, 2 * H :] += p.low(tape.saved[t][0] * hr).T @ low_h[:, 2 * H :]
            else:
                grads["R"] += p.low(hr).T @ low_h
            if "bn" in grads:
                grads["bn"] += low_h[:, -len(grads["bn"]) :].sum(axis=0)

    more: dict[str, Any] = {"tokens": True, "precisions": PRECISIONS, "concurrent": False}  # Python steps one at a time
    return Kernels(prepare, allocate, forward, backward, accumulate, **more)


KERNELS: dict[str, Kernels] = {
    "rnn_tanh": _kernels(*_rnn("tanh")),
    "rnn_relu": _kernels(*_rnn("relu")),
    "lstm": _kernels(_lstm_step, _lstm_back),
    "gru_after": _kernels(_gru_after_step, _gru_after_back),
    "gru_before": _kernels(_gru_before_step, _gru_before_back),
    "mingru_linear": _kernels(*_mingru("linear")),
    "mingru_positive": _kernels(*_mingru("positive")),
    "minlstm_linear": _kernels(*_minlstm("linear")),
    "minlstm_positive": _kernels(*_minlstm("positive")),
}


def describe() -> str:
    """What runs: NumPy with its own BLAS."""
    return f"NumPy {np.__version__} (reference; its BLAS is outside the same-bits promise)"

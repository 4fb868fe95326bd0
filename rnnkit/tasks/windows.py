"""Series cut into windows: what a forecasting network sees and how its answer is read.

Notation: B windows, L points of context, H points of horizon, P points of a patch, F other
columns, K simple forecasts. Every number that scales a window comes from the window itself, so
nothing leaks from later points; the other columns are scaled by the part that is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from rnnkit.nn import At, Chain, Dense, Dropout, Last, Layer, Mixture, Recurrent, Reshape, Sum, Take

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """How a window is cut, scaled and read; stored in the model file."""

    context: int
    horizon: int
    patch: int
    periods: list[int]
    log_floor: float  # logarithms, a value that is not above 0 taken as this; 0 is none
    quantiles: list[float]  # [] for a mean
    past_mean: list[float]
    past_scale: list[float]
    spread: float = 1.0  # mean absolute deviation of the fitted part: the scale of a window of zeros

    @property
    def season(self) -> int:
        """The shortest period, or 1."""
        return self.periods[0] if self.periods else 1

    @property
    def minimum(self) -> int:
        """Points that a window needs to be worth something; the rest may be padding."""
        return max(self.season, self.patch, 2)


class Pool:
    """Series laid out so that any window is a slice: causally filled, padded on the left.

    ``values[i]`` may hold NaN, but not at its start; a missing value is replaced by the one a season before
    it (else the one before it), which a forecaster at that time could have done, and is marked as not real.
    ``filled``: series already filled so, where more of their past was at hand than ``values`` has.
    """

    def __init__(
        self,
        window: Window,
        values: Sequence[np.ndarray],
        past: Sequence[np.ndarray],
        filled: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.window = window
        L, H, m = window.context, window.horizon, window.season
        self.lengths = np.array([len(v) for v in values])
        self.offsets = np.zeros(len(values), np.int64)
        flat, real, columns, at = [], [], [], 0
        features = len(window.past_mean)
        whole = [fill_causally(v, m) for v in values] if filled is None else filled
        for i, (v, f, other) in enumerate(zip(values, whole, past, strict=True)):
            pad = f[np.arange(-L, 0) % m] if len(v) >= m else np.full(L, f[0])
            self.offsets[i] = at + L
            flat += [pad, f, np.full(H, np.nan)]
            real += [np.zeros(L, bool), ~np.isnan(v), np.zeros(H, bool)]
            if features:
                scaled = (other - np.array(window.past_mean)) / np.array(window.past_scale)
                columns += [np.zeros((L, features)), np.nan_to_num(scaled, nan=0.0), np.zeros((H, features))]
            at += L + len(v) + H
        self.flat, self.real = np.concatenate(flat), np.concatenate(real)
        self.columns = np.concatenate(columns) if features else np.zeros((len(self.flat), 0))
        self.raw = np.concatenate([np.concatenate([np.full(L, np.nan), v, np.full(H, np.nan)]) for v in values])

    def inputs(self, series: np.ndarray, cuts: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Inputs of windows that end before point ``cuts`` of ``series``, with their level and scale ``[B,1]``."""
        w = self.window
        at = (self.offsets[series] + cuts)[:, None] + np.arange(-w.context, 0)
        x, real = self._value(self.flat[at]), self.real[at]
        level, scale = level_and_scale(w, x, real)
        z = (x - level) / scale
        B, n = len(z), w.context // w.patch
        size = 1.0 if w.log_floor else np.maximum(np.abs(level), 1e-3 * scale)
        facts = np.stack(
            [
                real.reshape(B, n, w.patch).mean(2),
                np.repeat(np.clip(np.log(scale / size), -6, 6) / 3, n, 1),
            ],
            axis=2,
        )
        parts = [z.reshape(B, n, w.patch), facts, self.columns[at].reshape(B, n, -1)]
        patches = np.ascontiguousarray(np.concatenate(parts, axis=2).transpose(1, 0, 2), dtype=np.float32)
        inputs = {
            "patches": patches,
            "window": z.astype(np.float32),
            "bases": simple_forecasts(w, z).astype(np.float32),
        }
        return inputs, level, scale

    def shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs of so many windows."""
        w = self.window
        bases = simple_forecasts(w, np.zeros((1, w.context))).shape[1]
        width = w.patch * (1 + len(w.past_mean)) + 2
        return {
            "patches": (w.context // w.patch, rows, width),
            "window": (rows, w.context),
            "bases": (rows, bases, w.horizon),
        }

    @property
    def window_bytes(self) -> int:
        """About what making one window's inputs takes: eight arrays of float64 as long as it, and the inputs."""
        w = self.window
        bases = self.shapes(1)["bases"][1]
        return 8 * w.context * (8 + 2 * len(w.past_mean)) + 20 * bases * w.horizon + 12 * w.context

    def targets(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        """What followed, ``[B,H]`` in the file's units, NaN where missing."""
        return self.raw[(self.offsets[series] + cuts)[:, None] + np.arange(self.window.horizon)]

    def scaled(self, y: np.ndarray, level: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Targets as the network is to give them."""
        return (self._value(y) - level) / scale

    def _value(self, x: np.ndarray) -> np.ndarray:
        return np.log(np.where(x <= 0, self.window.log_floor, x)) if self.window.log_floor else x

    def unscaled(self, z: np.ndarray, level: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """The network's answer ``[B,H,Q]`` in the file's units, quantiles in order."""
        y = np.sort(z.astype(np.float64), axis=2) * scale[:, :, None] + level[:, :, None]
        return np.exp(np.minimum(y, 700.0)) if self.window.log_floor else y


def fill_causally(v: np.ndarray, season: int) -> np.ndarray:
    """``v`` without NaN: each becomes the value a season earlier, else the one before; the first must be there."""
    out = v.astype(np.float64, copy=True)
    for t in np.flatnonzero(np.isnan(out)):
        out[t] = out[t - season] if t >= season else out[t - 1]
    return out


def level_and_scale(w: Window, x: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level: mean of the last season, or the last value; scale: mean seasonal difference; ``[B,1]`` each.

    The scale is at least a thousandth of the level and of the values (of logarithms: 0.001).
    """
    m = w.season
    level = x[:, -m:].mean(axis=1, keepdims=True) if 1 < m <= 2 * w.horizon else x[:, -1:]
    if w.context >= m + 2:
        pairs = (real[:, m:] & real[:, :-m]).astype(float)
        change = np.abs(x[:, m:] - x[:, :-m])
    else:
        pairs, change = real.astype(float), np.abs(x - x.mean(axis=1, keepdims=True))
    scale = (change * pairs).sum(1, keepdims=True) / np.maximum(pairs.sum(1, keepdims=True), 1)
    if w.log_floor:
        return level, np.maximum(scale, 1e-3)
    size = np.maximum(np.abs(level), np.abs(x).mean(axis=1, keepdims=True))
    return level, np.where(size > 0, np.maximum(scale, 1e-3 * size), w.spread)


def simple_forecasts(w: Window, z: np.ndarray) -> np.ndarray:
    """Rules of thumb made from the window alone, ``z [B,L] -> [B,K,H]``; the network's gate mixes them.

    Last value; for each period the last season, and for the shortest one also the mean of up to four
    seasons and the last season moved by the change of level since; without a season, drifts and means.
    """
    L = z.shape[1]
    H, last, t = w.horizon, z[:, -1:], np.arange(w.horizon)
    out = [np.repeat(last, H, axis=1)]
    for k, q in enumerate(q for q in w.periods if q <= L):
        season = z[:, L - q + t % q]
        out.append(season)
        if k == 0:
            n = min(4, L // q)
            if n > 1:
                out.append(np.mean([z[:, L - q * (j + 1) + t % q] for j in range(n)], axis=0))
                now = z[:, -q:].mean(1, keepdims=True)
                shift = now - z[:, L - 2 * q : L - q].mean(1, keepdims=True)
                out.append(season + shift * (1 + t // q))
                if n > 2:
                    trend = (now - z[:, L - n * q : L - n * q + q].mean(1, keepdims=True)) / (n - 1)
                    out.append(season + trend * (1 + t // q))
                part = max(1, q // 4)
                out.append(
                    season + z[:, -part:].mean(1, keepdims=True) - z[:, L - q - part : L - q].mean(1, keepdims=True)
                )
        else:
            p = w.season
            if q + p <= L:
                shift = z[:, -p:].mean(1, keepdims=True) - z[:, L - q - p : L - q].mean(1, keepdims=True)
                out.append(season + shift)
    if not w.periods:
        for span in (min(H, L - 1), min(4 * H, L - 1)):
            out.append(last + (last - z[:, L - 1 - span : L - span]) / span * (t + 1))
            out.append(np.repeat(z[:, -span:].mean(1, keepdims=True), H, axis=1))
    return np.stack(out, axis=1)


def build_network(w: Window, cell: dict[str, Any], hidden: int, dropout: float, *, skip: bool) -> Layer:
    """Patches → recurrent code → gate over simple forecasts + correction (+ a linear map of the window).

    The gate starts at equal weights and everything else at zero, so training starts from the mean of
    the simple forecasts. Ideas: gated mixtures; patches of one period (SegRNN, Lin et al. 2023); a
    linear skip (NLinear, Zeng et al. 2023).
    """
    probe = np.zeros((1, w.context))
    bases = simple_forecasts(w, probe).shape[1]
    outputs = max(1, len(w.quantiles))
    width = w.patch * (1 + len(w.past_mean)) + 2
    recurrent = Recurrent(inputs=hidden, hidden=hidden, **cell)
    code = recurrent.outputs
    parts: list[Layer] = [
        Chain((Take("patches"), Dense(code, w.horizon * outputs, init_name="zeros"), Reshape((w.horizon, outputs)))),
        Mixture("patches", "bases", code, bases, max(1, min(w.horizon, -(-w.horizon // w.patch))), outputs),
    ]
    if skip:
        linear = Dense(w.context, w.horizon * outputs, init_name="zeros")
        parts.append(Chain((Take("window"), linear, Reshape((w.horizon, outputs)))))
    last = Last(both=recurrent.bidirectional)
    encoder = Chain((Dense(width, hidden, "relu", "he_uniform"), recurrent, last, Dropout(dropout)))
    return Chain((At("patches", encoder), Sum(tuple(parts))))

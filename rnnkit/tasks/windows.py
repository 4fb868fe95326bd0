"""Series cut into windows: what a forecasting network sees and how its answer is read.

Notation: B windows, L points of context, H points of horizon, P points of a patch, N segments of a patch in the
horizon, M members of the ensemble, F inputs known up to now, K known in advance, C constant ones. Every number that
scales a window comes from the window itself, so nothing leaks from later points; the other inputs are scaled by the
part that is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np

from rnnkit.nn.outputs import Output, make_output
from rnnkit.tasks.rules import simple_forecasts

NORMAL = NormalDist()
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
SCALINGS = ("difference", "deviation")
"""What a window is divided by: its mean change over one season, or its standard deviation."""
SKIPPING = ("difference",)
"""Scalings whose members may add a linear map of the window."""


class Scaling(msgspec.Struct, forbid_unknown_fields=True):
    """Mean and standard deviation, by column, of what is not the target; over the part that is fitted."""

    mean: list[float] = []
    scale: list[float] = []

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Columns ``[n,F]`` scaled, 0 where missing."""
        if not self.mean:
            return np.zeros((len(columns), 0))
        return np.nan_to_num((columns - np.array(self.mean)) / np.array(self.scale), nan=0.0)


class Window(msgspec.Struct, forbid_unknown_fields=True):
    """How a window is cut, scaled and read; stored in the model file."""

    context: int
    horizon: int
    patch: int
    periods: list[int]
    log_floor: float  # logarithms, a value that is not above 0 taken as this; 0 is none
    quantiles: list[float]
    output: str  # what the network gives, one of nn.outputs.OUTPUTS
    scalings: list[str]  # of each member
    past: Scaling
    future: Scaling
    static: Scaling
    level: float = 0.0  # mean and standard deviation of the levels of series, as they are scaled
    level_scale: float = 0.0  # 0 keeps the level from the network
    spread: float = 1.0  # mean absolute deviation of the fitted part: the scale of a window of zeros

    @property
    def season(self) -> int:
        """The shortest period, or 1."""
        return self.periods[0] if self.periods else 1

    @property
    def minimum(self) -> int:
        """Points that a window needs to be worth something; the rest may be padding."""
        return max(self.season, min(self.patch, 2 * self.horizon), 2)

    @property
    def middle(self) -> str:
        """What the middle of its forecasts is called."""
        return "mean" if self.output == "mean" else "median"

    @property
    def segments(self) -> int:
        """N: patches that hold the horizon."""
        return math.ceil(self.horizon / self.patch)

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for each point."""
        return self.head.parameters

    @property
    def head(self) -> Output:
        """What the network's numbers mean."""
        return make_output(self.output, **({"levels": tuple(self.quantiles)} if self.output == "quantile" else {}))

    @property
    def rules(self) -> int:
        """Simple forecasts that it mixes."""
        return simple_forecasts(np.zeros((1, self.context)), self.horizon, self.periods).shape[1]

    @property
    def patch_width(self) -> int:
        """Inputs of a step of the encoder: values, inputs known up to now and in advance, facts, constants."""
        return self.patch * (1 + len(self.past.mean) + len(self.future.mean)) + 3 + len(self.static.mean)

    @property
    def segment_width(self) -> int:
        """Inputs of a step of the decoder: its place, the seasons before it, inputs known in advance, constants."""
        return self.segments + self.patch * (len(self.periods) + len(self.future.mean)) + len(self.static.mean)


class Frame(NamedTuple):
    """Where windows lie: level ``[B,1]`` and scale ``[B,M]`` of each member, of the values or of their logarithms."""

    level: np.ndarray
    scale: np.ndarray


class Pool:
    """Series laid out so that any window is a slice: causally filled, padded on the left.

    ``values[i]`` may hold NaN, but not at its start; a missing value is replaced by the one a season before
    it (else the one before it), which a forecaster at that time could have done, and is marked as not real.
    ``future[i]`` may have up to H rows more than ``values[i]``; rows it lacks count as missing.
    ``filled``: series already filled so, where more of their past was at hand than ``values`` has.
    """

    def __init__(
        self,
        window: Window,
        values: Sequence[np.ndarray],
        past: Sequence[np.ndarray],
        future: Sequence[np.ndarray],
        static: np.ndarray,
        filled: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.window = window
        L, H, m = window.context, window.horizon, window.season
        self.lengths = np.array([len(v) for v in values])
        self.offsets = np.cumsum([0, *(L + n + H for n in self.lengths)])[:-1] + L
        size = int(self.lengths.sum()) + len(values) * (L + H)
        self.flat, self.raw = np.empty(size), np.full(size, np.nan)
        self.past = np.zeros((size, len(window.past.mean)), np.float32)
        self.future = np.zeros((size, len(window.future.mean)), np.float32)
        self.static = window.static(static).astype(np.float32)
        whole = [fill_causally(v, m) for v in values] if filled is None else filled
        for start, v, f, own, known in zip(self.offsets, values, whole, past, future, strict=True):
            end, n = start + len(v), min(len(known), len(v) + H)
            self.flat[start - L : start] = f[np.arange(-L, 0) % m] if len(v) >= m else f[0]
            self.flat[start:end], self.raw[start:end] = f, v
            self.flat[end : end + H] = np.nan
            self.past[start:end] = window.past(own)
            self.future[start : start + n] = window.future(known[:n])

    def inputs(self, series: np.ndarray, cuts: np.ndarray) -> tuple[dict[str, np.ndarray], Frame]:
        """Inputs of windows that end before point ``cuts`` of ``series``, and where these lie."""
        w = self.window
        L, H, P, N = w.context, w.horizon, w.patch, w.segments
        first = self.offsets[series] + cuts
        at = first[:, None] + np.arange(-L, 0)
        x, real = self.values(self.flat[at]), np.isfinite(self.raw[at])
        level, scale = level_and_scale(w, x, real)
        B, n = len(x), L // P
        size = 1.0 if w.log_floor else np.maximum(np.abs(level), 1e-3 * scale[:, :1])
        facts = np.empty((n, B, 3 + len(w.static.mean)), np.float32)
        facts[:, :, 0] = real.reshape(B, n, P).mean(2).T
        facts[:, :, 1] = np.clip(np.log(scale[:, 0] / np.ravel(size)), -6, 6) / 3
        facts[:, :, 2] = np.clip((level[:, 0] - w.level) / w.level_scale, -3, 3) if w.level_scale else 0.0
        facts[:, :, 3:] = self.static[series]
        ahead = np.minimum(first[:, None] + np.arange(N * P), len(self.future) - 1)
        known = np.where((np.arange(N * P) < H)[None, :, None], self.future[ahead], 0.0)
        place = np.broadcast_to(np.eye(N, dtype=np.float32)[:, None], (N, B, N))
        beside = [
            self.past[at].reshape(B, n, -1).transpose(1, 0, 2),
            self.future[at].reshape(B, n, -1).transpose(1, 0, 2),
        ]
        after = [
            known.reshape(B, N, -1).transpose(1, 0, 2),
            np.broadcast_to(self.static[series], (N, B, len(w.static.mean))),
        ]
        t = np.arange(N * P)
        inputs: dict[str, np.ndarray] = {}
        for scaling in dict.fromkeys(w.scalings):
            z = ((x - level) / scale[:, w.scalings.index(scaling), None]).astype(np.float32)
            patches = z.reshape(B, n, P).transpose(1, 0, 2)
            lags = [z[:, L - q + t % q].reshape(B, N, P).transpose(1, 0, 2) for q in w.periods]
            inputs |= {
                f"patches/{scaling}": np.concatenate([patches, facts, *beside], axis=2),
                f"segments/{scaling}": np.concatenate([place, *lags, *after], axis=2),
                f"window/{scaling}": z,
                f"bases/{scaling}": simple_forecasts(z, H, w.periods),
            }
        return inputs, Frame(level, scale)

    def shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs of so many windows."""
        w = self.window
        parts = {
            "patches": (w.context // w.patch, rows, w.patch_width),
            "segments": (w.segments, rows, w.segment_width),
            "window": (rows, w.context),
            "bases": (rows, w.rules, w.horizon),
        }
        return {f"{name}/{scaling}": shape for scaling in dict.fromkeys(w.scalings) for name, shape in parts.items()}

    @property
    def window_bytes(self) -> int:
        """About what making one window's inputs takes: four arrays of float64 as long as it, and twice the inputs."""
        inputs = sum(math.prod(shape) for shape in self.shapes(1).values())
        return 32 * self.window.context + 8 * inputs

    def targets(self, series: np.ndarray, cuts: np.ndarray, steps: int | None = None) -> np.ndarray:
        """What followed, ``[B,steps]`` (a horizon of them) in the file's units, NaN where missing or after the end."""
        t = np.arange(steps or self.window.horizon)
        at = np.minimum((self.offsets[series] + cuts)[:, None] + t, len(self.raw) - 1)
        return np.where(cuts[:, None] + t < self.lengths[series][:, None], self.raw[at], np.nan)

    def apart(self, series: np.ndarray, cuts: np.ndarray, steps: int) -> Pool:
        """Each of these windows as a series of its own that ends with it, with room for ``steps`` more points."""
        L, H = self.window.context, self.window.horizon
        t = np.arange(-L, steps + H)
        at = np.clip((self.offsets[series] + cuts)[:, None] + t, 0, len(self.raw) - 1)
        pool = Pool.__new__(Pool)
        pool.window, pool.lengths = self.window, np.full(len(cuts), L)
        pool.offsets = np.arange(len(cuts)) * len(t) + L
        before, known = t < 0, cuts[:, None] + t < self.lengths[series][:, None] + H
        pool.flat, pool.raw = (np.where(before, part[at], np.nan).ravel() for part in (self.flat, self.raw))
        pool.past = np.where(before[:, None], self.past[at], 0).reshape(at.size, -1).astype(np.float32)
        pool.future = np.where(known[:, :, None], self.future[at], 0).reshape(at.size, -1).astype(np.float32)
        pool.static = self.static[series]
        return pool

    def go_on(self, at: int, y: np.ndarray) -> None:
        """Take ``y [series, H]`` for what came from point ``at`` on of every series, counted from their ends."""
        places = self.offsets[:, None] + at + np.arange(y.shape[1])
        self.flat[places] = self.raw[places] = y

    def values(self, x: np.ndarray) -> np.ndarray:
        """Values as they are scaled: their logarithms, or themselves."""
        return np.log(np.where(x <= 0, self.window.log_floor, x)) if self.window.log_floor else x

    def examples(self, y: np.ndarray, real: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Targets of each member and their weights as the loss takes them, of y ``[B,H]`` where it is ``real``."""
        above = np.where(real, self.values(np.where(real, y, 1.0)) - frame.level, 0.0)
        shape = (len(y), len(self.window.scalings), self.window.horizon)
        above, weight = (np.broadcast_to(part[:, None], shape) for part in (above, real))
        target, weight = self.window.head.examples(above, weight, frame.scale[:, :, None])
        return target.astype(np.float32), weight.astype(np.float32)

    def joined(self, z: np.ndarray, frame: Frame) -> np.ndarray:
        """The members' answers ``[B,M,H,outputs]`` as one, their median ``[B,H,Q]``, unscaled, quantiles in order.

        Around a mean the quantiles are as far as the scale of the window says, those of a normal distribution.
        """
        head, levels = self.window.head, self.window.quantiles
        if self.window.output == "mean":
            y = np.median(head.mean(z, frame.scale[:, :, None]), axis=1) + frame.level
            return y[:, :, None] + frame.scale[:, :1, None] * np.array([NORMAL.inv_cdf(q) for q in levels])
        return np.median(head.quantiles(z, levels, frame.scale[:, :, None]), axis=1) + frame.level[:, :, None]

    def restored(self, y: np.ndarray) -> np.ndarray:
        """Values as they are scaled, in the file's units: the inverse of ``values``."""
        return np.exp(np.clip(y, -700.0, 700.0)) if self.window.log_floor else y


def fill_causally(v: np.ndarray, season: int) -> np.ndarray:
    """``v`` without NaN: each becomes the value a season earlier, else the one before; the first must be there."""
    out = v.astype(np.float64, copy=True)
    for t in np.flatnonzero(np.isnan(out)):
        out[t] = out[t - season] if t >= season else out[t - 1]
    return out


def level_and_scale(w: Window, x: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level ``[B,1]``: mean of the last season, or the last value; scale ``[B,M]`` by each member's scaling.

    A scale is at least a thousandth of the level and of the values (of logarithms: 0.001).
    """
    m = w.season
    if w.head.counts:  # 1 + mean, as DeepAR has it: a count has no level but 0
        return np.zeros((len(x), 1)), np.repeat(1.0 + _mean(x, real), len(w.scalings), axis=1)
    level = x[:, -m:].mean(axis=1, keepdims=True) if 1 < m <= 2 * w.horizon else x[:, -1:]
    found = {}
    if "difference" in w.scalings:
        found["difference"] = _mean(np.abs(x[:, m:] - x[:, :-m]), real[:, m:] & real[:, :-m])
    if "deviation" in w.scalings or w.context < m + 2:
        middle = _mean(x, real)
        found["deviation"] = np.sqrt(_mean((x - middle) ** 2, real))
        if w.context < m + 2:
            found["difference"] = found["deviation"]
    scale = np.concatenate([found[scaling] for scaling in w.scalings], axis=1)
    if w.log_floor:
        return level, np.maximum(scale, 1e-3)
    size = np.maximum(np.abs(level), np.abs(x).mean(axis=1, keepdims=True))
    return level, np.where(size > 0, np.maximum(scale, 1e-3 * size), w.spread)


def _mean(x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Mean of the real ones by row, ``[B,1]``; 0 where there is none."""
    return (x * real).sum(1, keepdims=True) / np.maximum(real.sum(1, keepdims=True), 1)

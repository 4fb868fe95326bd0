"""Simple forecasts made from a window alone: what the network mixes and corrects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARPNESS = 2.0
"""Power of its error by which a rule loses weight: of two rules one twice as wrong starts with a quarter."""


def weigh(rules: np.ndarray, y: np.ndarray, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a gate begins over rules ``[B,K,H]`` for targets ``y [B,H]``, NaN where missing.

    Returns logarithms of weights ``[K,segments]``, −SHARPNESS · ln(mean absolute error), and the mixture ``[B,H]``.
    """
    H = rules.shape[2]
    place = np.arange(H) * segments // H
    error = np.abs(rules - y[:, None])
    known = np.isfinite(error)
    by_point = np.where(known, error, 0.0).sum(axis=0), known.sum(axis=0)  # [K,H] each
    total, count = (np.stack([np.bincount(place, row, segments) for row in part]) for part in by_point)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    floor = 1e-6 + 1e-3 * float(np.nanmax(mean))
    bias = np.where(np.isfinite(mean), -SHARPNESS * np.log(np.maximum(mean, floor)), 0.0)
    bias -= bias.max(axis=0)
    weights = np.exp(bias) / np.exp(bias).sum(axis=0)
    return bias, np.einsum("kh,bkh->bh", weights[:, place], rules)


def simple_forecasts(z: np.ndarray, horizon: int, periods: Sequence[int]) -> np.ndarray:
    """Rules of thumb over a window, ``z [B,L] -> [B,K,H]``; K depends on the shape and the periods alone.

    Last value; for each period its last season, and for the shortest one also the mean of up to four seasons, the last
    season moved by the change of level since, by the mean change, and by the change of the last quarter; for the longer
    ones the last season moved by the change of level, and the mean of two. Without a period drifts and means.
    """
    L = z.shape[1]
    H, last, t = horizon, z[:, -1:], np.arange(horizon)
    out = [np.repeat(last, H, axis=1)]
    usable = [q for q in periods if q <= L]
    for q in usable:
        season, seasons = z[:, L - q + t % q], (1 + t // q).astype(z.dtype)
        out.append(season)
        if q == usable[0]:
            n = min(4, L // q)
            if n > 1:
                out.append(np.mean([z[:, L - q * (j + 1) + t % q] for j in range(n)], axis=0))
                now = z[:, -q:].mean(1, keepdims=True)
                shift = now - z[:, L - 2 * q : L - q].mean(1, keepdims=True)
                out.append(season + shift * seasons)
                if n > 2:
                    trend = (now - z[:, L - n * q : L - n * q + q].mean(1, keepdims=True)) / (n - 1)
                    out.append(season + trend * seasons)
                part = max(1, q // 4)
                before = z[:, L - q - part : L - q].mean(1, keepdims=True)
                out.append(season + z[:, -part:].mean(1, keepdims=True) - before)
        else:
            p = usable[0]
            if q + p <= L:
                shift = z[:, -p:].mean(1, keepdims=True) - z[:, L - q - p : L - q].mean(1, keepdims=True)
                out.append(season + shift)
            if 2 * q <= L:
                out.append(0.5 * (season + z[:, L - 2 * q + t % q]))
    if not periods:
        for span in (min(H, L - 1), min(4 * H, L - 1)):
            if span > 0:
                out.append(last + (last - z[:, L - 1 - span : L - span]) / span * (t + 1).astype(z.dtype))
            out.append(np.repeat(z[:, -max(span, 1) :].mean(1, keepdims=True), H, axis=1))
    return np.stack(out, axis=1)

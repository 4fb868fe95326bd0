"""Backtests made by hand, for the tests of charts."""

import numpy as np

from rnnkit.tasks import Backtest


def made(series=1, folds=6, H=4, *, stride=None, seed=0, bands=True, length=None, rules=("naive", "drift")):
    """A backtest of noisy sines; series i has an error that grows with i, and bands that hold 80 % and 95 %."""
    rng = np.random.default_rng(seed)
    stride = stride or H
    length = length or 3 * H + stride * folds + 20
    t = np.arange(length)
    values = [10 * (i + 1) + np.sin(t / 2) + 0.1 * rng.standard_normal(length) for i in range(series)]
    which = np.repeat(np.arange(series), folds)
    cuts = np.tile(length - H - stride * np.arange(folds)[::-1], series)
    actual = np.stack([values[i][c : c + H] for i, c in zip(which, cuts, strict=True)])
    spread = 0.1 * (1 + which[:, None])
    middle = actual + spread * rng.standard_normal(actual.shape)
    columns = {"median": middle} if bands else {"mean": middle}
    if bands:
        for band, z in (("80", 1.2816), ("95", 1.96)):
            columns |= {f"lo{band}": middle - z * spread, f"hi{band}": middle + z * spread}
    last = np.array([values[i][c - 1] for i, c in zip(which, cuts, strict=True)])[:, None]
    wrong = {"naive": np.repeat(last, H, axis=1), "drift": actual + 0.5}
    labels = [f"s{i}" for i in range(series)]
    baselines = {name: wrong[name] for name in rules}
    return Backtest("t", labels, values, lambda i, at: [str(n) for n in at], which, cuts, actual, columns, baselines)

"""Forecasts of many windows from a trained network: its members joined, its bands stretched, its horizon prolonged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rnnkit.nn import Network, Tape
from rnnkit.tasks.conformal import Calibration
from rnnkit.tasks.windows import Frame, Pool

ROWS = 1024
"""Windows per pass."""


@dataclass
class Predictor:
    """Calling it gives forecasts of windows in the file's units, ``(series [W], cuts [W]) -> [W,H,Q]``.

    ``horizon``: H; beyond that of the network its own medians are what the next points are forecast from, and the bands
    widen by what was unsure before.
    """

    network: Network
    pool: Pool
    calibration: Calibration = field(default_factory=Calibration)
    horizon: int = 0  # 0 is the network's own
    tape: Tape | None = None  # whose buffers to use again, where passes are many and small

    def __post_init__(self) -> None:
        self.horizon = self.horizon or self.pool.window.horizon

    def __call__(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        return self.pool.restored(self.calibration(self.scaled(series, cuts), self.pool.window.quantiles))

    def scaled(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        """The same before the bands are stretched, and as values are scaled: their logarithms, or themselves."""
        several = self.horizon > self.pool.window.horizon
        parts = []
        for i in range(0, len(series), ROWS):
            rows = series[i : i + ROWS], cuts[i : i + ROWS]
            parts.append(self._recursive(*rows) if several else self.framed(*rows)[0][:, : self.horizon])
        return np.concatenate(parts)

    def framed(self, series: np.ndarray, cuts: np.ndarray, pool: Pool | None = None) -> tuple[np.ndarray, Frame]:
        """``scaled`` for the network's own horizon and some windows, and where they lie."""
        pool = pool or self.pool
        inputs, frame = pool.inputs(series, cuts)
        z, _ = self.network.forward(inputs, tape=self.tape)
        return pool.joined(z, frame), frame

    def _recursive(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        """One horizon of the network after the other, each from the medians of those before it."""
        window, every = self.pool.window, np.arange(len(series))
        pool = self.pool.apart(series, cuts, self.horizon)
        middle, parts = window.quantiles.index(0.5), []
        unsure = np.zeros((len(series), 1, len(window.quantiles)))
        for done in range(0, self.horizon, window.horizon):
            y, _ = self.framed(every, np.full(len(series), done), pool)
            above = y - y[:, :, middle, None]
            y = y[:, :, middle, None] + np.sign(above) * np.hypot(above, unsure)
            pool.go_on(done, pool.restored(y[:, :, middle]))
            unsure = (y - y[:, :, middle, None])[:, -1:]
            parts.append(y)
        return np.concatenate(parts, axis=1)[:, : self.horizon]

"""Forecasts of many windows from a trained network: its members joined, its bands stretched, its horizon prolonged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rnnkit.nn import Network, Tape
from rnnkit.tasks.conformal import Calibration
from rnnkit.tasks.windows import Pool

ROWS = 1024
"""Windows per pass."""


@dataclass
class Predictor:
    """Calling it gives forecasts of windows in the file's units, ``(series [W], cuts [W]) -> [W,H,Q]``."""

    network: Network
    pool: Pool
    calibration: Calibration = field(default_factory=Calibration)
    tape: Tape | None = None  # whose buffers to use again, where passes are many and small

    def __call__(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        return self.pool.restored(self.calibration(self.scaled(series, cuts), self.pool.window.quantiles))

    def scaled(self, series: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        """The same before the bands are stretched, and as values are scaled: their logarithms, or themselves."""
        parts = []
        for i in range(0, len(series), ROWS):
            inputs, frame = self.pool.inputs(series[i : i + ROWS], cuts[i : i + ROWS])
            z, _ = self.network.forward(inputs, tape=self.tape)
            parts.append(self.pool.joined(z, frame))
        return np.concatenate(parts)

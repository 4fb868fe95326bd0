"""What every loss is: a mean over the counted elements, summed in float64, and its gradient.

``loss(prediction, target, weight, out, engine) -> (value, gradient)``.  The mean is Σ w·l / Σ w.  Where the
weight is 0 the element does not exist: whatever stands there, NaN included, its gradient is 0.
When nothing counts the value is 0.0.  A counted element that is not finite makes the value so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnkit.errors import UsageError
from rnnkit.nn import registry
from rnnkit.nn.engine import ENGINE, Engine


@dataclass(frozen=True)
class Loss(registry.Choice):
    """An elementwise loss; ``target`` and ``weight`` (anything that broadcasts to it) are shaped as ``prediction``."""

    def __call__(
        self,
        prediction: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray | None = None,
        out: np.ndarray | None = None,
        engine: Engine = ENGINE,
    ) -> tuple[float, np.ndarray]:
        """Mean loss and its gradient, shaped and typed as ``prediction`` and written to ``out`` (which may be
        ``prediction``) when given.  ``UsageError`` when shapes do not fit or a weight is negative or not finite."""
        p, t, w = self._door(prediction, target, weight)
        gradient = np.empty_like(prediction) if out is None else out
        count = float(p.size) if w is None else float(np.sum(w))
        if not count:
            gradient[...] = 0
            return 0.0, gradient
        with np.errstate(over="ignore", invalid="ignore"):  # the loss itself says what is not finite
            values, slopes = self._elements(p, t)
            if w is not None:
                values = np.where(w != 0, values * w, 0.0)
                slopes = np.where(w != 0, slopes * w, 0.0)
            value = float(np.sum(values)) / count
            np.divide(slopes, count, out=gradient)
        return value, gradient

    def _door(
        self, prediction: np.ndarray, target: np.ndarray, weight: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Prediction, target and weight in float64, broadcast to one shape."""
        if target.shape != prediction.shape:
            raise UsageError(
                f"{self.name} needs targets shaped as the predictions, {prediction.shape}, not {target.shape}"
            )
        return prediction.astype(np.float64), target.astype(np.float64), weights(weight, target.shape)

    def _elements(self, p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each element's loss and its derivative with respect to p."""
        raise NotImplementedError


def weights(weight: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Weights in float64, broadcast to the targets' shape."""
    if weight is None:
        return None
    try:
        w = np.broadcast_to(np.asarray(weight, dtype=np.float64), shape)
    except ValueError as error:
        raise UsageError(f"weights must broadcast to the targets, {shape}, and {np.shape(weight)} does not") from error
    if not np.all((w >= 0) & (w < np.inf)):
        raise UsageError("weights are finite and not negative, and these are not; use 0 for what must not count")
    return w

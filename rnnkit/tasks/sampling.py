"""Drawing the next token from logits."""

from __future__ import annotations

import numpy as np

from rnnkit.errors import UsageError


class Sampler:
    """Temperature, then the ``top_k`` likeliest, then the fewest that hold ``top_p`` of the probability.

    Temperature 0 takes the likeliest. Draws come from NumPy's Philox keyed by ``rng``, so the same
    number draws the same text. Nucleus sampling: Holtzman et al. 2020.
    """

    def __init__(
        self, temperature: float = 0.8, top_k: int | None = None, top_p: float | None = None, rng: int = 0
    ) -> None:
        if not 0 <= temperature < float("inf"):
            raise UsageError(f"--temperature is a number of at least 0, not {temperature}")
        if top_k is not None and top_k < 1:
            raise UsageError(f"--top-k is a whole number of at least 1, not {top_k}")
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"--top-p is above 0 and at most 1, not {top_p}")
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.draws = np.random.Generator(np.random.Philox(key=rng & (2**64 - 1)))

    def __call__(self, logits: np.ndarray) -> int:
        """One token id from ``logits [V]``."""
        if not self.temperature:
            return int(np.argmax(logits))
        z = logits.astype(np.float64) / self.temperature
        if self.top_k is not None and self.top_k < len(z):
            z[np.argpartition(z, -self.top_k)[: -self.top_k]] = -np.inf
        p = np.exp(z - z.max())
        p /= p.sum()
        if self.top_p is not None:
            order = np.argsort(-p, kind="stable")
            enough = int(np.searchsorted(np.cumsum(p[order]), self.top_p)) + 1
            p[order[enough:]] = 0
            p /= p.sum()
        return int(np.searchsorted(np.cumsum(p), self.draws.random(), side="right").clip(0, len(p) - 1))

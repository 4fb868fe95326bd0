"""The settings of drawing the next token, and the random numbers that it is drawn by."""

from __future__ import annotations

import numpy as np

from rnnkit._kernels.generation import Rules
from rnnkit._kernels.reference_generation import draw
from rnnkit.errors import UsageError

COLDEST = 1e-6
"""Temperature below which the likeliest token is as good as certain: its inverse might overflow."""


class Sampler:
    """Temperature, then the ``top_k`` likeliest, then the fewest that hold ``top_p`` of the probability, then those
    that have ``min_p`` of the likeliest one's.

    Before these, ``repetition_penalty`` above 1 makes the tokens of the last 64 less likely, and ``no_repeat`` keeps
    any run of so many tokens from coming twice. Temperature 0 takes the likeliest. Draws come from NumPy's Philox
    keyed by ``rng`` and counted from ``text`` · 2^128 on, one number a token: the same numbers draw the same text,
    however many others are written. Nucleus sampling: Holtzman et al. 2020; penalty: Keskar et al. 2019; min-p:
    Nguyen et al. 2024.
    """

    def __init__(
        self,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        rng: int = 0,
        repetition_penalty: float = 1.0,
        no_repeat: int | None = None,
        min_p: float | None = None,
        text: int = 0,
    ) -> None:
        if not 0 <= temperature < float("inf"):
            raise UsageError(f"--temperature is a number of at least 0, not {temperature}")
        if top_k is not None and top_k < 1:
            raise UsageError(f"--top-k is a whole number of at least 1, not {top_k}")
        if top_p is not None and not 0 < top_p <= 1:
            raise UsageError(f"--top-p is above 0 and at most 1, not {top_p}")
        if min_p is not None and not 0 <= min_p <= 1:
            raise UsageError(f"--min-p is from 0 to 1, not {min_p}")
        if not 1 <= repetition_penalty < float("inf"):
            raise UsageError(f"--repetition-penalty is a number of at least 1 (1 is none), not {repetition_penalty}")
        check_no_repeat(no_repeat)
        self.rules = Rules(
            float(temperature) if temperature >= COLDEST else 0.0, top_k or 0, 1.0 if top_p is None else top_p,
            float(repetition_penalty), no_repeat or 0, min_p or 0.0,
        )  # fmt: skip
        self.rng = rng
        self.begin(text)

    def begin(self, text: int) -> None:
        """Draw text number ``text`` from its first token on."""
        self.draws = np.random.Generator(np.random.Philox(key=self.rng & (2**64 - 1), counter=text << 128))

    def uniforms(self, count: int) -> np.ndarray:
        """The numbers in [0, 1) that the next tokens are drawn by; the likeliest needs none."""
        return self.draws.random(count) if self.rules.temperature else np.zeros(count)

    def __call__(self, logits: np.ndarray, tokens: list[int] | None = None) -> int:
        """One token id from ``logits [V]`` after ``tokens``."""
        return draw(logits, float(self.uniforms(1)[0]), self.rules, tokens or [])


def check_no_repeat(tokens: int | None) -> None:
    """``UsageError`` for a run of fewer than one token."""
    if tokens is not None and tokens < 1:
        raise UsageError(f"--no-repeat is a whole number of tokens of at least 1, not {tokens}")

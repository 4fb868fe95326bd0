"""What one pass through a network leaves behind for the way back."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from rnnkit.errors import RnnkitError

Kept = TypeVar("Kept")


class Tape:
    """A stack that layers push to on the way forward and pop from on the way back, with its buffers.

    One tape serves a whole training run: ``begin`` starts the next pass, buffers are reused from
    one pass to the next (so what a pass returned is valid until the next one begins), and random
    masks are functions of ``(seed, layer, step, global row)`` alone: the same at any time, in any
    order, on any number of threads.
    """

    def __init__(self, *, training: bool = True, seed: int = 0) -> None:
        self.training = training
        self.seed = seed
        self.step = 0
        self.row = 0
        self.lengths: np.ndarray | None = None
        self._stack: list[Any] = []
        self._kept: dict[Hashable, Any] = {}

    def begin(self, step: int = 0, *, row: int = 0, lengths: np.ndarray | None = None) -> Tape:
        """Start a pass: ``step`` and the global number of its first ``row`` key the random masks;
        ``lengths [B]`` holds the steps of each row where they differ."""
        self.step, self.row = step, row
        self.lengths = None if lengths is None else np.ascontiguousarray(lengths, dtype=np.intp)
        self._stack.clear()
        return self

    def push(self, layer: Any, *values: Any) -> None:
        """Remember a layer's values for its ``backward``; an inference tape forgets them at once."""
        if self.training:
            self._stack.append((layer, values))

    def pop(self, layer: Any) -> Any:
        """What the layer's matching ``push`` remembered; ``RnnkitError`` where it was not the latest to push."""
        if not self._stack or self._stack[-1][0] is not layer:
            found = f"that of a {self._stack[-1][0].kind} layer" if self._stack else "none"
            raise RnnkitError(
                f"backward of a {layer.kind} layer undoes its own latest forward on the same training tape, "
                f"found {found}; run forward(x, state, tape) first, and layers back in the opposite order"
            )
        return self._stack.pop()[1]

    def keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The object kept under ``key``, made on first use."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: Kept = self._kept[key]
        return kept

    def buffer(self, owner: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialised array of its owner's, the same memory every time it is asked for."""
        return self.keep((owner, name, shape, np.dtype(dtype).char), lambda: np.empty(shape, dtype))

    def mask(self, owner: str, rows: int, width: int, rate: float, dtype: Any) -> np.ndarray:
        """A dropout mask ``[rows, width]``: 0 with probability ``rate``, else 1/(1 - rate).

        Drawn from Philox (Salmon et al. 2011) with the key (seed, owner) and the counter
        (step, row); 16 random bits decide an element, so the rate is exact to 2^-16.
        """
        blocks = -(-width // 16)  # one Philox block is 4 x 64 bits
        key = (self.seed & (2**64 - 1)) | (zlib.crc32(owner.encode()) << 64)
        counter = (self.step << 128) | (self.row * blocks)
        raw = np.random.Philox(key=key, counter=counter).random_raw(rows * blocks * 4)
        bits = raw.view(np.uint16).reshape(rows, blocks * 16)[:, :width]
        scale = np.array(1.0 / (1.0 - rate), dtype)
        return (bits >= round(rate * 65536)) * scale

"""What the processor can do at most: the measure that every contestant's speed is a share of."""

from __future__ import annotations

import numpy as np

from rnnkit._kernels import machine

LIMIT = "limit"
"""Contestant that stands for what the processor can do at most."""


class Peak:
    """The limit: multiplications and additions in registers, on all threads, with the kernels' instruction set."""

    name = "multiply-adds in registers"
    least = 100_000_000
    """Operations of one call and thread: about a millisecond."""

    def __init__(self, threads: int) -> None:
        self.machine, self.threads = machine.load(), threads
        few = 1000
        self.loops = few * max(1, self.least // self.machine.peak(few, 1))

    def operations(self) -> int:
        """Floating-point operations of one call."""
        return int(self.machine.peak(self.loops, self.threads))

    def infer(self) -> None:
        self.machine.peak(self.loops, self.threads)

    train = infer  # the same whatever it is compared with


class Product:
    """What a large product reaches; its arrays fit a level-3 cache.  The limit where nothing is compiled."""

    name = "1024×1024 float32 product by NumPy's BLAS"
    side = 1024

    def __init__(self) -> None:
        self.a, self.b = (np.full((self.side, self.side), value, np.float32) for value in (0.5, 0.25))
        self.out = np.empty_like(self.a)

    def operations(self) -> int:
        """Floating-point operations of one call."""
        return 2 * self.side**3

    def infer(self) -> None:
        np.matmul(self.a, self.b, out=self.out)

    train = infer

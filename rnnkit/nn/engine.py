"""What layers, losses and optimisers run on: the operations of a backend, and a number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rnnkit._kernels.operations import Ops, load_ops


@dataclass(frozen=True)
class Engine:
    """A backend's operations, loaded when first used, and the most threads that they may take."""

    backend: str = "auto"
    threads: int = 1

    @cached_property
    def ops(self) -> Ops:
        """The operations (``_kernels/operations.py``)."""
        return load_ops(self.backend)


ENGINE = Engine()
"""Where nothing was chosen: the best backend, one thread."""

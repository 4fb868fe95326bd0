"""How much memory a training takes at most, from what its network, its vectors and its data take."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rnnkit.job import Plan
from rnnkit.nn import Network
from rnnkit.nn.optim import make_optimizer

COPIES = 2
"""A checkpoint is in memory as many times again while it is written: as bytes of each array, and as the file."""


def peak_bytes(
    network: Network, plan: Plan, shape: Any, *, data: int, loss: int, phases: Iterable[int] = (), apart: int = 0
) -> int:
    """Bytes beyond those of the interpreter and its modules.

    ``shape`` is that of a batch's inputs, ``data`` what the job keeps, ``loss`` what is there while the loss is made;
    ``phases`` are what other parts of the loop take while the network and its tape stay, and ``apart`` what there
    is before there are any.
    """
    slots = len(make_optimizer(plan.optimizer, **plan.optimizer_options).slots)
    size = network.parameters.values.nbytes
    footprint = network.memory(shape)
    vectors = size * (4 + 2 * slots) + len(network.parameters)  # values, gradients, best, good, moments twice; decay
    saving = COPIES * size * (3 + 2 * slots)
    transient = max(footprint.passing, loss, saving, *phases)
    return max(apart, data + vectors + footprint.kept + footprint.packed + transient)


def size_of(source: Any) -> int:
    """Bytes of a file or of a stream that can go back; 0 where that cannot be told."""
    try:
        if isinstance(source, str | os.PathLike):
            return os.path.getsize(source)
        here = source.tell()
        size: int = source.seek(0, os.SEEK_END)
        source.seek(here)
        return size
    except (OSError, AttributeError, ValueError):
        return 0


def described(total: int, spared: int) -> str:
    """The estimate as it is printed, with what recomputation spares."""
    text = f"about {max(1, round(total / 1e6)):,} MB"
    return text + (f"; recomputing spares {spared / 1e6:,.0f} MB" if spared >= 500_000 else "")

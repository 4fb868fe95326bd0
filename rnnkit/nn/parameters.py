"""All parameters of a network as one flat vector, with a second one for their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnnkit.cells import Param
from rnnkit.errors import UsageError


class Entry(NamedTuple):
    """Where a named parameter lies in the flat vector."""

    offset: int
    shape: tuple[int, ...]
    decay: bool

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class Parameters:
    """``values`` and ``grads`` are flat vectors of ``dtype``; names are paths in the layer tree.

    A tied parameter is a view of another one and has no numbers of its own: it is in no list of names, is counted,
    decayed and stored with that other, and its gradient adds to that of the other.

    Whoever changes ``values`` in place calls ``touch`` afterwards, so that packed copies of
    the weights are made again. ``UsageError`` for a ``dtype`` other than float32 and float64, and for a parameter tied
    to what is not there or does not fit.
    """

    def __init__(self, declared: dict[str, Param], dtype: Any = np.float32) -> None:
        try:
            known = np.dtype(dtype) in (np.float32, np.float64)
        except TypeError:
            known = False
        if not known:
            raise UsageError(f"dtype is float32 or float64, not {dtype}")
        self.entries: dict[str, Entry] = {}
        size = 0
        for name, param in declared.items():
            if not param.tied:
                self.entries[name] = Entry(size, param.shape, param.decay)
                size += self.entries[name].size
        self.tied = {name: param for name, param in declared.items() if param.tied}
        for name, param in self.tied.items():
            shape = param.shape[::-1] if param.transposed else param.shape
            target = self.entries.get(param.tied)
            if target is None or target.shape != shape:
                found = "none" if target is None else f"one of {list(target.shape)}"
                raise UsageError(
                    f"{name} needs a parameter {param.tied} of shape {list(shape)} to share, found {found}"
                )
        self.values = np.zeros(size, dtype)
        self.grads = np.zeros(size, dtype)
        self.version = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return self.values.size

    def _view(self, flat: np.ndarray, name: str) -> np.ndarray:
        tied = self.tied.get(name)
        entry = self.entries[tied.tied if tied else name]
        view = flat[entry.offset : entry.offset + entry.size].reshape(entry.shape)
        return view.T if tied and tied.transposed else view

    def value(self, name: str) -> np.ndarray:
        """The parameter called ``name``: a view of the flat vector."""
        return self._view(self.values, name)

    def grad(self, name: str) -> np.ndarray:
        """Its gradient: a view, added to by ``backward``."""
        return self._view(self.grads, name)

    @property
    def turned(self) -> set[str]:
        """Parameters of which others are the transpose."""
        return {param.tied for param in self.tied.values() if param.transposed}

    def arrays(self) -> dict[str, np.ndarray]:
        """Every parameter by name, as views."""
        return {name: self.value(name) for name in self.entries}

    def touch(self) -> None:
        """Say that ``values`` changed."""
        self.version += 1

    def assign(self, values: np.ndarray) -> None:
        """Copy a flat vector in."""
        self.values[...] = values
        self.touch()

    def clear(self) -> None:
        """Set all gradients to zero."""
        self.grads.fill(0)

    def decay_mask(self) -> np.ndarray:
        """True where weight decay applies, one flag per element of the flat vector."""
        mask = np.zeros(len(self), bool)
        for entry in self.entries.values():
            mask[entry.offset : entry.offset + entry.size] = entry.decay
        return mask

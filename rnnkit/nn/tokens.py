"""Token ids that stand for rows of a table, and when a recurrent layer takes them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def table_pays(symbols: int, tokens: int) -> bool:
    """Whether projecting the whole table once costs less than projecting every token of a pass.

    Both are products with the same matrix, of as many rows as there are symbols, or tokens.
    """
    return symbols < tokens


@dataclass(frozen=True, eq=False)
class Tokens:
    """``ids [T,B]`` (intp, C-contiguous, in range) in place of ``table[ids] [T,B,I]``.

    The table ``[V,I]`` and its gradient, which whoever takes the ids adds to, are the embedding's own arrays.
    ``np.asarray`` gathers the rows for whoever needs them.
    """

    ids: np.ndarray
    table: np.ndarray
    grad: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what the ids stand for."""
        return (*self.ids.shape, self.table.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.table[self.ids].astype(dtype or self.table.dtype, copy=False)

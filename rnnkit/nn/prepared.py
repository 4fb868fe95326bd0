"""Packed weights, and until when they are good."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.nn.parameters import Parameters


@dataclass
class Prepared:
    """Weights packed for one version of the parameters, by what they were packed from."""

    parameters: Parameters | None = None
    version: int = -1
    weights: dict[tuple[str, int], tuple[Any, np.ndarray | None]] = dataclasses.field(default_factory=dict)

    def current(self, parameters: Parameters) -> Prepared:
        """This, or an empty one where the parameters changed."""
        if self.parameters is parameters and self.version == parameters.version:
            return self
        return Prepared(parameters, parameters.version)

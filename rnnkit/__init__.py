"""Recurrent networks on an ordinary CPU: train, predict, generate and explain.

``rnnkit.train`` and ``rnnkit.load`` are the whole of it for most, and ``rnnkit.Forecaster`` for data frames and
arrays; ``rnnkit.nn`` has the layers.
"""

from typing import TYPE_CHECKING, Any

from rnnkit.errors import DataError, DivergedError, ModelFileError, RnnkitError, UsageError

if TYPE_CHECKING:
    from rnnkit import nn
    from rnnkit.api import load, train
    from rnnkit.forecaster import Forecaster

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "DivergedError",
    "Forecaster",
    "ModelFileError",
    "RnnkitError",
    "UsageError",
    "__version__",
    "load",
    "nn",
    "train",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """What takes longer to import comes in on first use, so that ``--help`` and ``--version`` stay quick."""
    import importlib

    if name == "nn":
        return importlib.import_module("rnnkit.nn")
    if name == "Forecaster":
        return importlib.import_module("rnnkit.forecaster").Forecaster
    if name in ("train", "load"):
        return getattr(importlib.import_module("rnnkit.api"), name)
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")

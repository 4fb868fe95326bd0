"""What this machine can do, measured with the instruction set that the compiled kernels run with.

The compiled module's functions: ``peak(loops, threads)``, multiply-adds in registers, returns the operations
done; and for the measurements in bench/, ``pack_panels``, ``products``, ``barriers``, ``read``, ``cycles``.
"""

from __future__ import annotations

import importlib
from typing import Any

from rnnkit.errors import RnnkitError


def instruction_set() -> str:
    """The one that the compiled kernels run with; ``RnnkitError`` where they are missing."""
    load()
    return str(importlib.import_module("rnnkit._kernels.cython_kernels").instruction_set())


def load() -> Any:
    """The compiled module; ``RnnkitError`` where the compiled kernels are missing."""
    try:
        kernels = importlib.import_module("rnnkit._kernels.cython_kernels")
        suffix = kernels.instruction_set().removeprefix("x86-64-")
        return importlib.import_module(f"rnnkit._kernels._machine_{suffix}")
    except ImportError as error:
        raise RnnkitError(
            f"the compiled kernels are not there ({error}), and with them what measures the machine; "
            "install a C compiler and reinstall rnnkit"
        ) from error

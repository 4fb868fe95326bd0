"""What runs: backends (``BACKENDS``), each of which does the same three things under the same names.

Passes over time are described here; what else a training step does, dense layers, losses, optimisers, in
``operations.py``; writing text on token by token in ``generation.py``.  Common to all: what a function needs to know of
constant arrays is prepared once (opaque, packed); results do not depend on ``threads`` (NumPy's BLAS apart); nothing is
checked, printed or drawn at random here, which is ``nn``'s part.

Notation: T steps, B batch rows, I inputs, H hidden units, G gates, V symbols.  Arrays are time-major and
C-contiguous.  Index t of a state array ``[T+1, B, H]`` is the state BEFORE step t, so slot 0
is the initial state; with ``reverse`` the steps run from T-1 to 0 and the initial state sits in
slot T, so the state after step t is slot t+1 forward and slot t in reverse.

A backend's passes are ``KERNELS``: variant name (``Cell.variant``) → ``Kernels``, whose functions are

``prepare(params, table=None, precision="float32", threads=1) -> Weights``
    IN ``params``: the cell's arrays by name, float32 or float64.  The result is opaque (packed, transposed) and is
    made again whenever the parameters change; until ``backward`` is done it may read them.  With a ``table [V,I]``, an
    embedding, the ``x`` of the other functions is token ids ``[T,B]`` (intp, in range) and stands for ``table[x]``.
    With the precision ``bfloat16`` the factors of all products with W, R and the table, of their gradients and the
    biases' too, are rounded to bfloat16 (to nearest, ties to even) and summed in float32; all else stays float32.  What
    a backend, a processor or a dtype cannot do is a ``UsageError``.
``allocate(weights, T, B, training) -> Tape``
    Buffers that ``forward`` fills and only the same backend's ``backward`` and ``accumulate``
    read; without ``training`` the gates are not kept.  The one function that allocates.
``forward(weights, x, states, tape, span)``
    IN ``x [T,B,I]``; INOUT ``states``, a tuple of ``[T+1,B,H]`` whose initial slot is filled.
``backward(weights, x, states, tape, dy, dstates, dx, span)``
    IN ``dy [T,B,H]``: gradient of the state h after each step; INOUT ``dstates``, a tuple of
    ``[B,H]``: gradient of the states after the span going in, before it coming out; OUT ``dx
    [T,B,I]`` (None when nobody asks, and with token ids).  Leaves the gate gradients in the tape.
``accumulate(weights, x, states, tape, grads, span)``
    INOUT ``grads``: arrays by parameter name, added to; with token ids it may hold ``E [V,I]``, the gradient of the
    table.  Run once over every step after ``backward`` has covered it, in one piece or several.

``Span`` says which steps [start, stop) of those buffers and how.  Slots past a row's length
repeat its state; dy is not read there, dx is zero there.  ``mask [B,H]`` multiplies the h that enters the
recurrent product h·R (and nothing else): dropout on the recurrent path.  A cell without R does not read it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnnkit.errors import RnnkitError, UsageError


class Span(NamedTuple):
    """The steps [start, stop) of a pass, and how they are walked."""

    start: int
    stop: int
    reverse: bool = False
    lengths: np.ndarray | None = None  # intp [B]: steps of each row, None when all are T
    mask: np.ndarray | None = None  # [B,H] in the layer's dtype, multiplies h before h·R
    threads: int = 1


class Kernels(NamedTuple):
    """The five functions of one cell variant in one backend (see the module's docstring), and what they can do."""

    prepare: Callable[..., Any]
    allocate: Callable[[Any, int, int, bool], Any]
    forward: Callable[..., None]
    backward: Callable[..., None]
    accumulate: Callable[..., None]
    tokens: bool = False  # prepare takes a table
    precisions: tuple[str, ...] = ("float32",)  # that prepare takes
    concurrent: bool = True  # passes with weights and tapes of their own may run in several Python threads at once


PRECISIONS = ("float32", "bfloat16")
"""What the factors of the products may be rounded to; states, sums and parameters are never less than float32."""


class Backend(NamedTuple):
    """The modules of a backend."""

    kernels: str  # exports KERNELS and describe()
    operations: str  # OPS
    generation: str  # GENERATION


BACKENDS: dict[str, Backend] = {
    "cython": Backend("cython_kernels", "cython_ops", "cython_generation"),
    "numba": Backend("numba_kernels", "numba_ops", "numba_generation"),
    "numpy": Backend("reference", "reference_ops", "reference_generation"),
}
"""In the order in which ``auto`` tries them."""


def choose(backend: str = "auto") -> str:
    """The backend that ``backend`` means here: ``auto`` reads RNNKIT_BACKEND, then takes the first that imports."""
    if backend == "auto":
        backend = os.environ.get("RNNKIT_BACKEND", "auto") or "auto"
    if backend != "auto":
        if backend not in BACKENDS:
            raise UsageError(f"backend is one of auto, {', '.join(BACKENDS)}, not {backend!r}")
        module(backend)
        return backend
    for name in BACKENDS:
        if not _obstacle(name):
            return name
    raise RnnkitError("no backend could be imported; reinstall rnnkit")


def fallback() -> str:
    """One sentence where ``auto`` had to pass over the compiled kernels, else nothing."""
    first, chosen = next(iter(BACKENDS)), choose()
    if chosen == first or os.environ.get("RNNKIT_BACKEND", "auto") not in ("auto", ""):
        return ""
    return (
        f"the compiled kernels are not there ({_obstacle(first)}), so the {chosen} backend runs; "
        "with a C compiler, pip install --force-reinstall --no-cache-dir rnnkit brings them"
    )


def load(backend: str, variant: str) -> Kernels:
    """The kernels of a cell variant; a backend named outright never falls back to another."""
    kernels: dict[str, Kernels] = module(choose(backend)).KERNELS
    if variant not in kernels:
        raise UsageError(f"the {backend} backend has no {variant} cell; it has {', '.join(kernels)}")
    return kernels[variant]


def describe(backend: str) -> str:
    """One line on what this backend runs: instruction set, versions."""
    return str(module(choose(backend)).describe())


def _obstacle(backend: str) -> str:
    """Why a backend cannot be imported, empty when it can; an error of its own (a wrong RNNKIT_ISA) passes."""
    try:
        importlib.import_module(f"{__name__}.{BACKENDS[backend].kernels}")
    except ImportError as error:
        return str(error)
    return ""


def module(backend: str, part: str = "kernels") -> Any:
    """One of a backend's modules; ``RnnkitError`` where the backend cannot be imported."""
    obstacle = _obstacle(backend)
    if obstacle:
        hint = "install a C compiler and reinstall rnnkit" if backend == "cython" else f"pip install {backend}"
        raise RnnkitError(
            f"the {backend} backend cannot be loaded here ({obstacle}); {hint}, or choose another with --backend"
        )
    return importlib.import_module(f"{__name__}.{getattr(BACKENDS[backend], part)}")

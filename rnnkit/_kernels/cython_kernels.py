"""The compiled backend: chooses the build for this processor and hands out its kernels.

The same sources are compiled per dtype for the baseline of the processor family and, on x86-64, for
its levels v3 (AVX2, FMA) and v4 (AVX-512).  The highest that processor and operating system support
runs; the environment variable ``RNNKIT_ISA`` (baseline, x86-64-v3, x86-64-v4) names another.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from rnnkit._kernels import Kernels
from rnnkit.errors import UsageError

_LEVELS = {"x86-64-v4": ("v4", 4), "x86-64-v3": ("v3", 3), "baseline": ("baseline", 1)}
"""Instruction set → suffix of its modules, x86-64 level that it needs; best first."""


def _module(dtype: str, suffix: str) -> Any:
    return importlib.import_module(f"rnnkit._kernels._{dtype}_{suffix}")


@contextmanager
def _short_spin() -> Iterator[None]:
    """While libgomp is first loaded: its threads wait 0.4 ms for one another before they sleep, not 6 ms.

    With as many threads as cores, each spin on a core that another process needs costs a whole time slice
    (8 ms a pass, measured, instead of 1).  Less than the Python between two passes, and a thread that fell asleep is
    woken for each of them (1.5 ms a step of a small layer became 2.5).  Whoever sets either variable decides alone.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "20000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _choose() -> tuple[str, str]:
    """The instruction set to run, and why."""
    with _short_spin():
        here = _module("f32", "baseline").level()
    forced = os.environ.get("RNNKIT_ISA", "")
    if forced:
        if forced not in _LEVELS:
            raise UsageError(f"RNNKIT_ISA is one of {', '.join(_LEVELS)}, not {forced!r}")
        if _LEVELS[forced][1] > here:
            raise UsageError(f"RNNKIT_ISA asks for {forced}, which this machine does not support; unset it")
        try:
            _module("f32", _LEVELS[forced][0])
        except ImportError as error:
            raise UsageError(f"RNNKIT_ISA asks for {forced}, for which this rnnkit was not built; unset it") from error
        return forced, "named by RNNKIT_ISA"
    for name, (suffix, level) in _LEVELS.items():
        if level <= here:
            try:
                _module("f64", suffix)
            except ImportError:
                continue
            return name, "the best that this processor supports"
    raise ImportError("the compiled modules are missing")


_ISA, _WHY = _choose()
SUFFIX = _LEVELS[_ISA][0]
"""What the names of this build's modules end with."""
_MODULES: dict[np.dtype[Any], ModuleType] = {
    np.dtype(np.float32): _module("f32", _LEVELS[_ISA][0]),
    np.dtype(np.float64): _module("f64", _LEVELS[_ISA][0]),
}

for _each in _MODULES.values():  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_each.one_thread)


def _prepare(
    variant: str,
    params: Mapping[str, np.ndarray],
    table: np.ndarray | None = None,
    precision: str = "float32",
    threads: int = 1,
) -> Any:
    module, rounded = _MODULES[params["W"].dtype], precision == "bfloat16"
    if rounded and "bfloat16" not in _precisions(variant):
        raise UsageError(f"the cython backend has no bfloat16 products {_lacking()}")
    if rounded and module is not _MODULES[np.dtype(np.float32)]:
        raise UsageError("bfloat16 products need float32 parameters, not float64; leave precision out")
    return module.Weights(variant, params, table, rounded, threads)


def _lacking() -> str:
    """What bfloat16 needs and is not here, where it is not; else which cell has none."""
    if _MODULES[np.dtype(np.float32)].bfloat16():
        return "of the GRU with --reset before; take --reset after or --backend numpy, or leave --precision out"
    found = "this processor lacks AVX512-BF16" if _ISA == "x86-64-v4" else f"the one for {_ISA} runs, {_WHY}"
    return (
        f"here, which take a processor with AVX512-BF16 and the build for x86-64-v4 ({found}); "
        "leave --precision out, or take --backend numpy, which is slower"
    )


def _precisions(variant: str) -> tuple[str, ...]:
    """What the factors of a cell's products can be rounded to here."""
    rounds = _MODULES[np.dtype(np.float32)].bfloat16() and variant != "gru_before"
    return ("float32", "bfloat16") if rounds else ("float32",)


def _allocate(weights: Any, T: int, B: int, training: bool) -> Any:
    return weights.allocate(T, B, training)


def _forward(weights: Any, *args: Any) -> None:
    weights.forward(*args)


def _backward(weights: Any, *args: Any) -> None:
    weights.backward(*args)


def _accumulate(weights: Any, *args: Any) -> None:
    weights.accumulate(*args)


KERNELS: dict[str, Kernels] = {
    variant: Kernels(
        partial(_prepare, variant), _allocate, _forward, _backward, _accumulate, True, _precisions(variant)
    )
    for variant in _module("f32", "baseline").VARIANTS
}


def describe() -> str:
    """Which instruction set runs and why, and whether there are threads."""
    threads = "OpenMP threads" if _module("f32", _LEVELS[_ISA][0]).openmp() else "one thread (built without OpenMP)"
    return f"Cython, {_ISA} ({_WHY}), {threads}"


def instruction_set() -> str:
    """The instruction set that runs: x86-64-v4, x86-64-v3 or baseline."""
    return _ISA

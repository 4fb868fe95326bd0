"""The compiled operations, in the build that ``cython_kernels`` chose for this processor."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

import numpy as np

from rnnkit._kernels.cython_kernels import _ISA, _LEVELS
from rnnkit._kernels.operations import Ops

_MODULES: dict[np.dtype[Any], ModuleType] = {
    np.dtype(dtype): importlib.import_module(f"rnnkit._kernels._ops_{short}_{_LEVELS[_ISA][0]}")
    for dtype, short in ((np.float32, "f32"), (np.float64, "f64"))
}

for _each in _MODULES.values():  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_each.one_thread)


def _dense(W: np.ndarray, b: np.ndarray, old: Any = None) -> Any:
    weights = _MODULES[W.dtype].Dense
    if type(old) is not weights or W.shape != (old.K, old.V):
        old = weights(*W.shape)
    old.pack(W, b)
    return old


def _dense_forward(weights: Any, *args: Any) -> None:
    weights.forward(*args)


def _dense_backward(weights: Any, *args: Any) -> None:
    weights.backward(*args)


def _gather(table: np.ndarray, *args: Any) -> None:
    _MODULES[table.dtype].gather(table, *args)


def _scatter(dy: np.ndarray, *args: Any) -> None:
    _MODULES[dy.dtype].scatter(dy, *args)


def _softmax_cross_entropy(z: np.ndarray, *args: Any) -> None:
    _MODULES[z.dtype].softmax_cross_entropy(z, *args)


def _layer_norm(x: np.ndarray, *args: Any) -> None:
    _MODULES[x.dtype].layer_norm(x, *args)


def _layer_norm_backward(x: np.ndarray, *args: Any) -> None:
    _MODULES[x.dtype].layer_norm_backward(x, *args)


def _step(rule: str, p: np.ndarray, *args: Any) -> None:
    _MODULES[p.dtype].step(rule, p, *args)


def _square_sum(g: np.ndarray, threads: int) -> float:
    return float(_MODULES[g.dtype].square_sum(g, threads))


def _wake(threads: int) -> None:
    _MODULES[np.dtype(np.float32)].wake(threads)


OPS = Ops(
    _dense, _dense_forward, _dense_backward, _gather, _scatter, _softmax_cross_entropy, _layer_norm,
    _layer_norm_backward, _step, _square_sum, _wake,
)  # fmt: skip

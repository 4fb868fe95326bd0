"""Generation by the compiled kernels, in the build that ``cython_kernels`` chose."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rnnkit._kernels import cython_kernels
from rnnkit._kernels.generation import Generation, Rules, Stack
from rnnkit._kernels.generation_panels import packed

_module: Any = importlib.import_module(f"rnnkit._kernels._generate_{cython_kernels.SUFFIX}")
os.register_at_fork(after_in_child=_module.one_thread)  # a forked child has none of its parent's threads


def _prepare(stack: Stack, weights: str) -> Any:
    return _module.Weights(packed(stack, weights))


def _begin(weights: Any, capacity: int, rules: Rules) -> Any:
    return _module.Text(weights, capacity, rules)


def _feed(text: Any, ids: np.ndarray, logits: np.ndarray | None, threads: int) -> None:
    text.feed(ids, logits, threads)


def _generate(text: Any, uniforms: np.ndarray, out: np.ndarray, threads: int) -> int:
    return int(text.generate(uniforms, out, threads))


GENERATION = Generation(_prepare, _begin, _feed, _generate)

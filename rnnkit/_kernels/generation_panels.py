"""A language model's weights in the order in which the compiled loop of generation reads them.

A matrix ``[K, gates·N]`` becomes one panel per group of LANES units, ``[K, gates·LANES]``, zeros where K and N end, so
that all that a group of units needs lies in one stream.  bfloat16 puts two rows side by side in one uint32, which takes
a shift or a mask to read; int8 puts four side by side, as the instructions that multiply bytes want them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit._kernels.generation import TABLE, Stack
from rnnkit._kernels.quantization import WEIGHTS, to_bfloat16, to_int8

LANES = 16
LOWEST = -1e30
"""Logit of what stands beyond the vocabulary: never drawn, yet a finite number."""


def up(n: int) -> int:
    """n in whole groups of lanes."""
    return -(-n // LANES) * LANES


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a cache line: vectors across two of them are read at half the speed."""
    room = np.empty(array.nbytes + 64, np.uint8)
    first = -room.ctypes.data % 64
    copy = room[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _grouped(matrix: np.ndarray, gates: int) -> np.ndarray:
    """``[K, gates·N]`` → ``[groups, K, gates, LANES]``, K as it is."""
    K, width = matrix.shape
    N = width // gates
    wide = np.zeros((K, gates, up(N)), matrix.dtype)
    wide[:, :, :N] = matrix.reshape(K, gates, N)
    return wide.reshape(K, gates, -1, LANES).transpose(2, 0, 1, 3)


def _deep(matrix: np.ndarray) -> np.ndarray:
    """The matrix with zero rows up to whole groups of lanes."""
    deep = np.zeros((up(len(matrix)), matrix.shape[1]), matrix.dtype)
    deep[: len(matrix)] = matrix
    return deep


def pack(matrix: np.ndarray, gates: int, weights: str) -> dict[str, Any]:
    """Panels of a matrix ``[K, gates·N]`` with what the kernel must know of them."""
    K, scale, start = up(len(matrix)), np.zeros(1, np.float32), np.zeros(1, np.int32)
    if weights == "int8":
        numbers, scales = to_int8(matrix)
        quads = _grouped(_deep(numbers), gates).reshape(-1, K // 4, 4, gates, LANES)
        data = quads.transpose(0, 1, 3, 4, 2)
        scale = _grouped(scales[None], gates)
        start = -128 * _grouped(numbers.sum(axis=0, dtype=np.int32)[None], gates)
    elif weights == "bfloat16":
        bits = _grouped(_deep(to_bfloat16(matrix)), gates).astype(np.uint32)
        data = bits[:, 0::2] | bits[:, 1::2] << 16
    else:
        data = _grouped(_deep(matrix), gates)
    data, scale, start = _aligned(data), _aligned(scale), _aligned(start)
    return {
        "form": WEIGHTS.index(weights), "gates": gates, "K": K, "groups": len(data),
        "data": data, "scale": scale, "start": start,
    }  # fmt: skip


def _row(vector: np.ndarray, gates: int) -> np.ndarray:
    """Vectors ``[n, gates·N]`` in the order of the panels' columns, ``[n, groups·gates·LANES]``."""
    return _aligned(_grouped(vector, gates).transpose(1, 0, 2, 3).reshape(len(vector), -1))


def packed(stack: Stack, weights: str) -> dict[str, Any]:
    """All that the compiled ``Weights`` take."""
    gates, H, before = len(stack.cell.gates), stack.hidden, stack.variant == "gru_before"
    table = len(stack.E) <= TABLE
    layers: list[dict[str, Any]] = []
    for n, p in enumerate(stack.layers):
        gain, shift = stack.norms[n] if stack.norms else (None, None)
        entered = n == 0 and table
        entry = np.einsum("ve,en->vn", stack.E, p["W"]) + p["b"] if entered else p["b"][None]  # einsum: one fixed order
        cut = 2 * H if before else None
        layers.append(
            {
                "W": None if entered else pack(p["W"], gates, weights),
                "R": pack(p["R"][:, :cut], 2 if before else gates, weights) if stack.cell.recurrent else None,
                "Rn": pack(p["R"][:, cut:], 1, weights) if before else None,
                "entry": _row(entry, gates),
                "bn": _row(p["bn"][None], 1) if "bn" in p else np.zeros(1, np.float32),
                "gain": None if gain is None else _row(gain[None], 1),
                "shift": None if shift is None else _row(shift[None], 1),
            }
        )
    out_bias = np.full(up(len(stack.b)), LOWEST, np.float32)
    out_bias[: len(stack.b)] = stack.b
    out = pack(stack.W, 1, weights)
    matrices = [out, *(layer[name] for layer in layers for name in ("W", "R", "Rn"))]
    return {
        "variant": stack.variant,
        "gates": gates,
        "H": up(H),
        "units": H,
        "residual": stack.residual,
        "V": len(stack.b),
        "layers": layers,
        "embedding": None if table else _aligned(_deep(stack.E.T).T),
        "out": out,
        "out_bias": out_bias,
        "bytes": sum(m["data"].nbytes for m in matrices if m is not None),
    }

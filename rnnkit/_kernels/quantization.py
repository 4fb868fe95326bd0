"""Weights in fewer bits: bfloat16, and whole numbers of 8 bits with a scale for every column.

bfloat16 is the upper half of a float32, kept here as its bits (uint16).  An int8 matrix stands for
``numbers * scale``, a float32 scale per column, symmetric: a column's largest magnitude is 127.
Both ways are exact round trips: what was rounded once rounds to itself.
"""

from __future__ import annotations

import numpy as np

WEIGHTS = ("float32", "bfloat16", "int8")
"""The forms in which the weights of a network can be kept."""
LARGEST = 127
"""Magnitude of the largest number of 8 bits that has a negative."""


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 → the bits of the nearest bfloat16 (uint16), ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, nearest).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Bits of bfloat16 → float32, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_int8(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``values [K,N]`` → (int8 ``[K,N]``, float32 scale ``[N]``), each number the nearest.

    A column of zeros has scale 0; one that holds what is no finite number gets the scale NaN, so that it stays in
    sight.
    """
    values = np.asarray(values, np.float32)
    largest = np.abs(values).max(axis=0, initial=0)
    finite = np.isfinite(largest)
    scale = np.where(finite, largest, 0).astype(np.float32) / np.float32(LARGEST)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        nearest = np.rint(np.where(finite & (scale > 0), values / scale, 0))
    numbers = np.clip(nearest, -LARGEST, LARGEST).astype(np.int8)
    return numbers, np.where(finite, scale, np.nan).astype(np.float32)


def from_int8(numbers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The float32 matrix that int8 numbers and their scales stand for."""
    return numbers * scale


def rounded(values: np.ndarray, weights: str) -> np.ndarray:
    """A float32 matrix as it comes back from that form."""
    if weights == "bfloat16":
        return from_bfloat16(to_bfloat16(values))
    return from_int8(*to_int8(values)) if weights == "int8" else values

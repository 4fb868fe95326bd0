"""The arrays of a network in fewer bits, as a model file keeps them.

Matrices in bfloat16 are arrays of uint16 (their bits), in int8 arrays of int8 with the float32 scales of their columns
``[N]``, or of their rows ``[K,1]``, beside them under the name ``scale.NAME``; vectors, which are few, stay in float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from rnnkit._kernels.quantization import WEIGHTS, from_bfloat16, from_int8, to_bfloat16, to_int8
from rnnkit.errors import ModelFileError

FORMS = WEIGHTS[1:]
"""What matrices can be quantised to."""
SCALE = "scale."
"""What the names of scales begin with."""


def shrink(arrays: Mapping[str, np.ndarray], weights: str, turned: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Float32 arrays with every matrix in the form ``weights``; int8 scales those named ``turned`` by row.

    Those are tables that a product reads transposed, with a scale for each of its columns (``Parameters.turned``).
    """
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.ndim != 2 or weights == "float32":
            found[name] = array
        elif weights == "bfloat16":
            found[name] = to_bfloat16(array)
        elif name in turned:
            numbers, scale = to_int8(array.T)
            found[name], found[SCALE + name] = np.ascontiguousarray(numbers.T), scale[:, None]
        else:
            found[name], found[SCALE + name] = to_int8(array)
    return found


def widen(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """(float32 arrays, the form that their matrices came in); ``ModelFileError`` for scales that do not fit."""
    found: dict[str, np.ndarray] = {}
    forms = set()
    scales = {name: array for name, array in arrays.items() if name.startswith(SCALE)}
    for name, array in arrays.items():
        if name.startswith(SCALE):
            continue
        if array.dtype == np.int8:
            scale = scales.pop(SCALE + name, None)
            fits = scale is not None and scale.dtype == np.float32 and array.ndim == 2
            if scale is None or not fits or scale.shape not in (array.shape[1:], (len(array), 1)):
                was = "none" if scale is None else f"{scale.dtype} {list(scale.shape)}"
                raise ModelFileError(
                    f"an int8 matrix {name} needs one float32 scale per column, found {was} for "
                    f"{list(array.shape)}; quantize the run again"
                )
            found[name], form = from_int8(array, scale), "int8"
        elif array.dtype == np.uint16:
            found[name], form = from_bfloat16(array), "bfloat16"
        else:
            found[name], form = array, "float32"
        forms.add(form)
    if scales:
        raise ModelFileError(f"{min(scales)} scales no int8 matrix; quantize the run again")
    return found, max(forms, key=WEIGHTS.index, default="float32")

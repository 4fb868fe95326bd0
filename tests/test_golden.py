"""Model files of earlier releases still load and give the numbers that they gave."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rnnkit

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EXPECTED)
def test_files_of_earlier_releases_still_serve(name, backend):
    model = rnnkit.load(GOLDEN / f"{name}.safetensors", backend=backend)
    if model.task == "language":
        assert "".join(model.generate("Le chat", length=60, temperature=0)) == EXPECTED[name]
    else:
        columns = model.predict().columns[0]
        for column, values in EXPECTED[name].items():
            np.testing.assert_allclose(columns[column], values, rtol=1e-4)

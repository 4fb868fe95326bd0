"""A whole training step of a character model, through ``rnnkit.nn``, on each backend."""

import math

import pytest
from character import SIZES, Step


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_character_step(benchmark, sizes, backend, threads):
    step = Step(sizes, backend, threads)
    benchmark.group = f"character model {sizes}"
    benchmark.extra_info["characters"] = sizes.tokens
    with step.threads():
        first = step()
        benchmark(step)
        last = step()
    assert first == pytest.approx(math.log(sizes.characters), abs=0.2)  # nothing is known yet
    assert last < first

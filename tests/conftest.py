"""Fixtures that iterate the tables of rnnkit, so that a new cell or backend is tested the day it is added."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import rnnkit
from rnnkit._kernels import BACKENDS, Span, load
from rnnkit.cells import CELLS, Cell
from rnnkit.errors import RnnkitError

SEED = 20260417
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Test what a user would install, unless the developer asks for the source folder by name."""
    source = Path(__file__).resolve().parents[1]
    asked = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    allowed = source in asked or os.environ.get("RNNKIT_TEST_SOURCE") == "1"
    if not allowed and Path(rnnkit.__file__).resolve().parents[1] == source:
        raise pytest.UsageError(
            f"the tests would run the source folder {source}, not an installed rnnkit;"
            " run pip install . first, or set RNNKIT_TEST_SOURCE=1"
        )


class Variant(NamedTuple):
    """One cell with one choice of its options."""

    name: str
    cell: Cell
    options: Mapping[str, str]


def _variants() -> dict[str, Variant]:
    found = {}
    for cell in CELLS.values():
        choices: list[dict[str, str]] = [{}]
        for option, values in cell.options.items():
            choices = [{**choice, option: value} for choice in choices for value in values]
        for choice in choices:
            found[cell.variant(choice)] = Variant(cell.variant(choice), cell, choice)
    return found


VARIANTS = _variants()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture(params=CELLS)
def cell(request: pytest.FixtureRequest) -> Cell:
    return CELLS[request.param]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    return VARIANTS[request.param]


@pytest.fixture(params=[name for name, variant in VARIANTS.items() if not variant.cell.recurrent])
def minimal(request: pytest.FixtureRequest) -> Variant:
    """A variant of a cell without R."""
    return VARIANTS[request.param]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """A backend's name; one that cannot be loaded here is skipped, or fails where it is required."""
    try:
        load(request.param, next(iter(VARIANTS)))
    except RnnkitError as error:
        if request.param == "cython" and os.environ.get("RNNKIT_REQUIRE_EXT") == "1":
            pytest.fail(f"RNNKIT_REQUIRE_EXT=1, yet {error}")
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(params=TOLERANCE)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


class Layer:
    """One layer of one variant with everything that goes into a pass, drawn at random."""

    def __init__(
        self,
        variant: Variant,
        shape: tuple[int, int, int, int],
        dtype: np.dtype | str,
        rng: np.random.Generator,
        *,
        reverse: bool = False,
        ragged: bool = False,
        masked: bool = False,
    ) -> None:
        self.variant, self.shape, self.dtype, self.reverse = variant, shape, np.dtype(dtype), reverse
        T, B, I, H = shape  # noqa: E741
        self.params = {
            p.name: self.draw(rng, *p.shape) / (np.sqrt(p.shape[0], dtype=self.dtype) if len(p.shape) == 2 else 1)
            for p in variant.cell.params(I, H, variant.options)
        }
        self.x, self.dy = self.draw(rng, T, B, I), self.draw(rng, T, B, H)
        self.initial = [self.draw(rng, B, H) for _ in variant.cell.states]
        self.dfinal = [self.draw(rng, B, H) for _ in variant.cell.states]
        self.lengths = (np.arange(B, 0, -1) * T // max(B, 1)) % (T + 1) if ragged else None
        if self.lengths is not None:
            self.lengths[-1] = 0
        self.mask = (rng.random((B, H)) < 0.75).astype(self.dtype) / self.dtype.type(0.75) if masked else None

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(self.dtype)

    def span(self, start: int = 0, stop: int | None = None, threads: int = 1) -> Span:
        stop = self.shape[0] if stop is None else stop
        return Span(start, stop, self.reverse, self.lengths, self.mask, threads)

    def states(self) -> tuple[np.ndarray, ...]:
        """State arrays with the initial slot filled and every other one spoilt."""
        T, B, _, H = self.shape
        states = tuple(np.full((T + 1, B, H), 7.0, self.dtype) for _ in self.initial)
        for state, initial in zip(states, self.initial, strict=True):
            state[T if self.reverse else 0] = initial
        return states

    def run(
        self,
        backend: str,
        cuts: Sequence[int] = (),
        *,
        dx: bool = True,
        start: Mapping[str, np.ndarray] | None = None,
        threads: int = 1,
        ids: np.ndarray | None = None,
        table: np.ndarray | None = None,
        precision: str = "float32",
    ) -> dict[str, np.ndarray]:
        """Every result by name; ``cuts`` splits the steps, ``start`` is what the parameter gradients hold already.

        With ``ids`` and a ``table`` these go to the kernels in place of x, and dE takes the place of dx.
        """
        T, B, I, _ = self.shape  # noqa: E741
        kernels = load(backend, self.variant.name)
        more: dict[str, Any] = {} if table is None else {"table": table}
        weights = kernels.prepare(self.params, **more, **({"precision": precision} if precision != "float32" else {}))
        x, dx = (self.x, dx) if ids is None else (ids, False)
        tape = kernels.allocate(weights, T, B, True)
        states = self.states()
        edges = [0, *cuts, T]
        spans = [self.span(a, b, threads) for a, b in pairwise(edges)]
        spans = spans[::-1] if self.reverse else spans
        for span in spans:
            kernels.forward(weights, x, states, tape, span)
        dstates = tuple(d.copy() for d in self.dfinal)
        inputs = np.full((T, B, I), 7.0, self.dtype) if dx else None
        for span in reversed(spans):
            kernels.backward(weights, x, states, tape, self.dy, dstates, inputs, span)
        zeros = {name: np.zeros_like(value) for name, value in self.params.items()}
        if table is not None:
            zeros["E"] = np.zeros_like(table)
        grads = {name: value.copy() for name, value in (start or zeros).items()}
        kernels.accumulate(weights, x, states, tape, grads, self.span(threads=threads))
        results = dict(zip(self.variant.cell.states, states, strict=True))
        results |= {f"d{name}": d for name, d in zip(self.variant.cell.states, dstates, strict=True)}
        results |= {f"d{name}": d for name, d in grads.items()}
        return results | ({"dx": inputs} if inputs is not None else {})


@pytest.fixture
def make_layer(rng: np.random.Generator) -> Callable[..., Layer]:
    """``make_layer(variant, (T, B, I, H), dtype, reverse=, ragged=, masked=)``."""

    def make(variant: Variant | str, shape: tuple[int, int, int, int], dtype: np.dtype | str, **options: bool) -> Layer:
        return Layer(VARIANTS[variant] if isinstance(variant, str) else variant, shape, dtype, rng, **options)

    return make


@pytest.fixture
def assert_close() -> Callable[..., None]:
    """``assert_close(actual, expected)``: arrays by name, equal to the tolerance of their dtype times their scale."""

    def check(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert actual[name].dtype == value.dtype
            scale = max(1.0, float(np.abs(value).max(initial=0)))
            tolerance = TOLERANCE[value.dtype.name] * scale
            np.testing.assert_allclose(actual[name], value, rtol=0, atol=tolerance, err_msg=name)

    return check


@pytest.fixture
def as_far_as_known() -> Callable[..., np.ndarray]:
    """``as_far_as_known(variant, state)``: NaN for infinity in cells without R, whose candidates have no bound.

    Infinity times a gate that is 0, or next to it, is either.
    """

    def known(variant: Variant, state: np.ndarray) -> np.ndarray:
        return state if variant.cell.recurrent else np.where(np.isinf(state), np.nan, state)

    return known


@pytest.fixture
def here(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a module's ``house`` to work in."""
    folder = tmp_path / "here"
    shutil.copytree(house, folder)
    monkeypatch.chdir(folder)
    return folder

"""Writing on from a text, one token after the other, in one call: the loop that no batch can widen.

Notation: V tokens in the vocabulary, E width of their vectors, L layers, H hidden units, G gates.  One row; a step is
embedding → L recurrent layers of one variant → dense → logits ``[V]``, and the next token is drawn from these.
Layer l has the state h_l and hands on u_l = h_l (with ``residual``: h_l + u_{l−1} from the second layer on), normalised
by its gain and shift where there are ``norms``; the next layer, or the dense one, reads that.

A backend's generation is ``GENERATION``, whose four functions let go of Python's lock while they run:

``prepare(network, weights) -> Weights``
    IN ``network``: a ``Stack`` of float32 arrays, matrices already rounded to the form ``weights``
    (``quantization.WEIGHTS``).  The result is opaque.
``begin(weights, capacity, rules) -> Text``
    A text without tokens, states and logits zero, with room for that many; ``Rules`` say how it goes on.  Opaque, INOUT
    below.
``feed(text, ids, logits, threads)``
    Reads tokens ``ids [n]`` (int32); OUT ``logits [n,V]`` after each of them, or None where nobody asks.
``generate(text, uniforms, out, threads) -> int``
    Draws as many tokens as there are ``uniforms`` (float64, in [0, 1)) from the text's logits and reads each; OUT
    ``out`` (int32).  Returns how many were drawn: fewer where the logits are no finite numbers any more.

How a token is drawn from logits a, in this order: ``penalty`` θ divides a_i > 0 and multiplies a_i ≤ 0 for every token
among the last ``RECENT`` (Keskar et al. 2019); tokens that would write the same ``no_repeat`` in a row again are out,
unless that leaves none; temperature 0 takes the likeliest, the lower id where equal; else p = softmax(a / temperature)
over the ``top_k`` likeliest, then over the fewest likeliest that hold ``top_p`` (Holtzman et al. 2020), then over those
of them with p_i ≥ ``min_p`` · max p (Nguyen et al. 2024), and the token is the first whose cumulated probability, in
the order of ids, is above the uniform number.

``int8`` is an arithmetic of its own: what enters a product is rounded as well, q = rint(v / s) with s = max|v| / 127 of
the whole vector, sums are whole numbers (so exact, in any order, on any processor), and (Σ q w)·(s · scale) is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit._kernels import choose, module
from rnnkit.cells import Cell, cell_of

RECENT = 64
"""Tokens back that the repetition penalty looks."""
TABLE = 1024
"""Vocabularies up to so many get the table E·W + b of the first layer: a row of it replaces a product per token."""


class Stack(NamedTuple):
    """A language model's arrays: table ``E [V,E]``, each layer's parameters by name, dense ``W [H,V]``, ``b [V]``.

    ``norms``: (gain ``[H]``, shift ``[H]``) of what each layer hands on, float32 in every form of weights; or nothing.
    """

    variant: str
    E: np.ndarray
    layers: Sequence[Mapping[str, np.ndarray]]
    W: np.ndarray
    b: np.ndarray
    norms: Sequence[tuple[np.ndarray, np.ndarray]] = ()
    residual: bool = False

    @property
    def cell(self) -> Cell:
        """The record of the layers' cell."""
        return cell_of(self.variant)

    @property
    def hidden(self) -> int:
        """H."""
        return len(self.layers[0]["b"]) // len(self.cell.gates)


class Rules(NamedTuple):
    """How tokens are drawn (see the module's docstring)."""

    temperature: float = 0.8
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    penalty: float = 1.0
    no_repeat: int = 0  # 0: free
    min_p: float = 0.0  # 0: all


class Generation(NamedTuple):
    """The four functions of one backend (see the module's docstring)."""

    prepare: Callable[[Stack, str], Any]
    begin: Callable[[Any, int, Rules], Any]
    feed: Callable[..., None]
    generate: Callable[..., int]


def load(backend: str) -> Generation:
    """The functions of a backend; one named outright never falls back to another."""
    generation: Generation = module(choose(backend), "generation").GENERATION
    return generation

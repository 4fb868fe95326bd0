"""The forecasting network: an ensemble of encoders and decoders over seasons that correct a mixture of simple rules.

Ideas: gated mixtures of forecasts; one recurrent step per season or part of one (SegRNN, Lin et al. 2023); a linear map
of the window (NLinear, Zeng et al. 2023); level and scale taken from each window (ES-RNN, Smyl 2020, has them learned).
"""

from __future__ import annotations

from typing import Any

from rnnkit.nn import (
    At,
    Chain,
    Decode,
    Dense,
    Dropout,
    Last,
    Layer,
    Members,
    Mixture,
    Recurrent,
    Reshape,
    Share,
    Sum,
    Take,
    Unfold,
)
from rnnkit.tasks.windows import SKIPPING, Window


def build_network(w: Window, cell: dict[str, Any], hidden: int, dropout: float, *, skip: bool) -> Layer:
    """The members side by side, ``{parts of a window} -> y [B,M,H,outputs]`` in each member's own scaling.

    ``cell``: fields of the recurrent layers. ``skip``: the members scaled by seasonal differences add a linear map of
    the window.
    """
    return Members(
        tuple(_member(w, scaling, cell, hidden, dropout, skip and scaling in SKIPPING) for scaling in w.scalings)
    )


def _member(w: Window, scaling: str, cell: dict[str, Any], hidden: int, dropout: float, skip: bool) -> Layer:
    """Patches → recurrent code → gate over simple forecasts + correction decoded from the code (+ linear map).

    The gate's weights start at zero, its bias where ``rules.weigh`` puts it, and the corrections at zero: training
    starts from a mixture of the simple forecasts that is the same for every window.
    """
    patches, segments, window, bases = (f"{part}/{scaling}" for part in ("patches", "segments", "window", "bases"))
    H, N, outputs = w.horizon, w.segments, w.outputs
    recurrent = Recurrent(inputs=hidden, hidden=hidden, **cell)
    code = recurrent.outputs
    decoder = Recurrent(inputs=hidden, hidden=code, **{**cell, "layers": 1, "bidirectional": False})
    encoder = Chain((Dense(w.patch_width, hidden, "relu", "he_uniform"), recurrent, Last(recurrent.bidirectional)))
    decoded = Chain(
        (
            At(segments, Dense(w.segment_width, hidden, "relu", "he_uniform")),
            Decode(patches, segments, decoder),
            Dropout(dropout),
            Dense(code, hidden, "relu", "he_uniform"),
            Dense(hidden, w.patch * outputs, init_name="zeros"),
            Unfold(H, outputs),
        )
    )
    mixed: list[Layer] = [Mixture(patches, bases, code, w.rules, N)]
    if skip:
        mixed.append(Chain((Take(window), Dense(w.context, H, init_name="zeros"), Reshape((H, 1)))))
    middle = Chain((Sum(tuple(mixed)), Share(w.head.moving)))
    return Chain((At(patches, encoder), Sum((decoded, middle))))


def gates(root: Layer) -> list[str]:
    """Names of the biases ``[rules·N]`` of the gates, one per member."""
    return [f"{path}.b" for path, layer in root.walk() if isinstance(layer, Mixture)]


def heads(root: Layer) -> list[str]:
    """Names of the biases ``[P·outputs]`` of the layers that correct the mixture, one per member."""
    chains = [(path, layer) for path, layer in root.walk() if isinstance(layer, Chain)]
    return [f"{path}.{len(c.layers) - 2}.b" for path, c in chains if c.layers and isinstance(c.layers[-1], Unfold)]

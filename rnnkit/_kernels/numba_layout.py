"""What the passes of the Numba backend are about: variants, weights, the tape and their sizes, as flat records.

Notation as in ``_kernels/__init__.py``.  The gates of one row lie side by side in ``ld`` columns, so that x meets the
columns from 0 on and h a run of columns too: ``[i f g o]``; ``[n r z q]`` for the reset-after GRU, whose x meets
n r z and whose h meets r z q; ``[r z n]`` for the reset-before GRU, whose h meets r z; ``[z n]`` and ``[f i n]`` for
the minimal GRU and LSTM, whose h meets none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE = range(5)
MINGRU_LINEAR, MINGRU_POSITIVE, MINLSTM_LINEAR, MINLSTM_POSITIVE = range(5, 9)
VARIANTS = (
    *("rnn_tanh", "rnn_relu", "lstm", "gru_after", "gru_before"),
    *("mingru_linear", "mingru_positive", "minlstm_linear", "minlstm_positive"),
)
"""In the order of their numbers."""


class Weights(NamedTuple):
    """One layer in panels; ``_t`` is transposed, ``R_n`` what r ⊙ h meets in the reset-before GRU."""

    W: np.ndarray
    R: np.ndarray
    R_n: np.ndarray
    W_t: np.ndarray
    R_t: np.ndarray
    R_nt: np.ndarray
    b: np.ndarray  # in the order of the columns
    bn: np.ndarray  # q's, of the reset-after GRU
    zeros: np.ndarray  # as many as I, H or columns


class Tape(NamedTuple):
    """What forward leaves for backward, and room to work in; without training the gates of one chunk of steps."""

    a: np.ndarray  # [T or steps of a chunk, B, ld]: gates, after backward the gradients of their pre-activations
    reset: np.ndarray  # [T or 1, B, H]: r ⊙ h of the reset-before GRU
    left: np.ndarray  # [B,H]: mask ⊙ h
    back: np.ndarray  # [B,H]: gradient of what h·R started from
    tokens: np.ndarray  # [rows, ld]: x·W + b of each symbol that occurs; in accumulate its sum of gate gradients


class Sizes(NamedTuple):
    """Numbers that a pass needs, all of them integers."""

    tile: int  # where the code of the tiles is
    kind: int
    inputs: int
    hidden: int
    ld: int  # columns of a, in whole vectors
    x_columns: int  # that x meets, from 0 on
    h_first: int  # the first column that h meets, and how many
    h_columns: int
    rows: int  # B
    chunk: int  # steps whose inputs are projected together
    training: int
    start: int
    stop: int
    reverse: int
    masked: int
    ragged: int
    tokens: int


def columns(kind: int, hidden: int) -> tuple[int, int, int, int]:
    """How many columns there are, how many of them x meets, the first that h meets, and how many of those."""
    if kind == LSTM:
        return 4 * hidden, 4 * hidden, 0, 4 * hidden
    if kind == GRU_AFTER:
        return 4 * hidden, 3 * hidden, hidden, 3 * hidden
    if kind == GRU_BEFORE:
        return 3 * hidden, 3 * hidden, 0, 2 * hidden
    if kind in (MINGRU_LINEAR, MINGRU_POSITIVE):
        return 2 * hidden, 2 * hidden, 0, 0
    if kind in (MINLSTM_LINEAR, MINLSTM_POSITIVE):
        return 3 * hidden, 3 * hidden, 0, 0
    return hidden, hidden, 0, hidden

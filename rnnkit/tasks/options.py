"""The settings of a training: the same names in flags, config.toml, rnnkit.toml and Python."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from rnnkit import pacing
from rnnkit._kernels import PRECISIONS
from rnnkit.errors import UsageError
from rnnkit.nn.memory import check_recompute
from rnnkit.nn.outputs import OUTPUTS

RUNTIME = ("threads", "backend", "recompute", "max_time")
"""Settings that may differ between a training and its resumption: they do not shape the result."""


ONLY: dict[str, tuple[str, ...]] = {
    "forecast": (
        *("horizon", "season", "time", "target", "id", "past", "future", "static"),
        *("gaps", "output", "decode", "members"),
    ),
    "language": (
        *("preset", "embedding", "tied", "norm", "residual"),
        *("level", "vocabulary", "strip_frontmatter", "encoding"),
        *("split", "document_separator"),
    ),
}
"""Settings that mean something to one task alone."""


class TrainOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What ``train`` takes; None leaves a choice to the task, which says what it chose.

    Lengths count steps of the data: points of a series, tokens of a text. ``max_time`` is in seconds.
    """

    data: str | list[str] = ""
    task: str = "auto"
    start_from: str | None = None  # a run whose weights to begin with
    # network
    preset: str | None = None
    cell: str = "gru"
    hidden: int | None = None
    layers: int | None = None
    dropout: float | None = None
    recurrent_dropout: float = 0.0
    bidirectional: bool = False
    activation: str | None = None
    reset: str | None = None
    embedding: int | None = None
    tied: bool | None = None  # None: no
    norm: bool = False
    residual: bool = False
    # data
    context: int | None = None
    horizon: int | None = None
    season: str = "auto"
    time: str | None = None
    target: str | list[str] | None = None
    id: str | None = None
    past: list[str] | None = None
    future: list[str] | None = None
    static: list[str] | None = None
    gaps: str = "mask"
    level: str = "char"
    vocabulary: int | None = None
    split: str = "text"
    document_separator: str | None = None
    strip_frontmatter: bool = False
    encoding: str | None = None
    output: str = "quantile"
    decode: str = "direct"
    members: int = 4
    val: float = 0.1
    # training
    batch: int | None = None
    epochs: float | None = None
    steps: int | None = None
    stop: int | None = None
    turns: str = ""  # of the schedule (see ``pacing``), as the clock of --max-time made them
    lr: float | None = None
    clip: float = 1.0
    clip_value: float = 0.0
    optimizer: str = "adamw"
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: str = "cosine"
    warmup: float | None = None
    patience: int | None = None
    init: str | None = None
    seed: int = 0
    max_time: float | None = None
    threads: int | str = "auto"
    backend: str = "auto"
    recompute: int | str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in (
            "hidden",
            "layers",
            "embedding",
            "context",
            "horizon",
            "members",
            "batch",
            "steps",
            "stop",
            "patience",
            "vocabulary",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name} is a whole number of at least 1, not {value}")
        for name in ("lr", "epochs", "max_time"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is a number above 0, not {value}")
        for name in ("clip", "clip_value", "weight_decay", "warmup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} is a number of at least 0 (0 turns it off), not {value}")
        for name in ("dropout", "recurrent_dropout", "momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is at least 0 and below 1, not {value}")
        if not 0 < self.val <= 0.4:
            raise UsageError(f"--val is a share of the data above 0 and at most 0.4, not {self.val}")
        _one_of("gaps", self.gaps, ("keep", "mask", "fill"))
        _one_of("output", self.output, tuple(OUTPUTS))
        _one_of("decode", self.decode, ("direct", "recursive"))
        _one_of("level", self.level, ("char", "word", "bpe", "byte"))
        _one_of("split", self.split, ("text", "documents"))
        if self.document_separator is not None and self.split != "documents":
            raise UsageError("--document-separator divides a text into documents; give --split documents with it")
        _one_of("precision", self.precision, PRECISIONS)
        self.recompute = check_recompute(self.recompute)
        pacing.read(self.turns)

    def cell_options(self) -> dict[str, str]:
        """The chosen options of the cell itself."""
        chosen = {"activation": self.activation, "reset": self.reset}
        return {name: value for name, value in chosen.items() if value is not None}


def for_task(options: TrainOptions, task: str) -> TrainOptions:
    """The options with ``task`` settled; ``UsageError`` for a setting that only another task has."""
    defaults = TrainOptions()
    for other, names in ONLY.items():
        for name in names if other != task else ():
            if getattr(options, name) != getattr(defaults, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} belongs to --task {other}, but this is a {task} training; leave it out"
                )
    return msgspec.structs.replace(options, task=task)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{name} is one of {', '.join(allowed)}, not {value!r}")


def plain(options: TrainOptions) -> dict[str, Any]:
    """The settings that were given or chosen, as JSON and TOML can hold them."""
    foreign = {name for task, names in ONLY.items() if task != options.task for name in names}
    values = {k: v for k, v in msgspec.to_builtins(options).items() if v is not None and k not in foreign}
    data = options.data if isinstance(options.data, list) else [options.data]
    names = [os.fsencode(name).decode("utf-8", "replace") for name in data]
    return {**values, "data": names if isinstance(options.data, list) else names[0]}


def stored(options: dict[str, Any]) -> dict[str, Any]:
    """The options that a model file keeps: those that shape the result, no path and nothing of the machine."""
    left_out = ("data", "start_from", *RUNTIME)
    return {name: value for name, value in options.items() if name not in left_out}

"""The settings of a forecaster, chosen from the size and shape of the data."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from rnnkit.data.periods import find_periods
from rnnkit.data.series import SeriesSet
from rnnkit.errors import DataError, UsageError
from rnnkit.job import Plan
from rnnkit.nn.outputs import OUTPUTS
from rnnkit.tasks.options import TrainOptions
from rnnkit.tasks.origins import Parts, judge_origins
from rnnkit.tasks.windows import QUANTILES, SCALINGS, Scaling, Window

EVALUATIONS = 15
LARGE = 20_000
"""Points from which a data set counts as large: a wider network, larger batches, more steps."""
NOISE = 1.0
"""About by which share the loss of one window differs from the mean: weights are not chosen by less than noise."""
ENOUGH = 20
"""Series from which on their levels tell them apart."""
MOST_AHEAD = 60
"""The longest season that becomes the horizon when none is given."""


class Settled(NamedTuple):
    """Every choice made."""

    options: TrainOptions
    window: Window
    plan: Plan
    parts: Parts
    skip: bool


def resolve(series: SeriesSet, options: TrainOptions, notices: list[str]) -> Settled:
    """Fill in what the options leave open; drops series too short to use, with a notice.

    Raises ``DataError`` naming the minimum where no series is long enough, ``UsageError`` for a senseless season.
    """
    median = int(np.median([len(v) for v in series.values]))
    periods = _periods(series, options, median, notices)
    horizon = options.horizon or _horizon(periods, median)
    if options.horizon is None:
        notices.append(f"forecasting {horizon} steps ahead (--horizon)")
    if options.season == "auto" and periods and periods[0] > max(24, 2 * horizon):
        notices.append(
            f"the season of {periods[0]} steps is long beside a horizon of {horizon} and is not used; "
            f"--season {periods[0]} insists"
        )
        periods = []
    season = periods[0] if periods else 1
    patch = _patch(season, horizon)
    least = max(season, 4)
    _drop_short(series, horizon, least, notices)
    parts = judge_origins([len(v) for v in series.values], horizon, options.val, least)
    held = sum(map(len, parts.select)) * parts.stride / horizon  # about so many windows that do not overlap
    if parts.ahead < horizon:
        notices.append(
            f"{parts.ahead} of the {horizon} steps ahead are judged; to fit, select and judge all of them would need "
            f"{least + 3 * horizon} points"
        )
    few = int((parts.fit == 0).sum())
    if few:
        notices.append(f"{few} of {len(series)} series are too short to be judged and only join the last fit")
    fit = int(parts.fit.max())
    context, patch = _context(options.context, periods, horizon, patch, median, fit, notices)
    for long in [p for p in periods if p > context]:
        notices.append(f"the season of {long} steps is longer than the context of {context} and is not used")
        periods = [p for p in periods if p != long]
    points = sum(len(v) for v in series.values)
    large = points > LARGE
    windows = int(np.maximum(parts.fit - horizon - context // 2, 0).sum())
    hidden = options.hidden or 64
    layers = options.layers or (2 if large else 1)
    batch = options.batch or (256 if large else 64)
    steps = options.steps or (
        max(1, round(options.epochs * max(1, windows) / batch)) if options.epochs else _steps(points, context + horizon)
    )
    lr = options.lr or {"adamw": 2e-3, "adam": 2e-3, "rmsprop": 1e-3}.get(options.optimizer, 5e-2)
    dropout = options.dropout if options.dropout is not None else 0.1
    settled = msgspec.structs.replace(
        options, task="forecast", hidden=hidden, layers=layers, batch=batch, steps=steps, lr=lr, dropout=dropout,
        context=context, horizon=horizon, season=",".join(map(str, periods)) or "none", time=series.time_name,
        target=series.target_names[0] if len(series.target_names) == 1 else series.target_names,
        id=series.id_name, past=series.past_names, future=series.future_names, static=series.static_columns,
        epochs=None,
    )  # fmt: skip
    fitted = [v[:n] for v, n in zip(series.values, parts.fit, strict=True)]
    counts = OUTPUTS[options.output].counts
    if counts:
        _need_counts(series, options.output)
    floor = 0.0 if counts else _log_floor(fitted)
    window = Window(
        context,
        min(patch, horizon) if options.decode == "recursive" else horizon,
        patch,
        periods,
        floor,
        list(QUANTILES),
        options.output,
        [SCALINGS[k % len(SCALINGS)] for k in range(options.members)],
        _scaling([p[:n] for p, n in zip(series.past, parts.fit, strict=True)]),
        _scaling([f[:n] for f, n in zip(series.future, parts.fit, strict=True)]),
        _scaling([series.static]),
        *_level(fitted, floor),
        spread=spread(np.concatenate(fitted)),
    )
    skip = windows > 0.2 * context * horizon
    return Settled(settled, window, plan_of(settled, NOISE / math.sqrt(max(held, 1.0))), parts, skip)


def plan_of(options: TrainOptions, tolerance: float) -> Plan:
    """The loop's plan from resolved options."""
    assert options.steps is not None
    assert options.lr is not None
    steps = options.steps
    chosen: dict[str, float] = {}
    if options.optimizer == "adamw":
        chosen = {"b2": 0.99, "decay": 0.01 if options.weight_decay is None else options.weight_decay}
    if options.optimizer in ("sgd", "rmsprop") and options.momentum is not None:
        chosen["momentum"] = options.momentum
    elif options.optimizer == "sgd":
        chosen["momentum"] = 0.9
    warmup = min(0.2, 50 / steps) if options.warmup is None else options.warmup
    return Plan(
        steps=steps,
        evaluate_every=max(1, steps // EVALUATIONS),
        lr=options.lr,
        optimizer=options.optimizer,
        optimizer_options=chosen,
        schedule=options.schedule,
        schedule_options={"warmup": warmup},
        clip=options.clip,
        clip_value=options.clip_value,
        tolerance=tolerance,
        patience=options.patience or 0,
        stop=options.stop or 0,
        seed=options.seed,
    )


def _periods(series: SeriesSet, options: TrainOptions, median: int, notices: list[str]) -> list[int]:
    """Periods from the option, or found in what comes before the part that judges."""
    season = options.season
    if season == "auto":
        found = _found_periods(series, options, median)
        notices.append(f"season found: {', '.join(map(str, found))} steps" if found else "no season found")
        return found
    if season in ("none", "0", "1", ""):
        return []
    try:
        periods = sorted({int(part) for part in season.split(",")})
    except ValueError:
        periods = [0]
    longest = max(len(v) for v in series.values)
    if periods[0] < 2 or periods[-1] * 2 > longest:
        raise UsageError(
            f"--season is auto, none, or steps such as 24 or 24,168, from 2 to half the data ({longest // 2}), "
            f"not {season!r}"
        )
    return periods[:2]


def _found_periods(series: SeriesSet, options: TrainOptions, median: int) -> list[int]:
    """Periods found in what comes before the part that judges, which depends on them: cut off until it is enough."""
    lengths, judged = [len(v) for v in series.values], 0

    def needed(periods: list[int]) -> int:
        """Points that judge where these are the periods, whether they are used or not."""
        horizon, least = options.horizon or _horizon(periods, median), max([4, *periods[:1]])
        return max(judge_origins(lengths, horizon, options.val, k).judged for k in {4, least})

    found: list[int] = []
    while needed(found) > judged:
        judged = needed(found)
        before = [v[: max(len(v) - judged, 0)] for v in series.values]
        found = find_periods([v / spread(v) for v in before if np.isfinite(v).any()], series.freq)
    return found


def _steps(points: int, span: int) -> int:
    """Steps of training: few for few points, which are soon learned by heart; more where windows are short."""
    if points <= LARGE:
        return round(300 * math.sqrt(max(1.0, points / 2000)))
    return round(min(max(1000 * 384 / span, 1000), 2000))


def _horizon(periods: list[int], median: int) -> int:
    """One season where that is a usual distance, else 24 steps; at most an eighth of the data."""
    wanted = 24
    if periods:
        wanted = periods[0] if 8 <= periods[0] <= MOST_AHEAD else 2 * periods[0] if periods[0] < 8 else 30
    return max(1, min(wanted, median // 8))


def _patch(season: int, horizon: int) -> int:
    """Points per step of the encoder: one season, or a part of it (or of the horizon) of at most 32."""
    if 4 <= season <= min(96, 2 * horizon):
        return season
    base = min(horizon, season if season > 1 else horizon)
    return max(min(4, horizon), math.ceil(base / math.ceil(base / 32)))


def _drop_short(series: SeriesSet, horizon: int, minimum: int, notices: list[str]) -> None:
    """Keep the series that have a fit, a select and a judge part."""
    needed = minimum + 4
    keep = [i for i, v in enumerate(series.values) if len(v) >= needed]
    if not keep:
        longest = max(len(v) for v in series.values)
        raise DataError(
            f"at least {needed} points are needed to fit, select and judge a forecast, found {longest}; "
            "give a longer series"
        )
    short = len(series.values) - len(keep)
    if short:
        notices.append(f"{short} of {len(series.values)} series are shorter than {needed} points and are left out")
        series.keep(keep)


def _context(
    wanted: int | None, periods: list[int], horizon: int, patch: int, median: int, fit: int, notices: list[str]
) -> tuple[int, int]:
    """(context, patch): whole patches; by default two long seasons or four horizons, at most 0.4 of the data.

    Where there is a season eight horizons, if they are at most a quarter of the data: a trend shows beside it then.
    """
    seasons, quarter = (2 * periods[-1], median // 4) if periods else (0, 0)
    wished = max(min(max(seasons, 4 * horizon), int(0.4 * median)), min(8 * horizon, quarter))
    context = wanted or max(min(wished, 2048), periods[0] if periods else 1)
    room = max(fit - horizon, fit // 2, min(2 * periods[0], fit) if periods else 0)  # two seasons show a trend
    if context > room:
        if wanted:
            notices.append(
                f"context shrinks from {wanted} to {room} steps, all that the fitted part has before a horizon"
            )
        context = room
    patch = min(patch, context)
    rounded = context // patch * patch if context + patch > room else math.ceil(context / patch) * patch
    if wanted and rounded != wanted and wanted <= room:
        notices.append(f"context is {rounded} steps rather than {wanted}: whole patches of {patch}")
    return max(rounded, patch), patch


def spread(values: np.ndarray) -> float:
    """Mean absolute deviation from the mean, NaN passed over; of constant values their size, and 1 of zeros."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 1.0
    return float(np.abs(known - known.mean()).mean() or np.abs(known).max() or 1.0)


def _need_counts(series: SeriesSet, output: str) -> None:
    """``UsageError`` naming the first value that is no count."""
    for label, v, times in zip(series.labels, series.values, series.times, strict=True):
        wrong = np.flatnonzero((v < 0) | (v % 1 > 0))
        if wrong.size:
            at = series.freq.format(times[wrong[:1]])[0]
            raise UsageError(
                f"--output {output} is for counts, whole numbers from 0 on, and {label} is {v[wrong[0]]:g} at {at}; "
                "choose another output"
            )


def _log_floor(fitted: list[np.ndarray]) -> float:
    """Half the smallest value where (nearly) all are positive, for logarithms; 0 is none."""
    known = [v[np.isfinite(v)] for v in fitted]
    values = np.concatenate(known)
    if not len(values) or values.min() < 0 or (values <= 0).mean() >= 0.01:
        return 0.0
    positive = np.mean([v.min() > 0 for v in known if len(v)])
    return float(0.5 * values[values > 0].min()) if positive >= 0.8 else 0.0


def _level(fitted: list[np.ndarray], floor: float) -> tuple[float, float]:
    """Mean and standard deviation over series of their levels, of logarithms where there is a floor.

    A deviation of 0 keeps the level from the network: of few series it tells time, and time goes on.
    """
    known = [v for v in (v[np.isfinite(v)] for v in fitted) if len(v)]
    if len(known) < ENOUGH:
        return 0.0, 0.0
    levels = [np.mean(np.log(np.maximum(v, floor)) if floor else v) for v in known]
    return float(np.mean(levels)), float(np.std(levels))


def _scaling(columns: list[np.ndarray]) -> Scaling:
    """Mean and standard deviation of columns ``[n,F]`` over all series; 0 and 1 where there is nothing to tell."""
    rows = np.concatenate(columns)
    if not rows.shape[1]:
        return Scaling()
    rows = np.where(np.isfinite(rows), rows, np.nan)
    rows[:, ~np.isfinite(rows).any(axis=0)] = 0.0
    mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    return Scaling(mean.tolist(), np.where(scale > 0, scale, 1.0).tolist())

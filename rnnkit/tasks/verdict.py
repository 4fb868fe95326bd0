"""Whether a forecast beats its rivals, by how much, and how certain that is.

What is tested is the loss that the model spares in a window, g = (1 − MARGIN) · loss of the rival − loss of the model,
one-sided, by Student's t. Four things make a plain t-test lie, and each is answered:

- Windows overlap, and within a horizon errors go together. Two windows k steps apart are taken to correlate by
  1 − k/H, as sums of H independent terms do; variance and degrees of freedom follow from that (Satterthwaite 1946).
  Of long spans the means of ten blocks are compared, which holds as well where errors go together for longer
  (Ibragimov & Müller 2010).
- Series share their time. Where there are origins enough, the mean over series is followed over time (Driscoll & Kraay
  1998); where there are not, series count for as many as their losses leave when the correlation between them, step by
  step, is allowed for.
- The best rival is known only afterwards. The model must beat every rival, so the certainty is the least of all
  (Berger 1982).
- One lucky window, or one rival gone wild in it, decides. What is spared in a window counts at most as much as the best
  rival loses on average; a loss counts whole.

Then a model that is no better than its best rival is said to beat it in at most 5 of 100 cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

CERTAIN = 0.95
"""How certain a model must be to beat a rival before it is said."""
MARGIN = 0.01
"""Share of the rival's loss that must be spared at least: less is no difference that anybody would notice."""
BLOCKS = 10
"""Blocks of time that long spans are cut into, and independent windows from which time tells enough."""
MOST = 200
"""Origins that are compared one by one; more are joined to as many groups of neighbours."""


class Verdict(NamedTuple):
    """The sentence and what it was made of; None where nothing can be said."""

    verdict: str
    beats: bool
    baseline: str | None
    improvement: float | None  # share of the best rival's loss that the model spares; below 0 it is worse
    certainty: float | None  # that it is better by more than MARGIN than every rival
    beaten: list[str]  # the rivals that it beats, each by itself, with at least CERTAIN


class Windows(NamedTuple):
    """Where W windows lie: their series [W], origins [W] on one axis of time for all series, and points each has."""

    series: np.ndarray
    at: np.ndarray
    horizon: int


def together(difference: np.ndarray, windows: Windows) -> float:
    """How differences of losses [W, H] correlate between series at the same time; 0 where that cannot be told."""
    number = np.unique(windows.series, return_inverse=True)[1]
    if not number.any():
        return 0.0
    moment = np.unique(windows.at, return_inverse=True)[1]
    H, S = difference.shape[1], number.max() + 1
    known = np.isfinite(difference)
    own = np.repeat(number, H)[known.ravel()]
    when = (moment[:, None] * H + np.arange(H))[known]
    x = difference[known]
    count = np.maximum(np.bincount(own, minlength=S), 1)
    x = x - (np.bincount(own, x, S) / count)[own]
    spread = np.sqrt(np.bincount(own, x * x, S) / count)
    x = np.divide(x, spread[own], out=np.zeros_like(x), where=spread[own] > 0)
    sums, squares, members = (np.bincount(when, w) for w in (x, x * x, np.ones_like(x)))
    pairs = np.sum(members * (members - 1))
    return float(np.sum(sums * sums - squares) / pairs) if pairs else 0.0


def certainty(gains: np.ndarray, windows: Windows, correlation: float = 0.0) -> float:
    """That gains [W] have a mean above 0, from 0 to 1; NaN where windows are too few to tell.

    ``correlation``: between series at the same time, of which ``together`` finds the value.
    """
    series = np.unique(windows.series)
    span = int(np.ptp(windows.at)) + windows.horizon
    if len(series) > 1 and span // windows.horizon < min(len(series), BLOCKS):
        number = np.searchsorted(series, windows.series)
        means = np.bincount(number, gains) / np.bincount(number)
        return _across(means, min(max(correlation, 0.0), 0.99))
    return _over_time(gains, windows, span)


def _across(means: np.ndarray, correlation: float) -> float:
    """From one mean per series: their own variance is what correlation leaves of it, σ² (1 − ρ)."""
    share = 1 / len(means) + correlation / (1 - correlation)
    return _student(float(means.mean()), float(means.var(ddof=1)) * share, max(1 / share - 1, 1.0))


def _over_time(gains: np.ndarray, windows: Windows, span: int) -> float:
    """From the mean over series at each origin, in order of time."""
    H = windows.horizon
    at, number = np.unique(windows.at, return_inverse=True)
    if span < 2 * H:
        return math.nan
    blocks = len(at) > BLOCKS and span >= 2 * BLOCKS * H
    groups = BLOCKS if blocks else MOST
    if groups < len(at):
        group = np.unique((at - at[0]) * groups // (at[-1] - at[0] + 1), return_inverse=True)[1]
        number, at = group[number], np.bincount(group, at) / np.bincount(group)
    means = np.bincount(number, gains) / np.bincount(number)
    if blocks:  # neighbours of length L correlate by H / (6 L − 2 H), as integrating 1 − k/H over both shows
        near = np.abs(np.subtract.outer(np.arange(len(means)), np.arange(len(means)))) == 1
        alike = np.eye(len(means)) + near * H / (6 * span / BLOCKS - 2 * H)
    else:
        alike = np.maximum(0.0, 1 - np.abs(np.subtract.outer(at, at)) / H)
    n, share = len(means), alike.mean()
    left = alike - alike.mean(axis=0)
    freedom = np.trace(left) ** 2 / np.sum(left * left.T)
    variance = np.sum((means - means.mean()) ** 2) / (n * (1 - share))
    return _student(float(means.mean()), float(variance * share), float(freedom))


def _student(mean: float, variance: float, freedom: float) -> float:
    """P(T ≤ mean / √variance) of Student's t."""
    if variance <= 0:
        return 0.5 * (1 + np.sign(mean))
    return student_cdf(mean / math.sqrt(variance), freedom)


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Where Gauss and Legendre look, and what it counts."""
    x, weight = np.polynomial.legendre.leggauss(80)
    return x, weight


def student_cdf(t: float, freedom: float) -> float:
    """P(T ≤ t): with T = √ν tan θ the density of θ is cos^(ν−1) θ Γ((ν+1)/2) / (√π Γ(ν/2)), which is summed up."""
    v = min(freedom, 1e4)
    x, weight = _nodes()
    angle = min(math.atan(abs(t) / math.sqrt(v)), 12 / math.sqrt(v))  # beyond twelve deviations nothing is left
    theta = 0.5 * angle * (x + 1)
    area = 0.5 * angle * float(weight @ np.cos(theta) ** (v - 1))
    half = area * math.exp(math.lgamma((v + 1) / 2) - math.lgamma(v / 2)) / math.sqrt(math.pi)
    return min(max(0.5 + math.copysign(half, t), 0.0), 1.0)


def judge(
    model: np.ndarray, rivals: Mapping[str, np.ndarray], windows: Windows, correlations: Mapping[str, float]
) -> Verdict:
    """The verdict on a model's losses [W] (MASE) beside those of its rivals; NaN where a window has none."""
    known = np.isfinite(np.stack(list(rivals.values()))).all(axis=0)
    if not known.any():
        return Verdict("no verdict: the series does not vary, so errors have no scale", False, None, None, None, [])
    own = np.where(np.isfinite(model), model, np.inf)[known]
    losses = {name: loss[known] for name, loss in rivals.items()}
    where = Windows(windows.series[known], windows.at[known], windows.horizon)
    means = {name: float(loss.mean()) for name, loss in losses.items()}
    best = min(means, key=lambda name: means[name])
    a, b = float(own.mean()), means[best]
    if not math.isfinite(a):
        return Verdict(f"does not beat {best}: its forecasts are not all finite numbers", False, best, None, 0.0, [])
    each = {
        name: certainty(np.minimum((1 - MARGIN) * loss - own, b), where, correlations.get(name, 0.0))
        for name, loss in losses.items()
    }
    sure = min(each.values()) if not any(map(math.isnan, each.values())) else math.nan
    beaten = [name for name, value in each.items() if value >= CERTAIN]
    beats = sure >= CERTAIN and a < b
    gain = 1 - a / b if b > 0 else 0.0
    sentence = _sentence(beats, best, a, b, sure, int(known.sum()))
    others = [name for name in beaten if name != best and not beats]
    if others:
        next_best = min(others, key=lambda name: means[name])
        share = 100 * (1 - a / means[next_best])
        sentence += f"; it does beat {next_best} by {share:.0f} % (certainty {_percent(each[next_best])})"
    return Verdict(sentence, beats, best, gain, None if math.isnan(sure) else sure, beaten)


def _sentence(beats: bool, best: str, a: float, b: float, sure: float, windows: int) -> str:
    """What is said of losses a of the model and b of the best rival."""
    figures = f"MASE {a:.3f} against {b:.3f}"
    share = 100 * abs(1 - a / b) if b > 0 else 100.0
    by = f"{share:.0f} %" if share >= 1 else "less than 1 %"
    over = f"{windows:,} window{'s' * (windows > 1)}"
    if beats:
        return f"beats {best} by {by} ({figures}; certainty {_percent(sure)}, {over})"
    if a >= b:
        worse = f"worse by {by} ({figures}, {over}); {best} is the better forecast here"
        return f"does not beat {best}: {worse if a > b else f'as good as it ({figures}, {over})'}"
    if math.isnan(sure):
        return f"does not beat {best}: better by {by} ({figures}), but windows from one time cannot tell it from chance"
    if share < 100 * MARGIN:
        return f"does not beat {best}: better by {by} ({figures}, {over})"
    chance = f"but that could be chance: certainty {_percent(sure)}, {over}"
    return f"does not beat {best}: better by {by} ({figures}), {chance}"


def _percent(share: float) -> str:
    """A certainty, never rounded up."""
    return "above 99 %" if share > 0.99 else f"{math.floor(100 * share)} %"

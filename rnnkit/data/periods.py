"""The lengths after which series repeat, found by autocorrelation; none is a valid answer.

Differences, clipped against outliers, are correlated with themselves at every lag; over many series the median
correlation counts. The period is the first peak that nearly reaches the highest one and comes again at twice the lag.
A longer period is looked for at its multiples, in the differences over one period, where a fixed profile has gone. A
long smooth cycle (a year of daily temperatures) drowns in differences and is looked for in the smoothed series itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.frequency import MICRO, MONTHLY, Frequency

Floats = NDArray[np.float64]

MAX_SERIES = 200
MAX_LAG = 800  # two years of days, a month of hours
LONGEST = 2100  # a week of five minutes, a day of single ones: lengths of the calendar looked for beyond MAX_LAG
SHORTEST = 24  # points below which no period is looked for
NEAR = 0.85  # share of the highest peak that the first one must reach
CALENDAR = 0.6  # share of it that is enough for a length of the calendar
SNAP = 0.03  # a long period this close to one of the calendar is taken to be it
_DAY, _YEAR = MICRO["day"], 365.25 * MICRO["day"]


def find_periods(values: Sequence[Floats], freq: Frequency | None = None, most: int = 2) -> list[int]:
    """Periods in steps, ascending, at most `most`; an empty list where nothing repeats.

    values: series [n] with NaN where missing, all at one frequency; freq helps a long period to its calendar length.
    """
    usable = [_level(v) for v in values if np.isfinite(v).sum() >= SHORTEST]
    if not usable:
        return []
    if len(usable) > MAX_SERIES:
        usable = [usable[i] for i in np.linspace(0, len(usable) - 1, MAX_SERIES).astype(int)]
    length = int(np.percentile([len(v) for v in usable], 25))
    lags = int(min(max([MAX_LAG, *(1.1 * c for c in _calendar(freq) if c <= LONGEST)]), length / 3))
    usable = [v[-(6 * lags + 200) :] for v in usable if len(v) >= 3 * lags]
    first = _first(usable, lags, _calendar(freq))
    if first == 2:  # alternation, not a season
        return []
    plain = first > 0
    first = first or _smooth_cycle(usable, lags, 7)
    if first == 0:
        return []
    first = _snap(first, freq) or first
    found = [first]
    second = _second(usable, first, lags)
    if second:
        found.append(_snap(second, freq) or second)
    elif plain and first >= 4:
        year = _snap(_smooth_cycle(usable, lags, first), freq)
        found += [year] if year > 4 * first else []
    return found[:most]


def _level(values: Floats) -> Floats:
    """Logarithm of positive series, and outliers pulled to half a range beyond the outer percentiles."""
    x = np.log(values) if np.nanmin(values) > 0 else values
    low, high = np.nanpercentile(x, [1, 99])
    room = 0.5 * (high - low)
    return np.clip(x, low - room, high + room)


def _steps(x: Floats, lag: int = 1) -> Floats:
    """Differences over a lag, clipped to six median absolute deviations."""
    d = x[lag:] - x[:-lag]
    middle = np.nanmedian(d)
    width = 6 * np.nanmedian(np.abs(d - middle))
    if not width > 0:  # mostly flat series: clipping would leave nothing
        width = np.nanmax(np.abs(d - middle))
    return np.clip(d, middle - width, middle + width)


def _autocorrelation(x: Floats, lags: int) -> Floats:
    """Correlation [lags + 1] of a series with itself, straight line removed, over the pairs that both exist."""
    there = np.isfinite(x)
    t = np.linspace(-1, 1, len(x))
    x = np.where(there, x - np.polyval(np.polyfit(t[there], x[there], 1), t), 0.0)
    size = 2 ** int(np.ceil(np.log2(len(x) + lags + 1)))
    spectra = [np.fft.rfft(a, size) for a in (x, there.astype(np.float64))]
    product, pairs = (np.fft.irfft(s * np.conj(s), size)[: lags + 1] for s in spectra)
    pairs = np.rint(pairs)
    covariance = np.where(pairs > 0, product / np.maximum(pairs, 1), 0.0)
    return covariance / covariance[0] if covariance[0] > 1e-24 else np.zeros(lags + 1)


def _median(series: Sequence[Floats], lags: int) -> Floats:
    correlations = [_autocorrelation(x, lags) for x in series if np.isfinite(x).sum() > lags / 2]
    return np.median(correlations, axis=0) if correlations else np.zeros(lags + 1)


def _peaks(r: Floats, start: int, least: Floats | float) -> NDArray[np.int64]:
    """Interior indices from `start` on that top both neighbours and `least`."""
    k = np.arange(1, len(r) - 1)
    top = (r[k] > r[k - 1]) & (r[k] >= r[k + 1]) & (r > least)[k]
    return k[top & (k >= start)]


def _earliest(r: Floats, peaks: NDArray[np.int64]) -> int:
    """The first peak within NEAR of the highest, or 0 without peaks."""
    return int(peaks[r[peaks] >= NEAR * r[peaks].max()][0]) if peaks.size else 0


def _first(series: Sequence[Floats], lags: int, calendar: list[float]) -> int:
    """The shortest period, from the differences."""
    r = _median([_steps(x) for x in series], 2 * lags)
    length = float(np.median([np.isfinite(x).sum() for x in series]))
    # Bartlett: the variance of a correlation beyond lag 5 of a series whose nearer correlations are r; 2.5 standard
    # errors, and a tenth for dependence that is no season.
    error = np.sqrt((1 + 2 * np.sum(r[1:6] ** 2)) / np.maximum(length - np.arange(lags + 1), 1))
    peaks = _peaks(r[: lags + 1], 2, 0.1 + 2.5 * error)
    again = [r[2 * k - 1 : 2 * k + 2].max() >= 0.5 * r[k] for k in peaks]
    peaks = peaks[np.array(again, dtype=bool)]
    found = _earliest(r, peaks)
    for c in calendar:  # noise moves the peak of a short series beside the true one
        whole = c == int(c) and found and found < 3 * c
        if whole and c <= lags and int(c) % found and r[int(c)] >= CALENDAR * r[peaks].max():
            return int(c)
    return found


def _smooth_cycle(series: Sequence[Floats], lags: int, window: int) -> int:
    """A long cycle: correlation of the smoothed series falls below zero, peaks, and peaks again at twice the lag."""
    kernel = np.ones(window)
    smooth = []
    for x in series:
        there = np.isfinite(x)
        weight = np.convolve(there, kernel, "valid")
        total = np.convolve(np.where(there, x, 0.0), kernel, "valid")
        smooth.append(np.where(weight >= window / 2, total / np.maximum(weight, 1), np.nan))
    r = _median(smooth, 2 * lags)
    below = np.flatnonzero(r[: lags + 1] < 0)
    if not below.size:
        return 0
    high = NEAR * r[below[0] : lags + 1].max()
    tops = (k for k in range(int(below[0]), lags + 1) if r[k] >= high)
    # Smoothed correlations still jitter: a peak is the highest within a tenth of its lag.
    k = next((k for k in tops if r[k] == r[int(0.9 * k) : int(1.1 * k) + 2].max()), lags)
    if k >= lags - 1:
        return 0
    around = r[int(1.9 * k) : int(2.1 * k) + 1]
    # A random walk swings too, but not evenly: the second peak and the trough between must be there.
    good = r[k] >= 0.4 and around.max(initial=-1.0) >= 0.35 and r[k // 2] <= -0.3
    return k if good else 0


def _second(series: Sequence[Floats], first: int, lags: int) -> int:
    """A longer period among the multiples of the first, or 0: seven days of hours."""
    if lags // first < 5:
        return 0
    r = _median([_steps(x, first) for x in series], lags)[::first]
    # Points within one cycle move together, so a series counts for as many as it has cycles.
    cycles = np.median([len(x) for x in series]) / first
    return first * _earliest(r, _peaks(r, 3, 0.06 + 2.5 / np.sqrt(cycles * min(len(series), 100))))


def _calendar(freq: Frequency | None) -> list[float]:
    """A day, a week and a year in steps, as far as they are longer than three."""
    if freq is None:
        return []
    if freq.unit in MICRO:
        steps = [span / (MICRO[freq.unit] * freq.count) for span in (_DAY, 7 * _DAY, _YEAR)]
    elif freq.unit in MONTHLY:
        steps = [12 / (MONTHLY[freq.unit] * freq.count)]
    else:
        steps = [5 / freq.count, 261 / freq.count] if freq.unit == "business day" else []
    return [s for s in steps if s > 3]


def _snap(period: int, freq: Frequency | None) -> int:
    """The length of the calendar that a long period nearly meets, or 0."""
    near = [c for c in _calendar(freq) if period >= 20 and abs(c - period) <= SNAP * period]
    return int(min(near, key=lambda c: abs(c - period))) if near else 0

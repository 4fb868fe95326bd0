"""Where forecasts are fitted, selected and judged: strictly apart, at any length."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.errors import DataError
from rnnkit.tasks.origins import JUDGED, MOST, judge_origins, origins


def test_origins_end_with_the_series() -> None:
    np.testing.assert_array_equal(origins(100, 10, 3, 10), [70, 80, 90])


@pytest.mark.parametrize("horizon", [1, 3, 12, 48])
@pytest.mark.parametrize("val", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("series", [1, 3, 30])
def test_no_point_is_in_two_parts(horizon: int, val: float, series: int) -> None:
    least = max(4, horizon // 2)
    for extra in (0, 1, horizon, 10 * horizon, 100 * horizon):
        lengths = [least + 3 * horizon + extra + 7 * i for i in range(series)]
        parts = judge_origins(lengths, horizon, val, least)
        for n, judge, select, fit in zip(lengths, parts.judge, parts.select, parts.fit, strict=True):
            assert judge[-1] + horizon == n
            assert judge[0] == n - parts.judged == select[-1] + horizon
            assert select[0] == n - parts.judged - parts.selected == fit
            assert fit >= least + horizon
            assert set(np.diff(judge)) <= {parts.stride}
            assert set(np.diff(select)) <= {parts.stride}
            assert 1 <= parts.stride <= horizon
            assert len(judge) <= MOST
        assert parts.judged <= max(horizon, (JUDGED + 1e-9) * min(lengths), val * min(lengths))


def test_few_short_series_are_judged_from_overlapping_windows() -> None:
    airline = judge_origins([144], 12, 0.1, 12)
    assert (airline.judged, airline.selected, airline.stride, len(airline.judge[0])) == (57, 21, 3, 16)
    ahead = judge_origins([144], 24, 0.1, 12)
    assert (ahead.judged, ahead.selected, ahead.stride, len(ahead.judge[0])) == (54, 24, 6, 6)


def test_many_series_and_long_ones_are_judged_from_windows_side_by_side() -> None:
    hourly = judge_origins([700] * 200 + [960] * 214, 48, 0.1, 24)
    assert (hourly.judged, hourly.selected, hourly.stride) == (48, 48, 48)
    long = judge_origins([50_000], 24, 0.1, 24)
    assert (long.stride, len(long.judge[0])) == (24, MOST)


def test_the_shortest_series_names_what_it_needs() -> None:
    assert judge_origins([40], 12, 0.1, 4).fit[0] == 16
    with pytest.raises(DataError, match=r"at least 40 points are needed .* found 39"):
        judge_origins([100, 39], 12, 0.1, 4)

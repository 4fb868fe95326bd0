"""Where forecasts are fitted, selected and judged: strictly apart, at any length."""

from __future__ import annotations

import numpy as np
import pytest

from rnnkit.errors import DataError
from rnnkit.tasks.origins import BLOCKS, JUDGED, MOST, SMALL, TYPICAL, judge_origins, origins


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
        assert parts.ahead == horizon
        whole = least + horizon + parts.judged + parts.selected
        for n, judge, select, fit in zip(lengths, parts.judge, parts.select, parts.fit, strict=True):
            if n < whole:  # too short for the parts of the typical one
                assert (len(judge), len(select), fit) == (0, 0, 0)
                continue
            assert judge[-1] + horizon == n
            assert judge[0] == n - parts.judged == select[-1] + horizon
            assert select[0] == n - parts.judged - parts.selected == fit
            assert fit >= least + horizon
            assert set(np.diff(judge)) <= {parts.stride}
            assert set(np.diff(select)) <= {parts.stride}
            assert 1 <= parts.stride <= horizon
            assert len(judge) <= MOST
        base = int(np.quantile(lengths, TYPICAL, method="lower"))
        assert whole <= base  # so at least three in four are judged
        assert parts.judged <= max(horizon, (JUDGED + 1e-9) * base, val * base)


@pytest.mark.parametrize("lengths", [[144], [60, 100], [700] * 8, [100, 39], [23], [8], [30, 8, 9]])
@pytest.mark.parametrize("horizon", [1, 5, 12])
def test_blocks_judge_every_origin_once_and_in_order(lengths: list[int], horizon: int) -> None:
    parts = judge_origins(lengths, horizon, 0.1, 4)
    most = max(map(len, parts.judge))
    if not parts.blocks:
        assert parts.fit.sum() > SMALL
        return
    firsts = [parts.first(block) for block in range(parts.blocks + 1)]
    assert firsts[0] == 0
    assert firsts[-1] == most
    assert np.all(np.diff(firsts) > 0)
    assert parts.blocks <= min(BLOCKS, most)


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


def test_series_too_short_for_three_parts_have_none_of_them() -> None:
    parts = judge_origins([100, 39], 12, 0.1, 4)
    assert [len(judge) for judge in parts.judge] == [10, 0]
    assert [len(select) for select in parts.select] == [2, 0]
    assert parts.fit.tolist() == [46, 0]
    assert (parts.judged, parts.selected, parts.stride, parts.ahead) == (39, 15, 3, 12)


def test_where_all_are_short_fewer_steps_are_judged() -> None:
    whole = judge_origins([40], 12, 0.1, 4)
    assert (whole.ahead, whole.judge[0].tolist(), whole.select[0].tolist(), whole.fit[0]) == (12, [28], [16], 16)
    short = judge_origins([39, 30, 8], 12, 0.1, 4)
    assert (short.ahead, short.judged, short.selected, short.stride, short.blocks) == (8, 8, 8, 8, 1)
    assert [judge.tolist() for judge in short.judge] == [[31], [], []]
    assert [select.tolist() for select in short.select] == [[23], [], []]
    assert short.fit.tolist() == [23, 0, 0]
    least = judge_origins([8], 12, 0.1, 4)
    assert (least.ahead, least.judge[0].tolist(), least.select[0].tolist(), least.fit[0]) == (1, [7], [6], 6)


def test_the_longest_series_names_what_it_needs() -> None:
    with pytest.raises(DataError, match=r"at least 8 points are needed to fit, select and judge .* found 7; give a"):
        judge_origins([7, 5], 12, 0.1, 4)

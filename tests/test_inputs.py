"""Several targets, inputs known in advance and constant ones: what is read, guessed, said and refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rnnkit.cli import commands
from rnnkit.data.series import SeriesSet, read_series
from rnnkit.errors import DataError, UsageError


def read(content: str, **options: Any) -> SeriesSet:
    return read_series(io.BytesIO(content.encode()), **options)


NAN = np.nan
PLANT = (
    "time,heat,power,wind,promo\n"
    "2020-01-01,,10,1,0\n"
    "2020-01-02,2,11,2,1\n"
    "2020-01-03,3,12,,0\n"
    "2020-01-04,,13,4,1\n"
    "2020-01-05,,,,0\n"
    "2020-01-06,,,,1\n"
)


def test_every_target_is_a_series_of_its_own() -> None:
    series = read(PLANT, target=["heat", "power"], past=["wind"], future=["promo"])
    assert series.names == ["", ""]
    assert series.targets == ["heat", "power"]
    assert series.labels == ["heat", "power"]
    np.testing.assert_array_equal(series.values[0], [2, 3, NAN])  # up to the last row with any target
    np.testing.assert_array_equal(series.values[1], [10, 11, 12, 13])
    np.testing.assert_array_equal(series.past[0], [[2], [NAN], [4]])
    np.testing.assert_array_equal(series.future[0], [[1], [0], [1], [0], [1]])
    np.testing.assert_array_equal(series.future[1], [[0], [1], [0], [1], [0], [1]])
    assert [a.astype(str).tolist() for a in series.ahead] == [["2020-01-05T00:00:00", "2020-01-06T00:00:00"]] * 2
    assert "2 rows without target at the end are taken as still to come" in series.notices
    assert "1 row without target at the start of 1 series is left out" in series.notices


def test_ids_come_before_targets() -> None:
    rows = "".join(f"{i},{t},{t},{t * 10}\n" for i in ("b", "a") for t in range(1, 5))
    series = read("shop,t,x,y\n" + rows, id="shop", target="x,y")
    assert list(zip(series.names, series.targets, strict=True)) == [("b", "x"), ("b", "y"), ("a", "x"), ("a", "y")]
    assert series.labels == ["b · x", "b · y", "a · x", "a · y"]
    assert series.past_names == []
    np.testing.assert_array_equal(series.values[3], [10, 20, 30, 40])


def test_a_comma_in_the_name_of_a_column_is_no_list() -> None:
    content = 't,"load, MW",b\n1,5,1\n2,6,2\n3,8,5\n'
    assert read(content, target="load, MW").targets == ["load, MW"]
    assert read(content, target="b", past=["load, MW"]).past_names == ["load, MW"]
    with pytest.raises(UsageError, match=r"no column 'lod'; did you mean 'load, MW'|no column 'lod'"):
        read(content, target="lod,b")


def test_what_is_filled_in_for_the_rows_to_come_is_known_in_advance() -> None:
    series = read(PLANT, target=["heat", "power"])
    assert (series.past_names, series.future_names, series.static_names) == (["wind"], ["promo"], [])
    assert "future inputs: promo, as they are known for the rows to come" in series.notices
    assert "past inputs: wind" in series.notices
    guessed = read(PLANT)
    assert guessed.targets == ["wind"]  # the last column that is still to come
    assert read(PLANT, target="power", past=["wind"]).future_names == []  # past inputs given: nothing is guessed
    assert read(PLANT, target="power", future=[]).future_names == []


def test_rows_to_come_need_every_input_and_every_step() -> None:
    with pytest.raises(DataError, match=r"line 6, column 'wind'.*known in advance, found an empty cell"):
        read(PLANT, target="power", future="promo,wind")
    hole = PLANT.replace("2020-01-05,,,,0\n", "")
    for gaps in ("keep", "mask"):
        with pytest.raises(DataError, match=r"line 6: expected a row for 2020-01-05 before this one"):
            read(hole, target="power", future="promo", gaps=gaps)
    filled = read(hole, target="power", future="promo", gaps="fill")
    np.testing.assert_array_equal(filled.future[0][:, 0], [0, 1, 0, 1, 1, 1])
    late = read(PLANT + "2020-01-07,,,,\n", target="power", future="promo")
    assert len(late.ahead[0]) == 2
    assert "1 row at the end without target and future inputs left out" in late.notices


def test_gaps_in_the_past_leave_holes_in_what_was_known_in_advance() -> None:
    content = PLANT.replace("2020-01-03,3,12,,0\n", "")
    mask = read(content, target="power", future="promo", past=())
    np.testing.assert_array_equal(mask.future[0][:, 0], [0, 1, NAN, 1, 0, 1])
    np.testing.assert_array_equal(mask.values[0], [10, 11, NAN, 13])
    fill = read(content, target="power", future="promo", past=(), gaps="fill")
    np.testing.assert_array_equal(fill.future[0][:, 0], [0, 1, 1, 1, 0, 1])


SHOPS = "id,t,y,size,region,name\n" + "".join(
    f"{i},{t},{t * t % 7},{size},{region},shop {i}\n"
    for i, size, region in (("a", 10, "north"), ("b", 25, "south"), ("c", "", "north"), ("d", 10, "west"))
    for t in range(1, 9)
)


def test_what_never_changes_within_a_series_is_static() -> None:
    series = read(SHOPS)
    assert series.static_columns == ["size", "region"]
    assert series.static_names == ["size", "region=north", "region=south", "region=west"]
    np.testing.assert_array_equal(series.static, [[10, 1, 0, 0], [25, 0, 1, 0], [NAN, 1, 0, 0], [10, 0, 0, 1]])
    said = "\n".join(series.notices)
    assert "static inputs: size, region" in said
    assert "column 'name' is left out: it only names the series" in said
    assert "column 'size': 8 missing values (25.0%, first on line 18)" in said
    assert (series.past_names, series.targets[0]) == ([], "y")
    given = read(SHOPS, target="y", static=["region"], past=())
    assert given.static_names == ["region=north", "region=south", "region=west"]


def test_static_inputs_of_a_training_are_met_again() -> None:
    names = read(SHOPS).static_names
    other = "id,t,y,size,region\n" + "".join(f"z,{t},{t % 3},7,{'east'}\n" for t in range(1, 6))
    series = read(other, target="y", past=(), static_names=names)
    assert series.static_names == names
    np.testing.assert_array_equal(series.static, [[7, 0, 0, 0]])
    assert any("column 'region': 'east' on line 2 did not occur in training" in n for n in series.notices)
    with pytest.raises(DataError, match=r"line 2, column 'size': expected a number, found 'large'"):
        read(other.replace(",7,", ",large,"), target="y", past=(), static_names=names)
    with pytest.raises(UsageError, match="no column 'region'"):
        read(other.replace("region", "land"), target="y", past=(), static_names=names)
    numbered = "id,t,y,k=v\n" + "".join(f"{i},{t},{t},{i}{i}\n" for i in (1, 2) for t in range(1, 4))
    assert read(numbered, target="y", past=(), static_names=["k=v=11", "k=v=22"]).static.tolist() == [[1, 0], [0, 1]]


def test_a_static_input_that_changes_is_refused_with_its_line() -> None:
    changed = SHOPS.replace("b,3,2,25", "b,3,2,26")
    with pytest.raises(DataError, match=r"line 12, column 'size': expected '25' as on line 10.*found '26'"):
        read(changed, target="y", static=["size"])
    assert "size" in read(changed, target="y").past_names
    many = "id,t,y,w\n" + "".join(f"{i},{t},{t % 3},w{i}\n" for i in range(60) for t in range(1, 4))
    with pytest.raises(DataError, match="at most 50 different words were expected of a static input, found 60"):
        read(many, target="y", static=["w"])


def test_no_column_serves_two_purposes() -> None:
    for doubled in ({"future": ["y"]}, {"static": ["y"]}, {"past": ["size"], "static": ["size"]}):
        with pytest.raises(UsageError, match="two purposes"):
            read(SHOPS, target="y", **doubled)


def test_the_fingerprint_covers_every_input() -> None:
    base = {"target": "power", "past": ["wind"], "future": ["promo"]}
    first = read(PLANT, **base).fingerprint()
    assert first == read(PLANT.replace("10,1,0", "10,1,0.0"), **base).fingerprint()
    assert first != read(PLANT.replace("10,1,0", "10,1,2"), **base).fingerprint()
    assert first != read(PLANT.replace("2020-01-06,,,,1\n", ""), **base).fingerprint()
    shops = {"target": "y", "past": (), "static": ["size"]}
    assert read(SHOPS, **shops).fingerprint() != read(SHOPS.replace(",25,", ",24,"), **shops).fingerprint()


def test_flags_name_the_roles_and_check_says_them(tmp_path: Path) -> None:
    (tmp_path / "shops.csv").write_text(SHOPS)
    (tmp_path / "plant.csv").write_text(PLANT)

    def checked(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(commands, ["check", *words, "--json"])
        assert done.exit_code == 0, done.stderr
        return dict(json.loads(done.stdout)["facts"])

    plant = str(tmp_path / "plant.csv")
    for targets in (["--target", "heat,power"], ["--target", "heat", "--target", "power"]):
        facts = checked(plant, *targets, "--past", "wind", "--future", "promo")
        assert (facts["series"], facts["target"]) == (2, "heat, power")
        assert (facts["past inputs"], facts["future inputs"]) == ("wind", "promo")
    facts = checked(str(tmp_path / "shops.csv"), "--static", "size,region", "--target", "y")
    assert (facts["id"], facts["static inputs"], facts["outliers"]) == ("id", "size, region", 0)
    for words, code in ((["--future", "prom"], 2), (["--static", "wind"], 3)):
        done = CliRunner().invoke(commands, ["train", plant, "--target", "power", *words])
        assert done.exit_code == code, done.stderr

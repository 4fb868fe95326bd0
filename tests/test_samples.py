"""The bundled samples: what they promise, that they can be made again, and how they are copied out."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from rnnkit.errors import UsageError
from rnnkit.samples import SAMPLES, copy_sample, make_series, sample_path


@pytest.fixture(scope="module")
def story() -> str:
    return sample_path("chat").read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def columns() -> tuple[list[str], np.ndarray]:
    header, *lines = sample_path("energy").read_text(encoding="utf-8").splitlines()
    assert header == "time,temperature,load"
    cells = [line.split(",") for line in lines]
    return [row[0] for row in cells], np.array([row[1:] for row in cells], dtype=np.float64)


# The table and the copies.


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_described_and_its_command_trains_on_its_own_file(name):
    sample = SAMPLES[name]
    assert sample.name == name
    assert sample_path(name) == Path(make_series.__file__).with_name(sample.file)
    assert sample.about
    assert "\n" not in sample.about
    assert sample.command.split()[:3] == ["rnnkit", "train", sample.file]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_copy_has_the_same_bytes_and_its_own_name(name, tmp_path):
    copy = copy_sample(name, tmp_path)
    assert copy == tmp_path / SAMPLES[name].file
    assert copy.read_bytes() == sample_path(name).read_bytes()


def test_a_copy_never_overwrites(tmp_path):
    (tmp_path / "chat.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"chat\.txt exists already"):
        copy_sample("chat", tmp_path)
    assert (tmp_path / "chat.txt").read_text(encoding="utf-8") == "mine"


def test_a_copy_needs_an_existing_folder(tmp_path):
    with pytest.raises(UsageError, match="name an existing, writable folder"):
        copy_sample("chat", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("wrong", "meant"), [("chta", "chat"), ("Energy", "energy"), ("energy.csv", "energy")])
def test_an_unknown_name_is_met_with_the_nearest_one(wrong, meant, tmp_path):
    with pytest.raises(UsageError, match=f"no sample '{re.escape(wrong)}'.*did you mean '{meant}'"):
        copy_sample(wrong, tmp_path)


def test_a_name_like_no_other_gets_the_list_and_no_guess():
    with pytest.raises(UsageError) as caught:
        sample_path("zzz")
    assert str(caught.value) == "there is no sample 'zzz', the samples are energy, chat"


# The series.


def test_the_generator_writes_the_bundled_file_byte_for_byte(tmp_path):
    target = tmp_path / "again.csv"
    assert make_series.main([str(target)]) == 0
    assert target.read_bytes() == sample_path("energy").read_bytes()


def test_the_generator_runs_as_a_module_and_writes_to_standard_output():
    command = [sys.executable, "-P", "-m", "rnnkit.samples.make_series"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.replace(b"\r\n", b"\n") == sample_path("energy").read_bytes()


@pytest.mark.parametrize("arguments", [["a.csv", "b.csv"], ["--help"]])
def test_the_generator_states_its_usage(arguments, capsys):
    assert make_series.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m rnnkit.samples.make_series [FILE]\n"


def test_the_draws_are_standard_normal_and_independent():
    first, second = make_series.normals(100_000, 0), make_series.normals(100_000, 1)
    for draws in (first, second):
        assert abs(draws.mean()) < 0.015
        assert abs(draws.std() - 1.0) < 0.01
        assert abs((draws**4).mean() - 3.0) < 0.15
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.015
    expected = [-0.4363612078760601, 0.10604084168678807, 0.6659997441478169]
    np.testing.assert_allclose(make_series.normals(3, 0), expected, rtol=1e-12)


def test_the_weather_remembers_as_long_as_stated():
    values = make_series.autoregressive(make_series.normals(200_000, 3), hours=72.0, deviation=3.6)
    assert values.std() == pytest.approx(3.6, rel=0.1)
    assert np.corrcoef(values[:-72], values[72:])[0, 1] == pytest.approx(np.exp(-1.0), abs=0.06)


def test_the_series_is_hourly_without_gaps_and_small(columns):
    times, values = columns
    assert sample_path("energy").stat().st_size < 120_000
    start = datetime(2024, 1, 8)
    assert start.weekday() == 0
    assert times == [(start + timedelta(hours=t)).strftime("%Y-%m-%d %H:%M") for t in range(24 * 112)]
    assert np.isfinite(values).all()
    assert values[:, 1].min() > 50.0


def test_weekends_differ_and_cold_days_cost_more(columns):
    temperature, load = columns[1].T
    days = load.reshape(-1, 24)
    weekday = np.arange(len(days)) % 7
    assert days[weekday < 5, 9].mean() - days[weekday >= 5, 9].mean() > 50.0
    daily = np.corrcoef(temperature.reshape(-1, 24).mean(1)[weekday < 5], days[weekday < 5].mean(1))[0, 1]
    assert daily < -0.9


def test_a_linear_model_of_the_past_clearly_beats_both_seasonal_naives(columns):
    # Hour-of-week means, then ridge regression from 72 hours of remainder to the next 48; errors on the last 15 %.
    load = columns[1][:, 1]
    context, horizon, train = 72, 48, int(0.85 * len(load))
    slot = np.arange(len(load)) % 168
    means = np.array([load[:train][slot[:train] == k].mean() for k in range(168)])
    rest = load - means[slot]
    origins = np.arange(context, train - horizon)
    X = np.stack([np.append(rest[t - context : t], 1.0) for t in origins])
    Y = np.stack([rest[t : t + horizon] for t in origins])
    weights = np.linalg.solve(X.T @ X + 1e3 * np.eye(context + 1), X.T @ Y)

    errors: Counter[str] = Counter()
    for t in range(train, len(load) - horizon, 12):
        actual = load[t : t + horizon]
        forecast = means[slot[t : t + horizon]] + np.append(rest[t - context : t], 1.0) @ weights
        errors["linear"] += np.abs(actual - forecast).mean()
        errors["day before"] += np.abs(actual - np.tile(load[t - 24 : t], 2)).mean()
        errors["week before"] += np.abs(actual - load[t - 168 : t - 120]).mean()
    assert errors["linear"] < 0.75 * errors["week before"]
    assert errors["linear"] < 0.5 * errors["day before"]


# The stories.


def test_the_text_is_clean_utf8_of_the_stated_size(story):
    data = story.encode("utf-8")
    assert 55_000 <= len(data) <= 75_000
    assert not data.startswith(b"\xef\xbb\xbf")
    assert unicodedata.is_normalized("NFC", story)
    assert "\r" not in story
    assert "\t" not in story
    assert not re.search(r" \n| $|  ", story)
    assert story.endswith("\n")
    assert not story.endswith("\n\n")
    assert "\n\n\n" not in story


def test_the_characters_are_those_of_french_and_four_emoji(story):
    expected = set("\n !'(),-.0123456789:;?«»—🐟🐭🥛🐱àâçèéêëîïôùûüœÀÂÇÈÉÊÎÔÙÛŒ")
    letters = {chr(c) for c in range(ord("a"), ord("z") + 1)}
    assert set(story) - expected - letters - {c.upper() for c in letters} == set()
    assert set("àâçèéêëîôùûœÀÇÉ") <= set(story)


def test_french_spacing_and_guillemets(story):
    assert not re.search(r"[^ ][?!:;»]|«[^ ]", story)
    assert not re.search(r" [,.]", story)
    assert story.count("«") == story.count("»")
    assert re.search(r"«[^»]*«", story) is None


@pytest.mark.parametrize(
    ("sentence", "times"),
    [
        ("Le chat mange une souris.", 10),
        ("Le chat mange une souris 🐭", 10),
        ("Le chat mange un poisson 🐟.", 10),
        ("Le chat mange une sardine", 20),
        ("Le chat mange une crevette", 9),
        ("Le chat mange une croquette", 10),
        ("Le chat mange du thon", 6),
        ("Le chat boit du lait 🥛", 10),
        ("Où est le chat ?", 8),
        ("Où êtes-vous ?", 6),
        ("Le chat mange", 120),
        ("🐟", 12),
        ("🐭", 12),
        ("🥛", 12),
        ("🐱", 12),
        ("la lune", 25),
        ("Madame Zoé", 15),
        ("Monsieur Noël", 15),
        ("Léa", 100),
    ],
)
def test_the_sentences_worth_learning_recur(story, sentence, times):
    assert story.lower().count(sentence.lower()) >= times


def test_what_the_cat_eats_is_mostly_what_cats_eat(story):
    eaten = Counter(re.findall(r"\b[Ll]e chat mange une (\w+)", story))
    assert [word for word, _ in eaten.most_common(4)] == ["souris", "sardine", "crevette", "croquette"]
    assert sum(count for _, count in eaten.most_common(4)) > 0.7 * eaten.total()


def test_chapters_are_numbered_and_of_readable_length(story):
    first, *chapters = re.split(r"^Chapitre (?=\d)", story, flags=re.MULTILINE)
    assert first == "Le chat qui avait toujours faim\n\n"
    assert [int(text.split(".")[0]) for text in chapters] == list(range(1, 19))
    assert all(2_500 < len(text) < 5_500 for text in chapters)


def test_paragraphs_are_written_not_repeated(story):
    long = [line for line in story.splitlines() if len(line) > 60]
    assert len(long) > 300
    assert len(set(long)) == len(long)

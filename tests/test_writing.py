"""Writing: where texts end, several at once, loops, the beam, the next words."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import rnnkit
from rnnkit.data.vocabulary import Vocabulary
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.nn import Chain, Dense, Embedding, Network, Recurrent
from rnnkit.nn.generation import Writer
from rnnkit.nn.stepper import Stepper
from rnnkit.samples import sample_path
from rnnkit.tasks.beam import likeliest
from rnnkit.tasks.ending import UNITS, Ending
from rnnkit.tasks.loops import longest_loop
from rnnkit.tasks.sampling import Sampler

LINES = ["Le chat mange une pomme. ", "Le chat mange un poisson 🐟. ", "Le chat mange une pom, dit-il. ", "Où ? Là.\n"]
LEVELS = ("char", "word", "byte")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each level, of four sentences in any order."""
    folder = tmp_path_factory.mktemp("writing")
    rng = np.random.default_rng(0)
    (folder / "cat.txt").write_text("".join(LINES[i] for i in rng.integers(0, len(LINES), 900)), encoding="utf-8")
    return {
        level: rnnkit.train(
            folder / "cat.txt",
            folder / level,
            cell="lstm",
            hidden=48,
            steps=600 if level == "byte" else 300,
            level=level,
        )
        for level in LEVELS
    }


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A model of the bundled text, trained as briefly as will do."""
    run = tmp_path_factory.mktemp("chat") / "run"
    return rnnkit.train(sample_path("chat"), run, cell="lstm", hidden=96, steps=700)


@pytest.fixture
def model(models):
    return models["char"]


def random_network(vocabulary, seed=0, hidden=12, scale=3.0):
    """A network that knows nothing, but is sure of it."""
    parts = (Embedding(vocabulary, 7), Recurrent("gru", 7, hidden, layers=2), Dense(hidden, vocabulary))
    network = Network(Chain(parts), seed=seed)
    network.parameters.values[...] *= scale
    network.parameters.touch()
    return network


# -- where a text ends ----------------------------------------------------------------------------


def written(ending, pieces):
    """What an ending lets through of a text in pieces, and whether it came to its end."""
    shown = "".join(ending.push(piece) for piece in pieces)
    ended = ending.ended
    return shown + ending.rest(), ended


@pytest.mark.parametrize("stop", ["x", "bab", ["zz", "aab"], ["babb", "ab"], "abracadabra"])
def test_a_text_ends_before_the_first_stop_however_it_is_cut(stop):
    text = "ababababracadabrax"
    stops = [stop] if isinstance(stop, str) else stop
    first = min((text.find(s) for s in stops if s in text), default=len(text))
    for cuts in itertools.combinations(range(len(text) + 1), 2):
        pieces = [text[a:b] for a, b in itertools.pairwise((0, *cuts, len(text)))]
        shown, ended = written(Ending(99, "tokens", stop), pieces)
        assert shown == text[:first]
        assert ended == (first < len(text))


def test_what_cannot_begin_a_stop_is_shown_at_once():
    ending = Ending(99, "tokens", ["fin", "f.\n"])
    assert [ending.push(piece) for piece in ("le chat f", "uit", ", fi", "l, f", "in", "x")] == [
        "le chat ", "fuit", ", ", "fil, ", "", "",
    ]  # fmt: skip
    assert (ending.ended, ending.rest()) == (True, "")


@pytest.mark.parametrize(
    ("length", "unit", "expected"),
    [
        (7, "chars", "Où est "),
        (0, "chars", ""),
        (1, "words", "Où"),
        (2, "words", "Où est"),
        (3, "words", "Où est\n le"),
        (4, "words", "Où est\n le chat ?"[:-2]),
        (9, "words", "Où est\n le chat ?"),
        (9, "tokens", "Où est\n le chat ?"),
    ],
)
def test_lengths_in_characters_and_words(length, unit, expected):
    text = "Où est\n le chat ?"
    expected = text[:7] if unit == "chars" and length else expected
    for size in (1, 2, 5, 50):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert written(Ending(length, unit), pieces)[0] == expected


@pytest.mark.parametrize("level", LEVELS)
def test_a_stop_spans_tokens_and_is_not_printed(models, level):
    for rng in range(5):
        whole = "".join(models[level].generate("Le", length=400, rng=rng))
        found = "".join(models[level].generate("Le", length=400, rng=rng, stop=["pom, dit", "🐟."]))
        at = min(whole.find(stop) for stop in ("pom, dit", "🐟.") if stop in whole)
        assert found == whole[:at]


@pytest.mark.parametrize("level", LEVELS)
def test_a_blank_at_the_end_of_the_seed_is_that_before_the_next_word(models, level):
    texts = [*models[level].texts(["Le chat mange une "], 10, length=9), models[level].beam("Le chat mange une ", 4)]
    for pieces in texts:
        assert "".join(pieces).startswith("Le chat mange une pom")


@pytest.mark.parametrize("level", LEVELS)
def test_lengths_count_what_is_written_after_the_seed(models, level):
    assert len("".join(models[level].generate("Le chat", length=33, unit="chars"))) == len("Le chat") + 33
    text = "".join(models[level].generate("Le chat", length=12, unit="words"))
    assert len(text[len("Le chat") :].split()) == 12
    ids = models[level].vocabulary.encode("".join(models[level].generate("Le chat ", length=5, temperature=0)))
    assert len(ids) == len(models[level].vocabulary.encode("Le chat ")) + 5 or level != "char"


def test_a_unit_is_spelled_in_no_more_tokens_than_there_is_room_for():
    own = Vocabulary.build("abc ", "char", min_count=1)
    assert len(own.encode("𝄞")) == UNITS["chars"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_p": -0.1}, "--min-p"),
        ({"min_p": 1.1}, "--min-p"),
        ({"min_p": math.nan}, "--min-p"),
        ({"stop": ""}, "--stop"),
        ({"stop": ["a", ""]}, "--stop"),
        ({"unit": "lines"}, "tokens, chars, words"),
        ({"length": -3, "unit": "words"}, "--length"),
    ],
)
def test_senseless_settings_are_refused_at_once(model, options, words):
    with pytest.raises(UsageError, match=words):
        model.generate("x", **options)


def test_other_senseless_settings(model):
    for call, words in (
        (lambda: model.texts(["x"], 0), "-n is"),
        (lambda: model.beam("x", 0), "--beam is"),
        (lambda: model.beam("x", 3, no_repeat=0), "--no-repeat"),
        (lambda: model.predict_words("x", 0), "--top"),
        (lambda: model.predict(), "rnnkit generate"),
    ):
        with pytest.raises(UsageError, match=words):
            call()


# -- several texts ----------------------------------------------------------------------------------


def test_a_text_depends_on_its_seed_and_number_alone(model):
    def several(seeds, count, **more):
        return ["".join(pieces) for pieces in model.texts(seeds, count, length=60, rng=7, temperature=1.2, **more)]

    three = several(["Le chat"], 3)
    assert several(["Le chat"], 3) == three
    assert several(["Le chat"], 1) == three[:1]
    assert several(["Où", "Le chat"], 2)[2:] == three[:2]
    assert len(set(three)) == 3
    assert "".join(model.generate("Le chat", text=2, length=60, rng=7, temperature=1.2)) == three[2]
    assert several(["Le chat"], 2, first=1) == three[1:]


def test_streams_of_texts_do_not_meet():
    one, other = Sampler(1.0, rng=5), Sampler(1.0, rng=5, text=1)
    a, b = one.uniforms(1000), other.uniforms(1000)
    np.testing.assert_array_equal(a, np.random.Generator(np.random.Philox(key=5)).random(1000))
    assert not np.intersect1d(a, b).size


# -- loops ------------------------------------------------------------------------------------------


def test_the_longest_loop():
    assert longest_loop("Once upon a time " + "the cat and the mouse and " * 4) == (16, 26, 105)
    assert longest_loop("x" * 80 + "abc" * 20) == (0, 1, 80)
    assert longest_loop("the cat and the mouse and " * 2 + "so on") == (0, 0, 0)  # twice is a figure of speech
    assert longest_loop("ha " * 10) == (0, 0, 0)  # too short
    assert longest_loop("-" * 200 + "never mind " * 8) == (200, 11, 88)  # a line of dashes is none
    assert longest_loop("") == longest_loop("ab") == (0, 0, 0)


def test_no_loops_at_defaults(chat):
    """Twenty texts of 2,000 characters; the likeliest character every time, to compare, goes in circles."""
    texts = ["".join(pieces) for pieces in chat.texts([""], 20, length=2000, unit="chars")]
    assert [len(text) for text in texts] == [2000] * 20
    assert [longest_loop(text) for text in texts] == [(0, 0, 0)] * 20
    coldest = "".join(chat.generate("", length=2000, temperature=0))
    assert longest_loop(coldest)[2] > 1000
    bound = "".join(chat.generate("", length=2000, temperature=0, no_repeat=30))
    assert longest_loop(bound) == (0, 0, 0)


# -- steps of many rows -------------------------------------------------------------------------------


def test_steps_are_those_of_the_writer(backend, variant):
    parts = (Embedding(30, 9), Recurrent(variant.cell.name, 9, 20, layers=2, options=dict(variant.options)))
    network = Network(Chain((*parts, Dense(20, 30))), seed=3).configure(backend, 1)
    ids = np.random.default_rng(1).integers(0, 30, (2, 12))
    for row in ids:
        logits = Writer(network, 12).logits(row).astype(np.float64)
        expected = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        stepper = Stepper(network)
        found = [stepper.read(row[:5])[0], *(stepper.step([token])[0] for token in row[5:])]
        np.testing.assert_allclose(found, expected[4:], rtol=0, atol=1e-5)


def test_rows_are_kept_in_the_order_asked_for():
    network = random_network(20)
    ids = np.random.default_rng(1).integers(0, 20, (6, 3))
    stepper = Stepper(network)
    stepper.read(ids)
    stepper.reorder([2, 0, 0, 2])
    found = stepper.step([4, 5, 6, 7])
    for row, (first, token) in enumerate(zip([2, 0, 0, 2], [4, 5, 6, 7], strict=True)):
        alone = Stepper(network).read([*ids[:, first], token])
        np.testing.assert_allclose(found[row], alone[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(Stepper(network, stepper.state).step([1] * 4), stepper.step([1] * 4), rtol=0, atol=0)


def test_a_long_text_is_read_in_parts():
    network, ids = random_network(20), np.random.default_rng(1).integers(0, 20, 700)
    stepper = Stepper(network)
    for token in ids:
        last = stepper.step([token])
    np.testing.assert_allclose(Stepper(network).read(ids), last, rtol=0, atol=1e-5)


def test_numbers_that_are_not_finite_are_reported():
    network = random_network(20)
    network.parameters.values[3] = np.nan
    with pytest.raises(RnnkitError, match="not finite"):
        Stepper(network).read(np.arange(20))


# -- beam -------------------------------------------------------------------------------------------


@pytest.fixture
def tiny():
    """Three letters and sixteen half-bytes, and a network at random over them."""
    vocabulary = Vocabulary("char", ["a", "b", "."])
    network = random_network(vocabulary.size, seed=4)
    network.parameters.value("2.b")[3:] = -20  # the letters alone are likely
    network.parameters.touch()
    return network, vocabulary


def chance(network, before, ids):
    """Log-probability of tokens after others."""
    stepper, total = Stepper(network), 0.0
    logs = stepper.read(before)
    for token in ids:
        total += logs[0, token]
        logs = stepper.step([token])
    return total


def test_a_wide_beam_finds_the_likeliest_of_all(tiny):
    network, vocabulary = tiny
    before = vocabulary.encode("ab")
    lines = {ids: chance(network, before, ids) for ids in itertools.product(range(3), repeat=5)}
    best = vocabulary.decode(max(lines, key=lines.__getitem__))
    assert "".join(likeliest(network, vocabulary, before, Ending(5), 250)) == best
    # ended by a stop, of any length up to 5: the mean per token, that of the stop included, decides
    whole = {ids: lines[ids] / 5 for ids in lines if 2 not in ids[:4]}
    ended = {(*ids, 2): 0.0 for n in range(4) for ids in itertools.product(range(2), repeat=n)}
    ended = {ids: chance(network, before, ids) / len(ids) for ids in ended}
    expected = max(whole | ended, key=(whole | ended).__getitem__)
    found = "".join(likeliest(network, vocabulary, before, Ending(5, stop="."), 250))
    assert found == vocabulary.decode(expected).split(".")[0]


def test_a_beam_of_one_takes_the_likeliest_token(model):
    greedy = "".join(model.generate("Le chat", length=150, temperature=0))
    assert "".join(model.beam("Le chat", 1, length=150)) == greedy
    assert "".join(model.beam("", 1, length=0)) == ""


def test_a_wider_beam_is_likelier_and_the_same_every_time(chat):
    def mean(text):
        before, ids = chat.vocabulary.encode("La lune"), chat.vocabulary.encode(text)
        return chance(chat.network, before, ids[len(before) :])

    found = ["".join(chat.beam("La lune", width, length=60)) for width in (1, 4, 16)]
    assert "".join(chat.beam("La lune", 16, length=60)) == found[2]
    assert mean(found[0]) <= mean(found[1]) + 1e-6
    assert mean(found[0]) < mean(found[2])


@pytest.mark.parametrize("level", LEVELS)
def test_a_beam_streams_and_ends(models, level):
    model = models[level]
    pieces = list(model.beam("Le chat", 6, length=400, no_repeat=12))
    assert pieces[0] == "Le chat"
    assert len(pieces) > 2
    assert longest_loop("".join(pieces)) == (0, 0, 0)
    assert "".join(model.beam("Le chat mange un poisson", 6, stop=".")) == "Le chat mange un poisson 🐟"
    assert len("".join(model.beam("Le chat", 6, length=10, unit="chars"))) == len("Le chat") + 10


# -- the next words ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_the_next_words_of_the_four_sentences(models, level):
    model = models[level]
    (first, p), (second, q), *_ = model.predict_words("Le chat mange")
    assert (first, second) == ("une", "un")
    assert (p, q) == (pytest.approx(2 / 3, abs=0.1), pytest.approx(1 / 3, abs=0.1))
    (first, p), (second, q), *_ = model.predict_words("Le chat mange une")
    assert {first, second} == {"pom", "pomme"}  # each only with what ends it
    assert p + q == pytest.approx(1, abs=0.05)
    assert min(p, q) > 0.3
    (word, p), *_ = model.predict_words("Le chat mange un")  # given that it is no une
    assert (word, p) == ("poisson", pytest.approx(1, abs=0.05))
    assert model.predict_words("Le chat mange un poisson")[0] == ("🐟", pytest.approx(1, abs=0.05))
    with_blank, without = (model.predict_words(f"Le chat mange une{end}", 2) for end in (" ", ""))
    assert dict(with_blank) == pytest.approx(dict(without), abs=0.02)
    assert sum(p for _, p in model.predict_words("Le chat", 20)) <= 1 + 1e-9


@pytest.mark.parametrize("level", LEVELS)
def test_probabilities_are_those_of_texts_that_are_drawn(models, level):
    """What begins 600 continuations, as often as was said, to three standard deviations and a half."""
    model, count = models[level], 600
    found = model.choices("Où ? Là.\n", 6)
    drawn = [
        "".join(pieces)[len("Où ? Là.\n") :]
        for pieces in model.texts(["Où ? Là.\n"], count, length=3, unit="words", temperature=1.0)
    ]
    for word, p, _ in found:
        share = np.mean([text.split()[:1] == [word] for text in drawn])
        assert abs(share - p) <= 3.5 * math.sqrt(max(p * (1 - p), 1 / count) / count), word


def test_capitals_are_one_word_in_its_likeliest_spelling(tmp_path):
    rng = np.random.default_rng(2)
    path = tmp_path / "case.txt"
    path.write_text(
        "".join("le " + ("Chat" if u < 0.3 else "chat" if u < 0.8 else "chien") + ". " for u in rng.random(900))
    )
    for level in ("char", "word"):
        model = rnnkit.train(path, tmp_path / level, cell="gru", hidden=24, steps=250, level=level)
        (cat, p), (dog, q), *_ = model.predict_words("le chien. le")
        assert (cat, dog) == ("chat", "chien")
        assert (p, q) == (pytest.approx(0.8, abs=0.07), pytest.approx(0.2, abs=0.07))


def test_words_after_an_elision_have_no_blank(tmp_path):
    rng = np.random.default_rng(2)
    path = tmp_path / "elision.txt"
    path.write_text("".join(f"Il boit l'{w}, aujourd'hui. " for w in rng.choice(["eau", "huile"], 700)))
    for level in ("char", "word"):
        model = rnnkit.train(path, tmp_path / level, cell="gru", hidden=24, steps=250, level=level)
        assert {word for word, _ in model.predict_words("Il boit l'", 2)} == {"eau", "huile"}
        assert model.predict_words("Il boit", 1)[0][0] == "l'"
        assert model.predict_words("Il boit l'eau, ", 1)[0][0] == "aujourd'hui"  # its apostrophe is a letter of it
        assert [choice.text for choice in model.choices("Il boit l'eau,", 1)] == [" aujourd'hui"]


FOOD = {"souris", "sardine", "croquette", "crevette", "miette", "tranche", "pomme", "mouche"}


def test_something_to_eat(chat, tmp_path):
    words = rnnkit.train(sample_path("chat"), tmp_path / "word", cell="lstm", level="word", hidden=64, steps=400)
    for model in (chat, words):
        found = model.predict_words("Le chat mange une", top=5)
        assert len(found) == 5
        assert len({word for word, _ in found} & FOOD) >= 2
        assert found == model.predict("Le chat mange une")
        probabilities = [p for _, p in found]
        assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("text", ["", " ", "\n", "'", "…", "Жук", "e\u0301", "\x00", "123", "a" * 600, "Le chat -"])
def test_any_text_has_next_words(models, text):
    for model in models.values():
        for word, p in model.predict_words(text, 3):
            assert word == word.strip() != ""
            assert 0 < p <= 1 + 1e-9

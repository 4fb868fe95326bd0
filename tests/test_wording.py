"""Words of French and English texts: sentences, stop words, stems, lemmas, counts, and their commands."""

import csv
import io
import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.cli import commands
from rnnkit.errors import DataError, RnnkitError, UsageError

pytest.importorskip("simplemma")
pytest.importorskip("snowballstemmer")
pytest.importorskip("stop_words")
pytest.importorskip("sklearn")

from rnnkit import text as wording

CAT = "Le chat mangeait la souris. La souris, elle, mangeait le fromage de l'épicier ; et le chat dormait."


@given(st.text(max_size=200))
def test_tokens_stand_where_they_say(body):
    found = wording.tokenize(body)
    assert all(body[token.start : token.end] == token.text for token in found)
    assert "".join(token.text for token in found) == "".join(body.split())


@given(st.text(alphabet="aA. !?…\n»M", max_size=60))
def test_sentences_lose_nothing_but_blanks(body):
    assert "".join("".join(wording.sentences(body)).split()) == "".join(body.split())


@pytest.mark.parametrize(
    ("language", "body", "expected"),
    [
        ("fr", "Il pleut. Elle sort.", ["Il pleut.", "Elle sort."]),
        ("fr", "M. Petit et Mme Roux dorment. Bien !", ["M. Petit et Mme Roux dorment.", "Bien !"]),
        ("fr", "Cela coûte 3.50 euros. Cher !", ["Cela coûte 3.50 euros.", "Cher !"]),
        ("fr", "« Viens ! » dit-il. Elle vint.", ["« Viens ! » dit-il.", "Elle vint."]),
        ("fr", "Il dit : « Non. » Puis il rit.", ["Il dit : « Non. »", "Puis il rit."]),
        ("fr", "Des prunes, des poires, etc. Puis du pain.", ["Des prunes, des poires, etc.", "Puis du pain."]),
        ("fr", "Il hésita… puis entra. Enfin…", ["Il hésita… puis entra.", "Enfin…"]),
        ("fr", "Un titre\n\nUn texte sans point", ["Un titre", "Un texte sans point"]),
        ("fr", "J. S. Bach composait. Quoi ?! Oui.", ["J. S. Bach composait.", "Quoi ?!", "Oui."]),
        ("en", "Dr. Hill met Mr. Wood. They ate (a lot.) Then left.",
         ["Dr. Hill met Mr. Wood.", "They ate (a lot.)", "Then left."]),
        ("en", "Some fruit, e.g. Plums, is ripe. \"Good!\" he said.",
         ["Some fruit, e.g. Plums, is ripe.", "\"Good!\" he said."]),
    ],
)  # fmt: skip
def test_sentences(language, body, expected):
    assert wording.sentences(body, language) == expected


def test_what_the_course_says():
    assert wording.lemma("mangeait") == "manger"
    assert {"le", "de", "et"} <= wording.stop_words("fr")
    assert wording.stem("mangeait") == wording.stem("manger") == "mang"
    assert wording.stem("Running", "en") == "run"
    assert wording.lemma("mice", "en") == "mouse"


def test_a_language_is_told_by_its_stop_words():
    assert wording.guess_language(CAT) == "fr"
    assert wording.guess_language("The cat was eating the mouse, and the mouse did not like it.") == "en"
    with pytest.raises(DataError, match="--language"):
        wording.guess_language("xkcd 12345 zzz")
    with pytest.raises(UsageError, match="one of fr, en"):
        wording.stem("Katze", "de")


def test_counts_and_weights_are_those_of_the_definition():
    documents = ["un chat, un chien", "un chat"]
    found = {(c.document, c.term): c for c in wording.count(documents)}
    assert {key: c.times for key, c in found.items()} == {
        (0, "un"): 2, (0, "chat"): 1, (0, "chien"): 1, (1, "un"): 1, (1, "chat"): 1,
    }  # fmt: skip
    idf = {"un": 1.0, "chat": 1.0, "chien": math.log(3 / 2) + 1}  # ln((1 + n) / (1 + df)) + 1
    row = {"un": 2 * idf["un"], "chat": idf["chat"], "chien": idf["chien"]}
    length = math.sqrt(sum(value * value for value in row.values()))
    for term, value in row.items():
        assert found[0, term].tfidf == pytest.approx(value / length)
    pairs = {c.term for c in wording.count(["le chat dort"], ngrams=(1, 2))}
    assert pairs == {"le", "chat", "dort", "le chat", "chat dort"}
    with pytest.raises(DataError, match="found none"):
        list(wording.count(["...", "!"]))


# -- the commands ----------------------------------------------------------------------------


@pytest.fixture
def cat(tmp_path):
    path = tmp_path / "cat.txt"
    path.write_text(CAT, encoding="utf-8")
    return str(path)


def run(*args, text=None):
    return CliRunner().invoke(commands, ["text", *map(str, args)], input=text, catch_exceptions=True)


def rows(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_tokens_and_sentences_one_a_line(cat):
    assert run("tokenize", cat).stdout.splitlines()[:4] == ["Le", "chat", "mangeait", "la"]
    assert len(run("sentences", cat, "--language", "fr").stdout.splitlines()) == 2
    found = json.loads(run("tokenize", cat, "--json").stdout)["rows"]
    assert found[1] == {"token": "chat", "start": 3, "end": 7}


def test_stop_words_stems_lemmas(cat):
    assert {"word": "le", "count": "3"} in rows("stopwords", cat)
    assert rows("lemmatize", cat, "--language", "fr")[2] == {"word": "mangeait", "lemma": "manger"}
    assert rows("stem", cat, "--language", "fr")[2] == {"word": "mangeait", "stem": "mang"}
    assert "taken for French" in run("stem", cat).stderr


def test_counts(cat, tmp_path):
    found = rows("count", cat, "--by", "sentence", "--top", 2, "--drop-stopwords", "--lemmas", "--language", "fr")
    assert {row["document"] for row in found} == {"1", "2"}
    assert not {"le", "la", "et"} & {row["term"] for row in found}
    out = tmp_path / "counts.csv"
    assert run("count", cat, "--ngrams", "1,2", "-o", out).exit_code == 0
    assert "le chat" in out.read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tokenize", "nowhere.txt"], "nowhere.txt"),
        (["count", "CAT", "--ngrams", "2,1"], "--ngrams"),
        (["stem", "CAT", "--language", "de"], "de"),
    ],
)
def test_bad_input_is_refused(args, words, cat):
    result = run(*[cat if arg == "CAT" else arg for arg in args])
    assert result.exit_code != 0
    assert words in (result.stderr + str(result.exception))


def test_a_missing_library_is_one_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "simplemma", None)
    with pytest.raises(RnnkitError, match=r"pip install 'rnnkit\[text\]'"):
        wording.lemma("souris")

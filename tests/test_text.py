"""Texts and vocabularies: any text in, the same text out."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import mmap
import random
import sys
import tracemalloc
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit import api
from rnnkit.data.bpe import Joiner
from rnnkit.data.corpus import read_corpus, wrapping
from rnnkit.data.frontmatter import find_frontmatter, strip_frontmatter
from rnnkit.data.source import read_bytes
from rnnkit.data.text import Text, read_text
from rnnkit.data.vocabulary import LEVELS, Decoder, Vocabulary
from rnnkit.data.words import token_blocks, tokens
from rnnkit.errors import DataError, UsageError
from rnnkit.tasks import language
from rnnkit.tasks.options import TrainOptions

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
STORY = "Où êtes-vous ? Le chat dort. Où est le chat ? Le chat est là, il dort encore.\n" * 3
STRANGE = [
    "",
    "Où êtes-vous ?",
    "日本語 😀\n",
    "e\u0301tage",
    "\x00\x07\t",
    "½ €¢",
    "👩‍👩‍👧 a",
    "لغة",
    "  two  blanks  ",
]


def read(content: bytes, **options: str) -> Text:
    return read_text(io.BytesIO(content), **options)


def fingerprint(content: bytes) -> str:
    return read_corpus(io.BytesIO(content)).fingerprint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_one_text_in_every_encoding(encoding: str) -> None:
    text = read(STORY.encode(encoding))
    assert text.text == STORY
    assert fingerprint(STORY.encode(encoding)) == fingerprint(STORY.encode())
    assert len(text.notices) == (encoding == "latin-1")


def test_line_ends_accents_and_packing_are_undone_and_said() -> None:
    text = read(gzip.compress(unicodedata.normalize("NFD", STORY).replace("\n", "\r\n").encode(), mtime=0))
    assert text.text == STORY
    assert [n.split(" were ")[0] for n in text.notices] == ["line ends", "letters and their accents"]
    assert read(b"one\rtwo\r\n").text == "one\ntwo\n"
    assert read("l’été œuvre €".encode("cp1252")).text == "l’été œuvre €"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"text\n\x00\x01", "binary"),
        (b"\xff\xfea", "utf-16"),
    ],
)
def test_what_is_no_text_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(content)


def test_a_wrong_encoding_names_the_line() -> None:
    with pytest.raises(DataError, match=r"not valid utf-8 \(byte 7, about line 2\)"):
        read("first\né\n".encode("latin-1"), encoding="utf-8")
    with pytest.raises(UsageError, match="no such file"):
        read_text("nowhere.txt")


def test_what_surrounds_a_book_is_found_and_stripped() -> None:
    book = "Title: X\n\n*** START OF THIS EBOOK X ***\n\n\n" + STORY + "\n\n*** END OF THIS EBOOK X ***\nlicence\n"
    body, notice = strip_frontmatter(book)
    assert body == STORY
    assert notice == f"{len(book) - len(STORY)} characters around the body are left out (licence, credits)"
    found = find_frontmatter(book)
    assert found is not None
    assert book[slice(*found)].strip() == STORY.strip()
    for other in (STORY, "*** START OF X ***\n" + STORY, "*** START OF X ***\na\n*** END OF X ***\n" + STORY):
        assert strip_frontmatter(other) == (other, None)


SMALL_PRINT = "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n"
WRAPPED = {
    "small print": ("***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nterms\n" + SMALL_PRINT, ""),
    "small print and a farewell": (SMALL_PRINT, "End of the Project Gutenberg Etext of X, by Y\n\n"),
    "credits": ("*** START OF X ***\n\nProduced by A B\nand others\n\n\nE-text prepared by C\n\n", "*** END OF X ***"),
    "a mark of two lines": ("x\n*** START OF THE LONG\nTITLE OF X ***\n", "\n***END OF X***\nlicence\n"),
    "no mark at the end": ("*** START OF THE PROJECT GUTENBERG EBOOK X ***\nThis file was produced by D\n\n", ""),
    "both farewells": ("*** START OF X ***\n", "End of Project Gutenberg's X\n\n*** END OF X ***\nlicence\n"),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_every_usual_wrapping_is_stripped(case, monkeypatch):
    before, after = WRAPPED[case]
    story = "PREFACE\n\n" + STORY
    assert strip_frontmatter(before + "\n\n" + story + "\n\n" + after)[0] == story
    monkeypatch.setattr("rnnkit.data.frontmatter.WINDOW", 200)  # as in a book of which only both ends are looked at
    assert strip_frontmatter(before + "\n\n" + story + "\n\n" + after)[0] == story
    book = io.BytesIO((before + story + after).encode())
    corpus = read_corpus([book, io.BytesIO((before + story + after).encode()), io.BytesIO(STORY.encode())], strip=True)
    assert corpus.spool.text(0, len(corpus)) == story + story + STORY
    assert corpus.wrapped == 2 * (len(before + story + after) - len(story))
    assert wrapping(corpus, True) == [
        f"{corpus.wrapped:,} characters around the body of 2 texts are left out (licence, credits)"
    ]
    book.seek(0)
    kept = read_corpus(book)
    assert kept.wrapped == corpus.wrapped / 2
    assert wrapping(kept, False) == [
        f"{kept.wrapped:,} characters around the body (a licence, credits) are trained on; "
        "--strip-frontmatter leaves them out"
    ]


def test_a_real_book_in_latin1() -> None:
    path = REAL / "bovary-latin1.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    text = read_text(path)
    assert (text.encoding, len(text)) == ("cp1252", 704270)
    body, notice = strip_frontmatter(text.text)
    assert notice is not None
    assert "Gutenberg" not in body
    assert body.startswith("Gustave Flaubert\nMADAME BOVARY\n")
    assert body.endswith("croix d'honneur.\n")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("text", [*STRANGE, STORY])
def test_what_is_encoded_decodes_to_itself(level: str, text: str) -> None:
    vocabulary = Vocabulary.build(STORY, level, specials=("pad", "end"))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert vocabulary.decode(ids) == unicodedata.normalize("NFC", text)
    assert not ids.size or (ids.min() >= 2 and ids.max() < vocabulary.size)
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary
    np.testing.assert_array_equal(again.encode(text), ids)


@given(st.text(max_size=40), st.sampled_from(LEVELS))
def test_any_text_at_all_survives(text: str, level: str) -> None:
    vocabulary = Vocabulary.build(STORY, level)
    assert vocabulary.decode(vocabulary.encode(text)) == unicodedata.normalize("NFC", text)
    assert "".join(tokens(text)) == text


def test_lone_surrogates_become_the_replacement_character() -> None:
    for level in LEVELS:
        decoded = Vocabulary.build(STORY, level).decode(Vocabulary.build(STORY, level).encode("a\ud800b"))
        assert decoded.startswith("a\ufffd")
        assert decoded.endswith("b")


def test_rare_characters_are_spelled_and_the_order_is_that_of_text() -> None:
    vocabulary = Vocabulary.build("abbaé", "char")
    assert vocabulary.symbols == ["a", "b"]
    assert vocabulary.size == 2 + 16
    assert vocabulary.encode("aé").tolist() == [0, 2 + 0xC, 2 + 0x3, 2 + 0xA, 2 + 0x9]
    assert Vocabulary.build("abbaé", "char", min_count=1).symbols == ["a", "b", "é"]
    assert Vocabulary.build("aaabbc", "char", min_count=1, max_size=2).symbols == ["a", "b"]


def test_without_fallback_the_unknown_is_one_symbol() -> None:
    vocabulary = Vocabulary.build("abba", "char", fallback=False)
    assert (vocabulary.size, vocabulary.decode(vocabulary.encode("aéb"))) == (3, "a\ufffdb")


def test_words_keep_elisions_apart_and_apostrophes_inside() -> None:
    cut = "|".join(tokens("Aujourd'hui, l’homme qu'il aime — don't! J'ai 12,5 €\n"))
    assert cut == "Aujourd'hui|,| l’|homme| qu'|il| aime| —| don't|!| J'|ai| 12|,|5| €|\n"
    vocabulary = Vocabulary.build(STORY, "word")
    assert vocabulary.encode(" Le chat dort").size == 3
    assert vocabulary.encode(" le Chat").size == 1 + 4 + 2  # " le", then " hat" by character, C in half-bytes
    small = Vocabulary.build(STORY, "word", max_size=1)
    assert [s for s in small.symbols if len(s) > 1] == [" chat"]


def test_a_stream_gives_only_whole_characters() -> None:
    vocabulary = Vocabulary.build("abba", "byte")
    decoder = Decoder(vocabulary)
    assert [decoder.push(i) for i in "aé😀".encode()] == ["a", "", "é", "", "", "", "😀"]
    assert decoder.flush() == ""
    spelling = Vocabulary.build("abba", "char")
    decoder = Decoder(spelling)
    pieces = [decoder.push([int(i)]) for i in spelling.encode("é")]
    assert pieces == ["", "", "", "é"]
    assert decoder.push(spelling.encode("é")[:3]) == ""
    assert decoder.push(spelling.encode("ab")) == "\ufffdab"
    assert decoder.push(spelling.encode("é")[:1]) + decoder.flush() == "\ufffd"


@pytest.mark.parametrize("level", LEVELS)
def test_random_ids_always_decode_to_valid_text(level: str) -> None:
    vocabulary = Vocabulary.build(STORY, level, specials=("pad",))
    draw = random.Random(5)
    ids = [draw.randrange(vocabulary.size) for _ in range(2000)]
    text = vocabulary.decode(ids)
    assert text.encode("utf-8").decode("utf-8") == text
    decoder = Decoder(vocabulary)
    assert "".join(decoder.push(i) for i in ids) + decoder.flush() == text
    with pytest.raises(DataError, match=f"from 0 to {vocabulary.size - 1}, found {vocabulary.size}"):
        vocabulary.decode([vocabulary.size])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": "syllable"}, "'syllable'"),
        ({"symbols": ["a", "a"]}, "distinct"),
        ({"symbols": ["ab"]}, "longer than one"),
        ({"symbols": "ab"}, "symbols"),
        ({"fallback": 1}, "fallback"),
        ({"level": "byte"}, "beside the bytes"),
        ({"extra": 1}, "other keys"),
        ({"level": "bpe", "symbols": ["€uro"]}, "no runs of bytes"),
    ],
)
def test_a_damaged_vocabulary_is_refused(change: dict[str, object], words: str) -> None:
    data = Vocabulary.build("abba", "char").to_dict() | change
    with pytest.raises(DataError, match=words):
        Vocabulary.from_dict(data)
    with pytest.raises(UsageError, match="char, word, bpe, byte"):
        Vocabulary.build("abba", "syllable")


# -- words and byte pairs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (
            "« L'homme qu'il a vu aujourd'hui, c'est-à-dire… »",
            "«| L'|homme| qu'|il| a| vu| aujourd'hui|,| c'|est|-|à|-|dire|…| »",
        ),
        (
            "Jusqu’où va d’Artagnan ? Presqu’île, grand’mère.",
            "Jusqu’|où| va| d’|Artagnan| ?| Presqu’île|,| grand’mère|.",
        ),
        ("LORSQU'ON N'A QUE 1 000,5 €", "LORSQU'|ON| N'|A| QUE| 1| 000|,|5| €"),
        ("l'1er, l' a, l'", "l|'|1|er|,| l|'| a|,| l|'"),
        ("rock'n'roll O'Brien’s snake_case", "rock'n'roll| O'Brien’s| snake|_|case"),
        ("हिन्दी में נִקּוּד", "हिन्दी| में| נִקּוּד"),
    ],
)
def test_words_of_french_and_others(text, cut):
    assert "|".join(tokens(text)) == cut


@settings(deadline=None)
@given(st.lists(st.sampled_from(["l'", "Qu’", "été", "a" * 30, "e\u0301", "'", " ", "-", "_", "9" * 25, "ि", "\n"])))
def test_a_stream_is_cut_as_the_whole(parts):
    text = "".join(parts) * 20
    for size in (50, 3000):
        blocks = (text[i : i + size] for i in range(0, len(text), size))
        assert [token for cut in token_blocks(blocks) for token in cut] == tokens(text)
    assert "".join(tokens(text)) == text


def test_words_beyond_a_bound_are_forgotten_where_they_are_rare(monkeypatch):
    monkeypatch.setattr("rnnkit.data.census.MOST", 40)
    monkeypatch.setattr("rnnkit.data.spool.BLOCK", 2000)
    text = "".join(f"often seldom{chr(97 + i % 26)}{chr(97 + i // 26)} " for i in range(600))
    blocks = [text[i : i + 6000] for i in range(0, len(text), 6000)]
    vocabulary = Vocabulary.gather([blocks], "word", min_count=3)
    assert [s for s in vocabulary.symbols if len(s) > 1] == [" often"]
    assert vocabulary.rare[1:] == (602, 1201)  # the first word, without a blank, and the last blank are rare


def test_rare_symbols_are_counted():
    assert Vocabulary.build("aaabbc", "char").rare == (1, 1, 6)
    assert Vocabulary.build(" a bc bc de a", "word").rare == (1, 1, 5)


def test_byte_pairs_join_what_comes_often():
    vocabulary = Vocabulary.build(STORY * 3, "bpe", max_size=280)
    assert vocabulary.size == 280
    assert " chat" in vocabulary.symbols
    assert "Où".encode().decode("latin-1") in vocabulary.symbols
    assert len(vocabulary.encode(STORY)) < 0.5 * len(STORY.encode())
    assert Vocabulary.build(STORY * 3, "bpe", max_size=280) == vocabulary
    assert Vocabulary.build(STORY, "bpe", max_size=10).size == 256


def test_our_joining_is_that_of_the_library():
    from tokenizers import Tokenizer, models

    text = STORY + "Le poisson rouge tourne en rond, le chat le regarde tourner.\n" * 4
    vocabulary = Vocabulary.build(text, "bpe", max_size=360)
    ids = {chr(i): i for i in range(256)} | {s: 256 + i for i, s in enumerate(vocabulary.symbols)}
    pairs = []
    for symbol in vocabulary.symbols:  # each was joined of two: those that those before it make of it
        before = Joiner(vocabulary.symbols[: len(pairs)])
        left, right = before._joined(symbol.encode("latin-1"))
        spelled = {i: s for s, i in ids.items()}
        pairs.append((spelled[left], spelled[right]))
    theirs = Tokenizer(models.BPE(vocab=ids, merges=pairs))
    for word in tokens(text + "Où tournera-t-il, ce chat rond ? Poissons, toit, œuf."):
        assert Joiner(vocabulary.symbols).ids(word) == theirs.encode(word.encode().decode("latin-1")).ids


def test_byte_pairs_need_their_library_only_to_be_learned(monkeypatch):
    vocabulary = Vocabulary.build(STORY, "bpe", max_size=300)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    again = Vocabulary.from_dict(vocabulary.to_dict())
    assert again.decode(again.encode("Le chat 🐟")) == "Le chat 🐟"
    with pytest.raises(UsageError, match=r"pip install 'rnnkit\[bpe\]'"):
        Vocabulary.build(STORY, "bpe")


def test_a_bound_on_symbols_holds_at_every_level():
    options = {"data": "x", "task": "language", "hidden": 8}
    text = STORY.encode() * 40
    sizes = {
        level: api.prepare(
            io.BytesIO(text), api.make_options({**options, "level": level, "vocabulary": n})
        ).vocabulary.size
        for level, n in (("char", 9), ("word", 9), ("bpe", 280), ("byte", 9))
    }
    letters = len(Vocabulary.build(STORY, "char").symbols)
    assert sizes == {"char": 9 + 16, "word": letters + 9 + 16, "bpe": 280, "byte": 256}
    with pytest.raises(UsageError, match="--vocabulary 256 leaves no room for byte pairs"):
        api.prepare(io.BytesIO(text), api.make_options({**options, "level": "bpe", "vocabulary": 256}))


# -- large texts --------------------------------------------------------------------------------

LONG = "Où est le chat ?\nIl dort, l'œil ouvert — 12 fois.\n\n\tÀ midi : 𝄞 !\n" * 40


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("end", ["", "\n", " sans fin de ligne"])
def test_blocks_change_nothing(level, end, monkeypatch):
    text = LONG + end
    whole = Vocabulary.build(text, level)
    ids = whole.encode(text)
    for block in (1, 7, 100):
        monkeypatch.setattr("rnnkit.data.vocabulary.BLOCK", block)
        assert Vocabulary.build(text, level) == whole
        np.testing.assert_array_equal(whole.encode(text), ids)
    assert whole.decode(ids) == text


@pytest.mark.parametrize("level", LEVELS)
def test_an_empty_text_has_no_ids(level):
    ids = Vocabulary.build("chat chat", level).encode("")
    assert ids.shape == (0,)
    assert ids.dtype == np.int32


def test_a_fingerprint_is_that_of_the_whole_text(monkeypatch):
    monkeypatch.setattr("rnnkit.data.pieces.PIECE", 13)
    assert fingerprint(LONG.encode("utf-16")) == hashlib.sha256(LONG.encode()).hexdigest()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_mapped_file_reads_as_any_other(encoding, tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_bytes(LONG.replace("𝄞", "x").encode(encoding))
    expected = read_text(path)
    monkeypatch.setattr("rnnkit.data.source.MAPPED", 1)
    assert isinstance(read_bytes(path)[0], mmap.mmap)
    assert read_text(path) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\n ", "empty"),
        (b"one\ntwo\x00three", "binary file .* line 2"),
        (b"\xff\xfea\x00\n", "not valid utf-16"),
        (b"PK\x03\x04 more", "ZIP archive"),
        (b"\x1f\x8b\x08broken", "gzip data is cut short"),
    ],
)
def test_a_mapped_file_is_refused_as_any_other(content, words, tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    said = []
    for least in (1 << 30, 1):
        monkeypatch.setattr("rnnkit.data.source.MAPPED", least)
        with pytest.raises(DataError, match=words) as caught:
            read_text(path)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("level", LEVELS)
def test_preparing_a_text_takes_little_more_than_its_ids(level, tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("Le chat dort sur le toit, et la nuit est douce.\n" * 6_000, encoding="utf-8")
    monkeypatch.setattr("rnnkit.data.vocabulary.BLOCK", 1 << 13)
    monkeypatch.setattr("rnnkit.data.spool.BLOCK", 1 << 13)
    monkeypatch.setattr("rnnkit.data.pieces.PIECE", 1 << 13)
    options = TrainOptions(data=str(path), level=level)
    job = language.prepare(path, options)  # whatever is made once and kept
    tracemalloc.start()
    try:
        job = language.prepare(path, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kept = sum(ids.nbytes for ids in (*job.ids.values(), job.tail))
    assert peak < path.stat().st_size + 2.2 * kept + 1.5e6

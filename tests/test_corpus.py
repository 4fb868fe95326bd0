"""Texts as they come: encodings, folders, pipes, documents, of any length in little memory, and what is no text."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnkit
from rnnkit import api
from rnnkit.data import pieces, spool
from rnnkit.data.corpus import divide, read_corpus
from rnnkit.data.spool import Spool, narrowest
from rnnkit.data.text import read_text
from rnnkit.errors import DataError, UsageError

FRENCH = "Où êtes-vous ? L'été, le chat dort près de la fenêtre ; il rêve d'un poisson.\n" * 4
RUSSIAN = "Кошка спит на крыше, а ночь тиха. Где же рыба?\n" * 4
ENGLISH = "The cat sleeps on the roof, and the night is quiet.\n"


def read(content, **options):
    return read_text(io.BytesIO(content), **options)


# -- encodings -----------------------------------------------------------------------------------

EVIDENT = {
    FRENCH: ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1252",
             "mac-roman"),
    RUSSIAN: ("utf-8", "utf-16-le", "utf-16-be", "utf-32-be", "cp1251", "koi8-r", "cp866"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "name"), [(text, name) for text, names in EVIDENT.items() for name in names])
def test_an_encoding_is_found_and_said(text, name):
    found = read(text.encode(name))
    assert found.text == text
    plain = name.removesuffix("-sig").removesuffix("-le").removesuffix("-be")
    assert found.encoding == plain
    guessed = name.endswith(("-le", "-be")) or not name.startswith("utf")
    assert len(found.notices) == guessed
    if guessed:
        assert name in found.notices[0].lower()


@pytest.mark.parametrize("name", ["cp850", "shift_jis", "gb18030", "latin-1", "utf-16"])
def test_an_encoding_can_be_named(name):
    text = "日本語の本\n" if name in ("shift_jis", "gb18030") else FRENCH
    assert read(text.encode(name), encoding=name).text == text


@pytest.mark.parametrize("name", ["utf8x", "base64", "rot13", ""])
def test_an_encoding_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="unknown encoding"):
        read(b"text", encoding=name)


def test_letters_that_no_guess_explains_are_doubted():
    assert (
        "which is a guess: name its encoding with --encoding" in read(("世界你好。" * 30).encode("gb18030")).notices[0]
    )


def test_utf8_with_a_mistake_is_no_other_encoding():
    with pytest.raises(
        DataError, match=r"not valid utf-8 \(byte 0xe9 at position 341, line 5\), though it is otherwise"
    ):
        read(FRENCH.encode() + b"\xe9t\xe9\n" + FRENCH.encode())
    assert read(FRENCH.encode() + b"\xe9t\xe9\n", encoding="cp1252").text.endswith("été\n")


def test_a_last_character_that_is_cut_off_is_left_out():
    found = read(FRENCH.encode() + "é".encode()[:1])
    assert found.text == FRENCH
    assert "ends within a character (byte 0xc3 at position 341), which is left out" in found.notices[0]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1, max_size=60), st.integers(1, 9))
def test_pieces_of_any_size_give_the_same_text(text, size):
    wanted = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    before = pieces.PIECE
    pieces.PIECE = size
    try:
        for name in ("utf-8", "utf-16-le", "utf-32-be"):
            if wanted.strip():
                assert read(text.encode(name), encoding=name).text == wanted
    finally:
        pieces.PIECE = before


# -- several -------------------------------------------------------------------------------------


@pytest.fixture
def books(tmp_path):
    """A folder with texts, one of them further down, and what is none."""
    folder = tmp_path / "books"
    (folder / "more").mkdir(parents=True)
    (folder / "b.txt").write_text("second\r\n", encoding="utf-16", newline="")
    (folder / "a.txt").write_text("été, first", encoding="cp1252")
    (folder / "more" / "c").write_text("third\n")
    (folder / "cover.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (folder / "empty.txt").write_text(" \n")
    (folder / ".hidden").write_text("never\n")
    return folder


def test_a_folder_is_its_texts_in_the_order_of_their_names(books):
    corpus = read_corpus(books)
    assert corpus.spool.text(0, len(corpus)) == "été, first\nsecond\nthird\n"
    assert [Path(label).name for label in corpus.labels] == ["a.txt", "b.txt", "c"]
    assert corpus.encodings == {"cp1252": 1, "utf-16": 1, "utf-8": 1}
    assert corpus.notices[0] == f"{books}: 3 texts read, cover.png (binary), empty.txt (empty) left out"
    assert "line ends of 1 file were changed to a single newline" in corpus.notices
    assert (corpus.lines, corpus.words) == (3, 4)
    several = read_corpus([books / "a.txt", io.BytesIO(b"second\n"), books / "more"])
    assert several.fingerprint == corpus.fingerprint


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected a folder with text files, found no file"):
        read_corpus(tmp_path)
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1.4")
    with pytest.raises(UsageError, match=r"found only x.pdf \(a PDF\)"):
        read_corpus(tmp_path)


def test_a_pipe_is_read_once(tmp_path):
    script = f"from rnnkit.data.text import read_text; t = read_text('-'); print(t.encoding, t.text == {FRENCH!r})"
    environment = {**os.environ, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], input=FRENCH.encode("cp1252"), capture_output=True, env=environment, check=True
    )
    assert done.stdout.split() == [b"cp1252", b"True"]


def test_several_tables_are_not_forecast(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("t,v\n" + "".join(f"{i},{i % 7}\n" for i in range(60)))
    both = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    for source in (both, str(tmp_path)):
        with pytest.raises(UsageError, match="one table was expected to forecast from, found several files"):
            api.prepare(source, api.make_options({"data": source}))
    assert api.prepare(both[:1], api.make_options({"data": both[0]})).task == "forecast"


def test_a_run_on_several_texts_has_the_name_of_the_first_and_is_repeated_and_resumed(tmp_path, monkeypatch):
    import tomllib

    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(f"{name}.txt").write_text(ENGLISH * 30)
    rnnkit.train([Path("a.txt"), "b.txt"], steps=3, hidden=8)
    config = tomllib.loads(Path("runs/a/config.toml").read_text())
    assert config["data"] == ["a.txt", "b.txt"]
    rnnkit.train(out="again", **config)
    assert Path("again/model.safetensors").read_bytes() == Path("runs/a/model.safetensors").read_bytes()
    rnnkit.train(config["data"], resume=True)


# -- documents -----------------------------------------------------------------------------------


def test_documents_are_files_or_what_marks_divide(tmp_path):
    def parts(content, separator=None):
        corpus = read_corpus(content)
        return [corpus.spool.text(*document) for document in divide(corpus, separator)]

    assert parts(io.BytesIO(b"one\n\ftwo\n\f\n\fthree")) == ["one\n\f", "two\n\f", "three"]
    rules = b"---\none\n---\n---\ntwo --- too\n---\nthree\n"
    assert parts(io.BytesIO(rules), "---") == ["one\n---\n", "two --- too\n---\n", "three\n"]
    assert parts([io.BytesIO(b"one"), io.BytesIO(b"two\fx\n")]) == ["one\n", "two\fx\n"]
    assert parts([io.BytesIO(b"one"), io.BytesIO(rules)], "---") == ["one\n", *parts(io.BytesIO(rules), "---")]
    with pytest.raises(DataError, match="no line of standard input is '==='"):
        parts(io.BytesIO(rules), "===")


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_marks_are_found_wherever_blocks_end(size, monkeypatch):
    monkeypatch.setattr(spool, "BLOCK", size)
    corpus = read_corpus(io.BytesIO(b"-\n---\none\n---\n---\n\ntwo\n----\n---\n"))
    assert [corpus.spool.text(*d) for d in divide(corpus, "---")] == ["-\n---\n", "one\n---\n", "\ntwo\n----\n---\n"]


def documents_job(texts, **options):
    return api.prepare(
        [io.BytesIO(text.encode()) for text in texts],
        api.make_options({"data": "x", "task": "language", "split": "documents", **options}),
    )


def test_whole_documents_are_held_out_by_the_seed():
    texts = [f"{chr(0x41 + i)}{i:03d} the cat sleeps, number {i}.\n" * 40 for i in range(20)]
    job = documents_job(texts, val=0.2)
    parts = {name: {text for text in texts if text[:12] in part} for name, part in job.parts.items()}
    assert sorted(map(len, parts.values())) == [2, 4, 14]
    assert set.union(*parts.values()) == set(texts)
    for name, part in job.parts.items():
        assert part == "".join(text for text in texts if text in parts[name])  # whole, in their order
    assert job.judged.startswith("4 of 20 documents, ")
    same, other = documents_job(texts, val=0.2), documents_job(texts, val=0.2, seed=1)
    np.testing.assert_array_equal(same.ids["judge"], job.ids["judge"])
    assert other.parts["judge"] != job.parts["judge"]
    assert same.fingerprint == job.fingerprint
    assert other.fingerprint != job.fingerprint
    window, counts = job.selection
    read_back = "".join(job.vocabulary.decode(window[1:, i][counts[:, i]]) for i in range(window.shape[1]))
    assert read_back == job.parts["select"]
    known = job.vocabulary.decode(job.tail)
    assert known == job.parts["fit"] + job.parts["select"]


def test_one_huge_document_stays_in_the_fitted_part():
    texts = [ENGLISH * 2, ENGLISH * 400, "Les chats dorment.\n" * 6, "Un chat mange.\n" * 7]
    for seed in range(6):
        assert ENGLISH * 400 in documents_job(texts, seed=seed).parts["fit"]


def test_too_few_documents_are_refused():
    with pytest.raises(DataError, match="at least 3 documents are needed to hold whole ones out, found 2"):
        documents_job([ENGLISH * 50, ENGLISH * 60])
    with pytest.raises(UsageError, match="--document-separator divides a text into documents"):
        api.make_options({"document_separator": "---"})


# -- any length ----------------------------------------------------------------------------------


def test_a_spool_reads_what_was_written(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    text = "aé漢😀\n" * 50
    for small in (1, 1 << 20):
        monkeypatch.setattr(spool, "SMALL", small)
        monkeypatch.setattr(spool, "BLOCK", 7)
        kept = Spool()
        for start in range(0, len(text), 20):
            kept.write(text[start : start + 20])
        assert len(kept) == len(text)
        assert (kept.nbytes > 0) == (small > 1)
        for start, stop in ((0, 250), (3, 4), (6, 99), (240, 999), (9, 9)):
            assert kept.text(start, stop) == text[start:stop]
            assert kept.find("😀", start, stop) == text.find("😀", start, stop)
        assert list(tmp_path.iterdir()) == []  # it has no name
        kept.close()


@pytest.mark.parametrize("level", ["char", "word", "bpe", "byte"])
@pytest.mark.parametrize("split", ["text", "documents"])
def test_mapped_ids_are_the_same(level, split, monkeypatch, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\f".join(f"{i}. {FRENCH} {RUSSIAN if i == 3 else ''}" for i in range(9)), encoding="utf-8")
    options = api.make_options({"data": str(path), "level": level, "split": split, "vocabulary": 300, "hidden": 8})
    plain = api.prepare(path, options)
    monkeypatch.setattr(spool, "SMALL", 1)
    monkeypatch.setattr(spool, "BLOCK", 100)
    monkeypatch.setattr(pieces, "PIECE", 77)
    mapped = api.prepare(path, options)
    assert plain.ids["fit"].base is not None
    assert mapped.vocabulary == plain.vocabulary
    assert mapped.fingerprint == plain.fingerprint
    for name, ids in plain.ids.items():
        np.testing.assert_array_equal(mapped.ids[name], ids)
        assert mapped.ids[name].dtype == ids.dtype
    for one, other in zip((mapped.tail, *mapped.selection), (plain.tail, *plain.selection), strict=True):
        np.testing.assert_array_equal(one, other)
    for step in (0, 1, plain.per_epoch + 1):
        np.testing.assert_array_equal(mapped.batch("fit", step).x, plain.batch("fit", step).x)
        assert mapped.batch("fit", step).x.dtype == np.int32
    assert mapped.memory(mapped.network()) < plain.memory(plain.network())


def test_ids_are_of_the_smallest_type_that_holds_them():
    assert [narrowest(size).name for size in (2, 256, 257, 65536, 65537)] == [
        "uint8",
        "uint8",
        "uint16",
        "uint16",
        "int32",
    ]


def test_progress_goes_from_nothing_to_all(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(ENGLISH * 200)
    heard = []
    api.prepare(path, api.make_options({"data": str(path)}), lambda done, whole: heard.append((done, whole)))
    done = [d for d, _ in heard]
    assert {whole for _, whole in heard} == {path.stat().st_size}
    assert done == sorted(done)
    assert done[-1] == path.stat().st_size


def test_no_room_for_what_is_large_is_said(monkeypatch):
    monkeypatch.setattr(spool, "SMALL", 1)
    monkeypatch.setattr("rnnkit.data.scratch.folder", lambda: "/nowhere")
    with pytest.raises(UsageError, match=r"/nowhere: a large text is kept there .* TMPDIR"):
        read_corpus(io.BytesIO(b"text"))


# -- what is strange or no text ------------------------------------------------------------------


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(ENGLISH * 10_000)
    monkeypatch.setattr(pieces, "PIECE", 500)

    def cut(done, whole):
        if done > whole // 10:
            os.truncate(path, whole // 5)

    with pytest.raises(DataError, match=r"the file shrank while it was read, from 520,000 bytes to 1"):
        api.prepare(path, api.make_options({"data": str(path)}), cut)


REFUSED = {
    "nothing": (b"", "the file is empty"),
    "blanks": (b" \n\t\n", "the file is empty"),
    "zeros": (b"a\nb\x00c", r"a binary file \(byte 0x00 at position 4, line 2\)"),
    "a zero in UTF-16": ("one\ntwo\0".encode("utf-16"), r"a binary file \(the character U\+0000 on line 2\)"),
    "a lone surrogate": (
        "un chat \ud800".encode("utf-16", "surrogatepass"),
        r"not valid utf-16 \(byte 19, about line 1",
    ),
    "half a character of UTF-16": ("chat".encode("utf-16") + b"c", r"not valid utf-16 \(byte 11"),
    "controls": (b"\x01\x02\xff\xfe\xfd" * 50, r"a binary file \(byte 0x01 at position 1, line 1\)"),
    "broken gzip": (b"\x1f\x8bnothing", "gzip data is cut short"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_text_is_refused_in_one_sentence(case):
    content, words = REFUSED[case]
    with pytest.raises(DataError, match=words) as caught:
        read(content)
    assert str(caught.value).startswith("standard input: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(ENGLISH)
    path.chmod(0)
    for source in (path, tmp_path):
        with pytest.raises(UsageError, match="may not be read"):
            read_corpus(source)


def test_an_open_text_stream_is_refused():
    with pytest.raises(UsageError, match="opened in binary mode"):
        read_text(io.StringIO("text"))


STRANGE = {
    "one character": "a" * 3000,
    "one line": "the cat sleeps on the roof " * 150,
    "no blank at all": "漢字仮名交じり文" * 400,
    "accents that stand alone": "e\u0301\u0323 a\u0300 o\u0302\u0301 " * 300,
    "a run of accents": "a" + "\u0301" * 3000,
    "emoji": "👩‍👩‍👧 🐟 🇫🇷 👍🏽 " * 200,
    "right to left": "القط ينام على السطح והחתול ישן על הגג\n" * 60,
    "mixed line ends": "one\r\ntwo\rthree\nfour\n\r" * 120,
    "control characters": "bell\x07 escape\x1b[31m delete\x7f\n" * 100,
}


@pytest.mark.parametrize("level", ["char", "word", "bpe", "byte"])
@pytest.mark.parametrize("case", STRANGE)
def test_strange_texts_train_and_are_written_as_valid_text(case, level, tmp_path):
    path = tmp_path / "strange.txt"
    path.write_bytes(STRANGE[case].encode() * (15 if level in ("word", "bpe") else 1))  # for tokens enough
    model = rnnkit.train(path, tmp_path / "run", level=level, vocabulary=300, steps=2, hidden=8)
    written = "".join(model.generate("", length=60, temperature=1.5))
    assert written.encode("utf-8").decode("utf-8") == written


@pytest.mark.parametrize("level", ["char", "word", "bpe", "byte"])
def test_one_long_line_takes_no_more_memory_than_many(level, monkeypatch):
    monkeypatch.setattr(spool, "BLOCK", 4096)
    monkeypatch.setattr(pieces, "PIECE", 4096)
    longest = 0
    write = Spool.write

    def watched(self, block):
        nonlocal longest
        longest = max(longest, len(block))
        write(self, block)

    monkeypatch.setattr(Spool, "write", watched)
    job = api.prepare(
        io.BytesIO(b"abcdefgh" * 30_000), api.make_options({"data": "x", "level": level, "task": "language"})
    )
    assert longest <= 4096 + 1
    assert len(job.vocabulary.decode(job.ids["fit"])) > 200_000

"""``rnnkit text``: what is done to words before anything is learned from them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from rnnkit.cli import options
from rnnkit.errors import DataError

_files = click.argument("files", nargs=-1, required=True, metavar="FILE...")
_language = click.option(
    "--language",
    type=click.Choice(["auto", "fr", "en"]),
    default="auto",
    help="Language; told by its words by default.",
)
_out = click.option(
    "-o",
    "--out",
    type=options.FILE,
    metavar="FILE",
    help="Write to FILE, with every column where it ends in .csv; - is stdout.",
)
_common = options.combined(_files, _language, _out, options.as_json)


@click.group(
    invoke_without_command=True,
    epilog=options.examples(
        "rnnkit text tokenize chat.txt",
        "rnnkit text sentences chat.txt --json",
        "rnnkit text stopwords chat.txt",
        "rnnkit text stem chat.txt --language fr",
        "rnnkit text lemmatize chat.txt -o lemmas.csv",
        "rnnkit text count chat.txt --by sentence --ngrams 1,2 --top 3 --drop-stopwords",
    ),
)
@click.pass_context
def text(ctx: click.Context) -> None:
    """Tokens, sentences, stop words, stems, lemmas and counts of French and English texts.

    FILE is a text, several or a folder of them; - is standard input. Libraries: pip install 'rnnkit[text]'.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@text.command()
@_common
def tokenize(**asked: Any) -> None:
    """Cut texts into words, numbers and marks, one a line."""

    def rows(body: str, language: Callable[[], str]) -> Iterable[tuple[Any, ...]]:
        from rnnkit.text import tokenize

        return tokenize(body)

    _each(("token", "start", "end"), rows, plain=True, **asked)


@text.command()
@_common
def sentences(**asked: Any) -> None:
    """Cut texts into sentences, one a line."""

    def rows(body: str, language: Callable[[], str]) -> Iterable[tuple[Any, ...]]:
        from rnnkit.text import sentences

        return ((" ".join(sentence.split()),) for sentence in sentences(body, language()))

    _each(("sentence",), rows, plain=True, **asked)


@text.command()
@_common
def stopwords(**asked: Any) -> None:
    """List the stop words of texts and how often they stand there."""

    def rows(body: str, language: Callable[[], str]) -> Iterable[tuple[Any, ...]]:
        from rnnkit.text import stop_words, words

        known = stop_words(language())
        found = Counter(word.lower() for word in words(body) if word.lower() in known)
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    _each(("word", "count"), rows, **asked)


@text.command()
@_common
def stem(**asked: Any) -> None:
    """Give each word of texts its stem."""
    _each(("word", "stem"), _word_by_word("stem"), **asked)


@text.command()
@_common
def lemmatize(**asked: Any) -> None:
    """Give each word of texts its lemma."""
    _each(("word", "lemma"), _word_by_word("lemma"), **asked)


@text.command()
@_common
@click.option("--by", type=click.Choice(["file", "line", "sentence"]), default="file", help="What a document is.")
@click.option("--ngrams", default="1", metavar="N[,M]", help="Words of a term: 1 (default), or from N to M.")
@click.option("--top", type=options.AtLeast(1), metavar="N", help="Terms of a document at most.")
@click.option("--drop-stopwords", is_flag=True, help="Leave stop words out.")
@click.option("--lemmas", is_flag=True, help="Count lemmas instead of words.")
def count(by: str, ngrams: str, top: int | None, drop_stopwords: bool, lemmas: bool, **asked: Any) -> None:
    """Count the terms of each document (bag of words), with their TF-IDF weights."""
    from rnnkit import text as wording

    least, most = _range(ngrams)
    bodies = _read(asked["files"])
    language = _chosen(asked["language"], bodies)
    stop = wording.stop_words(language()) if drop_stopwords else frozenset()

    def prepare(body: str) -> list[str]:
        kept = [word for word in wording.words(body) if word.lower() not in stop]
        return [wording.lemma(word, language()) for word in kept] if lemmas else kept

    documents = [part for body in bodies for part in _parts(body, by, language)]
    shown: Counter[int] = Counter()
    rows = []
    for found in wording.count(documents, prepare=prepare, ngrams=(least, most)):
        shown[found.document] += 1
        if top is None or shown[found.document] <= top:
            rows.append((found.document + 1, found.term, found.times, f"{found.tfidf:.4g}"))
    _show(("document", "term", "count", "tfidf"), rows, False, asked["json"], asked["out"])


def _word_by_word(name: str) -> Callable[[str, Callable[[], str]], Iterable[tuple[Any, ...]]]:
    def rows(body: str, language: Callable[[], str]) -> Iterable[tuple[Any, ...]]:
        from rnnkit import text as wording

        change, known = getattr(wording, name), language()
        return ((word, change(word, known)) for word in wording.words(body))

    return rows


def _each(
    header: tuple[str, ...],
    rows: Callable[[str, Callable[[], str]], Iterable[tuple[Any, ...]]],
    *,
    files: Sequence[str],
    language: str,
    json: bool,
    out: Path | None,
    plain: bool = False,
) -> None:
    """Rows of every text, one after the other; ``plain``: the first column alone, but in a file of CSV."""
    bodies = _read(files)
    told = _chosen(language, bodies)
    _show(header, [row for body in bodies for row in rows(body, told)], plain, json, out)


def _read(files: Sequence[str]) -> list[str]:
    """The texts; what was changed in them is said."""
    from rnnkit import api, console
    from rnnkit.data.text import read_text

    texts = [read_text(api.open_source(file)) for file in files]
    for body in texts:
        for notice in body.notices:
            console.note(f"note: {notice}")
    return [body.text for body in texts]


def _chosen(language: str, bodies: Sequence[str]) -> Callable[[], str]:
    """The language, guessed and said once, and only where it is asked for."""
    known = [language] if language != "auto" else []

    def tell() -> str:
        if not known:
            from rnnkit import console
            from rnnkit.text import guess_language

            known.append(guess_language("\n".join(bodies)))
            console.note(f"note: the text is taken for {'French' if known[0] == 'fr' else 'English'}; see --language")
        return known[0]

    return tell


def _parts(body: str, by: str, language: Callable[[], str]) -> list[str]:
    from rnnkit.text import sentences

    if by == "file":
        return [body]
    return sentences(body, language()) if by == "sentence" else [line for line in body.splitlines() if line.strip()]


def _range(ngrams: str) -> tuple[int, int]:
    parts = ngrams.split(",")
    try:
        least, most = int(parts[0]), int(parts[-1])
    except ValueError:
        least = most = 0
    if len(parts) > 2 or not 1 <= least <= most:
        raise click.UsageError(f"--ngrams is a number of words of at least 1, or two such as 1,2, not {ngrams!r}")
    return least, most


def _show(header: tuple[str, ...], rows: Sequence[tuple[Any, ...]], plain: bool, json: bool, out: Path | None) -> None:
    """Rows as JSON, as CSV, or one text a line."""
    from rnnkit import console
    from rnnkit.cli.outlet import put

    if not rows:
        raise DataError("a text with words was expected, found none")
    if json:
        put(console.to_json({"rows": [dict(zip(header, row, strict=True)) for row in rows]}) + "\n", out)
    elif plain and (out is None or out.suffix != ".csv"):
        put("".join(f"{row[0]}\n" for row in rows), out)
    else:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
        put(file.getvalue(), out)

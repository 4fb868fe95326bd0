"""The likeliest next words of a text, or of each of many: a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rnnkit import console
from rnnkit.cli.forecasts import digits
from rnnkit.cli.outlet import put
from rnnkit.cli.texts import utf8
from rnnkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from rnnkit.tasks.language_model import LanguageModel


def beginnings(data: str | None) -> list[str]:
    """The texts that DATA means: itself, or the lines of the file that it names or of standard input."""
    if data is None:
        raise UsageError('a text to go on from was expected, such as "Le chat mange une"; give one, a file, or -')
    if data != "-" and not Path(data).is_file():
        if " " not in data and (os.sep in data or Path(data).suffix):
            console.note(f"note: there is no file {data}; it is taken for the text itself")
        return [utf8(data, "the text")]
    from rnnkit import api
    from rnnkit.data.text import read_text

    text = read_text(api.open_source(data))
    lines = [line for line in text.text.split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{text.path}: a text on every line was expected, found none")
    for notice in text.notices:
        console.note(f"note: {notice}")
    return lines


def show(
    model: LanguageModel, texts: list[str], run: Path, *, top: int, json: bool = False, out: Path | None = None
) -> None:  # fmt: skip
    """The words after each text where they were asked for: in a file, piped, or before a person's eyes."""
    found = [(text, model.predict_words(text, top)) for text in texts]
    if json:
        rows = [{"text": text, "words": [{"word": w, "probability": p} for w, p in words]} for text, words in found]
        put(console.to_json({"run": str(run), "rows": rows}) + "\n", out)
    elif out is None and console.terminal(sys.stdout):
        for i, (text, words) in enumerate(found):
            console.write(("\n" if i else "") + f"{text} …")
            console.table(["word", "probability"], [[word, f"{100 * p:.1f} %"] for word, p in words])
    else:
        put(_csv(found), out)


def _csv(found: list[tuple[str, list[tuple[str, float]]]]) -> str:
    """Rows of word and probability; with the text before them where there are several."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    several = len(found) > 1
    writer.writerow(["text", "word", "probability"] if several else ["word", "probability"])
    for text, words in found:
        writer.writerows([*([text] if several else []), word, digits(p)] for word, p in words)
    return file.getvalue()

"""Written texts: streamed as they are drawn, several clearly apart, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rnnkit import console
from rnnkit.errors import UsageError


def seeds(given: Sequence[str], lines: bool) -> list[str]:
    """The texts to go on from: those given, standard input in the place of ``-``, or every line of it."""
    if lines:
        found = [line for line in _standard_input().split("\n") if line.strip()]
        if not found:
            raise UsageError("--lines needs a line of text on standard input at least, and there is none")
        return [*given, *found]
    return [_standard_input() if seed == "-" else utf8(seed, "--seed") for seed in given] or [""]


def utf8(text: str, option: str) -> str:
    """The text, unless the terminal sent something else than UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        where = f"character {error.start + 1}"
        raise UsageError(f"{option} is not UTF-8 text ({where}); type it in a UTF-8 terminal") from error
    return text


def _standard_input() -> str:
    """Standard input without its last line end."""
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1}"
        raise UsageError(f"the seed on standard input is not UTF-8 text ({where}); convert it first") from error


def stream(texts: Iterator[Iterator[str]], seeds: Sequence[str]) -> list[str]:
    """Print the texts, one of each of ``seeds``, piece by piece; returns them. Ctrl-C leaves what was written."""
    written = []
    for number, (pieces, _) in enumerate(zip(texts, seeds, strict=True), 1):
        if len(seeds) > 1:
            _heading(f"{number} of {len(seeds)}", first=number == 1)
        text = ""
        try:
            for piece in pieces:
                sys.stdout.write(console.visible(piece))
                sys.stdout.flush()
                text += piece
        finally:
            if not text.endswith("\n"):
                sys.stdout.write("\n")
        written.append(text)
    return written


def collect(texts: Iterator[Iterator[str]], seeds: Sequence[str], **values: object) -> list[str]:
    """One JSON object of the texts; returns them. It has what was written when Ctrl-C came."""
    written: list[str] = []

    def show() -> None:
        entries = [{"seed": seed, "text": text} for seed, text in zip(seeds, written, strict=False)]
        console.write_json(**values, texts=entries)

    try:
        for pieces in texts:
            written.append("")
            for piece in pieces:
                written[-1] += piece
    except KeyboardInterrupt:
        show()
        raise
    show()
    return written


def note_loops(written: Sequence[str], seeds: Sequence[str], drawn: bool) -> None:
    """Say of a text that it goes in circles, and how that is helped; only a text that is drawn has a temperature."""
    from rnnkit.tasks.loops import longest_loop

    for number, (text, seed) in enumerate(zip(written, seeds, strict=True), 1):
        start, period, length = longest_loop(text[len(seed) :])
        if length:
            which = f"text {number}" if len(seeds) > 1 else "the text"
            again = console.brief(repr(text[len(seed) :][start : start + period]))
            rarer = ", a higher --temperature makes it rarer" if drawn else ""
            console.note(f"note: {which} says {again} {length // period} times in a row; --no-repeat forbids it{rarer}")


def _heading(text: str, first: bool) -> None:
    """A line that sets a text apart."""
    blank = "" if first else "\n"
    if console.terminal(sys.stdout) and console.unicode_output():
        sys.stdout.write(f"{blank}── {text} {'─' * max(3, console.width() - len(text) - 4)}\n")
    else:
        sys.stdout.write(f"{blank}--- {text} ---\n")

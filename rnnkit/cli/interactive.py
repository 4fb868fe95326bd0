"""Writing together in the terminal: the model goes on, a person picks, types, takes back.

The loop knows an ``Author`` alone. What it shows goes to stderr; the text itself goes to stdout in the end, where that
is no terminal, so that answers may come from a file and the text may go into one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from rnnkit import console, outputs
from rnnkit.errors import RnnkitError, UsageError

INTERRUPTED = 130
TAIL = 600
"""Characters of a long text that are shown again."""
HELP = """\
Enter goes on, a number picks a word, other text is put behind (after a blank of its own: exactly as typed),
r tries the last piece once more, u takes the last step back, s FILE saves, ? shows this, q quits."""


class Author(Protocol):
    """Somebody who goes on with a text."""

    def go_on(self, text: str, draw: int) -> Iterator[str]:
        """What follows the text, in pieces; another number of ``draw`` gives something else."""
        ...

    def choices(self, text: str) -> Sequence[tuple[str, float, str]]:
        """The likeliest next words: how each is shown, its probability, and what is put behind the text for it."""
        ...


class Session:
    """A text in the making: every change can be taken back."""

    def __init__(self, author: Author, text: str) -> None:
        self.author, self.text = author, text
        self.before: list[tuple[str, bool]] = []  # the text before each change, and whether it was drawn
        self.draws = 0
        self.options: Sequence[tuple[str, float, str]] = ()

    def run(self) -> int:
        """Ask until the answers end; the exit code."""
        _say(HELP)
        self._show()
        try:
            while (answer := self._ask()) is not None:
                try:
                    if self._obey(answer):
                        break
                except RnnkitError as error:  # said, and asked again
                    _say(f"{error}")
            code = 0
        except KeyboardInterrupt:
            code = INTERRUPTED
        _say("")
        if not console.terminal(sys.stdout):
            sys.stdout.write(console.visible(self.text) + "\n")
        return code

    def _ask(self) -> str | None:
        """The next answer, None where there are no more."""
        self.options = self.author.choices(self.text)
        words = (f"{i} {word} {_percent(p)}" for i, (word, p, _) in enumerate(self.options, 1))
        _say(f"  [{' · '.join(words)}]" if self.options else "")
        sys.stderr.flush()
        if console.terminal(sys.stdin) and console.terminal(sys.stdout):
            try:
                return input("> ")
            except EOFError:
                return None
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.buffer.readline()
        return line.decode("utf-8", "replace").rstrip("\r\n") if line else None

    def _obey(self, answer: str) -> bool:
        """Do what an answer says; whether it was the last."""
        command, _, rest = answer.partition(" ")
        if answer == "":
            self._draw()
        elif answer == "q":
            return True
        elif answer == "?":
            _say(HELP)
        elif answer == "r":
            if not self.before or not self.before[-1][1]:
                raise UsageError("r tries a written piece once more, and the last step was none; Enter writes one")
            self.text = self.before.pop()[0]
            self._show(end="")
            self._draw()
        elif answer == "u":
            if not self.before:
                raise UsageError("there is no step to take back")
            self.text = self.before.pop()[0]
            self._show()
        elif command == "s":
            if not rest.strip():
                raise UsageError("s needs a file to save the text in: s FILE")
            path = Path(rest.strip()).expanduser()
            outputs.ready(path, force=False)
            outputs.write(path, (self.text + "\n").encode("utf-8", "replace"))
            _say(f"wrote {path}")
        elif answer.isdecimal():
            if not 1 <= int(answer) <= len(self.options):
                raise UsageError(f"a number from 1 to {len(self.options)} picks a word; with a blank before it is text")
            self._append(self.options[int(answer) - 1][2])
        else:
            self._append(answer if answer[0].isspace() or not self._needs_blank(answer) else " " + answer)
        return False

    def _draw(self) -> None:
        """A further piece; Ctrl-C ends it where it is."""
        self.before.append((self.text, True))
        try:
            for piece in self.author.go_on(self.text, self.draws):
                sys.stderr.write(console.visible(piece))
                sys.stderr.flush()
                self.text += piece
        except KeyboardInterrupt:
            _say("\n(interrupted)")
        self.draws += 1
        _say("")

    def _append(self, text: str) -> None:
        self.before.append((self.text, False))
        self.text += text
        self._show()

    def _needs_blank(self, answer: str) -> bool:
        """Whether what is typed is a new word behind an old one, and not its comma or what follows an apostrophe."""
        last = self.text[-1:]
        return bool(last) and not last.isspace() and last not in "'’-(«" and (answer[0].isalnum() or answer[0] in "«(—")

    def _show(self, end: str = "\n") -> None:
        """The text, or what it ends with."""
        cut = len(self.text) > TAIL
        sys.stderr.write(console.visible(("…" if cut else "") + self.text[-TAIL:] + end))
        sys.stderr.flush()


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %" if probability >= 0.005 else "<1 %"


def _say(text: str) -> None:
    sys.stderr.write(console.visible(text) + "\n")

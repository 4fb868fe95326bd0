"""What the terminal shows: results on stdout, messages on stderr, both plain when they are piped.

Rich is imported here only, and late. Text that comes from users is never read as markup, and
control characters in it are shown rather than sent.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

PIPED_WIDTH = 80
SHORTEST = 20
"""Characters that a cell of text keeps on a narrow terminal: a label, or a time to the second."""


def visible(text: str) -> str:
    """The text with control characters other than line ends and tabs written as codes.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isprintable():
        return text
    return "".join(_shown(c) for c in text)


def _shown(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs"):
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def terminal(stream: TextIO) -> bool:
    """Whether a person watches the stream."""
    return stream.isatty()


def width() -> int:
    """Columns of the terminal, 80 when stdout is piped."""
    return shutil.get_terminal_size((PIPED_WIDTH, 24)).columns if terminal(sys.stdout) else PIPED_WIDTH


def height() -> int:
    """Lines of the terminal, 24 when stdout is piped."""
    return shutil.get_terminal_size((PIPED_WIDTH, 24)).lines if terminal(sys.stdout) else 24


def unicode_output() -> bool:
    """Whether stdout can write the characters of a chart."""
    try:
        "⠿░┊│─└".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# -- lines ----------------------------------------------------------------------------------------


def write(text: str = "") -> None:
    """One line (or several) of results."""
    sys.stdout.write(visible(text) + "\n")


def note(text: str) -> None:
    """One line of message."""
    sys.stderr.write(visible(" ".join(text.split())) + "\n")
    sys.stderr.flush()


def write_json(**values: Any) -> None:
    """One JSON object on stdout; numbers that JSON cannot hold are null."""
    sys.stdout.write(to_json(values) + "\n")


def to_json(values: dict[str, Any]) -> str:
    """The object as text, ``schema`` first."""
    return json.dumps({"schema": 1, **_plain(values)}, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Values as JSON has them: NumPy's become Python's, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits, without an exponent where it can be read; other things as they are.

    >>> number(1234567.0), number(0.012345), number(float("nan"))
    ('1,234,567', '0.01235', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "–"
    if value == 0 or math.isinf(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    if not -5 <= size < 15:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - size)}f}"


def numbers(values: Sequence[Any], digits: int = 4, least: int = 0) -> list[str]:
    """Numbers with the same decimals, other things as they are.

    The largest gets at least ``digits`` significant ones, the smallest at least ``least``.

    >>> numbers([0.95764, 2.78124, float("nan"), ""])
    ['0.958', '2.781', '–', '']
    >>> numbers([0.95764, 20.78124]), numbers([0.95764, 20.78124], least=3)
    (['0.96', '20.78'], ['0.958', '20.781'])
    """
    sizes = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and v]
    size = math.floor(math.log10(max(sizes))) if sizes else 0
    if not -5 <= size < 15:
        return [number(v, digits) for v in values]
    smallest = math.floor(math.log10(min(sizes))) if sizes else 0
    places = min(6, max(0, digits - 1 - size, least - 1 - smallest))
    shown = (isinstance(v, float) and math.isfinite(v) for v in values)
    return [f"{v:,.{places}f}" if plain else number(v) for v, plain in zip(values, shown, strict=True)]


def setting(value: Any) -> str:
    """A setting as somebody would type it.

    >>> setting(0.002), setting(["a", "b"]), setting(True)
    ('0.002', 'a,b', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(setting, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def brief(value: Any, most: int = 60) -> str:
    """A value of any kind in a few words: long lists and texts by their size.

    >>> brief(list(range(100))), brief({"unit": "h", "count": 1})
    ('100 values', 'unit h, count 1')
    """
    if isinstance(value, dict):
        text = ", ".join(f"{k} {brief(v, 24)}" for k, v in value.items())
        return text if len(text) <= 4 * most else f"{len(value)} entries"
    text = repr(value) if isinstance(value, str) and value != value.strip() else setting(value)
    if len(text) <= most:
        return text
    if isinstance(value, str | list | tuple):
        return f"{len(value):,} {'characters' if isinstance(value, str) else 'values'}"
    return text[:most]


# -- tables ---------------------------------------------------------------------------------------


def _console(stream: TextIO) -> Console:
    """A console that takes no text for markup; wide when piped, so that nothing is cut."""
    from rich.console import Console

    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if terminal(stream) else 10_000,
        soft_wrap=False,
    )


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, left: int = 1, best: Sequence[int | None] = ()
) -> None:
    """A table on stdout: the first ``left`` columns flush left, numbers flush right.

    ``best`` names for each row the column of its best value, printed bold on a terminal. Where a terminal is too
    narrow, long texts are shortened and columns at the end left out, which a last line says; numbers stay whole.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    seen = terminal(sys.stdout) and unicode_output()
    grid = Table(
        box=box.SIMPLE_HEAD if seen else None, pad_edge=False, show_edge=False, header_style="bold" if seen else ""
    )
    lines = [[Text(visible(number(value)).replace("\n", " ")) for value in row] for row in rows]
    columns = [max((row[i].cell_len for row in lines), default=0) for i in range(len(headers))]
    room = width() if terminal(sys.stdout) else None
    widths = _fitting(headers, columns, left, 3 if seen else 1, room)
    for i, (header, wide) in enumerate(zip(headers, widths, strict=False)):
        text = Text(visible(header), overflow="ellipsis")
        grid.add_column(text, justify="left" if i < left else "right", overflow="ellipsis", width=wide)
    for n, cells in enumerate(lines):
        bold = best[n] if n < len(best) else None
        if bold is not None:
            cells[bold].stylize("bold")
        for cell in cells:
            cell.no_wrap = True
        grid.add_row(*cells[: len(widths)])
    console = _console(sys.stdout)
    if seen:
        console.print(grid)
    else:
        with console.capture() as capture:
            console.print(grid)
        for line in capture.get().splitlines():
            sys.stdout.write(line.rstrip() + "\n")
    if len(widths) < len(headers):
        write(f"left out for want of room: {', '.join(headers[len(widths) :])}")


def _fitting(headers: Sequence[str], cells: Sequence[int], left: int, gap: int, room: int | None) -> list[int]:
    """The widths of the columns that fit into ``room``, headers broken between words and texts cut where they must."""
    from rich.cells import cell_len

    words = [max((cell_len(word) for word in header.split()), default=0) for header in headers]
    wide = [max(cell_len(header), own) for header, own in zip(headers, cells, strict=True)]
    cut = [min(own, SHORTEST) if i < left else own for i, own in enumerate(cells)]
    least = list(map(max, words, cut))
    if room is None:
        return wide
    kept = len(wide)
    while kept > 1 and sum(least[:kept]) + gap * (kept - 1) > room:
        kept -= 1
    wide = wide[:kept]
    while sum(wide) + gap * (kept - 1) > room:
        spare = [now - last for now, last in zip(wide, least, strict=False)]
        if max(spare) <= 0:
            break
        wide[max(range(kept), key=lambda i: (spare[i] > 0) * wide[i])] -= 1
    return wide


def facts(pairs: dict[str, Any]) -> None:
    """Label and value side by side, one pair to a line."""
    if pairs:
        gutter = max(map(len, pairs)) + 2
        for label, value in pairs.items():
            write(f"{label:<{gutter}}{number(value)}")


# -- progress -------------------------------------------------------------------------------------


class Progress:
    """Where a training stands: a bar on a terminal, when piped a plain line now and then."""

    every = 10.0
    """Seconds between plain lines."""
    fresh = 0.1
    """Seconds between two drawings of the bar."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet, self.stage = quiet, ""
        self.bar: Bar | None = None
        self.loss = self.selected = math.nan
        self.drawn = 0.0

    def __enter__(self) -> Progress:
        if not self.quiet and terminal(sys.stderr):
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[figures]}"))
            self.bar = Bar(*columns, console=_console(sys.stderr), auto_refresh=False, transient=True)
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        """One step of a stage is done."""
        if self.quiet:
            return
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.loss, self.selected = stage, loss, math.nan
            self.first, self.began, self.drawn = step - 1, now, now
            if self.bar is not None:
                for task in self.bar.task_ids:
                    self.bar.remove_task(task)
                self.task = self.bar.add_task(stage, total=steps, figures="")
        self.loss += 0.05 * (loss - self.loss)
        wait = self.every if self.bar is None else self.fresh
        if now - self.drawn >= wait or step == steps:
            self.drawn = now
            self._draw(step, steps, now)

    def evaluated(self, selected: float) -> None:
        """The weights were scored on the part that selects."""
        self.selected = selected

    def say(self, text: str) -> None:
        """A line above the bar, or simply a line."""
        if self.bar is None:
            note(text)
        else:
            self.bar.console.print(visible(text), soft_wrap=True)

    def _draw(self, step: int, steps: int, now: float) -> None:
        done, seconds = step - self.first, now - self.began
        figures = [f"loss {number(self.loss)}"]
        if not math.isnan(self.selected):
            figures.append(f"selected {number(self.selected)}")
        if seconds > 0 and done > 1:
            rate = (done - 1) / seconds
            figures += [f"{number(rate, 3)} steps/s", f"{clock((steps - step) / rate)} left"]
        if self.bar is None:
            note(f"{self.stage}: step {step:,} of {steps:,}, {', '.join(figures)}")
        else:
            self.bar.update(self.task, completed=step, total=steps, figures=f"{step:,}/{steps:,}  {'  '.join(figures)}")
            self.bar.refresh()


class Reading(Progress):
    """How much of a file is read, where that takes more than a second."""

    def __enter__(self) -> Reading:
        self.began = self.drawn = time.monotonic()
        return self

    def __call__(self, done: int, whole: int) -> None:
        """So many bytes of so many are read."""
        now = time.monotonic()
        if self.quiet or now - self.began < 1.0:
            return
        if self.bar is None and terminal(sys.stderr):
            super().__enter__()
            assert self.bar is not None
            self.task = self.bar.add_task("reading", total=whole, figures="")
        figures = f"{done / 1e6:,.0f} of {whole / 1e6:,.0f} MB"
        if self.bar is not None:
            self.bar.update(self.task, completed=done, figures=figures)
            self.bar.refresh()
        elif now - self.drawn >= self.every:
            self.drawn = now
            note(f"reading: {figures}")


def clock(seconds: float) -> str:
    """A span of time as a person says it: 8 s, 1:05, 2:03:00.

    >>> clock(8.4), clock(65), clock(7380)
    ('8 s', '1:05', '2:03:00')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"

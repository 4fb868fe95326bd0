"""Every failure as one sentence on standard error and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from rnnkit.cli.settings import origin
from rnnkit.console import visible
from rnnkit.errors import RnnkitError

INTERRUPTED = 130
PLAIN = {
    "is not a valid integer": "is not a whole number",
    "is not a valid float": "is not a number",
}
"""What Click says of numbers → what a person would say."""


class PipeClosedError(Exception):
    """The reader of standard output has gone, as ``| head`` does: the end, and no failure."""


def exit_with(call: Callable[[], Any]) -> NoReturn:
    """Call, then exit: 0, the code of the failure, or the code that the call returned."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character shows its code
    try:
        code = call()
        sys.stdout.flush()
    except (BrokenPipeError, PipeClosedError):
        _drop_output()
        sys.exit(0)
    except Exception as error:
        if os.environ.get("RNNKIT_DEBUG") == "1":
            raise
        sentence, code = describe(error)
        _flush_or_drop()
        print(f"rnnkit: {sentence}", file=sys.stderr)
    except KeyboardInterrupt:
        _flush_or_drop()
        print("rnnkit: interrupted", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)


def describe(error: Exception) -> tuple[str, int]:
    """(sentence, exit code) of an error."""
    match error:
        case RnnkitError():
            return _one_line(str(error)), error.exit_code
        case click.exceptions.Abort():
            return "interrupted", INTERRUPTED
        case click.ClickException():
            return _one_line(_usage(error)), error.exit_code
        case MemoryError():
            return "there is not enough memory; try a smaller --batch, --hidden or --context", 1
        case OSError():
            where = "reading or writing failed" if error.filename is None else str(error.filename)
            return _one_line(f"{where}: {error.strerror or error}; check the disk and the permissions"), 1
    return (
        _one_line(f"unexpected {type(error).__name__}: {error}; please report it with what RNNKIT_DEBUG=1 shows"),
        1,
    )


def _usage(error: click.ClickException) -> str:
    """Click's message, with where a wrong value came from and where to look."""
    text = error.format_message().strip().rstrip(".")
    text = text[:1].lower() + text[1:]
    for theirs, ours in PLAIN.items():
        text = text.replace(theirs, ours)
    ctx = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and ctx is not None:
        known = [name for param in ctx.command.params for name in (*param.opts, *param.secondary_opts)]
        close = get_close_matches(error.option_name, known, 1)
        text = f"there is no option {error.option_name}" + (f"; did you mean {close[0]}?" if close else "")
    if isinstance(error, click.BadParameter) and error.param is not None and ctx is not None:
        where = origin(ctx, error.param)
        text += f" (from {where})" if where else ""
    if ctx is None or "; " in text or text.endswith("?"):
        return text
    return f"{text}; {ctx.command_path} --help shows what there is"


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))


def _flush_or_drop() -> None:
    """What was written before a failure still goes out, where it can."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Nobody reads standard output any more: what is left in its buffer goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Where the rows of a result go."""

from __future__ import annotations

import sys
from pathlib import Path

from rnnkit import console
from rnnkit.outputs import STDOUT, write


def put(text: str, out: Path | None) -> None:
    """A text on standard output, or in a file."""
    if out is None or out == STDOUT:
        sys.stdout.write(text)
        return
    write(out, text.encode())
    console.note(f"wrote {out}")

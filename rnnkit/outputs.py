"""Files of results: a regular one appears whole or not at all, a device or a pipe is written to and stays."""

from __future__ import annotations

import os
from pathlib import Path

from rnnkit.errors import UsageError
from rnnkit.modelfile import write_atomic, write_error

STDOUT = Path("-")
"""Standard output, where a file of results is asked for."""


def ready(path: Path, force: bool) -> None:
    """``UsageError`` when a result could not go there: no folder, or a file that nobody said to replace."""
    if path == STDOUT:
        return
    if path.is_file() and not force:
        raise UsageError(f"{path} exists; give another file with -o, or --force to replace it")
    if not path.exists() and not Path(os.path.realpath(path)).parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist; make it first, or give another file with -o")


def write(path: Path, content: bytes) -> None:
    """Write a result: links are followed, and what is no regular file is written through."""
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(content)
        except OSError as error:
            raise write_error(path, error) from error
    else:
        write_atomic(Path(os.path.realpath(path)), content)

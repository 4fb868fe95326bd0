"""How the Numba backend compiles, and where the result is kept."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import extending

config: Any = numba.config
intrinsic: Any = extending.intrinsic  # typed, it would want the typing context from whoever calls

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set")


def _cache_folder() -> str:
    """A folder that only this user can write to, since code is read back from it, or nothing.

    Its name tells versions of Numba and of these sources apart: Numba itself looks only at the file of
    the function called, not at those of the functions that were compiled into it.
    """
    try:
        sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("numba_*.py")))
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "rnnkit"
        name = f"numba-{numba.__version__}-{hashlib.sha256(sources).hexdigest()[:8]}"
        folder = Path(config.CACHE_DIR or caches) / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):
        return ""
    private = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return str(folder) if private and os.access(folder, os.W_OK | os.X_OK) else ""


CACHE = _cache_folder()


def jit(function: Callable[..., Any], inline: Any = "never", regroup: bool = False) -> Any:
    """Compile at first use, keep in ``CACHE``, run without the GIL; NaN and infinity keep their meaning.

    ``regroup``: a sum may be made in as many lanes as the processor has, in an order that only the machine decides.
    Arrays are held by whoever calls from Python, so that no function counts references to them (``_nrt``).
    """
    options: dict[str, Any] = {"nogil": True, "_nrt": False, "error_model": "numpy"}
    options["fastmath"] = {"contract", "reassoc"} if regroup else {"contract"}
    with _kept():
        return numba.njit(cache=bool(CACHE), inline=inline, **options)(function)


def part(function: Callable[..., Any]) -> Any:
    """``jit`` for what is called from one place or is short: Numba compiles it with its caller, not twice."""
    return jit(function, inline="always")


def compiled(signature: Any, function: Callable[..., Any]) -> Any:
    """A function compiled now, or read from ``CACHE``, to be called by its address."""
    with _kept():
        return numba.cfunc(signature, cache=bool(CACHE))(function)


@contextmanager
def _kept() -> Iterator[None]:
    """Numba reads where to keep code here, once for each function."""
    others, config.CACHE_DIR = config.CACHE_DIR, CACHE
    try:
        yield
    finally:
        config.CACHE_DIR = others

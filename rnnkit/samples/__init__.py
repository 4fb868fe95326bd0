"""Small data of our own, so that every example of the README works offline."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path

from rnnkit.errors import UsageError


@dataclass(frozen=True)
class Sample:
    """One bundled file: its name in the package, what it holds, and a command to try on it."""

    name: str
    file: str
    about: str
    command: str


SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample(
            "energy",
            "energy.csv",
            "16 weeks of hourly electricity load (kW) with the temperature (°C), invented by equations",
            "rnnkit train energy.csv --cell gru --horizon 48",
        ),
        Sample(
            "chat",
            "chat.txt",
            "Short stories in French about a cat who is always hungry, written for rnnkit",
            "rnnkit train chat.txt --cell lstm",
        ),
    )
}


def _find(name: str) -> Sample:
    """The sample of that name, or ``UsageError``."""
    if name in SAMPLES:
        return SAMPLES[name]
    close = get_close_matches(name.lower(), SAMPLES, n=1)
    advice = f"; did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"there is no sample {name!r}, the samples are {', '.join(SAMPLES)}{advice}")


def sample_path(name: str) -> Path:
    """Where the bundled file of a sample lies; read it, never write to it.

    Raises ``UsageError`` for an unknown name.

    >>> sample_path("chat").name
    'chat.txt'
    """
    return Path(str(resources.files(__name__).joinpath(_find(name).file)))


def copy_sample(name: str, folder: str | Path = ".") -> Path:
    """Copy a sample's file into an existing folder, under its own name, and return the copy's path.

    Raises ``UsageError`` for an unknown name, for a file that is already there (it is left as it
    is), and for a folder that does not exist or cannot be written to.
    """
    content = sample_path(name).read_bytes()
    target = Path(folder) / SAMPLES[name].file
    try:
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise UsageError(
            f"{target} exists already and is not overwritten; remove it or choose another folder"
        ) from error
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}; name an existing, writable folder") from error
    return target

"""A run's folder: model, checkpoints, log and config, always in a state that loads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import modelfile
from rnnkit.errors import ModelFileError, RnnkitError, UsageError
from rnnkit.modelfile import CheckpointMeta, ModelMeta

MODEL, CHECKPOINT, PREVIOUS = "model.safetensors", "checkpoint.safetensors", "checkpoint-previous.safetensors"
LOG, CONFIG = "log.jsonl", "config.toml"


class Run:
    """One folder; ``Run.create`` makes it whole at once, ``Run(path)`` opens an existing one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._sound = True  # whether the newest checkpoint is whole, and so worth keeping as the previous one
        if not self.path.is_dir():
            raise UsageError(
                f"a run's folder was expected, but {self.path} does not exist; rnnkit info lists the runs here"
            )
        if not (self.path / MODEL).is_file():
            raise UsageError(
                f"a run's folder was expected, but {self.path} holds no {MODEL}; rnnkit info lists the runs here"
            )

    @classmethod
    def create(
        cls,
        path: Path,
        config: Mapping[str, Any],
        model: tuple[dict[str, np.ndarray], ModelMeta],
        checkpoint: tuple[dict[str, np.ndarray], CheckpointMeta] | None,
        *,
        replace: bool = False,
    ) -> Run:
        """Write a new run aside and rename it into place, so that it appears whole or not at all.

        A run without a checkpoint can be used, but not resumed.
        """
        if path.exists() and not replace:
            resume = " or --resume to go on" if checkpoint else ""
            comma = "," if checkpoint else " or"
            raise UsageError(f"{path} exists; give another folder with -o{comma} --force to replace it{resume}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        except OSError as error:
            raise modelfile.write_error(path, error) from error
        try:
            aside.chmod(0o755)
            modelfile.save(aside / MODEL, *model)
            if checkpoint is not None:
                modelfile.save(aside / CHECKPOINT, *checkpoint)
            modelfile.write_atomic(aside / CONFIG, to_toml(config).encode())
            modelfile.write_atomic(aside / LOG, b"")
            if path.exists():
                if not all((path / name).is_file() for name in (MODEL, CONFIG, LOG)):
                    raise UsageError(f"--force replaces a run, but {path} is none; give another folder with -o")
                os.replace(path, old := Path(f"{aside}.old"))
                try:
                    os.replace(aside, path)
                except OSError:
                    os.replace(old, path)
                    raise
                shutil.rmtree(old)
            else:
                os.replace(aside, path)
            modelfile.sync_folder(path.parent)
        except OSError as error:
            raise modelfile.write_error(path, error) from error
        except RnnkitError as error:  # what could not be written is part of this run
            error.args = (str(error).replace(str(aside), str(path)),)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return cls(path)

    # -- model and checkpoints -------------------------------------------------------------

    def save_model(self, arrays: dict[str, np.ndarray], meta: ModelMeta) -> None:
        """Replace the model."""
        modelfile.save(self.path / MODEL, arrays, meta)

    def load_model(self) -> tuple[dict[str, np.ndarray], ModelMeta]:
        """The model's arrays and metadata."""
        return modelfile.load(self.path / MODEL, ModelMeta)

    def save_checkpoint(self, arrays: dict[str, np.ndarray], meta: CheckpointMeta) -> None:
        """Replace the checkpoint, keeping the one before it."""
        newest, previous = self.path / CHECKPOINT, self.path / PREVIOUS
        if self._sound and newest.exists():
            try:
                os.replace(newest, previous)
            except OSError as error:
                raise modelfile.write_error(previous, error) from error
        modelfile.save(newest, arrays, meta)
        self._sound = True

    def load_checkpoint(self) -> tuple[dict[str, np.ndarray], CheckpointMeta]:
        """The newest checkpoint, or the one before it where the newest is damaged."""
        if not any((self.path / name).exists() for name in (CHECKPOINT, PREVIOUS)):
            raise UsageError(
                f"a run with a checkpoint was expected, but {self.path} has none to go on from; "
                "resume the run that it was made of, or train anew"
            )
        try:
            return modelfile.load(self.path / CHECKPOINT, CheckpointMeta)
        except ModelFileError:
            self._sound = False
            if not (self.path / PREVIOUS).exists():
                raise
            return modelfile.load(self.path / PREVIOUS, CheckpointMeta)

    def clear_leftovers(self) -> None:
        """Remove the files that writes cut short by a kill left aside."""
        for name in (MODEL, CHECKPOINT, CONFIG, LOG):
            for left in self.path.glob(f".{name}.*"):
                left.unlink(missing_ok=True)

    # -- log and config --------------------------------------------------------------------

    def log(self, **record: Any) -> None:
        """Append one line of JSON to the log."""
        try:
            with open(self.path / LOG, "a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise modelfile.write_error(self.path / LOG, error) from error

    def read_log(self) -> list[dict[str, Any]]:
        """The log's records; a last line cut short by a crash is passed over."""
        records = []
        try:
            lines = (self.path / LOG).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        for line in lines:
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def rewrite_log(self, records: list[dict[str, Any]]) -> None:
        """Replace the log, dropping what a resumed training is about to repeat."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        modelfile.write_atomic(self.path / LOG, text.encode())

    def save_config(self, config: Mapping[str, Any]) -> None:
        """Replace ``config.toml``; ``rnnkit train --config`` repeats it."""
        modelfile.write_atomic(self.path / CONFIG, to_toml(config).encode())


def to_toml(values: Mapping[str, Any]) -> str:
    """A flat TOML document of strings, numbers, booleans and lists; None is left out."""
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items() if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):  # a JSON string with the characters that TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def free_path(folder: Path) -> Path:
    """``folder``, or with -2, -3 ... appended the first that does not exist."""
    candidate, n = folder, 1
    while candidate.exists():
        n += 1
        candidate = folder.with_name(f"{folder.name}-{n}")
    return candidate


def list_runs(folder: Path) -> list[Path]:
    """The runs in a folder, newest first."""
    entries = folder.glob("[!.]*") if folder.is_dir() else []  # a name with a dot is a run not whole yet
    found = [entry for entry in entries if (entry / MODEL).is_file()]
    return sorted(found, key=lambda entry: ((entry / MODEL).stat().st_mtime_ns, entry.name), reverse=True)

"""One safe file: safetensors for the arrays, checked JSON beside them in its header.

Nothing in a file is ever executed: arrays are numbers, metadata is decoded into the structs
below, and the layers it names come from the fixed table ``nn.LAYERS``.
"""

from __future__ import annotations

import errno
import os
import tempfile
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from rnnkit.errors import ModelFileError, RnnkitError

FORMAT_VERSION = 2
"""The newest format read: 1 holds float32 weights, 2 may hold quantised ones.  A file says the oldest that does."""
KEY = "rnnkit"
DTYPES: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "BOOL": np.bool_,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8,
}  # fmt: skip
"""safetensors' names of dtypes; NumPy has no bfloat16, whose bits are held as uint16, which stands for nothing else."""


class ModelMeta(msgspec.Struct, forbid_unknown_fields=True):
    """What a model file says of itself; with the arrays, all that is needed to predict.

    ``network`` is the tree of layers, ``facts`` what the task learned of the data (vocabulary,
    scaling, frequency ...), ``options`` the settings it was trained with, ``report`` its figures
    on the part that nothing chose by.
    """

    task: str
    network: dict[str, Any]
    facts: dict[str, Any]
    options: dict[str, Any]
    report: dict[str, Any]
    format: str = "rnnkit.model"
    version: int = 1


class CheckpointMeta(msgspec.Struct, forbid_unknown_fields=True):
    """Where an interrupted training stands; the arrays hold weights, optimiser and carried state."""

    fingerprint: str
    options: dict[str, Any]
    progress: dict[str, Any]
    format: str = "rnnkit.checkpoint"
    version: int = 1


Meta = TypeVar("Meta", ModelMeta, CheckpointMeta)


class _Sealed(msgspec.Struct):
    meta: str
    digest: str


class _Head(msgspec.Struct):
    format: str
    version: int


def write_atomic(path: Path, content: bytes) -> None:
    """Write aside, flush to disk, rename: the file at ``path`` is the old one or the new one, never a part."""
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o666 & ~_umask())
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> RnnkitError:
    """One sentence for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RnnkitError(f"{path} could not be written because the disk is full; free some space and repeat")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RnnkitError(f"{path} could not be written because its folder is read-only; choose another with -o")
    return RnnkitError(f"{path} could not be written: {error.strerror}; choose another folder with -o")


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(path: Path, arrays: dict[str, np.ndarray], meta: ModelMeta | CheckpointMeta) -> None:
    """Write arrays and metadata to ``path``; the same content gives the same bytes."""
    from safetensors.numpy import save as encode

    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = msgspec.json.encode(meta, order="sorted").decode()
    write_atomic(path, _name_bfloat16(encode(arrays, {KEY: seal(arrays, text)})))


def _name_bfloat16(content: bytes) -> bytes:
    """The file with uint16 arrays called what they are, so that other readers take them for bfloat16."""
    size = int.from_bytes(content[:8], "little")
    header = msgspec.json.decode(content[8 : 8 + size])
    if not any(entry.get("dtype") == "U16" for entry in header.values()):
        return content
    for entry in header.values():
        if entry.get("dtype") == "U16":
            entry["dtype"] = "BF16"
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def seal(arrays: dict[str, np.ndarray], text: str) -> str:
    """Metadata with the SHA-256 of all content: bits flipped on a disk would otherwise pass for weights.

    One string, since the order of several keys in a safetensors header is not fixed.
    """
    digest = sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].data)
    return msgspec.json.encode(_Sealed(text, digest.hexdigest())).decode()


def load(path: Path, kind: type[Meta]) -> tuple[dict[str, np.ndarray], Meta]:
    """Read a file written by ``save``; raises ``ModelFileError`` for anything else.

    Memory is bounded by the size of the file: offsets and shapes are checked against it first.
    """
    from safetensors import SafetensorError, deserialize

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"a model file was expected at {path}, but it cannot be read: {error.strerror}") from error
    try:
        size = int.from_bytes(content[:8], "little")
        header = msgspec.json.decode(content[8 : 8 + size]) if 0 < size <= len(content) - 8 else {}
        text = header["__metadata__"][KEY]
        sealed = msgspec.json.decode(text, type=_Sealed)
        head = msgspec.json.decode(sealed.meta, type=_Head)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"an rnnkit file was expected, but {path} is none or has lost its beginning ({len(content)} bytes); "
            "name another, or train again"
        ) from error
    wanted = "rnnkit.model" if kind is ModelMeta else "rnnkit.checkpoint"
    if head.format != wanted:
        raise ModelFileError(f"a file of the form {wanted} was expected, but {path} is of the form {head.format}")
    if head.version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} is of format {head.version} and this rnnkit reads {FORMAT_VERSION}; pip install -U rnnkit"
        )
    try:
        arrays = {
            name: np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in sorted(deserialize(content), key=itemgetter(0))
        }
        meta = msgspec.json.decode(sealed.meta, type=kind)
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is damaged ({error}); restore it from a copy, or train again") from error
    if seal(arrays, sealed.meta) != text:
        raise ModelFileError(f"{path} is damaged (its content has another checksum); restore it, or train again")
    return arrays, meta

"""The layer contract, and trees of layers as JSON.

A layer is a dataclass: its fields are its description, those that hold layers are its children.

``forward(x, state, tape) -> (y, state)``
    ``state`` is a tuple (None: zeros, or nothing to carry); ``tape`` a ``Tape`` (None: inference).
``backward(dy, tape, dstate=None, want_dx=True) -> (dx, dstate)``
    Undoes the latest ``forward`` on that tape, adding to the gradients of the parameters;
    ``dstate`` is the gradient of the final state going in, of the initial one coming out.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import msgspec
import numpy as np

from rnnkit.cells import Param
from rnnkit.errors import ModelFileError, RnnkitError, UsageError
from rnnkit.nn import threads as threads_
from rnnkit.nn.engine import ENGINE, Engine
from rnnkit.nn.initializers import fill
from rnnkit.nn.memory import Footprint
from rnnkit.nn.parameters import Parameters
from rnnkit.nn.tape import Tape

State = Any  # None, or nested tuples of arrays
LAYERS: dict[str, type[Layer]] = {}
"""Every kind of layer by the name that it has in a model file."""

DEPTH = 32
"""Levels that a tree read from a file may have; ours have five."""


def later(default: Any) -> Any:
    """A field of a layer that was added to it later: left out of the description while it has its default, so that
    such networks are written as they were, and read by the rnnkits of before."""
    return dataclasses.field(default=default, metadata={"later": True})


class Layer:
    """A part of a network; see the module's docstring for its contract."""

    kind: ClassVar[str] = ""

    # Bound by ``bind``: where the layer stands in its tree, its parameters and their gradients.
    path: str = ""
    parameters: Parameters | None = None
    p: dict[str, np.ndarray]
    g: dict[str, np.ndarray]

    engine: ClassVar[Engine] = ENGINE  # what runs it; each layer's own once it is configured

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LAYERS[cls.kind] = cls

    def params(self) -> tuple[Param, ...]:
        """The parameters of this layer itself, its children's left out."""
        return ()

    def forward(self, x: Any, state: State = None, tape: Tape | None = None) -> tuple[Any, State]:
        raise NotImplementedError

    def backward(self, dy: Any, tape: Tape, dstate: State = None, want_dx: bool = True) -> tuple[Any, State]:
        raise NotImplementedError

    def configure(self, backend: str = "auto", threads: int | str = "auto") -> Self:
        """Choose what runs this layer (not stored with the model): a backend and a number of threads."""
        vars(self)["engine"] = Engine(backend, threads_.resolve(threads))
        return self

    def spares_output(self) -> bool:
        """Whether ``backward`` never reads what ``forward`` returned, so that the gradient may be written over it."""
        return False

    def memory(self, shape: Any, training: bool = True) -> Footprint:
        """What inputs of that shape take: by default nothing, and the outputs are of the same shape."""
        return Footprint(0, 0, 0, shape)

    def _bytes(self, *shape: int) -> int:
        """Bytes of an array of the layer's own dtype."""
        return math.prod(shape) * self.bound().values.dtype.itemsize

    # -- the tree --------------------------------------------------------------------------

    def children(self) -> dict[str, Layer]:
        """Child layers by name, in the order of their fields."""
        found: dict[str, Layer] = {}
        for field in dataclasses.fields(typing.cast(Any, self)):
            value = getattr(self, field.name)
            if isinstance(value, Layer):
                found[field.name] = value
            elif isinstance(value, tuple) and value and isinstance(value[0], Layer):
                found.update({str(i): child for i, child in enumerate(value)})
        return found

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all below it, each with its path."""
        yield path, self
        for name, child in self.children().items():
            yield from child.walk(f"{path}.{name}" if path else name)

    def declared(self) -> dict[str, Param]:
        """Every parameter of the tree by its full name."""
        return {
            (f"{path}.{param.name}" if path else param.name): param
            for path, layer in self.walk()
            for param in layer.params()
        }

    def count_params(self) -> int:
        """How many arrays of parameters the tree has of its own, without declaring them one by one."""
        own = sum(not param.tied for param in self.params())
        return own + sum(child.count_params() for child in self.children().values())

    def has_params(self) -> bool:
        """Whether anything in the tree can be learned."""
        return any(layer.params() for _, layer in self.walk())

    def bind(self, parameters: Parameters) -> Self:
        """Give every layer of the tree its views of ``parameters``."""
        for path, layer in self.walk():
            names = {param.name: f"{path}.{param.name}" if path else param.name for param in layer.params()}
            layer.path, layer.parameters = path, parameters
            layer.p = {name: parameters.value(full) for name, full in names.items()}
            layer.g = {name: parameters.grad(full) for name, full in names.items()}
        return self

    def init(self, seed: int = 0, dtype: Any = np.float32) -> Self:
        """Make the tree's parameters and fill them by their initialisers; returns the layer itself.

        Each parameter has a stream of its own, keyed by seed and name, so adding a layer leaves
        the others' first values as they were.
        """
        from zlib import crc32

        declared = self.declared()
        parameters = Parameters(declared, dtype)
        for name in parameters:
            rng = np.random.Generator(np.random.Philox(key=(seed & (2**64 - 1)) | (crc32(name.encode()) << 64)))
            parameters.value(name)[...] = fill(declared[name], rng)
        return self.bind(parameters)

    def bound(self) -> Parameters:
        """The parameters, or one sentence on how to make them."""
        if self.parameters is None:
            raise RnnkitError(
                f"a {self.kind} layer has no parameters yet: call .init(seed=0) on it or on its network first"
            )
        return self.parameters

    # -- JSON ------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The tree as JSON-able values; ``layer_from`` reads it back."""
        return {
            "kind": self.kind,
            **{
                f.name: _plain(getattr(self, f.name))
                for f in dataclasses.fields(typing.cast(Any, self))
                if not (f.metadata.get("later") and getattr(self, f.name) == f.default)
            },
        }


def check_shape(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """``UsageError`` unless the array has that shape."""
    if array.shape != shape:
        raise UsageError(f"{what} of shape {list(shape)} was expected, found {list(array.shape)}")


def _plain(value: Any) -> Any:
    if isinstance(value, Layer):
        return value.describe()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def layer_from(description: Mapping[str, Any], depth: int = 0) -> Layer:
    """Build a tree of layers from what ``describe`` gave; ``ModelFileError`` for anything else.

    Only the kinds in ``LAYERS`` exist, only their own fields are taken, each checked for its type.
    """
    if depth > DEPTH:  # before anything walks the tree
        raise ModelFileError(f"a tree of at most {DEPTH} levels of layers was expected, found a deeper one")
    kind = description.get("kind") if isinstance(description, Mapping) else None
    if not isinstance(kind, str) or kind not in LAYERS:
        found = repr(kind) if isinstance(kind, str) else f"a {type(kind).__name__}"
        raise ModelFileError(
            f"a layer of one of the kinds {', '.join(sorted(filter(None, LAYERS)))} was expected, found {found}"
        )
    cls = LAYERS[kind]
    hints = typing.get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(typing.cast(Any, cls))}
    unknown = set(description) - fields - {"kind"}
    if unknown:
        raise ModelFileError(f"a {kind} layer has no field {sorted(unknown)[0]!r}; the file may be of a newer rnnkit")
    values: dict[str, Any] = {}
    for name in fields & set(description):
        raw, hint = description[name], hints[name]
        if hint is Layer:
            values[name] = layer_from(raw, depth + 1)
        elif hint == tuple[Layer, ...]:
            if not isinstance(raw, list):
                raise ModelFileError(
                    f"field {name!r} of a {kind} layer is a list of layers, not a {type(raw).__name__}"
                )
            values[name] = tuple(layer_from(item, depth + 1) for item in raw)
        else:
            try:
                values[name] = msgspec.convert(raw, hint)
            except msgspec.ValidationError as error:
                raise ModelFileError(f"field {name!r} of a {kind} layer cannot be read: {error}") from error
    try:
        return cls(**values)
    except (TypeError, ValueError, RnnkitError) as error:
        raise ModelFileError(f"a {kind} layer in the file cannot be built: {error}") from error

"""The recurrent cells: one record each, from which everything else is derived.

Notation used throughout rnnkit: T steps, B batch rows, I inputs, H hidden units, G gates.
``x_t`` is a row of inputs, ``h`` the hidden state, ``c`` the cell state, ``σ`` the logistic
function, ``⊙`` the elementwise product.  Weights multiply from the right: ``x_t W`` with
``W [I, G·H]``, ``h R`` with ``R [H, G·H]``, gates side by side in the order of ``Cell.gates``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rnnkit.errors import UsageError


@dataclass(frozen=True)
class Param:
    """One array of parameters that a layer declares.

    ``blocks`` arrays of equal width stand side by side along the last axis (the gates); an
    initialiser fills each of them on its own, with ``fan = (inputs, outputs)`` of one block.
    ``constants`` gives each block's value when ``init`` is ``"constant"``.  ``decay`` says
    whether weight decay applies; ``tied`` names the parameter of the network that this one is a view of, which is
    that parameter transposed where ``transposed`` says so.
    """

    name: str
    shape: tuple[int, ...]
    init: str = "zeros"
    decay: bool = True
    blocks: int = 1
    fan: tuple[int, int] = (1, 1)
    constants: tuple[float, ...] = ()
    tied: str = ""
    transposed: bool = False


@dataclass(frozen=True)
class Cell:
    """What the rest of the house must know of a cell; its arithmetic is in ``_kernels``.

    ``recurrent`` says whether h meets a matrix R; without one, gates depend on x alone and steps can be taken together.
    """

    name: str
    title: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    equations: tuple[str, ...]
    gate_bias: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Callable[[int, Mapping[str, str]], tuple[Param, ...]] = lambda hidden, options: ()
    recurrent: bool = True

    def complete(self, options: Mapping[str, str] | None = None) -> dict[str, str]:
        """The cell's options with defaults filled in; ``UsageError`` for an unknown one."""
        chosen = {name: values[0] for name, values in self.options.items()}
        for name, value in (options or {}).items():
            if name not in self.options:
                raise UsageError(
                    f"the {self.name} cell has no option {name!r}; it has {', '.join(self.options) or 'none'}"
                )
            if value not in self.options[name]:
                raise UsageError(
                    f"{name} of the {self.name} cell is one of {', '.join(self.options[name])}, not {value!r}"
                )
            chosen[name] = value
        return chosen

    def variant(self, options: Mapping[str, str] | None = None) -> str:
        """The name under which the kernels know this cell with these options."""
        return "_".join((self.name, *self.complete(options).values()))

    def params(self, inputs: int, hidden: int, options: Mapping[str, str] | None = None) -> tuple[Param, ...]:
        """Names, shapes and default initialisers of one layer of this cell in one direction."""
        width = len(self.gates) * hidden
        bias = tuple(self.gate_bias.get(gate, 0.0) for gate in self.gates)
        R = Param("R", (hidden, width), "orthogonal", True, len(self.gates), (hidden, hidden))
        return (
            Param("W", (inputs, width), "xavier_uniform", True, len(self.gates), (inputs, hidden)),
            *((R,) if self.recurrent else ()),
            Param("b", (width,), "constant", False, len(self.gates), (hidden, hidden), bias),
            *self.extra(hidden, self.complete(options)),
        )


def _recurrent_bias(hidden: int, options: Mapping[str, str]) -> tuple[Param, ...]:
    """The reset-after GRU adds a bias to h R_n inside the reset gate (Keras, cuDNN, PyTorch)."""
    if options["reset"] == "after":
        return (Param("bn", (hidden,), "zeros", False, 1, (hidden, hidden)),)
    return ()


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell(
            name="rnn",
            title="vanilla RNN (Elman 1990)",
            gates=("h",),
            states=("h",),
            equations=("h' = tanh(x W + h R + b)    (or relu)",),
            options={"activation": ("tanh", "relu")},
        ),
        Cell(
            name="lstm",
            title="long short-term memory (Hochreiter & Schmidhuber 1997, Gers et al. 2000)",
            gates=("i", "f", "g", "o"),
            states=("h", "c"),
            equations=(
                "i, f, o = σ(x W + h R + b)",
                "g = tanh(x W_g + h R_g + b_g)",
                "c' = f ⊙ c + i ⊙ g",
                "h' = o ⊙ tanh(c')",
            ),
            gate_bias={"f": 1.0},
        ),
        Cell(
            name="gru",
            title="gated recurrent unit (Cho et al. 2014)",
            gates=("r", "z", "n"),
            states=("h",),
            equations=(
                "r, z = σ(x W + h R + b)",
                "n = tanh(x W_n + b_n + r ⊙ (h R_n + bn))    (reset before: (r ⊙ h) R_n)",
                "h' = (1 − z) ⊙ n + z ⊙ h",
            ),
            options={"reset": ("after", "before")},
            extra=_recurrent_bias,
        ),
        Cell(
            name="mingru",
            title="minimal GRU (Feng et al. 2024)",
            gates=("z", "n"),
            states=("h",),
            equations=(
                "z = σ(x W_z + b_z)",
                "n = g(x W_n + b_n),  g(a) = a    (positive: a + ½ where a ≥ 0, else σ(a))",
                "h' = (1 − z) ⊙ h + z ⊙ n",
            ),
            options={"activation": ("linear", "positive")},
            recurrent=False,
        ),
        Cell(
            name="minlstm",
            title="minimal LSTM (Feng et al. 2024)",
            gates=("f", "i", "n"),
            states=("h",),
            equations=(
                "f, i = σ(x W + b)",
                "n = g(x W_n + b_n),  g(a) = a    (positive: a + ½ where a ≥ 0, else σ(a))",
                "h' = f/(f + i) ⊙ h + i/(f + i) ⊙ n",
            ),
            gate_bias={"f": 1.0},
            options={"activation": ("linear", "positive")},
            recurrent=False,
        ),
    )
}
"""Every cell by name: parameter shapes, initialisation, CLI choices, tests and benches iterate over it."""


def get_cell(name: str) -> Cell:
    """The cell called ``name``; ``UsageError`` lists those there are."""
    if name not in CELLS:
        raise UsageError(f"cell is one of {', '.join(CELLS)}, not {name!r}")
    return CELLS[name]


def cell_of(variant: str) -> Cell:
    """The cell of a variant's name (``Cell.variant``)."""
    return get_cell(variant.partition("_")[0])


def values_of(option: str) -> tuple[str, ...]:
    """What an option can be in one cell or another, in their order."""
    return tuple(dict.fromkeys(value for cell in CELLS.values() for value in cell.options.get(option, ())))

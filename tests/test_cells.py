"""The records of CELLS: shapes, options and errors."""

import numpy as np
import pytest

from rnnkit._kernels import BACKENDS, choose, load
from rnnkit.cells import CELLS, cell_of, get_cell, values_of
from rnnkit.errors import UsageError

COUNTS = {  # parameters of a layer with 3 inputs and 5 hidden units, by hand: G·(3·5 + 5·5 + 5), less R, and bn
    "rnn_tanh": 45,
    "rnn_relu": 45,
    "lstm": 180,
    "gru_after": 140,
    "gru_before": 135,
    "mingru_linear": 40,
    "mingru_positive": 40,
    "minlstm_linear": 60,
    "minlstm_positive": 60,
}


def test_every_variant_has_the_parameters_of_its_equations(variant):
    params = variant.cell.params(3, 5, variant.options)
    assert sum(np.prod(p.shape, dtype=int) for p in params) == COUNTS[variant.name]
    G = len(variant.cell.gates)
    expected = {"W": (3, 5 * G), "b": (5 * G,)} | ({"R": (5, 5 * G)} if variant.cell.recurrent else {})
    assert {p.name: p.shape for p in params if p.name != "bn"} == expected
    for p in params:
        assert p.shape[-1] % p.blocks == 0
        assert len(p.constants) == (p.blocks if p.init == "constant" else 0)
        assert p.decay == (len(p.shape) == 2)


def test_names_are_those_of_the_record(cell):
    assert CELLS[cell.name] is cell is get_cell(cell.name)
    assert cell.states[0] == "h"
    assert len(set(cell.gates)) == len(cell.gates)
    assert set(cell.gate_bias) <= set(cell.gates)
    assert cell.equations
    assert all(len(set(values)) == len(values) > 1 for values in cell.options.values())


def test_gates_stand_in_pytorch_order():
    assert CELLS["lstm"].gates == ("i", "f", "g", "o")
    assert CELLS["gru"].gates == ("r", "z", "n")
    bias = next(p for p in CELLS["lstm"].params(1, 1) if p.name == "b")
    assert bias.constants == (0.0, 1.0, 0.0, 0.0)


def test_the_first_value_of_an_option_is_its_default(cell):
    assert cell.complete() == {name: values[0] for name, values in cell.options.items()}
    assert cell.variant() == "_".join((cell.name, *(values[0] for values in cell.options.values())))


def test_only_the_reset_after_gru_has_a_recurrent_bias():
    gru = CELLS["gru"]
    assert [p.name for p in gru.params(2, 3)] == ["W", "R", "b", "bn"]
    assert [p.name for p in gru.params(2, 3, {"reset": "before"})] == ["W", "R", "b"]


def test_minimal_cells_have_no_recurrent_matrix():
    assert [name for name, cell in CELLS.items() if not cell.recurrent] == ["mingru", "minlstm"]
    assert CELLS["mingru"].gates == ("z", "n")
    assert CELLS["minlstm"].gates == ("f", "i", "n")
    assert next(p for p in CELLS["minlstm"].params(1, 1) if p.name == "b").constants == (1.0, 0.0, 0.0)
    assert next(p for p in CELLS["mingru"].params(1, 1) if p.name == "b").constants == (0.0, 0.0)


def test_a_variant_leads_back_to_its_cell(variant):
    assert cell_of(variant.name) is variant.cell


def test_the_values_of_an_option_are_those_of_all_cells():
    assert values_of("activation") == ("tanh", "relu", "linear", "positive")
    assert values_of("reset") == ("after", "before")


def test_every_backend_has_every_variant(variant, backend):
    assert all(map(callable, load(backend, variant.name)[:5]))


def test_an_unknown_name_is_refused_with_what_there_is(cell):
    with pytest.raises(UsageError, match="rnn, lstm, gru, mingru, minlstm, not 'lsmt'"):
        get_cell("lsmt")
    with pytest.raises(UsageError, match=f"the {cell.name} cell has no option 'depth'"):
        cell.complete({"depth": "2"})
    for option, values in cell.options.items():
        expected = f"{option} of the {cell.name} cell is one of {', '.join(values)}, not 'sometimes'"
        with pytest.raises(UsageError, match=expected):
            cell.complete({option: "sometimes"})


def test_an_unknown_backend_or_variant_is_refused(monkeypatch):
    with pytest.raises(UsageError, match=f"one of auto, {', '.join(BACKENDS)}, not 'fortran'"):
        choose("fortran")
    with pytest.raises(UsageError, match="numpy backend has no gru_sideways cell"):
        load("numpy", "gru_sideways")
    monkeypatch.setenv("RNNKIT_BACKEND", "numpy")
    assert choose() == "numpy"

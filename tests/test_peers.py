"""Other people's layers give the reference's results, or are found out; what is missing is named."""

import os

import numpy as np
import pytest
from held import Surroundings

from rnnkit import peers
from rnnkit.benchmark import arena, survey
from rnnkit.cells import CELLS
from rnnkit.contestants import KernelRun, Shape, check_equal, make_problem
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import open_lanes

SMALL = Shape(3, 5, 4, 7)


@pytest.mark.parametrize("cell", CELLS)
def test_torch_agrees_and_a_wrong_weight_is_caught(cell):
    torch = pytest.importorskip("torch")
    problem = make_problem(cell, SMALL)
    expected = KernelRun("numpy", problem, 1).results()
    peer = peers.TorchRun(problem, 1)
    assert torch.get_num_threads() == 1
    found = peer.results()
    assert set(found) == set(expected)
    check_equal("torch", found, expected, "the test")
    with torch.no_grad():
        getattr(peer.layer, peer.names["W"])[2, 3] += 0.05
    with pytest.raises(RnnkitError, match=r"torch should give what the reference gives for the test, but its"):
        check_equal("torch", peer.results(), expected, "the test")


@pytest.mark.parametrize("cell", CELLS)
def test_onnx_runtime_agrees_and_a_wrong_order_of_gates_is_caught(cell, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    problem = make_problem(cell, SMALL)
    if not peers.able("onnxruntime", cell):
        pytest.skip(f"{cell}: ONNX has no such operator")
    expected = KernelRun("numpy", problem, 1).results()
    found = peers.OnnxRun(problem, 1).results()
    assert set(found) == {"h of inference", *(f"last {name}" for name in problem.cell.states)}
    check_equal("onnxruntime", found, {name: expected[name] for name in found}, "the test")
    gates = len(problem.cell.gates)
    if gates > 1:
        monkeypatch.setitem(peers.OnnxRun.order, cell, tuple(range(gates)))
        wrong = peers.OnnxRun(problem, 1).results()
        with pytest.raises(RnnkitError, match="onnxruntime should give"):
            check_equal("onnxruntime", wrong, {name: expected[name] for name in wrong}, "the test")


def test_onnx_has_the_cells_with_a_recurrent_matrix(cell):
    assert peers.able("torch", cell.name) == ("infer", "train")
    assert peers.able("onnxruntime", cell.name) == (("infer",) if cell.recurrent else ())


@pytest.mark.parametrize("T", [1, 2, 7, 8])
def test_the_scan_of_torch_is_the_loop(T):
    torch = pytest.importorskip("torch")
    keep, add, h = torch.rand(T, 2, 3), torch.randn(T, 2, 3), torch.randn(2, 3)
    y = peers.scan(torch, keep, add, h)
    for t in range(T):
        h = keep[t] * h + add[t]
        torch.testing.assert_close(y[t], h)


@pytest.mark.parametrize("peer", peers.PEERS)
def test_a_missing_peer_is_one_sentence(peer, monkeypatch):
    monkeypatch.setattr(peers.PEERS[peer], "packages", ("a_package_that_is_not_there", "nor_this"))
    with pytest.raises(
        UsageError, match=rf"^--against {peer} needs .* and nor_this, .*; pip install a_pack.* nor_this"
    ):
        survey(1, ("numpy",), (peer,))


def test_an_unknown_peer_is_named():
    with pytest.raises(UsageError, match="--against is one of torch, onnxruntime, not 'jax'"):
        survey(1, ("numpy",), ("jax",))


@pytest.mark.parametrize(("isa", "capability"), [("x86-64-v3", "avx2"), ("baseline", "default")])
def test_peers_have_the_instructions_that_rnnkit_has(isa, capability, monkeypatch):
    monkeypatch.setenv("RNNKIT_ISA", isa)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")  # somebody's own choice stays
    assert peers.limits() == {**peers.LIMITED[isa], "ONEDNN_MAX_CPU_ISA": "SSE41"}
    assert peers.limits()["ATEN_CPU_CAPABILITY"] == capability


def test_without_rnnkit_isa_nobody_is_held(monkeypatch):
    for isa in ("", "x86-64-v4"):
        monkeypatch.setenv("RNNKIT_ISA", isa)
        assert peers.limits() == {}


def test_a_lane_has_its_environment_before_it_loads_anything_and_the_parent_has_not():
    values = {"RNNKIT_TEST_LANE": "held", "OPENBLAS_CORETYPE": "Nehalem"}
    before = dict(os.environ)
    with open_lanes(("a",), 1, values) as lanes:
        assert dict(os.environ) == before
        lanes["a"].ask("hold", Surroundings)
        assert {name: lanes["a"].ask("call", "environ")[name] for name in values} == values


def test_torch_is_held_to_avx2(monkeypatch):
    torch = pytest.importorskip("torch")
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("this processor has no more than AVX2")
    monkeypatch.setenv("RNNKIT_ISA", "x86-64-v3")
    setting = survey(1, ("numpy",), ("torch",))
    with arena(setting) as lanes:
        lanes["torch"].ask("hold", Surroundings)
        assert lanes["torch"].ask("call", "capability") == "AVX2"


def test_gates_are_where_the_operator_wants_them():
    """LSTM i o f c and GRU z r h out of rnnkit's i f g o and r z n."""
    for cell, order in (("lstm", "iofg"), ("gru", "zrn")):
        gates = CELLS[cell].gates
        assert "".join(gates[place] for place in peers.OnnxRun.order[cell]) == order
    problem = make_problem("gru", SMALL)
    run = object.__new__(peers.OnnxRun)
    run.problem = problem
    weights, H = run._weights(), SMALL.H
    assert {name: value.shape for name, value in weights.items()} == {
        "W": (1, 3 * H, SMALL.I),
        "R": (1, 3 * H, H),
        "B": (1, 6 * H),
    }
    assert np.array_equal(weights["R"][0, :H], problem.params["R"][:, H : 2 * H].T)
    assert np.array_equal(weights["B"][0, -H:], problem.params["bn"])
    assert not weights["B"][0, 3 * H : -H].any()

"""The scripts of this folder run, agree and print what they say; what they measure is not judged here."""

import json

import minimal
import numpy as np
import precision
import pytest
import quantities
import scaling
import torch_peer
from character import Sizes, Windows

from rnnkit._kernels import machine
from rnnkit.cells import CELLS
from rnnkit.contestants import WORKS, KernelRun
from rnnkit.errors import RnnkitError

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


@pytest.fixture
def here():
    """The compiled measurements, or a skip by name."""
    try:
        return machine.load()
    except RnnkitError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 3, 5), (4, 64, 256), (8, 33, 100), (64, 7, 64)])
def test_products_are_products(here, rows, depth, columns):
    rng = np.random.default_rng(1)
    a, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, depth), (depth, columns)))
    out = np.full((rows, columns), 7, np.float32)
    here.products(a, here.pack_panels(w), out, 2)
    np.testing.assert_allclose(out, a @ w, rtol=0, atol=1e-4)


def test_reading_counts_what_it_reads(here):
    arrays = np.ones((2, 5000), np.float32)
    blocks = here.read(arrays[:1], 1)
    assert 0 < blocks <= 4 * 5000
    assert here.read(arrays, 3) == 3 * blocks * (2 if here.openmp() else 1)
    here.barriers(1000, 2)
    here.cycles(1000)


@pytest.mark.usefixtures("here")
def test_quantities(capsys, monkeypatch):
    monkeypatch.setattr(quantities, "PLACES", {"L1": 8192, "memory": 1 << 20})
    monkeypatch.setattr(quantities, "SIZES", (16, 32))
    quantities.main(["--threads", "2", "--seconds", "0", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(one["H"], one["rows"]) for one in found["products"]] == [
        (H, rows) for H in (16, 32) for rows in (4, 8, 16, 64)
    ]
    assert [(one["from"], one["threads"]) for one in found["reading"]] == [
        ("L1", 1),
        ("L1", 2),
        ("memory", 1),
        ("memory", 2),
    ]
    quantities.main(["--threads", "1", "--seconds", "0"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("barrier" in line for line in lines)  # nobody to meet


@pytest.mark.parametrize("cell", CELLS)
def test_decaying_states_are_denormal_and_others_are_not(cell):
    for scale, denormal in ((scaling.DENORMAL, True), (1.0, False)):
        run = scaling.make_decay("numpy", cell, scale, 1, 300)
        assert isinstance(run, KernelRun)
        run.infer()
        sizes = np.abs(run.states[0][200])
        assert (np.median(sizes) < SMALLEST_NORMAL) == denormal
        assert np.median(sizes) > 0


def test_minimal(capsys):
    line = ["--shape", "3,5,4,7", "--backend", "numpy", "--threads", "1", "--rounds", "3"]
    minimal.main([*line, "--json"])
    results = json.loads(capsys.readouterr().out)["results"]
    assert [one["kind"] for one in results] == ["layer", "model"]
    for one in results:
        assert set(one["ms"]) == {"gru", "mingru", "minlstm"}
        assert all(ratio > 0 for ratio in one["times_gru"].values())
    minimal.main(line)
    assert capsys.readouterr().out.splitlines()[1].startswith("layer  3 5 4 7")


def test_scaling(capsys):
    line = ["--threads", "1", "--cell", "gru", "--backend", "numpy", "--factor", "4", "--steps", "8", "--seconds", "0"]
    scaling.main([*line, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["factors"] == [1, 4]
    assert [row["work"] for row in found["results"]] == list(WORKS)
    assert all(row[along]["1"] == 1 for row in found["results"] for along in "TB")
    assert all(row["denormals numpy"] > 0 for row in found["results"])
    scaling.main(line)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


def test_windows_follow_one_another_through_the_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz")
    windows = Windows(Sizes(2, 4), str(path))  # two rows of thirteen characters
    assert windows.count == 3
    inputs, targets = windows[1]
    assert inputs.T.tolist() == [[4, 5, 6, 7], [17, 18, 19, 20]]
    assert targets.T.tolist() == [[5, 6, 7, 8], [18, 19, 20, 21]]
    assert np.array_equal(windows[3][0], windows[0][0])
    with pytest.raises(SystemExit, match="too short for 2 rows of 13 characters"):
        Windows(Sizes(2, 13), str(path))


def test_torch_peer(capsys, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "text.txt"
    path.write_text("to be or not to be " * 20)
    line = ["--batch", "4x8", "--text", str(path), "--threads", "1", "--seconds", "0"]
    torch_peer.main([*line, "--cell", "lstm,gru", "--sizes", "2x8", "--json"])
    found = json.loads(capsys.readouterr().out)["results"]
    assert [(one["cell"], one["layers"]) for one in found if one["by"] == "rnnkit"] == [("lstm", 2), ("gru", 2)]
    assert {"rnnkit", "torch", "torch bfloat16"} <= {one["by"] for one in found}
    assert all(one["characters"] == len(set("to be or not")) for one in found)
    torch_peer.main([*line, "--cell", "rnn", "--sizes", "1x8,1x16"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_different_steps_are_not_timed():
    right = {"the loss": np.array(4.0), "w after three steps": np.array([1.0, 2.0])}
    torch_peer.check_equal({**right, "w after three steps": np.array([1.001, 2.0])}, right)
    with pytest.raises(RnnkitError, match=r"w after three steps should be PyTorch's, but is off by 5.0e-03"):
        torch_peer.check_equal({**right, "w after three steps": np.array([1.01, 2.0])}, right)
    for loss in (4.02, float("nan")):
        with pytest.raises(RnnkitError, match="half begins with a loss of"):
            torch_peer.check_loss("half", loss, 4.0)


def test_torch_in_bfloat16_learns_the_same_to_its_precision():
    pytest.importorskip("torch")
    for cell in (name for name, cell in CELLS.items() if cell.recurrent):
        sizes = Sizes(4, 8, hidden=16, cell=cell)
        plain, half = (torch_peer.TorchStep(sizes, None, 1, half) for half in (False, True))
        expected, found = plain.results(), half.results()
        torch_peer.check_loss("half", float(found["the loss"]), float(expected["the loss"]))
        for name, value in expected.items():
            if name.startswith("the gradient"):
                assert np.abs(found[name] - value).max() < 0.05 * np.abs(value).max()


def test_precision(capsys):
    line = ["--backend", "numpy", "--hidden", "8", "--batch", "4x16", "--steps", "3", "--threads", "1"]
    precision.main([*line, "--seeds", "0,1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["step"] for row in found["results"]] == [1, 2, 3]
    for row in found["results"]:
        assert row["difference"] == row["bfloat16"]["selected"] - row["float32"]["selected"]
        assert 0 < abs(row["difference"]) < 0.01
    last = found["results"][-1]
    for name in ("float32", "bfloat16"):
        assert np.mean([end["last"][name] for end in found["ends"]]) == pytest.approx(last[name]["selected"])
    assert [end["seed"] for end in found["ends"]] == [0, 1]
    assert all(end["kept"]["float32"] <= end["last"]["float32"] for end in found["ends"])
    precision.main([*line, "--cell", "gru"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[-1].endswith("within 0.01")


def test_precision_draws_and_refuses(tmp_path):
    pytest.importorskip("matplotlib")
    line = ["--hidden", "8", "--batch", "4x16", "--steps", "2", "--threads", "1"]
    precision.main([*line, "--backend", "numpy", "--picture", str(tmp_path / "curves.svg")])
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    with pytest.raises(SystemExit, match=r"a chart ends in \.png or \.svg"):
        precision.main([*line, "--picture", str(tmp_path / "curves.txt")])

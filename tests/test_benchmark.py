"""The bench counts, checks and reports what it says; no time is asserted here."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from rnnkit import benchmark, contestants
from rnnkit._kernels import BACKENDS
from rnnkit.benchmark import QUICK, SHAPES, Shape, Timing, alternate, compare, flops, report, survey
from rnnkit.cells import CELLS, get_cell
from rnnkit.cli.bench import bench
from rnnkit.contestants import KernelRun, check_equal, make_contestant, make_problem
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import Stage

SMALL = Shape(3, 5, 4, 7)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_flops(cell, gates):
    products = 0
    for _ in range(SMALL.T):  # a row times a column of n elements is n multiplications and n additions
        products += SMALL.B * (gates * SMALL.H) * 2 * SMALL.I
        products += SMALL.B * (gates * SMALL.H) * 2 * SMALL.H
    assert flops(get_cell(cell), SMALL) == products
    assert flops(get_cell(cell), SMALL, "train") == 3 * products


def test_flops_of_the_largest_shape():
    assert flops(get_cell("lstm"), Shape(64, 100, 256, 256), "train") == 20_132_659_200


def test_shapes():
    assert len(set(SHAPES)) == len(SHAPES) == 12
    assert set(QUICK) < set(SHAPES)
    assert Shape(32, 64, 64, 128) in QUICK
    assert Shape.parse("8, 2000 ,256,256") == Shape.parse("8 2000 256 256") == SHAPES[-1]
    assert str(SMALL) == "3 5 4 7"


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1,2,0,4", "1,2,-3,4", "1,2,3.5,4"])
def test_shapes_that_are_none(text):
    with pytest.raises(UsageError, match="four whole numbers"):
        Shape.parse(text)


def test_timing():
    ours, theirs = Timing((1.0, 2.0, 4.0, 1.0)), Timing((3.0, 2.0, 8.0, 2.0))
    assert ours.median == 1.5
    assert ours.quartiles == (1.0, 2.5)
    assert ours.times(theirs) == 2.0  # of 3, 1, 2 and 2, where the quotient of the medians is 5/3


def test_contestants_take_turns():
    order = []
    samplers = {name: lambda name=name: order.append(name) or len(order) / 10 for name in "abc"}
    timings = alternate(samplers, rounds=4, seconds=math.inf)
    assert "".join(order) == "abcbcacababc"
    assert timings["b"] == Timing((0.2, 0.4, 0.9, 1.1))


def test_time_ends_the_rounds_but_never_before_three():
    assert alternate({"a": lambda: 2.0}, rounds=50, seconds=0) == {"a": Timing((2.0, 2.0, 2.0))}


def test_limit_is_a_product():
    limit = make_contestant("limit", "rnn", SMALL, 1)
    limit.train()
    assert limit.flops == 2 * 1024**3
    assert limit.out[3, 5] == 1024 * 0.5 * 0.25
    assert "BLAS" in limit.name


@pytest.mark.parametrize("cell", CELLS)
def test_training_repeats_its_results(cell):
    """The buffers that one call leaves behind do not change the next."""
    run = KernelRun("numpy", make_problem(cell, SMALL), 1)
    first, second = run.results(), run.results()
    for name, value in first.items():
        assert np.array_equal(value, second[name]), name
    names = get_cell(cell).params(SMALL.I, SMALL.H)
    assert {f"gradient of {p.name}" for p in names} < set(first)
    assert all(np.abs(value).max() > 0 for value in first.values())


@pytest.mark.parametrize("cell", CELLS)
def test_torch_agrees_and_a_wrong_weight_is_caught(cell):
    torch = pytest.importorskip("torch")
    problem = make_problem(cell, SMALL)
    expected = KernelRun("numpy", problem, 1).results()
    peer = contestants.TorchRun(problem, 1)
    assert torch.get_num_threads() == 1
    found = peer.results()
    assert set(found) == set(expected)
    check_equal("torch", found, expected, "the test")
    with torch.no_grad():
        peer.layer.weight_hh_l0[2, 3] += 0.05
    with pytest.raises(RnnkitError, match=r"torch should give what the reference gives for the test, but its"):
        check_equal("torch", peer.results(), expected, "the test")


def test_a_nan_is_a_difference():
    with pytest.raises(RnnkitError, match="off by nan"):
        check_equal("x", {"h": np.array([np.nan, 1.0])}, {"h": np.array([0.5, 1.0])}, "the test")


def test_a_missing_peer_is_one_sentence(monkeypatch):
    monkeypatch.setattr(contestants.TorchRun, "module", "a_package_that_is_not_there")
    with pytest.raises(UsageError, match=r"--against torch needs .*; pip install torch, or leave --against out"):
        survey(1, (), ("torch",))


def test_a_missing_backend_is_skipped_by_name_but_not_when_asked_for(monkeypatch):
    monkeypatch.setitem(BACKENDS, "cython", "rnnkit._kernels.not_there")
    setting = survey(1)
    assert "cython" not in setting.backends
    assert "not_there" in setting.skipped["cython"]
    with pytest.raises(RnnkitError, match="cython backend cannot be loaded"):
        survey(1, ("cython",))


class Here:
    """A lane without a process, whose samples are given."""

    def __init__(self, *samples):
        self.stage = Stage()
        self.samples = iter(samples)

    def post(self, order, *args):
        self.answer = next(self.samples) if order == "sample" else getattr(self.stage, order)(*args)

    def take(self):
        return self.answer

    def ask(self, order, *args):
        self.post(order, *args)
        return self.take()


def test_a_wrong_backend_is_never_timed(monkeypatch):
    right = KernelRun.results
    monkeypatch.setattr(KernelRun, "results", lambda run: {k: v + (run.name != "numpy") for k, v in right(run).items()})
    monkeypatch.setattr(benchmark, "alternate", lambda *args, **more: pytest.fail("timed"))
    setting = survey(1, ("numpy", "numba"))
    with pytest.raises(RnnkitError, match="numba should give what the reference gives for a gru"):
        list(compare("gru", SMALL, setting, {name: Here() for name in ("limit", "numpy", "numba")}))


def test_report():
    """Every number of a row follows from the samples."""
    setting = survey(1, ("numba", "numpy"))
    lanes = {"limit": Here(0.5, 0.5), "numba": Here(1.0, 3.0), "numpy": Here(4.0, 6.0)}
    found = report(setting, list(compare("rnn", SMALL, setting, lanes, rounds=2, works=("train",))))
    assert list(found) == ["processor", "load", "threads", "limit", "backends", "skipped", "peers", "results"]
    (result,) = found["results"]
    assert result["shape"] == {"B": 3, "T": 5, "I": 4, "H": 7}
    count, top = flops(get_cell("rnn"), SMALL, "train"), 2 * 1024**3
    assert result["limit_gflops"] == pytest.approx(top / 0.5 / 1e9)
    assert [row["contestant"] for row in result["rows"]] == ["numba", "numpy"]
    assert result["rows"][0] == {
        "contestant": "numba",
        "seconds": 2.0,
        "low": 1.5,
        "high": 2.5,
        "fastest": 1.0,
        "rounds": 2,
        "gflops": pytest.approx(count / 2.0 / 1e9),
        "of_limit": pytest.approx((0.5 / 1 + 0.5 / 3) / 2 * count / top),
        "over_reference": 3.0,
        "over_peers": {},
    }
    json.dumps(found, allow_nan=False)


def test_command_prints_json_and_a_table():
    line = ["--cell", "gru", "--shape", "3,5,4,7", "--backend", "numpy", "--rounds", "3", "--seconds", "0"]
    result = CliRunner().invoke(bench, [*line, "--json", "-q"])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["schema"] == 1
    assert [(one["cell"], one["work"]) for one in found["results"]] == [("gru", "infer"), ("gru", "train")]
    result = CliRunner().invoke(bench, line)
    header, *rows = result.stdout.splitlines()
    assert header.split()[:2] == ["cell", "B"]
    assert [row.split()[:7] for row in rows] == [["gru", *"3547", work, "numpy"] for work in ("infer", "train")]
    assert "[1/1] gru 3 5 4 7" in result.stderr


def test_ctrl_c_prints_what_was_measured(monkeypatch):
    def interrupted(samplers, rounds, seconds):
        if samplers["numpy"].args == ("sample", "train"):
            raise KeyboardInterrupt
        return {name: Timing((1.0, 1.0)) for name in samplers}

    monkeypatch.setattr(benchmark, "alternate", interrupted)
    line = ["--cell", "rnn", "--shape", "3,5,4,7", "--backend", "numpy", "--json", "-q"]
    result = CliRunner().invoke(bench, line, standalone_mode=False)
    assert result.return_value == 130
    assert [one["work"] for one in json.loads(result.stdout)["results"]] == ["infer"]

"""The bench counts, checks and reports what it says; no time is asserted here."""

import json
import math
import re
import shlex
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from rnnkit import benchmark
from rnnkit._kernels import BACKENDS, machine
from rnnkit.benchmark import (
    QUICK,
    SHAPES,
    Shape,
    Timing,
    alternate,
    compare,
    flops,
    make_limit,
    measure_product,
    survey,
)
from rnnkit.benchmark_report import Report
from rnnkit.cells import CELLS, get_cell
from rnnkit.cli.bench import bench
from rnnkit.contestants import WORKS, KernelRun, check_equal, make_problem
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.lanes import Stage
from rnnkit.limits import Peak, Product

SMALL = Shape(3, 5, 4, 7)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3), ("mingru", 2), ("minlstm", 3)])
def test_flops(cell, gates):
    products = 0
    for _ in range(SMALL.T):  # a row times a column of n elements is n multiplications and n additions
        products += SMALL.B * (gates * SMALL.H) * 2 * SMALL.I
        if get_cell(cell).recurrent:
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


def test_the_limit_counts_what_every_thread_did():
    peak = make_limit(1)
    if not isinstance(peak, Peak):
        pytest.skip("nothing is compiled here")
    one = peak.operations()
    assert one >= 0.9 * Peak.least
    assert one == 2 * peak.loops * (one // peak.loops // 2)  # a multiplication and an addition each
    team = 2 if machine.load().openmp() else 1
    assert machine.load().peak(1000, 2) == team * machine.load().peak(1000, 1)
    peak.train()


def test_where_nothing_is_compiled_the_limit_is_a_product(monkeypatch):
    monkeypatch.setattr(machine, "load", refuse)
    limit = make_limit(1)
    assert isinstance(limit, Product)
    limit.train()
    assert limit.operations() == 2 * 1024**3
    assert limit.out[3, 5] == 1024 * 0.5 * 0.25
    setting = survey(1, ("numpy",))
    assert setting.isa == ""
    assert "BLAS, as nothing is compiled here" in setting.limit
    assert measure_product(setting, {}) is setting  # it is the limit already


def refuse():
    raise RnnkitError("the compiled kernels are not there")


def test_what_a_large_product_reaches_stands_beside_the_limit(monkeypatch):
    monkeypatch.setattr(machine, "instruction_set", lambda: "x86-64-v3")
    setting = survey(1, ("numpy",))
    assert setting.limit == "multiply-adds in registers, x86-64-v3"
    found = measure_product(setting, {"numpy": Here(1.0, 2.0, 4.0)}, rounds=3)
    assert found.product_gflops == 2 * 1024**3 / 2.0 / 1e9


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


def test_a_nan_is_a_difference():
    with pytest.raises(RnnkitError, match="off by nan"):
        check_equal("x", {"h": np.array([np.nan, 1.0])}, {"h": np.array([0.5, 1.0])}, "the test")


def test_a_missing_backend_is_skipped_by_name_but_not_when_asked_for(monkeypatch):
    monkeypatch.setitem(BACKENDS, "cython", BACKENDS["cython"]._replace(kernels="not_there"))
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


def small_limit(threads):
    """A product instead of the compiled loop, so that the counts are known."""
    return Product()


def test_report(monkeypatch):
    """Every number of a row follows from the samples."""
    monkeypatch.setattr(benchmark, "make_limit", small_limit)
    setting = survey(1, ("numba", "numpy"))
    lanes = {"limit": Here(0.5, 0.5), "numba": Here(1.0, 3.0), "numpy": Here(4.0, 6.0)}
    comparisons = compare("rnn", SMALL, setting, lanes, rounds=2, works=("train",))
    found = Report(setting, tuple(comparisons)).as_json()
    assert list(found)[:4] == ["date", "processor", "load", "threads"]
    assert set(found["versions"]) == {"rnnkit", "Python", "NumPy"}
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
        "over_best": None,
    }
    json.dumps(found, allow_nan=False)


class Scripted(Here):
    """A lane that holds a peer whose results are the reference's."""

    def post(self, order, *args):
        if order == "hold":
            args = (KernelRun, "numpy", make_problem(args[2], args[3]), 1)
        super().post(order, *args)


def test_the_best_peer_is_the_fastest_of_each_round(monkeypatch):
    monkeypatch.setattr(benchmark, "make_limit", small_limit)
    setting = replace(survey(1, ("numpy",)), peers={"torch": "2", "onnxruntime": "1"})
    lanes = {
        "limit": Here(*[1.0] * 4),
        "numpy": Here(1.0, 2.0, 1.0, 2.0),
        "torch": Scripted(2.0, 8.0, 3.0, 5.0),
        "onnxruntime": Scripted(3.0, 4.0),
    }
    infer, train = compare("lstm", SMALL, setting, lanes, rounds=2)
    ours, torch, onnx = infer.rows
    assert ours.over_peers == {"torch": 3.0, "onnxruntime": 2.5}
    assert ours.over_best == 2.0  # of 2 against torch, then 4 / 2 against ONNX Runtime
    assert (torch.over_best, onnx.over_best) == (None, None)
    assert torch.over_peers == {"onnxruntime": (3 / 2 + 4 / 8) / 2}
    assert [row.contestant for row in train.rows] == ["numpy", "torch"]  # ONNX Runtime cannot train
    assert train.rows[0].over_best == train.rows[0].over_peers["torch"] == (3 / 1 + 5 / 2) / 2


def test_command_prints_json_and_a_table():
    line = ["--cell", "gru", "--shape", "3,5,4,7", "--backend", "numpy", "--rounds", "3", "--seconds", "0"]
    result = CliRunner().invoke(bench, [*line, "--json", "-q"])
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["schema"] == 1
    assert [(one["cell"], one["work"]) for one in found["results"]] == [("gru", "infer"), ("gru", "train")]
    assert found["command"] == "rnnkit bench " + " ".join(line) + f" --threads {found['threads']}"
    result = CliRunner().invoke(bench, line)
    header, *rows = result.stdout.splitlines()
    assert header.split()[:2] == ["cell", "B"]
    assert [row.split()[:7] for row in rows] == [["gru", *"3547", work, "numpy"] for work in WORKS]
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


def test_every_example_of_the_help_runs(tmp_path, monkeypatch):
    """Two small shapes stand for all; the file that one example saves is what the next reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rnnkit.cli.bench.SHAPES", (SMALL, Shape(1, 4, 3, 8)))
    lines = re.findall(r"^  rnnkit bench (.*)$", bench.epilog, re.M)
    assert all(line in CliRunner().invoke(bench, ["--help"]).stdout for line in lines)
    assert len(lines) == 3
    for line in lines:
        line, _, file = line.partition(" > ")
        words = shlex.split(line)
        if "torch,onnxruntime" in words and not all(map(find_spec, ("torch", "onnxruntime", "onnx"))):
            words[words.index("torch,onnxruntime")] = ""  # they are not needed
        brief = [] if "--from" in words else ["--rounds", "1", "--threads", "1", "--backend", "numpy"]
        result = CliRunner().invoke(bench, [*words, *brief], catch_exceptions=False)
        assert result.exit_code == 0
        assert result.stdout
        if file:
            (tmp_path / file).write_text(result.stdout)
    assert (tmp_path / "results" / "results.md").is_file()

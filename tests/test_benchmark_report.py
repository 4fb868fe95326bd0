"""Summaries over shapes, the JSON that comes back as it went, and the page made of it."""

import json
import math
import re

import pytest
from click.testing import CliRunner

from rnnkit import benchmark_page
from rnnkit.benchmark import Comparison, Row, Setting, Shape
from rnnkit.benchmark_report import Report, read_reports
from rnnkit.cli.bench import bench
from rnnkit.console import to_json
from rnnkit.errors import DataError, UsageError

TINY, FEW, LARGE = Shape(1, 4, 8, 64), Shape(8, 4, 8, 256), Shape(32, 4, 8, 128)


def setting(peers=("torch", "onnxruntime"), **more):
    known = dict.fromkeys(peers, "1.0")
    return Setting(
        **{
            "date": "2026-01-02T03:04+00:00",
            "processor": "A|B, 2 logical",
            "load": 0.0,
            "threads": 2,
            "isa": "x86-64-v3",
            "limit": "multiply-adds in registers, x86-64-v3",
            "backends": {"cython": "Cython"},
            "skipped": {},
            "peers": known,
            "versions": {"rnnkit": "0"},
            "product_gflops": 190.0,
            "command": "rnnkit bench --all --threads 2",
            **more,
        }
    )


def row(name, of_limit=0.5, peers=None, best=None):
    return Row(name, 0.002, 0.001, 0.003, 0.001, 5, 12.5, of_limit, None, peers or {}, best)


def point(shape, ratio, of_limit, work="infer", cell="gru"):
    """Ours is ``ratio`` times as fast as ONNX Runtime and twice that as fast as PyTorch, which alone trains."""
    peers = {"torch": 2 * ratio} | ({"onnxruntime": ratio} if work == "infer" else {})
    rows = (row("cython", of_limit, peers, min(peers.values())), *map(row, peers))
    return Comparison(cell, shape, work, 230.0, rows)


@pytest.fixture
def report():
    points = [point(TINY, 1.0, 0.1), point(FEW, 2.0, 0.4), point(LARGE, 4.0, 0.9), point(LARGE, 3.0, 0.8, "train")]
    return Report(setting(), tuple(points))


def test_summaries(report):
    found = {(one.work, one.group, one.against): one for one in report.summaries()}
    every = found["infer", "all", "best peer"]
    assert (every.shapes, every.mean, every.least, every.at) == (3, pytest.approx(2.0), 1.0, TINY)
    assert found["infer", "all", "torch"].mean == pytest.approx(4.0)
    large = found["infer", "B≥32 H≥128", "limit"]
    assert (large.shapes, large.mean, large.least, large.at) == (1, pytest.approx(0.9), 0.9, LARGE)
    assert found["infer", "H 32–64", "limit"].at == TINY
    assert found["infer", "all", "limit"].mean == pytest.approx(math.prod((0.1, 0.4, 0.9)) ** (1 / 3))
    assert {against for work, _, against in found if work == "train"} == {"limit", "torch"}  # one peer is the best
    assert ("train", "H 32–64", "limit") not in found


def test_what_json_holds_comes_back(report, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(to_json(report.as_json()))
    assert read_reports(path) == [report]
    path.write_text(to_json({"runs": [report.as_json()] * 2}))
    assert read_reports(path) == [report, report]
    assert len(json.loads(path.read_text())["runs"][0]["summary"]) == len(report.summaries())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 3}', "nonsense"])
def test_other_files_are_refused_in_one_sentence(text, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(
        DataError, match=r"^\S*other.json should hold what .* prints, but does not \(.*\); measure again$"
    ):
        read_reports(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_reports(tmp_path / "none.json")


def test_the_page(report, tmp_path):
    other = Report(setting(threads=1, environment={"ATEN_CPU_CAPABILITY": "avx2"}), report.comparisons)
    page = benchmark_page.write_page(tmp_path, [report, other])
    text = page.read_text()
    assert re.findall(r"^## (.*)", text, re.M) == ["2 threads, x86-64-v3", "1 thread, x86-64-v3"]
    pictures = re.findall(r"\]\((.*)\)", text)
    assert [(tmp_path / name).read_bytes()[:5] for name in pictures] == [b"<?xml", b"<?xml"]
    for said in (
        "| date | 2026-01-02 03:04+00:00 |",
        "| processor | A\\|B, 2 logical |",
        "rnnkit 0, PyTorch 1.0, ONNX Runtime 1.0",
        "230 GFLOP/s; a large product by NumPy's BLAS: 190",
        "rnnkit bench --all --threads 2 --page .",
        "`ATEN_CPU_CAPABILITY=avx2`; ONNX Runtime cannot be",
        "| gru | infer | all | 3 | 4.00 (2.00 at 1 4 8 64) | 2.00 (1.00 at 1 4 8 64) |",
        "| 32 4 8 128 | 2.00 | 12.5 | 0.90 | 2.00 | 2.00 | 8.00 | 4.00 | 4.00 |",
        "### gru, train",
    ):
        assert said in text
    for block in re.split(r"\n\n", text):  # tables are whole
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_a_page_replaces_nothing_unasked(report, tmp_path):
    with pytest.raises(UsageError, match="a page needs measurements"):
        benchmark_page.write_page(tmp_path, [Report(setting(), ())])
    benchmark_page.ready(tmp_path / "new" / "folder", False)
    benchmark_page.write_page(tmp_path / "new" / "folder", [report])
    with pytest.raises(UsageError, match=r"results.md exists; give --page another folder, or --force"):
        benchmark_page.ready(tmp_path / "new" / "folder", False)
    benchmark_page.ready(tmp_path / "new" / "folder", True)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        benchmark_page.ready(tmp_path / "file", False)


def test_saved_measurements_are_shown_again(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text(to_json(report.as_json()))
    result = CliRunner().invoke(bench, ["--from", "a.json", "--page", "results"], catch_exceptions=False)
    assert "gru 1 4 8 64 infer cython 2.00 0.10 1.00 2.00 1.00 12.5" in re.sub(" +", " ", result.stdout)
    assert "cython: times as fast, over the shapes" in result.stdout
    assert "cython: share of the limit, over the shapes" in result.stdout
    assert "written: results/results.md" in result.stderr
    twice = CliRunner().invoke(bench, ["--from", "a.json", "--from", "a.json", "--json"], catch_exceptions=False)
    assert [run["threads"] for run in json.loads(twice.stdout)["runs"]] == [2, 2]
    result = CliRunner().invoke(bench, ["--from", "a.json", "--cell", "gru"])
    assert isinstance(result.exception, UsageError)
    assert "--cell has no effect" in str(result.exception)

"""The printed estimate of memory beside what a training takes, and its parts beside what they allocate."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit.cli import commands
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent, Tape
from rnnkit.nn.memory import traced
from rnnkit.samples import sample_path
from rnnkit.tasks.memory import size_of

MEASURE = """
import json, sys, tempfile
from rnnkit import api

data, options, small = json.loads(sys.argv[1])

def status(name):
    return 1000 * int(open("/proc/self/status").read().split(name + ":")[1].split()[0])

with tempfile.TemporaryDirectory() as folder:
    warm = api.prepare(small, api.make_options({"data": small, "threads": 1, "steps": 2, "hidden": 8}))
    for event in api.train_events(warm, folder + "/a"):
        pass
    base = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    job = api.prepare(data, api.make_options({"data": data, "threads": 1, **options}))
    estimate = None
    for event in api.train_events(job, folder + "/b"):
        estimate = getattr(event, "memory", estimate)
print(json.dumps([estimate, status("VmHWM") - base]))
"""


def measured(data, options, small):
    """(estimate, peak) in bytes of a training in a process of its own."""
    environment = {"PYTHONPATH": str(Path(rnnkit.__file__).parents[1]), "PATH": "", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", MEASURE, json.dumps([str(data), options, str(small)])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    story = sample_path("chat").read_text(encoding="utf-8")
    (folder / "small.txt").write_text(story[:8000], encoding="utf-8")
    words = np.array(story.split(" "))[np.random.default_rng(0).integers(0, story.count(" "), 110_000)]
    (folder / "long.txt").write_text(" ".join(words)[:600_000], encoding="utf-8")
    return folder


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "options",
    [
        {"steps": 2, "hidden": 256, "batch": 64, "context": 128, "cell": "lstm"},
        {"steps": 2, "hidden": 128, "batch": 32, "context": 512, "cell": "gru", "layers": 2},
        {"steps": 2, "hidden": 256, "batch": 8, "context": 4000, "cell": "lstm", "recompute": 64},
        {"steps": 2, "hidden": 64, "batch": 8, "context": 64, "cell": "rnn"},
        {"steps": 2, "hidden": 768, "batch": 8, "context": 32, "cell": "gru"},
        {"steps": 2, "hidden": 256, "batch": 32, "context": 256, "cell": "minlstm", "layers": 2},
    ],
    ids=lambda o: f"{o['cell']}-{o['hidden']}-{o['context']}",
)
def test_the_estimate_of_a_language_model_is_near_the_peak(texts, options):
    estimate, peak = measured(texts / "long.txt", options, texts / "small.txt")
    assert estimate == pytest.approx(peak, rel=0.15, abs=6e6)  # 10 % are meant, the allocator has its moods


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    "options",
    [
        {"steps": 2},
        {"steps": 2, "hidden": 384, "layers": 2, "cell": "lstm"},
        {"steps": 2, "hidden": 128, "batch": 1024},
    ],
    ids=["default", "wide", "batch"],
)
def test_the_estimate_of_a_forecaster_is_near_the_peak(tmp_path, options):
    rng = np.random.default_rng(0)
    for name, rows in ("small", 300), ("large", 20_000):
        values = np.sin(np.arange(rows)[:, None] * 2 * np.pi / 24) + 0.1 * rng.standard_normal((rows, 4))
        lines = [f"{t}," + ",".join(f"{v:.6f}" for v in row) for t, row in enumerate(values)]
        (tmp_path / f"{name}.csv").write_text("t,a,b,c,d\n" + "\n".join(lines) + "\n")
    estimate, peak = measured(tmp_path / "large.csv", options, tmp_path / "small.csv")
    assert estimate == pytest.approx(peak, rel=0.15, abs=6e6)


def allocated(network, x, training):
    """Bytes that a tape holds after a pass there and back, packed weights made before."""
    tape = Tape(training=training)

    def run(tape):
        y, _ = network.forward(x, None, tape.begin())
        if training:
            network.backward(np.ones_like(y), tape)
        return tape

    run(Tape(training=training))
    return traced(lambda: run(tape))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("recompute", ["off", 16])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_a_network_keeps_is_what_its_tape_allocates(training, recompute, bidirectional, monkeypatch):
    monkeypatch.setattr("rnnkit.nn.passes.ROWS", 64)
    recurrent = Recurrent("lstm", 24, 32, layers=2, dropout=0.2, bidirectional=bidirectional)
    root = Chain((Embedding(50, 24), Dropout(0.1), recurrent, Dropout(0.3), Dense(recurrent.outputs, 50)))
    network = Network(root).configure("auto", 1, recompute)
    ids = np.random.default_rng(0).integers(0, 50, (256, 16))
    kept = allocated(network, ids, training)
    assert network.memory(ids.shape, training).kept == pytest.approx(kept, rel=0.05)


def test_recomputing_spares_what_it_says(monkeypatch):
    monkeypatch.setattr("rnnkit.nn.passes.ROWS", 64)
    x = np.zeros((400, 8, 16), np.float32)

    def network(recompute):
        return Network(Recurrent("gru", 16, 48)).configure("auto", 1, recompute)

    less = allocated(network("off"), x, True) - allocated(network(20), x, True)
    assert network(20).spared(x.shape) == pytest.approx(less, rel=0.05)
    assert network("off").spared(x.shape) == 0


def test_check_and_train_print_the_estimate(texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--hidden", "64", "--context", "4000", "--recompute", "64"]
    done = CliRunner().invoke(commands, ["check", str(texts / "long.txt"), *more])
    assert re.search(r"memory of training\s+about \d+ MB; recomputing spares \d+ MB", done.stdout), done.stdout
    done = CliRunner().invoke(commands, ["train", str(texts / "long.txt"), *more, "--steps", "1"])
    assert re.search(r"1 steps, about \d+ MB; recomputing spares \d+ MB", done.stderr), done.stderr


def test_sizes_of_sources(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    with path.open("rb") as stream:
        assert size_of(stream) == size_of(path) == size_of(str(path)) == 5
    assert size_of(tmp_path / "none") == 0

"""Writing on from a text: every backend against the definition, in every form of weights, and the rules of drawing."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnnkit
from rnnkit._kernels import generation
from rnnkit._kernels.generation import RECENT, TABLE, Rules
from rnnkit._kernels.quantization import WEIGHTS
from rnnkit._kernels.reference_generation import banned, draw
from rnnkit.errors import RnnkitError, UsageError
from rnnkit.nn import Chain, Dense, Dropout, Embedding, Network, Recurrent, Tape
from rnnkit.nn.generation import Writer
from rnnkit.nn.pace import CHUNK, TRIAL, Pace
from rnnkit.tasks.sampling import Sampler

TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-5, "int8": 0.02}  # int8: a last bit may tip a number to the next
FREE = Rules(1.0)
ALL = Rules(0.7, 12, 0.9, 1.3, 3, 0.02)


@pytest.fixture
def make(rng):
    """``make(variant, vocabulary, hidden, layers)``: a network with weights and biases at random."""

    def build(variant, vocabulary=30, hidden=20, layers=1, embedding=9):
        recurrent = Recurrent(variant.cell.name, embedding, hidden, layers=layers, options=dict(variant.options))
        parts = (Embedding(vocabulary, embedding), Dropout(0.3), recurrent, Dropout(0.3), Dense(hidden, vocabulary))
        network = Network(Chain(parts), seed=3)
        for name in network.parameters:
            if network.parameters.value(name).ndim == 1:
                network.parameters.value(name)[...] = rng.standard_normal(network.parameters.value(name).shape) / 5
        network.parameters.touch()
        return network

    return build


def read(network, backend, ids, weights="float32", rules=FREE, threads=1):
    """Logits after each of the ids, then tokens drawn on from there."""
    writer = Writer(network.configure(backend, threads), len(ids) + 100, rules, weights)
    return writer.logits(ids), writer.write(np.random.default_rng(5).random(100))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (7, 2), (33, 3), (64, 1)])
def test_equals_the_definition(backend, variant, make, rng, weights, hidden, layers):
    network, ids = make(variant, 30, hidden, layers), rng.integers(0, 30, 25)
    logits, _ = read(network, backend, ids, weights)
    expected, _ = read(network, "numpy", ids, weights)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE[weights] * np.abs(expected).max())


@pytest.mark.parametrize("weights", WEIGHTS)
def test_large_vocabularies_have_no_table(backend, variant, make, rng, weights):
    network, ids = make(variant, TABLE + 5, 24, 2), rng.integers(0, TABLE + 5, 12)
    logits, drawn = read(network, backend, ids, weights)
    expected, _ = read(network, "numpy", ids, weights)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE[weights] * np.abs(expected).max())
    assert len(set(drawn.tolist())) > 10


def test_equals_the_network(backend, variant, make, rng):
    """One step at a time and drawn by hand, as a loop in Python would."""
    network, ids = make(variant, layers=2), rng.integers(0, 30, 40)
    _, drawn = read(network, backend, ids, rules=Rules(0.8, 20, 0.95))
    sampler = Sampler(0.8, 20, 0.95)
    sampler.draws = np.random.default_rng(5)
    tape, network = Tape(training=False), network.configure("numpy")
    logits, state = network.forward(ids[:, None], None, tape.begin())
    for token in drawn:
        assert sampler(logits[-1, 0]) == token
        logits, state = network.forward(np.array([[token]]), state, tape.begin())


EACH = [
    Rules(0.0),
    Rules(1.0, 3),
    Rules(1.0, 0, 0.5),
    Rules(0.5, 0, 1.0, 2.0),
    *(Rules(1.3, min_p=p) for p in (0.3, 1)),
]


@pytest.mark.parametrize("rules", [FREE, ALL, *EACH, Rules(2.0, 8, 0.7, min_p=0.4)])
def test_draws_what_the_definition_draws(backend, variant, make, rng, rules):
    network, ids = make(variant), rng.integers(0, 30, 40)
    np.testing.assert_array_equal(
        read(network, backend, ids, rules=rules)[1], read(network, "numpy", ids, rules=rules)[1]
    )


@pytest.mark.parametrize("weights", WEIGHTS)
def test_same_bits_at_any_number_of_threads(variant, make, rng, weights):
    """Large enough for threads to be worth their while."""
    pytest.importorskip("rnnkit._kernels.cython_generation")
    network, ids = make(variant, 1500, 512, 2), rng.integers(0, 1500, 8)
    one = read(network, "cython", ids, weights, ALL)
    for threads in (2, 3, 4):
        writer = Writer(network.configure("cython", threads), 200, ALL, weights)
        writer._pace.together, writer._pace.alone = True, np.inf  # however busy the machine is
        logits = writer.logits(ids)
        assert logits.tobytes() == one[0].tobytes()
        assert writer.write(np.random.default_rng(5).random(100)).tobytes() == one[1].tobytes()


@pytest.mark.parametrize("rules", [FREE, ALL], ids=["free", "all"])
def test_piece_by_piece_equals_the_whole(backend, variant, make, rng, rules):
    network, ids, uniforms = make(variant, layers=2), rng.integers(0, 30, 9), rng.random(150)
    whole, pieces = (Writer(network.configure(backend, 1), 200, rules) for _ in range(2))
    whole.feed(ids)
    for part in (ids[:1], ids[1:1], ids[1:]):
        pieces.feed(part)
    expected = whole.write(uniforms)
    found = [pieces.write(uniforms[a:b]) for a, b in itertools.pairwise((0, 1, 1, 64, 150))]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_no_run_of_tokens_comes_twice(backend, variant, make, rng):
    network, seed = make(variant), np.array([1, 2, 3, 4, 1, 2])
    for n in (2, 3, 5):
        writer = Writer(network.configure(backend, 1), 400, Rules(0.1, no_repeat=n))
        writer.feed(seed)
        text = [*seed.tolist(), *writer.write(rng.random(300)).tolist()]
        runs = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        fresh = runs[len(seed) - n + 1 :]  # the seed may repeat itself
        assert len(set(fresh)) == len(fresh)
        assert not {*fresh} & {*runs[: len(seed) - n + 1]}


def test_where_every_token_would_repeat_none_is_forbidden(backend, variant, make, rng):
    writer = Writer(make(variant).configure(backend, 1), 100, Rules(1.0, no_repeat=1))
    drawn = writer.write(rng.random(60)).tolist()
    assert sorted(drawn[:30]) == list(range(30))
    assert len(set(drawn[30:])) > 5


@pytest.mark.parametrize("weights", WEIGHTS)
def test_numbers_that_are_not_finite_are_reported(backend, variant, make, weights):
    network = make(variant)
    network.parameters.value("2.l0.W")[3, 1] = np.nan
    network.parameters.touch()
    writer = Writer(network.configure(backend, 1), 10, FREE, weights)
    writer.feed(np.array([1, 2, 3]))
    with pytest.raises(RnnkitError, match="not finite"):
        writer.write(np.full(5, 0.5))


def test_denormal_states_are_no_matter(backend, make, variant):
    network = make(variant)
    network.parameters.values[...] *= 1e-30
    logits, _ = read(network, backend, np.zeros(60, int), "int8")
    assert np.isfinite(logits).all()


def test_other_networks_and_forms_are_refused(make, variant):
    both = Recurrent("gru", 4, 5, bidirectional=True)
    with pytest.raises(UsageError, match="one direction"):
        Writer(Network(Chain((Embedding(6, 4), both, Dense(10, 6))), seed=0), 10)
    with pytest.raises(UsageError, match="float32, bfloat16, int8"):
        Writer(make(variant), 10, weights="int4")
    with pytest.raises(UsageError, match="ids from 0 to 29"):
        Writer(make(variant), 10).feed(np.array([30]))


# -- the definition of drawing --------------------------------------------------------------------


def test_the_penalty_looks_back_and_counts_once():
    logits = np.array([2.0, 1.9, -1.0, 0.0], np.float32)
    cold = Rules(0.0, penalty=2.0)
    assert draw(logits, 0.5, cold, []) == 0
    assert draw(logits, 0.5, cold, [0, 0, 0]) == 1
    assert draw(logits, 0.5, cold, [0, *[3] * RECENT]) == 0
    assert draw(np.array([-1.0, -1.5], np.float32), 0.5, cold, [0]) == 1  # below 0 it multiplies


def test_min_p_is_relative_to_the_likeliest_and_comes_last():
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    uniforms = np.linspace(0, 0.999, 200)

    def drawn(rules):
        return {draw(logits, u, rules, []) for u in uniforms}

    assert drawn(Rules(1.0, min_p=0.4)) == {0, 1, 2}
    assert drawn(Rules(1.0, min_p=0.6)) == {0, 1}
    assert drawn(Rules(1.0, min_p=1)) == {0}
    assert drawn(Rules(0.5, min_p=0.4)) == {0, 1}  # of the probabilities at that temperature: 1, 0.56, 0.25, 0.06
    assert drawn(Rules(1.0, top_k=2, min_p=0.1)) == {0, 1}
    # top-p counts what min-p takes out as well: 0.4 + 0.3 + 0.2 hold 0.8 of all, though min-p leaves only two
    assert drawn(Rules(1.0, top_p=0.8, min_p=0.6)) == {0, 1}
    share = np.mean([draw(logits, u, Rules(1.0, min_p=0.6), []) == 0 for u in uniforms])
    assert share == pytest.approx(4 / 7, abs=0.01)


def test_banned_are_those_that_followed_the_same_tokens():
    assert banned([1, 2, 3, 1, 2], 3) == [3]
    assert banned([1, 2, 3, 1, 2, 4, 1, 2], 3) == [3, 4]
    assert banned([1, 1, 1], 2) == [1, 1]
    assert banned([1, 2], 3) == []
    assert sorted(banned([4, 5], 1)) == [4, 5]


def test_ties_go_to_the_lower_id(backend, make, variant):
    logits = np.zeros(6, np.float32)
    assert {draw(logits, u, Rules(1.0, 2), []) for u in np.linspace(0, 0.999, 50)} == {0, 1}
    network = make(variant)
    network.parameters.values[...] = 0
    network.parameters.touch()
    writer = Writer(network.configure(backend, 1), 100, Rules(1.0, 2))
    assert set(writer.write(np.linspace(0, 0.999, 50)).tolist()) == {0, 1}


# -- how many threads -----------------------------------------------------------------------------


def paced(seconds, units, threads=2):
    """The threads that a pace chooses for each unit, where one takes ``seconds(threads, units so far)``."""
    now, chosen = [0.0], []
    pace = Pace(threads, clock=lambda: now[0])

    def work(part, count):
        chosen.extend([count] * (part.stop - part.start))
        now[0] += (part.stop - part.start) * seconds(count, len(chosen))
        return True

    assert pace.run(units, work)
    return chosen


def test_several_threads_stay_where_they_are_faster():
    chosen = paced(lambda count, _: 1.0 / count, 1000)
    assert chosen.count(1) == CHUNK


def test_several_threads_are_left_where_they_are_slower():
    chosen = paced(lambda count, _: count**5, 100 * CHUNK)
    assert chosen.count(2) == 4 * TRIAL  # after 1, 4, 16 and 64 portions


def test_a_machine_that_becomes_busy_is_noticed():
    chosen = paced(lambda count, at: 0.5 if count == 2 and at < 5000 else 1.0 if count == 1 else 50.0, 10_000)
    assert chosen[1000:5000].count(2) == 4000
    assert chosen[5000 + CHUNK :].count(2) < 5 * TRIAL


def test_one_thread_is_never_on_trial():
    assert set(paced(lambda count, _: 1.0, 1000, threads=1)) == {1}


def test_work_that_ends_early_ends_the_run():
    assert not Pace(1).run(200, lambda part, threads: part.start < CHUNK)


def test_the_generators_are_loaded_by_name(backend):
    assert all(map(callable, generation.load(backend)))


def test_every_instruction_set_gives_the_definition(make, variant, rng, tmp_path):
    """The builds that this machine can run, each in a process of its own; int8 sums are exact, whatever takes them."""
    cython_kernels = pytest.importorskip("rnnkit._kernels.cython_kernels")
    network, ids = make(variant, 70, 40, 2), rng.integers(0, 70, 20)
    np.savez(tmp_path / "network.npz", ids=ids, values=network.parameters.values)
    (tmp_path / "network.json").write_text(json.dumps(network.describe()))
    for name, (suffix, level) in cython_kernels._LEVELS.items():
        built = importlib.util.find_spec(f"rnnkit._kernels._generate_{suffix}")
        if built is None or level > cython_kernels._module("f32", "baseline").level():
            continue
        done = subprocess.run(
            [sys.executable, "-P", "-c", READ, os.fspath(tmp_path)],
            env={**os.environ, "RNNKIT_ISA": name, "PYTHONPATH": os.fspath(Path(rnnkit.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = np.load(tmp_path / "logits.npz")
        for weights in WEIGHTS:
            expected = read(network, "numpy", ids, weights)[0]
            atol = TOLERANCE[weights] * np.abs(expected).max()
            np.testing.assert_allclose(found[weights], expected, rtol=0, atol=atol, err_msg=f"{name} {weights}")


READ = """
import json, sys
from pathlib import Path
import numpy as np
from rnnkit.nn import Network
from rnnkit.nn.generation import Writer
folder = Path(sys.argv[1])
given = np.load(folder / "network.npz")
network = Network.from_description(json.loads((folder / "network.json").read_text())).configure("cython", 1)
network.parameters.assign(given["values"])
forms = ("float32", "bfloat16", "int8")
np.savez(folder / "logits.npz", **{form: Writer(network, 99, weights=form).logits(given["ids"]) for form in forms})
"""

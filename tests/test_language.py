"""Language models on small texts: learning, streaming, scoring, any seed, and what is refused."""

from __future__ import annotations

import gzip
import io
import math
from itertools import pairwise

import numpy as np
import pytest

import rnnkit
from rnnkit import api
from rnnkit.cells import CELLS
from rnnkit.data.sniff import looks_like_table
from rnnkit.data.vocabulary import LEVELS
from rnnkit.errors import DataError, ModelFileError, UsageError
from rnnkit.nn import Dense, Network, Tape
from rnnkit.nn.losses import SoftmaxCrossEntropy
from rnnkit.samples import sample_path
from rnnkit.tasks import language, language_parts, language_score
from rnnkit.tasks.language_plan import resolve
from rnnkit.tasks.language_score import text_nats, verdict
from rnnkit.tasks.sampling import Sampler

LINES = ["Le chat mange une souris. ", "Le chat mange un poisson 🐟. ", "La lune est haute. ", "Où êtes-vous ? Ici.\n"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("text") / "cat.txt"
    path.write_text("".join(LINES[i] for i in rng.integers(0, len(LINES), 900)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(text, tmp_path_factory):
    return rnnkit.train(text, tmp_path_factory.mktemp("run") / "cat", cell="lstm", hidden=48, steps=300)


def test_a_small_model_learns_the_text(model):
    report = model.meta.report
    # four sentences drawn at random: ln 4 nats per sentence is all there is to know
    floor = math.log(4) / np.mean([len(line) for line in LINES])
    assert floor * 0.95 < report["metrics"]["nats_per_char"] < 2 * floor
    assert report["metrics"]["bits_per_char"] == pytest.approx(report["metrics"]["nats_per_char"] / math.log(2))
    (name,) = report["baselines"]
    assert name.endswith("-gram")


def test_generation_goes_on_from_the_seed(model):
    pieces = list(model.generate("Le chat", length=200, rng=3))
    written = "".join(pieces)
    assert pieces[0] == "Le chat"
    assert written.startswith("Le chat mange un")
    assert written == "".join(model.generate("Le chat", length=200, rng=3))
    assert written != "".join(model.generate("Le chat", length=200, rng=4))


@pytest.mark.parametrize("seed", ["Où êtes-vous ?", "Жук 漢字 𝄞", "e\u0301", "", "\x00", "W" * 3000])
def test_any_seed_is_continued_in_valid_text(model, seed):
    written = "".join(model.generate(seed, length=40))
    assert written.startswith(seed)
    assert len(written) > len(seed)
    written.encode("utf-8")


def test_temperature_zero_is_the_likeliest(model):
    a, b = ("".join(model.generate("La lune", length=60, temperature=0, rng=r)) for r in (1, 2))
    assert a == b
    assert a.startswith("La lune est haute.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"top_k": 0}, "--top-k"),
        ({"top_p": 0}, "--top-p"),
        ({"top_p": 1.5}, "--top-p"),
        ({"repetition_penalty": 0.5}, "--repetition-penalty"),
        ({"no_repeat": 0}, "--no-repeat"),
        ({"length": -1}, "--length"),
    ],
)
def test_senseless_settings_are_refused(model, options, words):
    with pytest.raises(UsageError, match=words):
        model.generate("x", **options)


def test_no_run_comes_twice_and_the_penalty_changes_the_text(model):
    plain = "".join(model.generate("Le chat", length=300, temperature=0))
    bound = "".join(model.generate("Le chat", length=300, temperature=0, no_repeat=12))
    runs = [bound[i : i + 12] for i in range(len(bound) - 11)]
    assert len(set(runs)) == len(runs)
    assert len({plain[i : i + 12] for i in range(len(plain) - 11)}) < len(runs)
    assert "".join(model.generate("Le chat", length=300, temperature=0, repetition_penalty=1.5)) != plain


def test_text_comes_in_pieces_of_whole_characters(model):
    pieces = list(model.generate("Où", length=1000, temperature=1.5))
    assert len(pieces) > 10
    assert pieces[0] == "Où"
    assert all(piece.encode("utf-8").decode("utf-8") == piece for piece in pieces)


def test_sampler_draws_in_proportion_and_within_bounds():
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    draws = np.bincount([sampler(logits) for sampler in [Sampler(1.0)] for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(draws, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    nucleus = Sampler(1.0, top_p=0.75)
    assert {nucleus(logits) for _ in range(300)} == {0, 1}
    top = Sampler(1.0, top_k=3)
    assert {top(logits) for _ in range(300)} == {0, 1, 2}


@pytest.mark.parametrize("level", LEVELS)
def test_levels(text, tmp_path, level):
    model = rnnkit.train(text, tmp_path / level, level=level, hidden=16, steps=30, cell="gru")
    assert model.vocabulary.level == level
    assert model.meta.report["metrics"]["nats_per_char"] > 0
    assert "".join(model.generate("Le chat", length=20)).startswith("Le chat")


@pytest.mark.parametrize("cell", CELLS)
def test_same_seed_same_bytes_at_any_thread_count(text, tmp_path, cell):
    for threads in (1, 2):
        rnnkit.train(text, tmp_path / str(threads), cell=cell, steps=8, hidden=24, threads=threads, dropout=0.2)
    assert (tmp_path / "1" / "model.safetensors").read_bytes() == (tmp_path / "2" / "model.safetensors").read_bytes()


def test_interrupted_inside_an_epoch_and_resumed_is_the_same(text, tmp_path):
    options = api.make_options({"data": str(text), "steps": 24, "hidden": 16, "batch": 64, "dropout": 0.3})
    list(api.train_events(api.prepare(text, options), tmp_path / "whole"))
    for k in (1, 7, 23):
        asked = iter(range(1000))
        list(
            api.train_events(
                api.prepare(text, options), tmp_path / str(k), interrupted=lambda k=k, a=asked: next(a) >= k
            )
        )
        list(api.train_events(api.prepare(text, options), tmp_path / str(k), resume=True))
        assert (tmp_path / str(k) / "model.safetensors").read_bytes() == (
            tmp_path / "whole" / "model.safetensors"
        ).read_bytes()


def test_state_is_carried_through_an_epoch_and_rows_meet_the_whole_text(text):
    job = api.prepare(text, api.make_options({"data": str(text), "batch": 4, "context": 16}))
    epoch = [job.batch("fit", step) for step in range(job.per_epoch)]
    assert [batch.fresh for batch in epoch] == [True] + [False] * (job.per_epoch - 1)
    rows = np.concatenate([batch.x for batch in epoch])
    np.testing.assert_array_equal(rows[:, 0], job.ids["fit"][: len(rows)])
    np.testing.assert_array_equal(rows[:, 1], job.ids["fit"][job.span : job.span + len(rows)])
    for before, after in pairwise(epoch):
        np.testing.assert_array_equal(before.target[-1], after.x[0])
    turned = np.concatenate([job.batch("fit", job.per_epoch + step).x for step in range(job.per_epoch)])
    twice = "".join(map(chr, np.tile(job.ids["fit"], 2)))
    walked = "".join(map(chr, turned.T.ravel()))  # the next epoch begins elsewhere and goes on past the text's end
    offset = twice.index(walked[: len(turned)])
    assert 0 < offset < len(job.ids["fit"])
    for row in range(4):
        start = offset + row * job.span
        assert walked[row * len(turned) : (row + 1) * len(turned)] == (twice + twice)[start : start + len(turned)]


def test_a_window_is_a_view_of_the_text_unless_a_row_goes_round():
    ids = np.arange(50, dtype=np.int32)
    window = language.side_by_side_window(ids, 3, 4, 12, 11)
    assert np.shares_memory(window, ids)
    round_again = language.side_by_side_window(ids, 4, 4, 12, 11)
    for found, start in ((window, 3), (round_again, 4)):
        expected = [[(start + 12 * row + step) % 50 for row in range(4)] for step in range(11)]
        np.testing.assert_array_equal(found, expected)


def test_batches_do_not_depend_on_those_asked_for_before(text):
    """A resumed training asks for an epoch's batches from its middle on."""
    jobs = [api.prepare(text, api.make_options({"data": str(text), "batch": 4, "context": 16})) for _ in range(2)]
    last = 2 * jobs[0].per_epoch
    forward = [jobs[0].batch("fit", step).x.copy() for step in range(last)]
    for step in reversed(range(last)):
        np.testing.assert_array_equal(jobs[1].batch("fit", step).x, forward[step])


def test_the_judged_part_comes_last_and_the_selecting_pieces_are_spread(text):
    job = api.prepare(text, api.make_options({"data": str(text)}))
    whole = text.read_text(encoding="utf-8")
    known = len(whole) - len(job.parts["judge"])
    assert whole.endswith(job.parts["judge"])
    assert known == pytest.approx(0.9 * len(whole), rel=0.01)
    assert len(job.parts["fit"]) + len(job.parts["select"]) == known
    assert len(job.parts["select"]) == pytest.approx(0.05 * known, rel=0.3)
    window, counts = job.selection
    pieces = [job.vocabulary.decode(window[1:, i][counts[:, i]]) for i in range(window.shape[1])]
    assert "".join(pieces) == job.parts["select"]
    warmed = [
        job.vocabulary.decode(window[:, i][: 1 + np.flatnonzero(counts[:, i])[-1] + 1]) for i in range(len(pieces))
    ]
    assert all(stretch in whole for stretch in warmed)


def test_evaluate_scores_another_text(model, tmp_path):
    same, other = tmp_path / "same.txt", tmp_path / "other.txt"
    same.write_text("".join(LINES) * 6, encoding="utf-8")
    other.write_text("The quick brown fox jumps over the lazy dog. " * 20)
    near, far = (model.evaluate(p)["metrics"]["nats_per_char"] for p in (same, other))
    assert near < 0.3 < far
    (tmp_path / "short.txt").write_text("un")
    with pytest.raises(DataError, match="too few"):
        model.evaluate(tmp_path / "short.txt")


def test_a_text_too_short_names_the_minimum(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("Le chat mange. " * 10)
    with pytest.raises(DataError, match="at least 400 tokens"):
        api.prepare(path, api.make_options({"data": str(path)}))


def test_a_model_that_would_see_the_future_is_refused(text):
    with pytest.raises(UsageError, match="--bidirectional"):
        api.prepare(text, api.make_options({"data": str(text), "bidirectional": True}))


def test_one_character_repeated_trains(tmp_path):
    path = tmp_path / "aaaa.txt"
    path.write_text("a" * 3000)
    model = rnnkit.train(path, tmp_path / "run", steps=20, hidden=8)
    assert "".join(model.generate("a", length=10, temperature=0)) == "a" * 11


def test_the_clock_plans_and_config_repeats(text, tmp_path):
    import tomllib

    rnnkit.train(text, tmp_path / "a", hidden=16, max_time=1.5)
    config = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    rnnkit.train(out=tmp_path / "b", **config)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_front_matter_is_suggested_and_stripped(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(
        "licence\n*** START OF THE BOOK ***\n" + "Le chat dort.\n" * 300 + "*** END OF THE BOOK ***\nlicence\n"
    )
    said = api.prepare(path, api.make_options({"data": str(path)})).notices
    assert any("--strip-frontmatter" in notice for notice in said)
    job = api.prepare(path, api.make_options({"data": str(path), "strip_frontmatter": True}))
    assert "licence" not in "".join(job.parts.values())


def test_vocabulary_and_embedding_must_agree(model, text, tmp_path):
    from rnnkit import modelfile

    rnnkit.train(text, tmp_path / "run", steps=2, hidden=8)
    path = tmp_path / "run" / "model.safetensors"
    arrays, meta = modelfile.load(path, modelfile.ModelMeta)
    meta.facts["vocabulary"]["symbols"].append("§")
    modelfile.save(path, arrays, meta)
    with pytest.raises(ModelFileError, match="vocabulary"):
        rnnkit.load(path)
    with pytest.raises(UsageError, match="rnnkit generate"):
        model.predict()


def test_texts_and_tables_are_told_apart(tmp_path, text):
    assert api.prepare(text, api.make_options({"data": str(text)})).task == "language"
    energy = sample_path("energy")
    assert api.prepare(energy, api.make_options({"data": str(energy)})).task == "forecast"
    (tmp_path / "series").write_text("t;v\n" + "".join(f"{i};{i % 7},5\n" for i in range(200)))
    assert api.prepare(tmp_path / "series", api.make_options({"data": "x"})).task == "forecast"


@pytest.mark.parametrize(("model_bits", "words"), [(1.0, "beats the best n-gram model"), (3.0, "does not beat")])
def test_verdicts(model_bits, words):
    scores = {"bits_per_char": model_bits, "nats_per_char": model_bits * math.log(2)}
    assert words in verdict(scores, {"5-gram": {"bits_per_char": 2.0, "nats_per_char": 2 * math.log(2)}})


def test_reading_in_pieces_gives_the_nats_of_one_stream(model, text, monkeypatch):
    whole = model.vocabulary.encode(text.read_text(encoding="utf-8"))
    before, ids = whole[:700], whole[700:6000]
    tape = Tape(training=False).begin()
    logits, _ = model.network.forward(whole[:5999, None], None, tape)
    stream = SoftmaxCrossEntropy().nats(logits, whole[1:6000, None])[699:, 0]
    monkeypatch.setattr(language_score, "SHORTEST_PIECE", 500)
    monkeypatch.setattr(language_score, "TOKENS", 700)  # several passes with the state carried on
    pieces = text_nats(model.network, before, ids, model.vocabulary.size)
    np.testing.assert_allclose(pieces, stream, atol=2e-3)
    assert pieces.mean() == pytest.approx(stream.mean(), abs=1e-5)


def test_long_texts_are_selected_and_judged_by_a_part_that_the_report_names(text, tmp_path, monkeypatch):
    monkeypatch.setattr(language_parts, "SELECTED", 600)
    monkeypatch.setattr(language_parts, "JUDGED", 1000)
    monkeypatch.setattr(language_parts, "GRAM", 5000)
    monkeypatch.setattr(language_score, "GRAM", 5000)
    job = api.prepare(text, api.make_options({"data": str(text), "hidden": 8}))
    whole = text.read_text(encoding="utf-8")
    assert len(job.parts["judge"]) == 1000
    assert whole.index(job.parts["judge"]) == pytest.approx(0.9 * len(whole), rel=0.01)
    assert 400 < len(job.parts["select"]) <= 600
    report = job.judge(job.network(), "fit", {})
    assert "the first 1,000 of them" in report["part"]
    (name,) = report["baselines"]
    assert name.endswith("-gram of the last 5,000 tokens")
    size = job.vocabulary.size
    assert report["metrics"]["nats_per_char"] == pytest.approx(math.log(size), rel=0.2)  # it has learned nothing yet


def test_the_clock_leaves_time_for_judging(text):
    job = api.prepare(text, api.make_options({"data": str(text), "hidden": 8, "batch": 2}))
    judging = len(job.ids["judge"]) / len(job.ids["select"]) * 0.5
    steps = job.budget(40, 0.02, 0.5).steps
    assert steps * 0.02 + 12 * 0.5 + judging < 40
    assert steps * 0.02 + 12 * 0.5 + judging > 36
    assert job.budget(4, 0.02, 0.5).steps == pytest.approx(2 / 0.02, rel=0.05)  # half the time at least


@pytest.mark.parametrize("val", [1e-6, 0.0005, 0.003])
def test_too_little_to_select_or_judge_by_is_refused_before_training(text, val):
    with pytest.raises(DataError, match="a larger --val"):
        api.prepare(text, api.make_options({"data": str(text), "val": val}))


def test_every_selecting_piece_counts_with_a_small_val(text):
    job = api.prepare(text, api.make_options({"data": str(text), "val": 0.015}))
    _, counts = job.selection
    assert counts.sum(axis=0).min() >= 32
    assert math.isfinite(job.select(job.network()))


def test_evaluate_compares_both_models_on_the_second_half(model, tmp_path):
    path = tmp_path / "two.txt"
    known = "".join(LINES) * 20
    jumbled = "".join(np.random.default_rng(1).permutation(list(known)))
    path.write_text(jumbled + known, encoding="utf-8")
    found = model.evaluate(path)
    (gram,) = found["baselines"].values()
    half = float(found["verdict"].split("(")[-1].split(" bits")[0])
    assert half < 1 < found["metrics"]["bits_per_char"]
    assert gram["bits_per_char"] > 3  # the first half has the letters but not their order
    assert "beats the best n-gram model" in found["verdict"]


def test_logits_stay_within_bounds_for_large_vocabularies(text):
    options = api.make_options({"data": "x"})
    for size in (60, 20_000, 10_000_000):
        chosen = resolve(500_000, size, options, [])
        assert chosen.batch == {60: 32, 20_000: 26, 10_000_000: 1}[size]
    assert resolve(500_000, 20_000, api.make_options({"data": "x", "batch": 64}), []).batch == 64
    for rows in (1, 48):
        parts = list(language_score.passes(2000, rows, 20_000))
        assert max(part.stop - part.start for part in parts) * rows * 20_000 <= language_score.LOGITS
        assert sum(part.stop - part.start for part in parts) == 2000


def test_a_network_of_another_shape_is_no_language_model(model):
    size = model.vocabulary.size
    with pytest.raises(ModelFileError, match="begins with an embedding"):
        language.LanguageModel(Network(Dense(size, size)), model.meta)
    description = model.network.describe()
    description["layers"][-1]["outputs"] = size + 1
    with pytest.raises(ModelFileError, match=f"found {size} and {size + 1}"):
        language.LanguageModel(Network.from_description(description), model.meta)


@pytest.mark.parametrize("wrap", [str, lambda path: io.BytesIO(path.read_bytes())])
def test_large_packed_tables_are_recognised(tmp_path, wrap):
    rng = np.random.default_rng(0)
    rows = "".join(f"{i},{v:.12f}\n" for i, v in enumerate(rng.random(20_000)))
    path = tmp_path / "table"
    path.write_bytes(gzip.compress(("t,v\n" + rows).encode()))
    assert path.stat().st_size > 65536
    assert looks_like_table(wrap(path))
    path.write_bytes(b"\x1f\x8b" + b"broken" * 20)
    assert not looks_like_table(wrap(path))

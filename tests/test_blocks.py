"""Small data is judged by several trainings: their windows, their reports, and what interrupting them changes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from jobs import sha256
from test_forecast import seasonal, write

from rnnkit import api
from rnnkit.events import Finished, Interrupted, Judged, Stepped
from rnnkit.run import MODEL, Run

SMALL = {"steps": 2, "horizon": 4, "hidden": 2, "members": 1, "season": "12", "val": 0.2}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("blocks") / "sales.csv", {"sales": seasonal(48)})


def job_of(table, **options):
    return api.prepare(table, api.make_options({"data": str(table), **SMALL, **options}))


def train(table, path, job=None, **options):
    return list(api.train_events(job or job_of(table), path, **options))


def test_every_stage_ends_with_what_it_judges(table):
    job = job_of(table)
    assert job.stages == ("fit", "judge 1", "judge 2", "judge 3", "judge 4", "final")
    n, parts = 48, job.parts
    assert job.ends["fit"][0] == parts.fit[0] == parts.select[0][0]
    assert job.ends["select"][0] == n - parts.judged == parts.judge[0][0]
    judged = []
    for stage in job.stages[1:-1]:
        rows = job._judged_by(stage)
        assert parts.judge[0][rows[0]] == job.ends[stage][0]  # all before it is trained on, and nothing after
        judged += rows.tolist()
    assert judged == list(range(len(parts.judge[0])))
    for stage in job.stages:
        series, cuts = job._draw(stage, 500, 0)
        batch = job.batch(stage, 0)
        end = job.ends[stage][0]
        assert cuts.max() < end
        assert not series.any()
        assert np.isfinite(batch.target).all()
        inside = cuts[:, None] + np.arange(4) < end
        np.testing.assert_array_equal(job._inside(series, cuts, stage), inside)


def test_what_comes_later_changes_no_earlier_batch(table, tmp_path):
    """A stage's batches are made of what lies before the windows that it judges."""
    job = job_of(table)
    values = seasonal(48)
    for stage in job.stages[:-1]:
        end = int(job.ends[stage][0])
        changed = values.copy()
        changed[end:] = 150 + 10 * np.cos(np.arange(48 - end))
        other = job_of(write(tmp_path / "other.csv", {"sales": changed}))
        for step in range(3):
            ours, theirs = job.batch(stage, step), other.batch(stage, step)
            for name in ours.x:
                np.testing.assert_array_equal(ours.x[name], theirs.x[name])
            np.testing.assert_array_equal(ours.weight, theirs.weight)
            np.testing.assert_array_equal(ours.target, theirs.target)


def test_one_report_of_all_windows(table, tmp_path):
    events = train(table, tmp_path / "run")
    judged = [event for event in events if isinstance(event, Judged)]
    assert len(judged) == 1
    report = judged[0].report
    job = job_of(table)
    assert report["part"] == f"last {job.parts.judged} points, {len(job.parts.judge[0])} windows of 4"
    assert "kept" not in report
    assert [len(stretch) for stretch in report["calibration"]["stretch"]] == [4, 4]
    assert isinstance(events[-1], Finished)
    _, meta = Run(tmp_path / "run").load_model()
    assert meta.report["metrics"] == report["metrics"]
    assert meta.facts["calibration"] == report["calibration"]


def test_interrupted_at_every_step_ends_in_the_same_bytes(table, tmp_path):
    whole = train(table, tmp_path / "whole")
    steps = sum(isinstance(event, Stepped) for event in whole)
    assert steps >= 9
    for k in range(steps):
        asked = iter(range(10**6))
        path = tmp_path / str(k)
        assert isinstance(train(table, path, interrupted=lambda k=k, a=asked: next(a) >= k)[-1], Interrupted)
        assert isinstance(train(table, path, resume=True)[-1], Finished)
        assert sha256(path / MODEL) == sha256(tmp_path / "whole" / MODEL), f"interrupted after step {k}"


@pytest.mark.parametrize(
    ("points", "options"),
    [(48, {}), (22, {"season": "none", "horizon": 12})],
    ids=["blocks", "fewer steps than the horizon"],
)
def test_killed_after_any_checkpoint_ends_in_the_same_bytes(tmp_path, monkeypatch, points, options):
    """Goes on from a copy of the run as it lay on disk after each checkpoint, those around judging among them."""
    table = write(tmp_path / "sales.csv", {"sales": seasonal(points)})
    whole, copies = tmp_path / "whole", []
    save = Run.save_checkpoint

    def saving(run, *args):
        save(run, *args)
        if run.path == whole:
            copies.append(tmp_path / f"copy{len(copies)}")
            shutil.copytree(whole, copies[-1])

    monkeypatch.setattr(Run, "save_checkpoint", saving)
    train(table, whole, job_of(table, **options))
    assert len(copies) >= 2 * (len(job_of(table, **options).stages) - 1) + 1  # before and after judging
    for path in copies:
        assert isinstance(train(table, path, job_of(table, **options), resume=True)[-1], Finished)
        assert sha256(path / MODEL) == sha256(whole / MODEL), path.name

"""Bad input: one sentence on stderr, the right exit code, no traceback, nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit import api
from rnnkit.cells import CELLS
from rnnkit.cli import commands, failures
from rnnkit.errors import DataError, DivergedError, ModelFileError, RnnkitError, UsageError

FAST = {"RNNKIT_TRAIN_STEPS": "3", "RNNKIT_TRAIN_HIDDEN": "4"}


def run(*args, env=None, **more):
    return CliRunner().invoke(commands, [str(a) for a in args], env={**FAST, **(env or {})}, **more)


def complaint(code, *args, **more):
    """The one sentence with which a command fails; it must fail with ``code``."""
    done = run(*args, **more)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, (args, done.stderr)
    assert lines[0].startswith("rnnkit: "), lines
    assert done.exit_code == code, lines
    assert "Traceback" not in done.output
    return lines[0].removeprefix("rnnkit: ")


def daily(n, value=lambda i: 20 + 3 * (i % 7) + (i * 37 % 11) / 10, separator=","):
    from datetime import date, timedelta

    first = date(2023, 1, 2)
    rows = [f"{first + timedelta(i)}{separator}{value(i)}" for i in range(n)]
    return "\n".join([f"day{separator}sales", *rows]) + "\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run in it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "sales.csv").write_text(daily(150))
    assert run("train", folder / "sales.csv", "--horizon", 3, "-o", folder / "run", "-q").exit_code == 0
    return folder


# -- data --------------------------------------------------------------------------------------------

LINES = daily(60).splitlines()


def altered(line, text):
    """A good table with one line (counted from 1) replaced."""
    return "\n".join([*LINES[: line - 1], text, *LINES[line:]]) + "\n"


BAD_DATA = {
    "empty file": (b"", 3, "x.csv", "empty"),
    "binary file": (bytes(range(256)) * 40, 3, "x.csv", "binary"),
    "header only": (b"day,sales\n", 3, "x.csv"),
    "ragged row": (altered(9, "2023-01-09,3,4,5").encode(), 3, "x.csv", "line 9", "2"),
    "text in a numeric column": (altered(9, "2023-01-09,many").encode(), 3, "x.csv", "line 9", "many", "sales"),
    "duplicate times that disagree": (
        altered(9, LINES[7].split(",")[0] + ",99").encode(),
        3,
        "x.csv",
        LINES[7].split(",")[0],
    ),
    "too short to fit, select and judge": (daily(7).encode(), 3, "at least 8 points are needed", "found 7"),
    "a ZIP": (b"PK\x03\x04" + bytes(400), 3, "x.csv", "ZIP"),
    "not the encoding of its mark": (b"\xef\xbb\xbfday,sales\n2023-01-02,\xff\n", 3, "x.csv", "line 2"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data(case):
    content, code, *words = BAD_DATA[case]
    Path("x.csv").write_bytes(content)
    said = complaint(code, "train", "x.csv", "--horizon", 3)
    for word in words:
        assert word in said, said
    assert not Path("runs").exists()
    assert run("check", "x.csv").exit_code in (0, code)  # a series that is short can still be looked at


def test_missing_file_and_folder():
    Path("sales.csv").write_text(daily(60))
    assert "did you mean 'sales.csv'?" in complaint(2, "train", "sale.csv")
    Path("folder").mkdir()
    assert "folder" in complaint(2, "train", "folder")
    assert not Path("runs").exists()


def test_unknown_column_is_told_the_nearest():
    Path("x.csv").write_text(daily(60))
    said = complaint(2, "train", "x.csv", "--target", "salse")
    assert "salse" in said
    assert "did you mean 'sales'?" in said
    for option in ("--time", "--id", "--past"):
        assert "'dya'" in complaint(2, "train", "x.csv", option, "dya")


FINE_DATA = {
    "NaN and blank cells": (altered(9, "2023-01-09,NaN").replace(",23.1\n", ",\n", 1).encode(), "missing"),
    "constant series": (daily(80, lambda i: 5).encode(), "always 5"),
    "duplicate rows": (altered(9, LINES[7]).encode(), "repe"),
    "unsorted times": ("\n".join([LINES[0], *LINES[:0:-1]]).encode() + b"\n", "order"),
    "UTF-16": (daily(60).encode("utf-16"), ""),
    "BOM": (daily(60).encode("utf-8-sig"), ""),
    "semicolons and decimal commas": (daily(60, separator=";").replace(".", ",").encode(), ""),
    "line ends of Windows": (daily(60).replace("\n", "\r\n").encode(), ""),
}


@pytest.mark.parametrize("case", FINE_DATA)
def test_odd_but_fine_data_trains_and_says_what_is_odd(case):
    content, word = FINE_DATA[case]
    Path("x.csv").write_bytes(content)
    done = run("train", "x.csv", "--horizon", 3, "-o", "run")
    assert done.exit_code == 0, done.stderr
    assert any(word in line for line in done.stderr.splitlines() if line.startswith("note: ") or not word), done.stderr
    rows = run("predict", "run").stdout.splitlines()
    assert rows[0] == "day,median,lo80,hi80,lo95,hi95"
    assert all(cell for row in rows[1:] for cell in row.split(","))


# -- options -----------------------------------------------------------------------------------------

BAD_OPTIONS = {
    "--hidden 0": "--hidden is a whole number of at least 1, not 0",
    "--hidden many": "'many' is not a whole number",
    "--lr fast": "'fast' is not a number",
    "--lr -1": "--lr is a number above 0, not -1.0",
    "--lr nan": "--lr is a number above 0, not nan",
    "--dropout 1": "--dropout is at least 0 and below 1, not 1.0",
    "--val 0.9": "--val is a share",
    "--cell gnu": "'gnu' is not one of",
    "--optimizer sgf": "'sgf' is not one of adamw, adam, sgd, rmsprop",
    "--schedule x": "is not one of constant, cosine",
    "--init x": "is not one of zeros, ones",
    "--backend x": "is not one of auto, cython, numba, numpy",
    "--threads 0": "neither auto nor",
    "--max-time soon": "not a time such as 90, 90s, 10m or 1h",
    "--max-time 0": "--max-time is a number above 0",
    "--season x": "--season is auto, none, or steps",
    "--task x": "is not one of auto, forecast, language",
    "--hiden 3": "there is no option --hiden; did you mean --hidden?",
    "--plot chart.jpg": "a chart ends in .png or .svg",
    "--plot no/chart.png": "folder",
    "--from nowhere": "nowhere does not exist",
    "--resume -o nowhere": "nowhere does not exist",
    "--config nowhere.toml": "nowhere.toml",
    "--encoding klingon --task language": "klingon",
    "--level word": "--level belongs to --task language",
}


@pytest.mark.parametrize("flags", BAD_OPTIONS)
def test_bad_options(flags):
    Path("x.csv").write_text(daily(60))
    assert BAD_OPTIONS[flags] in complaint(2, "train", "x.csv", *flags.split())
    assert not Path("runs").exists()


def test_commands_and_arguments_that_do_not_exist():
    assert complaint(2, "trian") == "there is no command 'trian'; did you mean train?"
    assert "rnnkit predict --help" in complaint(2, "predict")
    assert "needs DATA" in complaint(2, "train")
    assert "needs DATA" in complaint(2, "train", "--resume")
    assert "'--folds': '0' is not a whole number of at least 1" in complaint(2, "evaluate", "a", "b", "--folds", 0)
    assert "'1.5' is not a whole number" in complaint(2, "evaluate", "a", "b", "--folds", "1.5")
    assert "'nan' is not a number of at least 0" in complaint(2, "bench", "--seconds", "nan")
    assert "rnnkit example chat" in complaint(2, "generate")
    assert "does not exist" in complaint(2, "predict", "nowhere")
    assert "'tcsh' is not one of" in complaint(2, "completion", "tcsh")


def test_a_task_that_cannot_do_it(trained):
    assert "generates no text" in complaint(2, "generate", trained / "run", "--seed", "a")
    assert "--folds is at most" in complaint(2, "evaluate", trained / "run", trained / "sales.csv", "--folds", 9999)


# -- settings files ------------------------------------------------------------------------------------

BAD_SETTINGS = {
    "[train]\nlayers = 2\nhiden = 3\n": "rnnkit.toml:3: there is no option 'hiden'; did you mean hidden?",
    "[trian]\nhidden = 3\n": "rnnkit.toml:1: tables named by a command were expected, found 'trian'; did you mean tr",
    "hidden = 3\n": "rnnkit.toml:1: tables named by a command",
    "[train]\nhidden = 'many'\n": "'many' is not a whole number (from rnnkit.toml)",
    "[train]\nhidden = 8.5\n": "rnnkit.toml:2: hidden is a whole number, not 8.5",
    "[train]\nhidden = true\n": "rnnkit.toml:2: hidden is a value, not True",
    "[train]\nbidirectional = 3\n": "rnnkit.toml:2: bidirectional is true or false, not 3",
    "[train]\nhidden = [3, 4]\n": "rnnkit.toml:2: hidden is a single value",
    "[predict]\nhidden = 3\n": "rnnkit.toml:2: there is no option 'hidden'",
    "[train\n": "rnnkit.toml: TOML was expected",
    "[train]\nhidden = 0\n": "--hidden is a whole number of at least 1, not 0 (from rnnkit.toml)",
}


@pytest.mark.parametrize("text", BAD_SETTINGS)
def test_settings_files(text):
    Path("x.csv").write_text(daily(60))
    Path("rnnkit.toml").write_text(text)
    assert BAD_SETTINGS[text] in complaint(2, "train", "x.csv", env={"RNNKIT_TRAIN_HIDDEN": ""})
    assert not Path("runs").exists()


def test_config_and_environment():
    Path("x.csv").write_text(daily(60))
    Path("c.toml").write_text('data = "x.csv"\nhidden = 3\nforce = true\n')
    assert "c.toml:3: there is no option 'force'" in complaint(2, "train", "--config", "c.toml")
    Path("c.toml").write_bytes(b"a = '\xff'")
    assert "c.toml: TOML in UTF-8" in complaint(2, "train", "--config", "c.toml")
    said = complaint(2, "train", "x.csv", env={"RNNKIT_TRAIN_HIDEN": "3"})
    assert "RNNKIT_TRAIN_HIDEN sets no option of train; did you mean RNNKIT_TRAIN_HIDDEN?" in said
    assert "(from RNNKIT_TRAIN_HIDDEN)" in complaint(2, "train", "x.csv", env={"RNNKIT_TRAIN_HIDDEN": "x"})
    assert complaint(2, "check", "x.csv", env={"RNNKIT_CHECK_VAL": "7"}).endswith("not 7.0 (from RNNKIT_CHECK_VAL)")


# -- runs and model files --------------------------------------------------------------------------------


def test_out_that_exists_is_refused_and_kept(trained):
    before = {p.name: p.read_bytes() for p in (trained / "run").iterdir()}
    said = complaint(2, "train", trained / "sales.csv", "-o", trained / "run")
    assert "--force" in said
    assert {p.name: p.read_bytes() for p in (trained / "run").iterdir()} == before
    assert {p.name for p in trained.iterdir()} == {"run", "sales.csv"}


def test_resume_with_other_data_or_options_is_refused(trained):
    shutil.copytree(trained / "run", "run")
    before = {p.name: p.read_bytes() for p in Path("run").iterdir()}
    Path("other.csv").write_text(daily(150, lambda i: i % 5))
    assert "differs" in complaint(2, "train", "other.csv", "--resume", "-o", "run")
    said = complaint(2, "train", trained / "sales.csv", "--resume", "-o", "run", "--hidden", 5)
    assert "hidden is 4" in said
    assert {p.name: p.read_bytes() for p in Path("run").iterdir()} == before


def foreign(folder):
    from safetensors.numpy import save

    (folder / "model.safetensors").write_bytes(save({"w": __import__("numpy").zeros(3)}, {"format": "pt"}))


def newer(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    sealed = json.loads(header["__metadata__"]["rnnkit"])
    sealed["meta"] = json.dumps({**json.loads(sealed["meta"]), "version": 99})
    header["__metadata__"]["rnnkit"] = json.dumps(sealed)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def garbled(folder):
    path = folder / "model.safetensors"
    whole = bytearray(path.read_bytes())
    whole[20:60] = b"\xa7" * 40
    path.write_bytes(whole)


def empty(folder):
    (folder / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize("damage", [foreign, newer, cut, garbled, empty])
def test_bad_model_files(trained, damage):
    shutil.copytree(trained / "run", "run")
    damage(Path("run"))
    for words in (
        ["predict", "run"],
        ["evaluate", "run", "x.csv"],
        ["info", "run"],
        ["predict", "run/model.safetensors"],
    ):
        said = complaint(4, *words)
        assert "model.safetensors" in said
    assert ("format 99" in said) == (damage is newer)


def test_a_file_that_is_no_model(trained):
    assert "sales.csv" in complaint(4, "predict", trained / "sales.csv")


# -- disks and pipes ------------------------------------------------------------------------------------


def command(*args, stdout, **env):
    """A command in a process of its own."""
    env = {**os.environ, **FAST, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1]), **env}
    return subprocess.run(
        [sys.executable, "-P", "-m", "rnnkit", *map(str, args)],
        env=env,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk_under_stdout(trained):
    with open("/dev/full", "wb") as full:
        done = command("predict", trained / "run", stdout=full)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert "No space left on device" in done.stderr.decode()


def test_full_disk_while_saving(trained, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = complaint(1, "train", trained / "sales.csv", "-o", "new")
    assert "the disk is full" in said
    assert not any(Path().iterdir())
    assert "the disk is full" in complaint(1, "predict", trained / "run", "-o", "f.csv")
    assert not any(Path().iterdir())


def test_read_only_folder(trained, monkeypatch):
    import tempfile

    def refuse(*args, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert "read-only" in complaint(1, "train", trained / "sales.csv", "-o", "new")
    assert "read-only" in complaint(1, "predict", trained / "run", "-o", "f.csv")
    assert not any(Path().iterdir())


def test_predict_into_a_folder_that_is_missing(trained):
    assert "no/f.csv" in complaint(2, "predict", trained / "run", "-o", "no/f.csv")


def test_out_and_from_are_refused_before_the_data_is_read_and_notes_are_told(trained):
    run_of, data = trained / "run", trained / "sales.csv"
    Path("there").mkdir()
    for flags in (["-o", "there"], ["--from", "nowhere", "-o", "new"]):
        done = run("train", "no-such.csv", *flags)
        assert (done.exit_code, "no-such" in done.stderr) == (2, False)
    done = run("train", data, "--horizon", 3, "--from", run_of, "--hidden", 5, "-o", "new")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "same network" in done.stderr
    assert not Path("new").exists()


def test_wrong_instruction_set_is_wrong_usage():
    done = command("info", stdout=subprocess.DEVNULL, RNNKIT_ISA="sse9")
    assert (done.returncode, b"RNNKIT_ISA is one of" in done.stderr) == (2, True)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals as POSIX has them")
def test_ctrl_c_during_the_first_imports_ends_with_130():
    code = (
        "import sys; from rnnkit.__main__ import main\n"
        "class Stop:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop()); main()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "rnnkit: interrupted\n")


def test_missing_plot_extra(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = complaint(2, "predict", trained / "run", "--plot", "x.png")
    assert "pip install 'rnnkit[plot]'" in said


# -- the turning of errors into sentences ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageError("a\nb"), 2, "a b"),
        (DataError("d"), 3, "d"),
        (ModelFileError("m"), 4, "m"),
        (DivergedError("v"), 5, "v"),
        (RnnkitError("r\x1b[2J"), 1, "r\\x1b[2J"),
        (MemoryError(), 1, "there is not enough memory; try a smaller --batch, --hidden or --context"),
        (FileNotFoundError(2, "gone", "f"), 1, "f: gone; check the disk and the permissions"),
        (click.exceptions.Abort(), 130, "interrupted"),
        (KeyError("k"), 1, "unexpected KeyError: 'k'; please report it with what RNNKIT_DEBUG=1 shows"),
    ],
)
def test_every_error_is_a_sentence_and_a_code(error, code, sentence):
    assert failures.describe(error) == (sentence, code)


def test_a_bug_shows_no_traceback_unless_asked(monkeypatch):
    def broken(*args, **more):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(api, "check", broken)
    assert complaint(1, "check", "x.csv").startswith("unexpected ZeroDivisionError: oh; please report")
    done = run("check", "x.csv", env={"RNNKIT_DEBUG": "1"})
    assert isinstance(done.exception, ZeroDivisionError)


def test_ctrl_c_ends_with_130(monkeypatch):
    def slow(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "check", slow)
    done = run("check", "x.csv")
    assert done.exit_code == 130
    assert done.stderr.strip() == "rnnkit: interrupted"


def test_divergence_ends_with_5(trained):
    wild = ["--lr", "1e30", "--clip", "0", "--optimizer", "sgd", "--steps", "60"]
    done = run("train", trained / "sales.csv", "-o", "wild", *wild, "-q")
    assert done.exit_code == 5, done.stderr
    *warnings, last = done.stderr.splitlines()
    assert [line[-10:] for line in warnings] == [f"(return {n})" for n in (1, 2, 3)]
    assert last.startswith("rnnkit: the loss was not finite at step ")
    done = run("predict", "wild")
    assert done.exit_code == 0
    assert "note: this run was not judged: its training was interrupted or diverged" in done.stderr


def test_a_cell_without_a_recurrent_matrix_refuses_its_dropout(trained):
    for cell in (name for name, cell in CELLS.items() if not cell.recurrent):
        flags = ["--cell", cell, "--recurrent-dropout", "0.2", "-o", "none"]
        said = complaint(2, "train", trained / "sales.csv", *flags)
        assert f"--recurrent-dropout masks the h that enters h·R, and the {cell} cell has no R; leave" in said
        assert not Path("none").exists()

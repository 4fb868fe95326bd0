"""``generate`` and the language side of ``predict`` on the command line, and writing together by a script."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit.cli import commands
from rnnkit.cli.interactive import Session
from rnnkit.cli.texts import collect
from rnnkit.errors import UsageError

SENTENCES = "Le chat mange une pomme. Le chat mange un poisson. La lune est haute.\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with a trained language run and one of forecasts."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "chat.txt").write_text(SENTENCES * 120, encoding="utf-8")
    rnnkit.train(folder / "chat.txt", folder / "runs" / "chat", cell="lstm", hidden=32, steps=200)
    (folder / "v.csv").write_text("t,v\n" + "".join(f"{i},{i % 7}\n" for i in range(150)))
    rnnkit.train(folder / "v.csv", folder / "runs" / "v", hidden=4, steps=2, horizon=3, members=1)
    return folder


def run(*args, **more):
    return CliRunner().invoke(commands, [str(a) for a in args], **more)


def ok(*args, **more):
    result = run(*args, **more)
    assert result.exit_code == 0, (args, result.stderr, result.exception)
    return result


def complaint(*args, **more):
    result = run(*args, **more)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("rnnkit: ")]
    assert result.stdout == ""
    return line


def texts(*args, **more):
    return [entry["text"] for entry in json.loads(ok("generate", "runs/chat", "--json", *args, **more).stdout)["texts"]]


# -- generate -------------------------------------------------------------------------------------


def test_several_texts(here):
    three = texts("--seed", "Le chat", "-n", 3, "--rng", 7, "--length", 40)
    assert texts("--seed", "Le chat", "-n", 3, "--rng", 7, "--length", 40) == three
    assert texts("--seed", "Le chat", "--rng", 7, "--length", 40) == three[:1]
    assert texts("--seed", "La", "--seed", "Le chat", "-n", 2, "--rng", 7, "--length", 40)[2:] == three[:2]
    shown = ok("generate", "runs/chat", "--seed", "Le chat", "-n", 3, "--rng", 7, "--length", 40).stdout
    assert re.split(r"\n?--- \d of 3 ---\n", shown)[1:] == [text.rstrip("\n") + "\n" for text in three]


def test_lines_of_standard_input(here):
    found = texts("--lines", "--length", 8, input="Le chat\n\nOù êtes-vous ?\n")
    assert [text[:7] for text in found] == ["Le chat", "Où êtes"]
    assert texts("--seed", "-", "--length", 3, input="un\ndeux\n")[0].startswith("un\ndeux")  # as a whole
    assert "a line of text" in complaint("generate", "runs/chat", "--lines", input="\n\n")
    assert "leave --seed out" in complaint("generate", "runs/chat", "--lines", "--seed", "x")


def test_stops_units_and_rules(here):
    assert texts("--seed", "La lune", "--stop", ".", "--temperature", 0) == ["La lune est haute"]
    found = ok("generate", "runs/chat", "--seed", "La lune", "--stop", r"\n", "--stop", "ute", "--min-p", 0.5).stdout
    assert found == "La lune est ha\n"
    assert len(texts("--seed", "La lune", "--length", 12, "--unit", "chars")[0]) == 19
    env = {"RNNKIT_GENERATE_SEED": "La lune", "RNNKIT_GENERATE_STOP": " haute\n chat"}
    assert ok("generate", "runs/chat", "--temperature", 0, env=env).stdout == "La lune est\n"


def test_the_beam(here):
    assert texts("--seed", "La", "--beam", 4, "--stop", ".") == ["La lune est haute"]
    found = json.loads(ok("generate", "runs/chat", "--beam", 4, "--length", 9, "--json").stdout)
    assert "rng" not in found
    assert "--rng belongs to texts that are drawn" in complaint("generate", "runs/chat", "--beam", 4, "--rng", 3)
    said = ok("generate", "runs/chat", "--beam", 4, "--length", 400)
    assert re.search(
        r"note: the text says ('.+'|\d+ characters) \d+ times in a row; --no-repeat forbids it$", said.stderr.strip()
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--min-p", 2], "--min-p is from 0 to 1, not 2.0"),
        (["--stop", ""], "--stop is a text"),
        (["--unit", "lines"], "--unit is one of tokens, chars, words"),
        (["-n", 0], "-n is a whole number of texts"),
        (["-n", "x"], "'x' is not a whole number"),
        (["--beam", 0], "--beam is a whole number"),
        (["--beam", 2, "--no-repeat", 0], "--no-repeat"),
        (["--length", -1, "-i"], "--length"),
        (["--beam", 2, "-i"], "--beam does not go with --interactive"),
        (["--json", "-i"], "--json does not go with --interactive"),
        (["-n", 1, "-i"], "-n does not go with --interactive"),
        (["--seed", "-", "-i"], "give one --seed"),
    ],
)
def test_wrong_values_are_one_sentence(here, args, words):
    assert words in complaint("generate", "runs/chat", *args)


def test_other_runs_generate_no_text(here):
    assert "generates no text" in complaint("generate", "runs/v")
    assert "generates no text" in complaint("generate", "runs/v", "-i")


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}


SEED = "Le chat mange"


@pytest.mark.parametrize("more", [[], ["--beam", "3"]])
def test_ctrl_c_leaves_what_was_written(here, more):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "rnnkit", "generate", "runs/chat", "--seed", SEED, "--length", "1000000", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    begun = process.stdout.read(len(SEED))  # lines of a beam may not agree on more for long
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == b"rnnkit: interrupted"
    assert out.endswith(b"\n")
    assert SEED in (begun + out).decode("utf-8")


def test_ctrl_c_leaves_json_of_what_was_written(capsys):
    def interrupted():
        yield "Le chat"
        yield " mange"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(iter([iter(["La lune"]), interrupted()]), ["La", "Le", "Où"], rng=3)
    found = json.loads(capsys.readouterr().out)
    assert found["texts"] == [{"seed": "La", "text": "La lune"}, {"seed": "Le", "text": "Le chat mange"}]


# -- predict ----------------------------------------------------------------------------------------


def words(*args, **more):
    return list(csv.DictReader(io.StringIO(ok("predict", "runs/chat", *args, **more).stdout)))


def test_words_of_a_text(here):
    rows = words("Le chat mange", "--top", 2)
    assert {row["word"] for row in rows} == {"une", "un"}
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=0.05)
    found = json.loads(ok("predict", "runs/chat", "La lune", "--top", 1, "--json").stdout)
    assert found["rows"][0]["text"] == "La lune"
    assert found["rows"][0]["words"][0]["word"] == "est"


def test_words_of_many_texts(here):
    Path("begun.txt").write_text("La lune\n\nLe chat mange une\n", encoding="utf-8")
    rows = words("begun.txt", "--top", 1)
    assert [(row["text"], row["word"]) for row in rows] == [("La lune", "est"), ("Le chat mange une", "pomme")]
    assert words("-", "--top", 1, input="La lune\nLe chat mange une\n") == rows
    done = ok("predict", "runs/chat", "begun.txt", "-o", "words.csv")
    assert (done.stdout, done.stderr) == ("", "wrote words.csv\n")
    assert len(Path("words.csv").read_text(encoding="utf-8").splitlines()) == 11
    assert "exists" in complaint("predict", "runs/chat", "begun.txt", "-o", "words.csv")


def test_a_name_of_no_file_is_a_text(here):
    done = ok("predict", "runs/chat", "bgun.txt")
    assert done.stderr == "note: there is no file bgun.txt; it is taken for the text itself\n"
    assert ok("predict", "runs/chat", "La lune.").stderr == ""


def test_wrong_predictions_are_one_sentence(here):
    assert "a text to go on from was expected" in complaint("predict", "runs/chat")
    assert "--top is a whole number" in complaint("predict", "runs/chat", "x", "--top", 0)
    assert "--horizon belongs to forecasts" in complaint("predict", "runs/chat", "x", "--horizon", 3)
    assert "--follow belongs to forecasts" in complaint("predict", "runs/chat", "-", "--follow")
    assert "--top belongs to a language model" in complaint("predict", "runs/v", "--top", 3)
    Path("empty.txt").write_text("\n \n")
    assert run("predict", "runs/chat", "empty.txt").exit_code == 3


# -- writing together ---------------------------------------------------------------------------------


def together(*lines, seed="Le chat mange", args=()):
    """The text that comes of the answers, and what was shown."""
    done = ok("generate", "runs/chat", "--seed", seed, "-i", *args, input="".join(line + "\n" for line in lines))
    return done.stdout.removesuffix("\n"), done.stderr


def test_a_piece_is_what_generate_writes(here):
    plain = texts("--seed", "Le chat mange", "-n", 3, "--length", 6, "--unit", "words", "--temperature", 1.5)
    args = ["--length", 6, "--temperature", 1.5]
    assert together("", "q", args=args)[0] == plain[0]
    assert together("", "r", "q", args=args)[0] == plain[1]  # another draw from the same place
    assert together("", "r", "r", args=args)[0] == plain[2]
    assert together("", "u", "q", args=args)[0] == "Le chat mange"
    assert together(args=args)[0] == "Le chat mange"  # answers may simply end


def test_words_are_picked_and_texts_typed(here):
    text, shown = together("2")
    assert re.search(r"\[1 une \d+ % · 2 un \d+ %", shown)
    assert text == "Le chat mange un"
    assert together("une poire", ", dit-il", "  x", "u")[0] == "Le chat mange une poire, dit-il"
    assert together("homme", seed="l'")[0] == "l'homme"
    assert together(" 2")[0] == "Le chat mange 2"
    assert together("1", "u", "u", "Où ?")[0] == "Le chat mange Où ?"


def test_what_cannot_be_done_is_said_and_asked_again(here):
    Path("there.txt").write_text("x")
    text, shown = together("u", "r", "9", "0", "s", "s there.txt", "s no/such.txt", "?", "1", "r", "s out.txt")
    for words in ("no step to take back", "the last step was none", "from 1 to 5", "s FILE", "there.txt exists",
                  "the folder of no/such.txt does not exist", "wrote out.txt"):  # fmt: skip
        assert words in shown
    assert text == "Le chat mange une"
    assert Path("out.txt").read_text(encoding="utf-8") == text + "\n"
    assert Path("there.txt").read_text() == "x"


def test_a_text_from_nothing_and_one_that_is_long(here):
    assert len(together("", seed="")[0]) > 20
    text, shown = together("1", seed="Le chat dort. " * 100)
    assert text.startswith("Le chat dort. " * 100)
    assert "…" in shown


class Parrot:
    """An author that is no language model."""

    def go_on(self, text, draw):
        yield from (f" [{draw}", ":", f"{len(text)}]")
        if draw == 1:
            raise KeyboardInterrupt

    def choices(self, text):
        return []


def test_the_loop_needs_no_language_model_and_ctrl_c_ends_a_piece(monkeypatch, capsys):
    answers = iter(["", "", "1", "hello", None])
    session = Session(Parrot(), "hi")
    monkeypatch.setattr(session, "_ask", lambda: next(answers))
    assert session.run() == 0
    said = capsys.readouterr()
    assert said.out == "hi [0:2] [1:8] hello\n"
    assert "(interrupted)" in said.err
    with pytest.raises(UsageError, match="picks a word"):
        session._obey("3")


def test_on_a_terminal(here):
    """Prompts and pieces are shown there, and the text is not written a second time."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *shlex.split("-P -m rnnkit generate runs/chat --seed La -i --temperature 0 --length 3")],
        stdin=follower, stdout=follower, stderr=follower, env={**environment(), "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    os.close(follower)
    os.write(leader, b"\nq\n")
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait(timeout=60) == 0
    os.close(leader)
    assert shown.count(b" lune est haute.") == 1
    assert b"\x1b[3" not in shown

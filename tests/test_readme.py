"""The README's examples run, in order, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from rnnkit.cli import COMMANDS, commands
from rnnkit.tasks import forecast_plan

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    """Shell lines that begin with rnnkit, and every Python block; bench apart, which takes long and measures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecast_plan, "_steps", lambda *_: 10)
    ran = set()
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "README.md", "exec"), {})
            continue
        for line in re.split(r"\n|&&", block):
            words = shlex.split(line)
            if not words or words[0] != "rnnkit" or words[1] == "bench":
                continue
            if words[1] == "train" and not {"--resume", "--steps"} & set(words):  # enough to show that it runs
                words += ["--steps", "10"]
            if "--refit" in words:  # models of statistics take their time
                words += ["--against", "simple"]
            result = CliRunner().invoke(commands, words[1:], catch_exceptions=False)
            assert result.exit_code == 0, f"{line}\n{result.output}"
            assert result.output
            ran.add(words[1])
    assert ran >= set(COMMANDS) - {"bench", "completion"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert f"rnnkit {command}" in TEXT


def test_pictures_exist():
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (README.parent / name).is_file(), name

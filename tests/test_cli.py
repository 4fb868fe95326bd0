"""The commands: help, examples, results on stdout, everything else on stderr, settings and their order."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rnnkit
from rnnkit.cli import COMMANDS, commands
from rnnkit.cli.signals import Interruption
from rnnkit.samples import sample_path
from rnnkit.tasks.options import TrainOptions

FAST = {"RNNKIT_TRAIN_STEPS": "4", "RNNKIT_TRAIN_HIDDEN": "8"}


def environment(**more):
    """For processes of their own: the package under test, wherever they run."""
    return {**os.environ, "PYTHONPATH": str(Path(rnnkit.__file__).parents[1]), **more}


def daily(n, start=20.0):
    """A CSV of n days with a week's shape."""
    from datetime import date, timedelta

    lines = ["day,sales"]
    for i in range(n):
        lines.append(f"{date(2023, 1, 2) + timedelta(i)},{start + 3 * (i % 7) + (i * 37 % 11) / 10:.2f}")
    return "\n".join(lines) + "\n"


def run(*args, env=None, **more):
    """A command in this process: result with exit_code, stdout, stderr."""
    return CliRunner().invoke(commands, [str(a) for a in args], env={**FAST, **(env or {})}, **more)


def ok(*args, **more):
    result = run(*args, **more)
    assert result.exit_code == 0, (args, result.stderr, result.exception)
    return result


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with data and a trained run of each task."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "sales.csv").write_text(daily(200))
    text = sample_path("chat").read_text(encoding="utf-8")[:12000]
    (folder / "chat.txt").write_text(text, encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        ok("train", "sales.csv", "--horizon", 7)
        ok("train", "chat.txt", "--cell", "lstm")
    finally:
        os.chdir(before)
    return folder


# -- help ----------------------------------------------------------------------------------------


def test_the_group_lists_every_command_and_imports_none():
    code = (
        "import sys; from rnnkit.cli import main; sys.argv = ['rnnkit', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'numba', 'pandas', 'matplotlib', 'rich', 'msgspec', 'rnnkit.api', 'rnnkit.cli.train'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stderr.strip() == "[]"
    for name, line in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert line in done.stdout


def test_help_and_version_are_quick():
    for flag in ("--help", "--version"):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-P", "-m", "rnnkit", flag], capture_output=True, check=True, env=environment()
            )
            times.append(time.perf_counter() - began)
        assert min(times) < 0.5  # the promise is 0.2 s on a quiet machine; this one may be busy


def test_no_command_shows_the_help():
    assert ok().stdout.startswith("Usage: rnnkit")


def test_version():
    from rnnkit import __version__

    assert ok("--version").stdout == f"rnnkit {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    with click.Context(commands) as ctx:
        command = commands.get_command(ctx, name)
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    shown = ok(name, "--help").stdout
    assert "Examples:" in shown
    assert f"  rnnkit {name}" in shown or f"| rnnkit {name}" in shown
    for each in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert each.help.splitlines()[0].endswith(".")
        for param in each.params:
            if isinstance(param, click.Option):
                assert param.help, (name, param.name)
        assert "json" in {param.name for param in each.params}


def test_the_public_names_are_listed():
    assert {"train", "load", "nn", "DataError", "__version__"} <= set(dir(rnnkit))


def test_evaluate_explains_its_figures():
    shown = ok("evaluate", "--help").stdout
    for name in ("MASE", "OWA", "pinball"):
        assert re.search(rf"^  {name} +\w", shown, re.M)


def test_train_has_an_option_for_every_setting():
    with click.Context(commands) as ctx:
        names = {param.name for param in commands.get_command(ctx, "train").params}
    assert set(TrainOptions.__struct_fields__) <= names


def test_help_names_what_the_tables_hold():
    from rnnkit._kernels import BACKENDS
    from rnnkit.nn.initializers import INITIALIZERS
    from rnnkit.nn.optim import OPTIMIZERS
    from rnnkit.nn.schedules import SCHEDULES
    from rnnkit.tasks import TASKS

    shown = ok("train", "--help").stdout
    for table in (BACKENDS, INITIALIZERS, OPTIMIZERS, SCHEDULES, TASKS):
        for name in table:
            assert re.search(rf"\b{name}\b", shown), name


def examples():
    with click.Context(commands) as ctx:
        for name in COMMANDS:
            if name == "bench":
                continue
            epilog = commands.get_command(ctx, name).epilog
            yield from re.findall(r"^  ((?:(?:echo|tail) .*\| )?rnnkit .*)$", epilog.split("Examples:")[1], re.M)


def test_every_example_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ok("example", "energy")
    ok("example", "chat")
    for i in range(3):
        Path("books").mkdir(exist_ok=True)
        shutil.copy("chat.txt", f"books/{i}.txt")
    quick = {"chat.txt": ["--steps", "10", "--hidden", "8"]}
    quick["books/"] = quick["chat.txt"]
    quick["energy.csv"] = [*quick["chat.txt"], "--members", "1"]
    for name, run in (("energy.csv", "runs/energy"), ("chat.txt", "runs/chat")):
        ok("train", name, "-o", run, *quick[name])
    said = list(examples())
    assert len(said) > 20
    for line in said:
        given = None
        if line.startswith("echo "):
            text, line = re.fullmatch(r'echo "(.*)" \| (.*)', line).groups()
            given = text + "\n"
        if line.startswith("tail "):  # as far as it gets before it waits
            flags, name, line = re.fullmatch(r"tail (.*) (\S+) \| (.*)", line).groups()
            lines = Path(name).read_text().splitlines(keepends=True)
            given, line = "".join(lines[:200] if "-n +1" in flags else lines[-10:]), f"{line} --follow"
        words = shlex.split(line)[1:]
        if "<" in words:
            given = Path(words[words.index("<") + 1]).read_bytes()
            words = words[: words.index("<")]
        if words[0] == "example" and len(words) > 1:
            for sample in ("energy.csv", "chat.txt"):
                Path(sample).unlink(missing_ok=True)
        if "--max-time" in words:  # the plan would be made by the clock
            del words[words.index("--max-time") : words.index("--max-time") + 2]
        words += quick.get(words[1], []) if words[0] == "train" else []
        if "--refit" in words:  # models of statistics take their time
            words += ["--against", "simple"]
        ok(*words, input=given)


# -- train ---------------------------------------------------------------------------------------


def test_train_shows_figures_beside_the_baselines_and_the_next_command(here):
    done = ok("train", "sales.csv", "--horizon", 7, "-o", "runs/a")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("On the last ")
    assert lines[1].startswith("                      this run  ")
    row = next(line for line in lines if line.startswith("MASE"))
    own, *rivals = map(float, row.split()[1:])
    assert own > 0
    assert len(rivals) == 3
    assert rivals == sorted(rivals)  # the best of them, best first
    rest = next(line for line in lines if line.startswith("MASE of the others: "))
    assert min(float(part.split()[-1]) for part in rest.split(",")) >= rivals[-1]
    assert max(map(len, lines[: lines.index(rest)])) <= 80
    assert any("beat" in line and line.startswith("The run") for line in lines)
    assert any("⠀" <= c <= "⣿" for c in done.stdout)
    assert lines[-1] == "Use it:  rnnkit predict runs/a"
    assert "note: season found: 7 steps" in done.stderr.splitlines()
    assert "training runs/a: forecast, cell gru, hidden 8" in done.stderr
    assert "saved in runs/a" in done.stderr


def test_the_next_command_works(here):
    for data in ("sales.csv", "chat.txt"):
        line = ok("train", data, "-o", f"runs/of {data}", "-q").stdout.splitlines()[-1]
        words = shlex.split(line.removeprefix("Use it:  "))
        assert ok(*words[1:]).stdout


def test_train_json_is_one_object_and_alone(here):
    done = ok("train", "chat.txt", "--json", "-o", "runs/j")
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert found["schema"] == 1
    assert found["run"] == "runs/j"
    assert 1 < found["metrics"]["bits_per_char"] < 8
    assert set(next(iter(found["baselines"].values()))) == {"nats_per_char", "bits_per_char"}
    assert "n-gram" in found["verdict"]
    assert found["seconds"] > 0


def test_quiet_leaves_stderr_empty(here):
    assert ok("train", "sales.csv", "-q").stderr == ""


def test_without_out_the_next_free_name_is_taken(here):
    ok("train", "sales.csv", "-q")
    assert sorted(p.name for p in Path("runs").iterdir()) == ["chat", "sales", "sales-2"]


def test_force_replaces_a_run_and_only_a_run(here):
    old = Path("runs/sales/model.safetensors").read_bytes()
    ok("train", "sales.csv", "-o", "runs/sales", "--force", "--seed", 3, "-q")
    assert Path("runs/sales/model.safetensors").read_bytes() != old
    Path("mine").mkdir()
    Path("mine/letter").write_text("keep")
    refused = run("train", "sales.csv", "-o", "mine", "--force")
    assert refused.exit_code == 2
    assert [p.name for p in Path("mine").iterdir()] == ["letter"]


def test_config_of_a_run_repeats_it(here):
    ok("train", "--config", "runs/sales/config.toml", "-o", "again", "-q", env={"RNNKIT_TRAIN_HIDDEN": ""})
    assert Path("again/model.safetensors").read_bytes() == Path("runs/sales/model.safetensors").read_bytes()


def test_flags_go_before_the_config(here):
    ok("train", "--config", "runs/sales/config.toml", "-o", "again", "--hidden", 6, "-q")
    assert json.loads(ok("info", "again", "--json").stdout)["options"]["hidden"] == 6


def test_flag_env_file_default_in_that_order(here):
    Path("rnnkit.toml").write_text("[train]\nlayers = 2\nhidden = 5\nclip-value = 0.5\n")

    def chosen(*flags, **env):
        env = {"RNNKIT_TRAIN_HIDDEN": "", "RNNKIT_TRAIN_STEPS": "2", **env}
        return json.loads(ok("info", train(flags, env), "--json").stdout)["options"]

    def train(flags, env):
        return json.loads(ok("train", "sales.csv", "--json", *flags, env=env).stdout)["run"]

    from_file = chosen()
    assert (from_file["layers"], from_file["hidden"], from_file["clip_value"]) == (2, 5, 0.5)
    assert chosen(RNNKIT_TRAIN_HIDDEN="6")["hidden"] == 6
    assert chosen("--hidden", 7, RNNKIT_TRAIN_HIDDEN="6")["hidden"] == 7
    Path("rnnkit.toml").unlink()
    assert chosen("--hidden", 7)["layers"] == 1


def test_files_and_environment_call_options_by_their_flags(here):
    refused = run("train", "chat.txt", env={"RNNKIT_TRAIN_FROM": "nowhere"})
    assert (refused.exit_code, "nowhere" in refused.stderr) == (2, True)
    Path("rnnkit.toml").write_text('[train]\nfrom = "nowhere"\n')
    refused = run("train", "chat.txt")
    assert (refused.exit_code, "nowhere" in refused.stderr) == (2, True)
    Path("rnnkit.toml").write_text('[generate]\nseed = "Le chat"\nlength = 3\n')
    assert json.loads(ok("generate", "--json", env={"RNNKIT_GENERATE_RNG": "8"}).stdout)["rng"] == 8
    assert ok("generate").stdout.startswith("Le chat")


def test_past_takes_commas_and_repeats(here):
    rows = daily(120).splitlines()
    wide = [rows[0] + ",a,b,c", *(f"{row},{i % 3},{i % 5},{i % 4}" for i, row in enumerate(rows[1:]))]
    Path("wide.csv").write_text("\n".join(wide) + "\n")
    for flags, expected in (
        (["--past", "a,b"], ["a", "b"]),
        (["--past", "a", "--past", "c"], ["a", "c"]),
        (["--past", ""], []),
        ([], ["a", "b", "c"]),
    ):
        found = json.loads(ok("check", "wide.csv", "--target", "sales", "--json", *flags).stdout)
        assert found["options"].get("past", []) == expected


def test_train_reads_standard_input(here):
    done = ok("train", "-", "--json", "-q", input=daily(150).encode())
    assert json.loads(done.stdout)["run"] == "runs/stdin"
    refused = run("train", "--resume", "-o", "runs/stdin")
    assert refused.exit_code == 2
    assert "give DATA" in refused.stderr
    ok("train", "-", "--resume", "-o", "runs/stdin", "-q", input=daily(150).encode())


def test_from_starts_from_the_weights_of_another_run(here):
    ok("train", "sales.csv", "--horizon", 7, "--from", "runs/sales", "-o", "b", "-q")
    refused = run("train", "sales.csv", "--horizon", 7, "--from", "runs/sales", "-o", "c", "--hidden", 9)
    assert refused.exit_code == 2
    assert not Path("c").exists()


def interrupted(number, *flags):
    """A training in a process of its own that gets a signal once it runs; (exit code, stderr)."""
    env = environment(RNNKIT_TRAIN_HIDDEN="8", RNNKIT_TRAIN_STEPS="1000000")
    command = [sys.executable, "-P", "-m", "rnnkit", "train", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        for line in process.stderr:
            if line.startswith(("training ", "resuming ")):
                break
        time.sleep(0.2)
        process.send_signal(number)
        rest = process.stderr.read()
    return process.returncode, rest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resume_goes_on(here, number, code):
    found, said = interrupted(number, "chat.txt", "-o", "runs/cut")
    assert found == code
    assert re.fullmatch(r"interrupted at step [\d,]+ and saved; go on with: rnnkit train --resume -o runs/cut\n", said)
    step = int(re.search(r"step ([\d,]+)", said)[1].replace(",", ""))
    assert step > 0
    cut = ok("generate", "runs/cut", "--length", 5)
    assert cut.stdout
    assert cut.stderr.startswith("note: this run was not judged: its training was interrupted")
    found, said = interrupted(number, "chat.txt", "--resume", "-o", "runs/cut", "--hidden", "8")
    assert found == code


def test_a_second_ctrl_c_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interruption()
        assert interruption.code == 143
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_resume_takes_the_settings_of_the_run(here):
    done = ok("train", "--resume", "-o", "runs/sales", "--json", env={"RNNKIT_TRAIN_HIDDEN": "99"})
    assert json.loads(done.stdout)["run"] == "runs/sales"
    done = ok("train", "sales.csv", "--resume", "--json")
    assert json.loads(done.stdout)["run"] == "runs/sales"


# -- predict, generate, evaluate ---------------------------------------------------------------------


def test_predict_writes_csv_when_piped(here):
    rows = list(csv.DictReader(io.StringIO(ok("predict", "runs/sales").stdout)))
    assert list(rows[0]) == ["day", "median", "lo80", "hi80", "lo95", "hi95"]
    assert [row["day"] for row in rows] == [f"2023-07-{d}" for d in range(21, 28)]
    for row in rows:
        assert float(row["lo80"]) <= float(row["median"]) <= float(row["hi80"])


def test_predict_from_data_goes_on_from_its_end(here):
    Path("later.csv").write_text(daily(100, start=50))
    rows = list(csv.DictReader(io.StringIO(ok("predict", "runs/sales", "later.csv").stdout)))
    assert rows[0]["day"] == "2023-04-12"
    assert 40 < float(rows[0]["median"]) < 90
    piped = ok("predict", "runs/sales", "-", input=Path("later.csv").read_bytes())
    assert piped.stdout == ok("predict", "runs/sales", "later.csv").stdout


def test_predict_many_series_has_an_id_column(here):
    two = [f"{row},{shop}" for shop in ("x", "y, z") for row in daily(100).splitlines()[1:]]
    with open("two.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["day", "sales", "shop"])
        writer.writerows([*row.split(",", 2)] for row in two)
    ok("train", "two.csv", "--id", "shop", "--horizon", 3, "-q")
    rows = list(csv.DictReader(io.StringIO(ok("predict", "runs/two").stdout)))
    assert [row["shop"] for row in rows] == ["x"] * 3 + ["y, z"] * 3


def test_predict_out_is_written_whole_and_never_over(here):
    done = ok("predict", "runs/sales", "-o", "f.csv")
    assert done.stdout == ""
    assert Path("f.csv").read_text() == ok("predict", "runs/sales").stdout
    refused = run("predict", "runs/sales", "-o", "f.csv")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    ok("predict", "runs/sales", "-o", "f.csv", "--force")


def test_predict_out_minus_is_standard_output(here):
    assert ok("predict", "runs/sales", "-o", "-").stdout == ok("predict", "runs/sales").stdout
    assert not Path("-").exists()


def test_results_go_through_links_and_pipes_and_replace_neither(here):
    expected = ok("predict", "runs/sales").stdout
    Path("elsewhere").mkdir()
    Path("elsewhere/f.csv").write_text("old")
    Path("link.csv").symlink_to("elsewhere/f.csv")
    assert run("predict", "runs/sales", "-o", "link.csv").exit_code == 2
    ok("predict", "runs/sales", "-o", "link.csv", "--force")
    assert Path("link.csv").is_symlink()
    assert Path("elsewhere/f.csv").read_text() == expected
    for name, flag in (("pipe.csv", "-o"), ("pipe.png", "--plot")):
        if flag == "--plot":
            pytest.importorskip("matplotlib", reason="the plot extra is not installed")
        os.mkfifo(name)
        with subprocess.Popen(["cat", name], stdout=subprocess.PIPE) as reader:
            ok("predict", "runs/sales", flag, name, "--force")
            got = reader.stdout.read()
        assert Path(name).is_fifo()
        assert got == expected.encode() if flag == "-o" else got.startswith(b"\x89PNG")


def test_predict_json_holds_the_same_rows(here):
    found = json.loads(ok("predict", "runs/sales", "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(ok("predict", "runs/sales").stdout)))
    assert found["schema"] == 1
    assert [row["day"] for row in found["rows"]] == [row["day"] for row in rows]
    assert found["rows"][0]["median"] == pytest.approx(float(rows[0]["median"]), rel=1e-6)


def test_predict_mean_output_has_bands_around_the_mean(here):
    ok("train", "sales.csv", "--horizon", 2, "--output", "mean", "--steps", 5, "--members", 1, "-o", "m", "-q")
    head, *rows = ok("predict", "m").stdout.splitlines()
    assert head == "day,mean,lo80,hi80,lo95,hi95"
    assert len(rows) == 2
    for row in rows:
        mean, lo80, hi80, lo95, hi95 = map(float, row.split(",")[1:])
        assert lo95 < lo80 < mean < hi80 < hi95


@pytest.mark.parametrize("seed", ["Le chat", "Où êtes-vous ?", "日本 🐟 [bold]x[/bold]"])
def test_generate_starts_with_the_seed(here, seed):
    done = ok("generate", "--seed", seed, "--length", 20, "--rng", 3)
    assert done.stdout.startswith(seed)
    assert done.stdout.endswith("\n")
    assert done.stderr == "note: writing with runs/chat\n"
    again = ok("generate", "runs/chat", "--seed", seed, "--length", 20, "--rng", 3)
    assert again.stdout == done.stdout
    other = ok("generate", "runs/chat", "--seed", seed, "--length", 20, "--rng", 4)
    assert other.stdout != done.stdout


def test_generate_json_and_standard_input(here):
    found = json.loads(ok("generate", "runs/chat", "--seed", "-", "--length", 9, "--json", input="Le chat\n").stdout)
    assert (found["schema"], found["run"], found["rng"]) == (1, "runs/chat", 0)
    (entry,) = found["texts"]
    assert entry["seed"] == "Le chat"
    assert entry["text"].startswith("Le chat")


def test_generate_shows_control_characters(here):
    done = ok("generate", "runs/chat", "--seed", "a\x1b[31mb\x07", "--length", 3)
    assert done.stdout.startswith("a\\x1b[31mb\\x07")


def test_head_ends_quietly(here):
    line = f"{sys.executable} -P -m rnnkit generate runs/chat --length 3000 | head -c 20"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, timeout=60, env=environment()
    )
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 20, b"")


def test_evaluate_prints_metrics_beside_baselines(here):
    found = json.loads(ok("evaluate", "runs/sales", "sales.csv", "--folds", 3, "--stride", 2, "--json").stdout)
    assert found["windows"] == 3
    assert found["metrics"]["mase"] > 0
    assert set(found["baselines"]) >= {"naive", "seasonal naive", "drift", "theta"}
    assert found["verdict"].startswith("beats" if found["beats"] else "does not beat")
    shown = ok("evaluate", "runs/chat", "chat.txt").stdout
    assert "bits per character" in shown
    assert "verdict:" not in shown


@pytest.mark.parametrize(
    "option", [["--by", "step"], ["--refit"], ["--folds", 2], ["--against", "all"], ["-o", "x.csv"]]
)
def test_what_only_forecasts_have_is_refused_elsewhere(here, option):
    result = run("evaluate", "runs/chat", "chat.txt", *option)
    assert result.exit_code == 2
    assert "belongs to forecasts, but this run is of the task language" in result.stderr
    assert not Path("x.csv").exists()


def test_evaluate_draws_its_folds(here):
    pytest.importorskip("matplotlib", reason="the plot extra is not installed")
    line = ("evaluate", "runs/sales", "sales.csv", "--folds", 3, "--against", "simple")
    done = ok(*line, "--plot", "folds.svg", "--series", "sal*")
    assert done.stdout == ok(*line).stdout  # piped, the chart is in the file alone
    assert done.stderr.endswith("wrote folds.svg\n")
    assert Path("folds.svg").read_text().startswith("<?xml")
    assert json.loads(ok(*line, "--plot", "folds.png", "--json").stdout)["windows"] == 3
    unknown = run(*line, "--plot", "x.svg", "--series", "costs")
    assert (unknown.exit_code, Path("x.svg").exists()) == (2, False)
    assert "no series is called 'costs'; there is 1: sales" in unknown.stderr
    text = run("evaluate", "runs/chat", "chat.txt", "--plot", "x.png")
    assert (text.exit_code, "--plot belongs to forecasts" in text.stderr) == (2, True)


# -- info, check, example, completion ----------------------------------------------------------------


def test_info_of_a_run_counts_its_parameters(here):
    found = json.loads(ok("info", "runs/chat", "--json").stdout)
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])
    shown = ok("info", "runs/chat").stdout
    assert f"{found['parameters']:,}" in shown
    assert "lstm" in shown
    assert ok("info", "runs/chat/model.safetensors").stdout.splitlines()[1:] == shown.splitlines()[1:]


def test_info_without_a_run_lists_machine_and_runs(here):
    found = json.loads(ok("info", "--json").stdout)
    assert found["backend"] in ("cython", "numba", "numpy")
    assert found["threads"] >= 1
    assert {run["run"] for run in found["runs"]} == {"runs/sales", "runs/chat"}
    assert "runs/sales" in ok("info").stdout
    shutil.rmtree("runs")
    assert "make one" in ok("info").stdout


def test_info_passes_over_a_damaged_run(here):
    Path("runs/chat/model.safetensors").write_bytes(b"no")
    assert "an rnnkit file was expected" in ok("info").stdout


def test_check_says_what_training_would_choose(here):
    done = ok("check", "sales.csv", "--horizon", 7)
    assert re.search(r"^points +200$", done.stdout, re.M)
    assert re.search(r"^horizon +7$", done.stdout, re.M)
    found = json.loads(ok("check", "chat.txt", "--json").stdout)
    assert (found["schema"], found["task"]) == (1, "language")
    assert not Path("runs/sales-2").exists()


def test_example_lists_and_copies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "energy" in ok("example").stdout
    ok("example", "energy")
    assert Path("energy.csv").read_bytes() == sample_path("energy").read_bytes()
    assert run("example", "energy").exit_code == 2
    assert run("example", "enrgy").stderr.count("did you mean 'energy'") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell):
    assert "_RNNKIT_COMPLETE" in ok("completion", shell).stdout


def test_completion_completes():
    for words, expected in (("rnnkit train --cell l", "lstm"), ("rnnkit train --optimizer ada", "adamw")):
        done = subprocess.run(
            [sys.executable, "-P", "-c", "from rnnkit.cli import main; main()"],
            env=environment(_RNNKIT_COMPLETE="bash_complete", COMP_CWORD="3", COMP_WORDS=words),
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"plain,{expected}" in done.stdout.splitlines()

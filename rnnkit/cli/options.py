"""Options that commands share, and the types of their values."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from rnnkit.cells import CELLS, values_of
from rnnkit.cli.settings import origin, read_config
from rnnkit.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class FromTable(click.ParamType):
    """A name from one of the tables (``MODULE:TABLE``), which is imported only when a name was given."""

    name = "name"

    def __init__(self, table: str, *more: str) -> None:
        self.table, self.more = table, more

    def names(self) -> list[str]:
        module, _, attribute = self.table.partition(":")
        return [*self.more, *getattr(importlib.import_module(module), attribute)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.names():
            self.fail(f"{value!r} is not one of {', '.join(self.names())}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


class Duration(click.ParamType):
    """Seconds, or a number with s, m or h."""

    name = "time"
    _units = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}  # noqa: RUF012 - never changed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"\s*(-?\d+(?:\.\d*)?|\.\d+)\s*([smh]?)\s*", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time such as 90, 90s, 10m or 1h", param, ctx)
        return float(match[1]) * self._units[match[2]]


class AtLeast(click.ParamType):
    """A number from ``least`` on, whole where ``least`` is."""

    def __init__(self, least: float) -> None:
        self.least, self.name = least, "integer" if isinstance(least, int) else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        whole = isinstance(self.least, int)
        try:
            number = int(str(value)) if whole else float(value)
        except ValueError:
            number = math.nan
        if not number >= self.least:
            self.fail(f"{value!r} is not a {'whole ' * whole}number of at least {self.least:g}", param, ctx)
        return number


class Threads(click.ParamType):
    """``auto`` or a number from 1 on."""

    name = "auto|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return value
        if not re.fullmatch(r"\d+", str(value)) or not int(value):
            self.fail(f"{value!r} is neither auto nor a whole number of at least 1", param, ctx)
        return int(value)


class Steps(click.ParamType):
    """``auto``, ``off`` or a number of steps from 1 on."""

    name = "auto|off|n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("auto", "off"):
            return value
        if not re.fullmatch(r"\d+", str(value)) or not int(value):
            self.fail(f"{value!r} is neither auto nor off nor a whole number of at least 1", param, ctx)
        return int(value)


class Columns(click.ParamType):
    """Names of columns; in the environment, as on the line, separated by commas."""

    name = "columns"
    envvar_list_splitter = ","

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return str(value)


def split_columns(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str] | None:
    """Click callback: repeated options and comma lists as one list; None when nothing was given."""
    if ctx.get_parameter_source(param.name or "") is ParameterSource.DEFAULT:
        return None
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def one_or_more(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> str | list[str] | None:
    """Click callback: a single value as it is, several as a list; None when nothing was given."""
    if ctx.get_parameter_source(param.name or "") is ParameterSource.DEFAULT:
        return None
    return values[0] if len(values) == 1 else list(values)


def split_names(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Click callback: repeated options and comma lists as one, each name once."""
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def sources(function: Function) -> Function:
    """DATA: None, one name, or a list of several."""
    return click.argument("data", nargs=-1, required=False, callback=one_or_more)(function)


BACKEND = FromTable("rnnkit._kernels:BACKENDS", "auto")
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path)


def combined(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one decorator, in the order in which ``--help`` lists them."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _flag(name: str, kind: Any, text: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(f"--{name}", type=kind, default=None, help=text, **more)


as_json = click.option("--json", is_flag=True, help="Print one JSON object on stdout instead.")
force = click.option("--force", is_flag=True, help="Replace what is already there.")
quiet = click.option("--quiet", "-q", is_flag=True, help="No notes and no progress on stderr.")
plot = click.option("--plot", type=FILE, metavar="FILE", help="Draw a chart into FILE, .png or .svg.")

running = combined(
    _flag("threads", Threads(), "Threads to use: auto (all that may be used) or a number."),
    _flag("backend", BACKEND, "Kernels to run (default auto: the first that is there)."),
)

keeping = _flag(
    "recompute",
    Steps(),
    "Keep the gates of so many steps at a time and compute them again on the way back: the same result in less memory "
    "and more time. auto (default: when they would take an eighth of the memory), off or a number.",
)

reading = combined(
    _flag("task", FromTable("rnnkit.tasks:TASKS", "auto"), "What to learn (default auto: by the file)."),
    _flag(
        "target",
        Columns(),
        "Column to forecast, repeated or separated by commas where several are; by default the last numeric one.",
        multiple=True,
        callback=one_or_more,
        metavar="COLUMN",
    ),
    _flag("time", str, "Column of dates or of whole numbers; found by default.", metavar="COLUMN"),
    _flag("id", str, "Column that says which series a row belongs to; found by default.", metavar="COLUMN"),
    _flag(
        "past",
        Columns(),
        "Numeric columns to learn from, known up to now, repeated or separated by commas; by default all, '' for none.",
        multiple=True,
        callback=split_columns,
    ),
    _flag(
        "future",
        Columns(),
        "Numeric columns that are known in advance, also for the rows to come; by default those filled in there.",
        multiple=True,
        callback=split_columns,
    ),
    _flag(
        "static",
        Columns(),
        "Columns of numbers or words that never change within a series; by default those that do not.",
        multiple=True,
        callback=split_columns,
    ),
    _flag("gaps", click.Choice(["keep", "mask", "fill"]), "Missing rows: keep as they are, mask (default) or fill."),
    _flag(
        "level",
        click.Choice(["char", "word", "bpe", "byte"]),
        "What a text is cut into: char (default), word, bpe (pairs of bytes that come often) or byte.",
    ),
    _flag(
        "vocabulary",
        int,
        "Most characters or words (default 20,000), or all symbols of bpe (default 2,048); rarer ones are spelled.",
        metavar="N",
    ),
    click.option(
        "--strip-frontmatter/--keep-frontmatter",
        "--strip-gutenberg/--keep-gutenberg",
        default=None,
        help="Leave out (or keep, the default) what is wrapped around a text: licence, small print, credits.",
    ),
    _flag(
        "split",
        click.Choice(["text", "documents"]),
        "What judges: the last part of the text (default), or whole documents, drawn by the seed.",
    ),
    _flag(
        "document-separator",
        str,
        "Line that stands between documents; by default they are the files, or what form feeds divide.",
        metavar="LINE",
    ),
    _flag("encoding", str, "Encoding of the file; told by its bytes by default.", metavar="NAME"),
)

shaping = combined(
    _flag("cell", click.Choice(list(CELLS)), "Recurrent cell (default gru)."),
    _flag(
        "preset",
        FromTable("rnnkit.tasks.language_plan:PRESETS"),
        "Size of a language model: hidden units, and how long it trains (default small; --max-time chooses by itself).",
    ),
    _flag("hidden", int, "Hidden units of each layer; by default chosen by the size of the data."),
    _flag("layers", int, "Recurrent layers, stacked; by default 1, of large tables 2."),
    _flag("dropout", float, "Share of values dropped between layers while training."),
    _flag("recurrent-dropout", float, "Share of hidden units dropped on the recurrent path (default 0)."),
    click.option(
        "--bidirectional/--one-direction",
        default=None,
        help="Read each window in both directions, or in one (default).",
    ),
    _flag(
        "activation",
        click.Choice(values_of("activation")),
        "Activation of the rnn cell (tanh or relu), or of the candidates of mingru and minlstm (linear or positive); "
        "the first is the default.",
    ),
    _flag("reset", click.Choice(values_of("reset")), "Reset gate of the gru: after (default) or before h·R."),
    _flag("embedding", int, "Width of the vectors that stand for symbols of a text."),
    click.option(
        "--tied/--untied",
        default=None,
        help="Share the vectors of the symbols with the weights of the output, or not (default).",
    ),
    click.option(
        "--norm/--no-norm",
        default=None,
        help="Layer normalisation after each recurrent layer of a text, or none (default).",
    ),
    click.option(
        "--residual/--no-residual",
        default=None,
        help="Add to each recurrent layer of a text what it read, from the second on, or not (default).",
    ),
    _flag("init", FromTable("rnnkit.nn.initializers:INITIALIZERS"), "Initialiser of the weights, such as he_normal."),
    _flag("context", int, "Steps that the network sees: points before a forecast, tokens per piece of text."),
    _flag("horizon", int, "Steps to forecast; by default one season where that is usual."),
    _flag("season", str, "Season in steps: auto (found), none, 24 or 24,168.", metavar="STEPS"),
    _flag(
        "output",
        FromTable("rnnkit.nn.outputs:OUTPUTS"),
        "What the network learns of each point: quantiles (default), the mean, or a distribution; "
        "negative-binomial is for counts.",
    ),
    _flag(
        "decode",
        click.Choice(["direct", "recursive"]),
        "Forecast all steps at once (default), or a season (or a part of one) at a time from those before it.",
    ),
    _flag("members", int, "Networks of the ensemble (default 4)."),
    _flag("val", float, "Share of the data, its last part, kept from fitting to judge by (default 0.1)."),
)

training = combined(
    _flag("batch", int, "Rows of a batch."),
    _flag("epochs", float, "Passes over the data."),
    _flag("steps", int, "Steps of training, instead of epochs."),
    _flag("stop", int, "Stop after this many steps though the schedule is longer."),
    _flag("lr", float, "Learning rate."),
    _flag(
        "precision",
        FromTable("rnnkit._kernels:PRECISIONS"),
        "Products in float32 (default), or of factors rounded to bfloat16: faster where the processor has them.",
    ),
    _flag("clip", float, "Largest norm of the gradient (default 1; 0 is off)."),
    _flag("clip-value", float, "Largest value in the gradient (default 0: off)."),
    _flag("optimizer", FromTable("rnnkit.nn.optim:OPTIMIZERS"), "Optimiser (default adamw)."),
    _flag("momentum", float, "Momentum of sgd and rmsprop."),
    _flag("weight-decay", float, "Weight decay of adamw."),
    _flag(
        "schedule",
        FromTable("rnnkit.nn.schedules:SCHEDULES"),
        "Course of the learning rate (default cosine).",
    ),
    _flag("warmup", float, "Linear rise of the learning rate: a share of the steps below 1, steps from 1 on."),
    _flag("patience", int, "Stop after this many evaluations without a better one (default: never)."),
    _flag("max-time", Duration(), "Time to train for, such as 90, 90s, 10m or 1h; the plan is made by the clock."),
    _flag("turns", str, "Turns of the schedule that --max-time made, as config.toml keeps them.", metavar="STEP:STEPS"),
    _flag("seed", int, "Number that every random draw of the training depends on (default 0)."),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help="Settings from a run's config.toml; flags go before them.",
    ),
)


@contextmanager
def naming_origin(ctx: click.Context) -> Iterator[None]:
    """Refusals of an option inside say where its value came from, if not from the line."""
    try:
        yield
    except UsageError as error:
        flag = re.match(r"--[a-z-]+", str(error))
        for param in ctx.command.params:
            where = origin(ctx, param) if flag and flag[0] in param.opts else ""
            if where:
                raise UsageError(f"{error} (from {where})") from error
        raise


def given(ctx: click.Context, values: dict[str, Any], resume: bool = False) -> dict[str, Any]:
    """The settings of a training that somebody gave, by flag, environment or file.

    When resuming, the run's own settings stand above everything but flags; only what does not
    shape the result still comes from the environment and from files.
    """
    from rnnkit.tasks.options import RUNTIME

    found = {}
    for name, value in values.items():
        source = ctx.get_parameter_source(name)
        typed = source is ParameterSource.COMMANDLINE
        if source is not ParameterSource.DEFAULT and value is not None and (typed or not resume or name in RUNTIME):
            found[name] = value
    return found

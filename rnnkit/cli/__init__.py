"""The command line: ``rnnkit COMMAND``, each command in a module of its own that is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from rnnkit import __version__
from rnnkit.cli import failures
from rnnkit.cli.settings import defaults, settable

COMMANDS: dict[str, str] = {
    "check": "Say what a training would read in DATA, without training.",
    "train": "Train a recurrent network on DATA and keep it in a run's folder.",
    "predict": "Forecast with a trained run, or list the next words of a text.",
    "generate": "Write text with a trained run, from the words you give.",
    "text": "Cut, stem, lemmatise and count words of French or English.",
    "evaluate": "Score a trained run on DATA, beside the simple baselines.",
    "quantize": "Keep a run's weights in 8 or 16 bits, and say what it costs.",
    "info": "Show the network of a run, or this machine and the runs here.",
    "bench": "Time the kernels on this machine, beside the reference.",
    "example": "Copy a bundled sample out, or list the samples.",
    "completion": "Print the script that completes rnnkit in your shell.",
}
"""Command → its one line of help; the command itself is the attribute of that name in ``rnnkit.cli.NAME``."""


class Commands(click.Group):
    """The group of all commands, none of which is imported before its name is met."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"rnnkit.cli.{cmd_name}"), cmd_name)
        for name, option in settable(command).items():
            option.envvar = f"RNNKIT_{cmd_name}_{name}".upper()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            close = get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # Click would end with 1
            raise failures.PipeClosedError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and exit: every failure becomes one sentence and an exit code."""
        extra["standalone_mode"] = False
        failures.exit_with(lambda: super(Commands, self).main(args, prog_name or "rnnkit", **extra))


@click.group(
    "rnnkit",
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nTo begin, offline, from nothing:\n"
    "  rnnkit example energy\n"
    "  rnnkit train energy.csv --cell gru --horizon 48",
)
@click.version_option(__version__, "-V", "--version", message="rnnkit %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Train, use and inspect recurrent networks on an ordinary CPU."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    ctx.default_map = defaults(ctx, ctx.invoked_subcommand)


def main() -> None:
    """The entry point."""
    commands()

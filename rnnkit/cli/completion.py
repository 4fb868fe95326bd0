"""``rnnkit completion``."""

from __future__ import annotations

import click

from rnnkit.cli import options

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="\b\nWhere it goes:\n"
    "  bash  rnnkit completion bash > ~/.local/share/bash-completion/completions/rnnkit\n"
    '  zsh   rnnkit completion zsh > "${fpath[1]}/_rnnkit"\n'
    "  fish  rnnkit completion fish > ~/.config/fish/completions/rnnkit.fish\n\n"
    + options.examples("rnnkit completion bash", "rnnkit completion zsh", "rnnkit completion fish")
)
@click.argument("shell", type=click.Choice(SHELLS))
@options.as_json
def completion(shell: str, json: bool) -> None:
    """Print the script that completes rnnkit in your shell.

    A new shell then completes commands, options, and names of cells, optimisers and backends.
    """
    from click.shell_completion import get_completion_class

    from rnnkit import console
    from rnnkit.cli import commands

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(commands, {}, "rnnkit", "_RNNKIT_COMPLETE").source()
    if json:
        console.write_json(shell=shell, script=script)
    else:
        click.echo(script)

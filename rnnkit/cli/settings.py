"""Settings files: ``./rnnkit.toml`` with a table per command, and the flat file of ``train --config``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from rnnkit.errors import UsageError

FILE = Path("rnnkit.toml")


def settable(command: click.Command) -> dict[str, click.Option]:
    """The options that files and the environment may set, by the name of their flag."""
    found = {}
    for param in command.params:
        if isinstance(param, click.Option) and not param.is_eager:
            found[max(param.opts, key=len).lstrip("-").replace("-", "_")] = param
    return found


def defaults(ctx: click.Context, command: str) -> dict[str, dict[str, Any]]:
    """The tables of ``./rnnkit.toml`` as Click's map of defaults; every key of every table is checked."""
    _refuse_unknown_variables(ctx, command)
    if not FILE.is_file():
        return {}
    from rnnkit.cli import COMMANDS

    tables, text = _read(FILE)
    found = {}
    for name, table in tables.items():
        if name not in COMMANDS or not isinstance(table, dict):
            at = _at(FILE, text, name)
            raise UsageError(f"{at}: tables named by a command were expected, found {name!r}{_near(name, COMMANDS)}")
        found[name] = _checked(FILE, text, table, dict(_options(ctx, name)))
    return found


def origin(ctx: click.Context, param: click.Parameter) -> str:
    """The variable or the file that set an option, '' for flags and defaults."""
    source = ctx.get_parameter_source(param.name or "")
    if source is ParameterSource.ENVIRONMENT:
        return str(param.envvar)
    return str(ctx.meta.get("rnnkit.config", FILE)) if source is ParameterSource.DEFAULT_MAP else ""


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Click callback of ``--config``: its keys become defaults, above those of ``rnnkit.toml``."""
    if path is None or ctx.resilient_parsing:
        return
    table, text = _read(path)
    known = {str(p.name): p for p in ctx.command.params if p.name in _option_names()}
    ctx.meta["rnnkit.config"] = str(path)
    ctx.default_map = {**(ctx.default_map or {}), **_checked(path, text, table, known)}


def _option_names() -> tuple[str, ...]:
    from rnnkit.tasks.options import TrainOptions

    return TrainOptions.__struct_fields__


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: TOML was expected, but it cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: TOML in UTF-8 was expected, found byte 0x{error.object[error.start]:02x}") from error
    except OSError as error:
        raise UsageError(f"{path}: the settings cannot be read: {error.strerror}") from error


def _options(ctx: click.Context, command: str) -> dict[str, click.Option]:
    group = ctx.command
    assert isinstance(group, click.Group)
    found = group.get_command(ctx, command)
    assert found is not None
    return settable(found)


def _checked(path: Path, text: str, table: dict[str, Any], known: dict[str, click.Parameter]) -> dict[str, Any]:
    """The table by names of parameters, with lists where an option repeats; ``UsageError`` for unknown keys."""
    values = {}
    for key, value in table.items():
        name, where = key.replace("-", "_"), _at(path, text, key)
        if name not in known:
            raise UsageError(f"{where}: there is no option {key!r}{_near(name, known)}")
        param = known[name]
        switch = isinstance(param, click.Option) and param.is_flag
        if isinstance(value, bool) != switch or isinstance(value, dict):
            raise UsageError(f"{where}: {key} is {'true or false' if switch else 'a value'}, not {value!r}")
        many = param.nargs == -1 or bool(getattr(param, "multiple", False))
        if isinstance(value, list) and not many:
            raise UsageError(f"{where}: {key} is a single value, not the list {value!r}")
        if isinstance(value, float) and isinstance(param.type, click.types.IntParamType):  # Click would round it
            raise UsageError(f"{where}: {key} is a whole number, not {value!r}")
        values[str(param.name)] = [value] if many and not isinstance(value, list) else value
    return values


def _refuse_unknown_variables(ctx: click.Context, command: str) -> None:
    """A misspelt RNNKIT_TRAIN_... would otherwise be passed over without a word."""
    prefix = f"RNNKIT_{command.upper()}_"
    known = [str(option.envvar) for option in _options(ctx, command).values()]
    for variable in sorted(os.environ):
        if variable.startswith(prefix) and variable not in known:
            raise UsageError(f"the environment variable {variable} sets no option of {command}{_near(variable, known)}")


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _at(path: Path, text: str, key: str) -> str:
    """``file:line`` of a key or a table."""
    pattern = re.compile(rf"^\s*(\[\s*)?[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"{path}:{number}"
    return str(path)

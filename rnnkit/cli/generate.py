"""``rnnkit generate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnkit.cli import options
from rnnkit.errors import UsageError

if TYPE_CHECKING:
    from rnnkit.tasks.language_model import LanguageModel

TEXT, PIECE = (500, "tokens"), (15, "words")
"""How long a text is, and a piece of one that is written together."""
DRAWN = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "rng", "number")
"""What a beam, which draws nothing, has no use for."""


class Lines(click.ParamType):
    """Texts; in the environment one a line."""

    name = "text"
    envvar_list_splitter = "\n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return str(value)


@click.command(
    epilog=options.examples(
        'rnnkit generate --seed "Le chat"',
        'rnnkit generate runs/chat --seed "Le chat mange" --length 200 --rng 7',
        'rnnkit generate runs/chat --seed "Le chat" --stop . -n 3 --rng 7',
        "rnnkit generate runs/chat --temperature 0.5 --top-k 20 --top-p 0.95",
        "rnnkit generate runs/chat --temperature 1.2 --min-p 0.1 --length 50 --unit words",
        "rnnkit generate runs/chat --temperature 0.3 --repetition-penalty 1.2 --no-repeat 12",
        'rnnkit generate runs/chat --seed "Le chat mange une" --beam 8 --stop .',
        'echo "Le chat" | rnnkit generate runs/chat --seed - --json',
        'echo "Le chat" | rnnkit generate runs/chat --lines -n 2 --length 20',
        'rnnkit generate runs/chat --seed "Le chat" --interactive',
    )
)
@click.argument("run", type=options.FOLDER, required=False)
@click.option(
    "--seed",
    type=Lines(),
    multiple=True,
    metavar="TEXT",
    help="Text to go on from, repeated where there are several; - reads it from standard input.",
)
@click.option("--lines", is_flag=True, help="Every line of standard input is a seed of its own.")
@click.option(
    "--length", type=int, help="How much to write after the seed (default 500 tokens; interactively 15 words)."
)
@click.option("--unit", metavar="[tokens|chars|words]", help="What --length counts.")
@click.option(
    "--stop",
    type=Lines(),
    multiple=True,
    metavar="TEXT",
    help="End before this text, should it come; repeated, before the first of them. \\n is a line end.",
)
@click.option("-n", "--number", type=int, default=1, metavar="N", help="Texts to write from each seed (default 1).")
@click.option(
    "--temperature", type=float, default=0.8, help="0 takes the likeliest token, above 1 is wild (default 0.8)."
)
@click.option("--top-k", type=int, help="Draw from this many likeliest tokens only.")
@click.option("--top-p", type=float, help="Draw from the likeliest tokens that hold this share of the probability.")
@click.option("--min-p", type=float, help="Draw from tokens that have this share of the likeliest one's probability.")
@click.option(
    "--repetition-penalty",
    type=float,
    default=1.0,
    metavar="X",
    help="Above 1, tokens among the last 64 become less likely (default 1: none).",
)
@click.option("--no-repeat", type=int, metavar="N", help="No run of N tokens is written twice.")
@click.option("--rng", type=int, default=0, metavar="N", help="Another number draws another text (default 0).")
@click.option("--beam", type=int, metavar="N", help="Draw nothing: search the likeliest text with N lines at a time.")
@click.option(
    "--interactive", "-i", is_flag=True, help="Write together: go on, try again, pick words, type, take back."
)
@options.running
@options.as_json
@click.pass_context
def generate(
    ctx: click.Context,
    run: Path | None,
    seed: Sequence[str],
    lines: bool,
    length: int | None,
    unit: str | None,
    stop: Sequence[str],
    number: int,
    no_repeat: int | None,
    beam: int | None,
    interactive: bool,
    threads: int | str | None,
    backend: str | None,
    json: bool,
    **drawing: Any,
) -> int:
    """Write text with a trained run, from the words you give.

    RUN is a run's folder or a model file; without it the newest language run under runs/ writes.

    Tokens are drawn by these rules, in this order: --repetition-penalty, --no-repeat, --temperature, --top-k, --top-p,
    --min-p. The same --rng draws the same texts, and a text does not depend on how many others are written.
    """
    from rnnkit import api, console
    from rnnkit.cli import texts
    from rnnkit.cli.results import note_unjudged

    _check(ctx, seed, lines, beam, interactive, json)
    if run is None:
        run = api.newest("language")
        console.note(f"note: writing with {run}")
    seeds = texts.seeds(seed, lines)
    model = api.language(api.load(run, backend=backend or "auto", threads=threads or "auto"))
    note_unjudged(model)
    stops = [texts.utf8(text, "--stop").replace("\\n", "\n").replace("\\t", "\t") for text in stop]
    usual, what = PIECE if interactive else TEXT
    end: dict[str, Any] = {"length": usual if length is None else length, "unit": unit or what, "stop": stops}
    settings = {**end, **drawing, "no_repeat": no_repeat}
    if interactive:
        from rnnkit.cli.interactive import Session

        model.texts([], **settings)  # every setting is checked before anybody is asked
        return Session(_Author(model, settings), seeds[0]).run()
    if beam is None:
        found = model.texts(seeds, number, **settings)
        seeds = [text for text in seeds for _ in range(number)]
    else:
        found = iter([model.beam(text, beam, **end, no_repeat=no_repeat) for text in seeds])
    if json:
        written = texts.collect(found, seeds, run=str(run), **({"rng": drawing["rng"]} if beam is None else {}))
    else:
        written = texts.stream(found, seeds)
    texts.note_loops(written, seeds, drawn=beam is None)
    return 0


def _check(
    ctx: click.Context, seed: Sequence[str], lines: bool, beam: int | None, interactive: bool, json: bool
) -> None:
    """``UsageError`` for options that do not go together."""
    typed = [name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    drawn = [f"--{name.replace('_', '-')}" for name in DRAWN if name in typed]
    if beam is not None and drawn:
        raise UsageError(f"{drawn[0]} belongs to texts that are drawn, and --beam draws nothing; leave one of them out")
    if lines and "seed" in typed:
        raise UsageError("--lines takes its seeds from standard input; leave --seed out")
    if not interactive:
        return
    for name, meant in (("--beam", beam is not None), ("--lines", lines), ("--json", json), ("-n", "number" in typed)):
        if meant:
            raise UsageError(f"{name} does not go with --interactive; leave one of them out")
    if len(seed) > 1 or "-" in seed:
        raise UsageError("--interactive goes on from one text, and reads answers from standard input; give one --seed")


@dataclass
class _Author:
    """A language model that writes piece after piece."""

    model: LanguageModel
    settings: dict[str, Any]

    def go_on(self, text: str, draw: int) -> Iterator[str]:
        """The next piece."""
        pieces = self.model.generate(text, text=draw, **self.settings)
        if text:
            next(pieces)  # the text itself
        return pieces

    def choices(self, text: str) -> Sequence[tuple[str, float, str]]:
        """The likeliest next words."""
        return self.model.choices(text)

"""``rnnkit generate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rnnkit.cli import options
from rnnkit.errors import UsageError


@click.command(
    epilog=options.examples(
        'rnnkit generate --seed "Le chat"',
        'rnnkit generate runs/chat --seed "Le chat mange" --length 200 --rng 7',
        "rnnkit generate runs/chat --temperature 0.5 --top-k 20 --top-p 0.95",
        "rnnkit generate runs/chat --temperature 0.3 --repetition-penalty 1.2 --no-repeat 12",
        'echo "Le chat" | rnnkit generate runs/chat --seed - --json',
    )
)
@click.argument("run", type=options.FOLDER, required=False)
@click.option("--seed", default="", metavar="TEXT", help="Text to go on from; - reads it from standard input.")
@click.option("--length", type=int, default=500, help="Tokens to write after the seed (default 500).")
@click.option(
    "--temperature", type=float, default=0.8, help="0 takes the likeliest token, above 1 is wild (default 0.8)."
)
@click.option("--top-k", type=int, help="Draw from this many likeliest tokens only.")
@click.option("--top-p", type=float, help="Draw from the likeliest tokens that hold this share of the probability.")
@click.option(
    "--repetition-penalty",
    type=float,
    default=1.0,
    metavar="X",
    help="Above 1, tokens among the last 64 become less likely (default 1: none).",
)
@click.option("--no-repeat", type=int, metavar="N", help="No run of N tokens is drawn twice.")
@click.option("--rng", type=int, default=0, metavar="N", help="Another number draws another text (default 0).")
@options.running
@options.as_json
def generate(
    run: Path | None,
    seed: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float,
    no_repeat: int | None,
    rng: int,
    threads: int | str | None,
    backend: str | None,
    json: bool,
) -> None:
    """Write text with a trained run, from the words you give.

    RUN is a run's folder or a model file; without it the newest language run under runs/ writes.
    """
    from rnnkit import api, console
    from rnnkit.cli.results import note_unjudged

    if run is None:
        run = api.newest("language")
        console.note(f"note: writing with {run}")
    seed = _seed(seed)
    model = api.load(run, backend=backend or "auto", threads=threads or "auto")
    note_unjudged(model)
    pieces = model.generate(
        seed,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        no_repeat=no_repeat,
        rng=rng,
    )
    if json:
        console.write_json(run=str(run), seed=seed, text="".join(pieces), rng=rng)
        return
    last = ""
    for piece in pieces:
        sys.stdout.write(console.visible(piece))
        sys.stdout.flush()
        last = piece
    if not last.endswith("\n"):
        sys.stdout.write("\n")


def _seed(text: str) -> str:
    """The seed, read from standard input (without its last line end) where it is ``-``."""
    if text == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            where = f"byte {error.start + 1}"
            raise UsageError(f"the seed on standard input is not UTF-8 text ({where}); convert it first") from error
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        where = f"character {error.start + 1}"
        raise UsageError(f"--seed is not UTF-8 text ({where}); type it in a UTF-8 terminal") from error
    return text

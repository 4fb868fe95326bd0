"""``rnnkit predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rnnkit.cli import options
from rnnkit.errors import UsageError

FORECASTS = ("horizon", "interval", "ids", "template", "follow", "anomaly", "plot")
"""Options that a language run has no use for."""


class Levels(click.ParamType):
    """Percentages separated by commas."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, list | tuple):
            return [float(part) for part in value]
        try:
            return [float(part.strip().removesuffix("%")) for part in str(value).split(",") if part.strip()]
        except ValueError:
            self.fail(f"{value!r} is no list of percentages such as 80,95", param, ctx)


@click.command(
    epilog=options.examples(
        "rnnkit predict runs/energy",
        "rnnkit predict runs/energy -o forecast.csv",
        "rnnkit predict runs/energy energy.csv --json",
        "rnnkit predict runs/energy --horizon 24 --interval 50,90",
        "rnnkit predict runs/energy --template next.csv",
        "rnnkit predict runs/energy - < energy.csv",
        'rnnkit predict runs/chat "Le chat mange une" --top 5',
        'echo "Le chat mange un" | rnnkit predict runs/chat - -o words.csv',
        "tail -f energy.csv | rnnkit predict runs/energy -",
        "tail -n +1 -f energy.csv | rnnkit predict runs/energy - --anomaly 99.9 --json",
    )
)
@click.argument("run", type=options.FOLDER)
@click.argument("data", required=False)
@click.option("--horizon", type=options.AtLeast(1), metavar="N", help="Steps to forecast (default: as in training).")
@click.option(
    "--interval",
    type=Levels(),
    metavar="PERCENT",
    help="How many percent each band is to hold, such as 50,90 (default 80,95).",
)
@click.option(
    "--ids",
    type=options.Columns(),
    multiple=True,
    metavar="ID",
    callback=options.split_columns,
    help="Series to forecast, repeated or separated by commas; by default all.",
)
@click.option(
    "--template",
    type=options.FILE,
    is_flag=False,
    flag_value=Path("-"),
    metavar="[FILE]",
    help="Write the rows to come into FILE (default: stdout) instead, with the inputs known in advance to fill in.",
)
@click.option(
    "--follow/--no-follow",
    default=None,
    help="Answer row by row, or read DATA as a whole first (default: by row what is piped in).",
)
@click.option(
    "--anomaly",
    type=float,
    metavar="PERCENT",
    help="Following: flag values outside the band that is to hold so many percent (default 99).",
)
@click.option("--top", type=int, default=5, metavar="N", help="Of a language run: words to list (default 5).")
@click.option("-o", "--out", type=options.FILE, metavar="FILE", help="Write to FILE; - is stdout, also on a terminal.")
@options.force
@options.plot
@options.running
@options.as_json
@click.pass_context
def predict(
    ctx: click.Context,
    run: Path,
    data: str | None,
    horizon: int | None,
    interval: list[float] | None,
    ids: list[str] | None,
    template: Path | None,
    follow: bool | None,
    anomaly: float | None,
    top: int,
    out: Path | None,
    force: bool,
    plot: Path | None,
    threads: int | str | None,
    backend: str | None,
    json: bool,
) -> int:
    """Forecast with a trained run, or list the next words of a text.

    RUN is a run's folder or a model file.

    With a language run DATA is the text itself, and the words that are likeliest to follow it are listed with their
    probabilities. Where DATA names a file that exists, or is -, every line is a text.

    With any other the forecast goes on from the end of DATA (- is standard input),
    or from the end of what the run was trained on. Piped, it is CSV; on a terminal a table and a chart.

    DATA may be other series with the columns of the training, the rows that came since the training, or rows to
    come: without targets, with the inputs that are known in advance, as --template writes them.

    Rows that are piped in are answered one by one, for as long as they come: what had been forecast for the
    value, how far off it is, whether it is an anomaly, and the next step. Rows need a header, or no columns
    but those that the run was trained on.

    \b
    score    how many times as far from the median as the edge of the band of --anomaly; an anomaly is above 1
    anomaly  1 or 0; empty where there is no value, or nothing had been forecast
    """
    from rnnkit import api, outputs, plots
    from rnnkit.cli import following, forecasts, results, words

    model = api.load(run, backend=backend or "auto", threads=threads or "auto")
    speaks = model.task == "language"
    _check_options(ctx, speaks)
    by_row = follow if follow is not None else not speaks and data == "-" and following.comes_by_and_by()
    if by_row:
        _check_following(data, ids, template, out, plot)
    elif anomaly is not None:
        raise UsageError("--anomaly belongs to forecasts row by row; add --follow, or pipe the rows in")
    for file in (out, template):
        if file is not None:
            outputs.ready(file, force)
    if plot is not None:
        plots.ready(plot)
    results.note_unjudged(model)
    if speaks:
        words.show(api.language(model), words.beginnings(data), run, top=top, json=json, out=out)
        return 0
    wanted = {name: value for name, value in (("horizon", horizon), ("interval", interval)) if value is not None}
    if by_row:
        assert data is not None
        return following.follow(api.stream(model, **wanted, anomaly=anomaly), data, json=json)
    if template is not None:
        forecasts.template(api.template(model, api.open_source(data), horizon=horizon), template)
        return 0
    found = model.predict(api.open_source(data), ids=ids, **wanted)
    forecasts.show(found, run, json=json, out=out, plot=plot)
    return 0


def _check_options(ctx: click.Context, speaks: bool) -> None:
    """``UsageError`` for what belongs to the other kind of prediction."""
    other = FORECASTS if speaks else ("top",)
    for param in ctx.command.params:
        if param.name in other and ctx.get_parameter_source(param.name) is click.core.ParameterSource.COMMANDLINE:
            kind, this = ("forecasts", "language model") if speaks else ("a language model", "forecaster")
            raise UsageError(f"{param.opts[-1]} belongs to {kind}, and this run is a {this}; leave it out")


def _check_following(
    data: str | None, ids: list[str] | None, template: Path | None, out: Path | None, plot: Path | None
) -> None:
    """``UsageError`` for what does not go with forecasts row by row."""
    if data is None:
        raise UsageError("--follow needs rows to follow; give a file, or - for standard input")
    if data != "-" and not Path(data).is_file():
        raise UsageError(f"a file of rows was expected, but there is no {data}; name another")
    for name, value in (("--ids", ids), ("--template", template), ("--out", out), ("--plot", plot)):
        if value is not None:
            remedy = "; redirect standard output into a file" if name == "--out" else "; leave it out"
            raise UsageError(f"{name} belongs to a whole forecast and not to one row by row{remedy}")

"""A page of results: what was measured as Markdown tables, with a picture for every run, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnkit import plots
from rnnkit.benchmark import REFERENCE, Comparison
from rnnkit.benchmark_report import BEST, LARGE, SMALL, Report, Summary, row_of
from rnnkit.errors import UsageError
from rnnkit.limits import LIMIT
from rnnkit.outputs import write
from rnnkit.peers import PEERS

NAME = "results.md"
ABOUT = """# What `rnnkit bench` measured

Every contestant has a process of its own and first gave the results of the NumPy reference, outputs and every
gradient, to 1e-4 of their scale. Then all took turns, round by round. `infer` is a forward pass, `train` everything
that a step of training asks of a layer: packing of the new weights, forward, backward, gradients of all parameters.
Times are medians in milliseconds. A ratio is the median over the rounds of how many times as fast rnnkit was, and
above 1 where rnnkit is ahead. The limit is what multiply-adds in registers reached in the same rounds. A shape is
B T I H: batch rows, steps, inputs, hidden units."""


def ready(folder: Path, force: bool) -> None:
    """``UsageError`` when no page could be made there: no matplotlib, no place, or a page that is to stay."""
    page = folder / NAME
    if page.exists() and not force:
        raise UsageError(f"{page} exists; give --page another folder, or --force to replace it")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--page names the folder of the page, but {folder} is a file; give another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be made ({error.strerror}); give --page another") from error
    plots.ready(folder / "speed.svg")


def write_page(folder: Path, reports: Sequence[Report]) -> Path:
    """Write ``results.md`` and its pictures; returns the page's path.

    Raises ``UsageError`` when there is nothing to show.
    """
    if not all(report.comparisons for report in reports):
        raise UsageError("a page needs measurements, and there are none; measure at least one shape")
    parts = [ABOUT]
    for n, report in enumerate(reports, 1):
        picture = folder / ("speed.svg" if len(reports) == 1 else f"speed-{n}.svg")
        plots.speed(report, picture)
        parts += [f"## {report.title}", _facts(report), f"![Speed of rnnkit, {report.title}]({picture.name})"]
        parts += list(_summary(report)) + list(_tables(report))
    write(folder / NAME, ("\n\n".join(parts) + "\n").encode())
    return folder / NAME


def _facts(report: Report) -> str:
    """The machine, the versions, who took part, and the line that repeats it."""
    setting = report.setting
    versions = {**setting.versions, **{PEERS[name].title: version for name, version in setting.peers.items()}}
    limit = sorted(one.limit_gflops for one in report.comparisons)[len(report.comparisons) // 2]
    product = f"; a large product by NumPy's BLAS: {setting.product_gflops:.0f}" if setting.product_gflops else ""
    lines = {
        "date": setting.date.replace("T", " "),
        "processor": setting.processor,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "threads": f"{setting.threads} for every contestant",
        **{f"`{name}`": what for name, what in setting.backends.items()},
        "limit": f"{setting.limit}: {limit:.0f} GFLOP/s{product}",
    }
    if setting.environment:
        values = " ".join(f"{name}={value}" for name, value in setting.environment.items())
        alone = "; ONNX Runtime cannot be, it uses all that the processor has" * ("onnxruntime" in setting.peers)
        lines["held to the same instructions"] = f"`{values}`{alone}"
    if setting.load > 0.5:
        lines["load before"] = f"{setting.load:.1f}: other work ran meanwhile"
    table = _markdown(["", ""], [[name, value] for name, value in lines.items()], left=2)
    return f"{table}\n\nRepeat with\n\n```sh\n{setting.command} --page .\n```" if setting.command else table


def _summary(report: Report) -> Iterator[str]:
    """Geometric means and least ratios; the group of small layers tells something of the limit alone."""
    found = [one for one in report.summaries() if one.group != SMALL or one.against == LIMIT]
    against = list(dict.fromkeys(one.against for one in found if one.against != LIMIT))
    columns = [*against, LIMIT]
    rows = []
    for cell, work, group in dict.fromkeys((one.cell, one.work, one.group) for one in found):
        ones = {one.against: one for one in found if (one.cell, one.work, one.group) == (cell, work, group)}
        rows.append([cell, work, group, str(max(one.shapes for one in ones.values()))])
        rows[-1] += [_mean(ones.get(name)) for name in columns]
    yield (
        "Geometric means over the shapes; in brackets the least and its shape. Large shapes are those of "
        f"{LARGE}, small layers those of {SMALL}."
    )
    yield _markdown(["cell", "work", "shapes", "n", *(_heading(name) for name in columns)], rows, left=3)


def _mean(one: Summary | None) -> str:
    return "" if one is None else f"{one.mean:.2f} ({one.least:.2f} at {one.at})"


def _heading(against: str) -> str:
    if against == LIMIT:
        return "of the limit"
    return f"× {PEERS[against].title if against in PEERS else against}"


def _tables(report: Report) -> Iterator[str]:
    """A table per cell and work, a line per shape."""
    for cell, work in dict.fromkeys((one.cell, one.work) for one in report.comparisons):
        ones = [one for one in report.comparisons if (one.cell, one.work) == (cell, work)]
        peers = [name for name in report.setting.peers if row_of(ones[0], name)]
        others = [name for name in (*report.setting.backends, *peers) if name != report.ours]
        headers = ["B T I H", f"{report.ours} ms", "GFLOP/s", "of limit"]
        headers += [f"{PEERS[name].title if name in PEERS else name} ms" for name in others]
        headers += [_heading(name) for name in peers] + ([_heading(BEST)] if len(peers) > 1 else [])
        if REFERENCE in others:
            headers.append(f"× {REFERENCE}")
        yield f"### {cell}, {work}"
        yield _markdown(headers, [_line(report.ours, one, others, peers) for one in ones])


def _line(ours: str, one: Comparison, others: Sequence[str], peers: Sequence[str]) -> list[str]:
    row = row_of(one, ours)
    if row is None:
        return [str(one.shape)]
    times = [other.seconds for name in others if (other := row_of(one, name))]
    ratios = [row.over_peers.get(name) for name in peers] + ([row.over_best] if len(peers) > 1 else [])
    ratios += [row.over_reference] if REFERENCE in others else []
    cells = [str(one.shape), _ms(row.seconds), f"{row.gflops:.1f}", f"{row.of_limit:.2f}", *map(_ms, times)]
    return cells + ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:#.3g}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """A table whose first ``left`` columns are flush left, the others flush right."""
    rule = ["---" if n < left else "--:" for n in range(len(headers))]
    lines = [headers, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)

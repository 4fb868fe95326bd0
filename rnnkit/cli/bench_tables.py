"""What ``rnnkit bench`` prints: who takes part, a line per contestant, and the summary over the shapes."""

from __future__ import annotations

from collections.abc import Sequence

from rnnkit import console
from rnnkit.benchmark import REFERENCE, Setting
from rnnkit.benchmark_report import BEST, LARGE, SMALL, Report
from rnnkit.limits import LIMIT
from rnnkit.peers import PEERS


def introduce(setting: Setting) -> None:
    """Say on stderr who takes part, who cannot, and what may disturb."""
    console.note(f"{setting.processor}; threads: {setting.threads}; limit: {setting.limit}")
    for name, what in {**setting.backends, **setting.peers}.items():
        console.note(f"{name}: {what}")
    for reason in setting.skipped.values():
        console.note(f"left out: {reason}")
    if setting.environment:
        values = " ".join(f"{name}={value}" for name, value in setting.environment.items())
        console.note(f"held to the same instructions: {values}")
        if "onnxruntime" in setting.peers:
            console.note("onnxruntime cannot be held to fewer instructions: it uses all that the processor has")
    if setting.load > 0.5:
        console.note(
            f"other work runs here (load {setting.load:.1f}): times of several threads mean little, try --threads 1"
        )


def show_all(reports: Sequence[Report], json: bool) -> None:
    """One report after another; as JSON one object, with several reports in its ``runs``."""
    if json and len(reports) > 1:
        console.write_json(runs=[report.as_json() for report in reports])
        return
    for n, report in enumerate(reports):
        if len(reports) > 1:
            console.write(("\n" if n else "") + report.title + "\n")
        show(report, json)


def show(report: Report, json: bool) -> None:
    """One line per contestant, then the summary if there is more than one shape."""
    if json:
        console.write_json(**report.as_json())
        return
    _every(report)
    if len({one.shape for one in report.comparisons}) > 1:
        _summary(report)


def _every(report: Report) -> None:
    """Each contestant's median, the quartiles, and how many times as fast as others it was."""
    peers = report.setting.peers
    several = len(peers) > 1
    referred = any(row.over_reference is not None for one in report.comparisons for row in one.rows)
    headers = ["cell", "B T I H", "work", "by", "ms", "of limit", *([f"× {BEST}"] if several else [])]
    headers += [f"× {PEERS[peer].title}" for peer in peers]
    headers += ["GFLOP/s", *([f"× {REFERENCE}"] if referred else []), "quartiles"]
    rows = []
    for one in report.comparisons:
        for row in one.rows:
            ratios = [*([row.over_best] if several else []), *(row.over_peers.get(peer) for peer in peers)]
            rows.append(
                [one.cell, str(one.shape), one.work, row.contestant, _ms(row.seconds), f"{row.of_limit:.2f}"]
                + [_ratio(ratio) for ratio in ratios]
                + [f"{row.gflops:.1f}", *([_ratio(row.over_reference)] if referred else [])]
                + [f"{_ms(row.low)}–{_ms(row.high)}"]
            )
    console.table(headers, rows, left=4)


def _summary(report: Report) -> None:
    """Against the peers over all shapes and the large ones; the share of the limit where it tells most."""
    found = report.summaries()
    against = [one for one in found if one.against != LIMIT and one.group != SMALL]
    of_limit = [one for one in found if one.against == LIMIT and one.group in (LARGE, SMALL)]
    for title, kind, ones in (
        (f"{report.ours}: times as fast, over the shapes", "than", against),
        (f"{report.ours}: share of the limit, over the shapes", "", of_limit),
    ):
        if not ones:
            continue
        console.write(f"\n{title}\n")
        headers = ["cell", "work", "shapes", *([kind] if kind else []), "n", "mean", "least", "at B T I H"]
        rows = [
            (
                *(one.cell, one.work, one.group, *([one.against] if kind else [])),
                *(one.shapes, f"{one.mean:.2f}", f"{one.least:.2f}", str(one.at)),
            )
            for one in ones
        ]
        console.table(headers, rows, left=4 if kind else 3)


def _ms(seconds: float) -> str:
    """Milliseconds with three digits, never as a power of ten.

    >>> _ms(0.0123456), _ms(1.5), _ms(0.0000123456)
    ('12.3', '1500', '0.0123')
    """
    ms = seconds * 1e3
    return f"{ms:.0f}" if ms >= 100 else f"{ms:#.3g}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"

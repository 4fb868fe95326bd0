"""Measurements as one report: summed up over shapes, written as JSON and read again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from rnnkit.benchmark import REFERENCE, Comparison, Row, Setting
from rnnkit.contestants import Shape
from rnnkit.errors import DataError, UsageError
from rnnkit.limits import LIMIT
from rnnkit.peers import PEERS

BEST = "best peer"
ALL, LARGE, SMALL = "all", "B≥32 H≥128", "H 32–64"
GROUPS: dict[str, Callable[[Shape], bool]] = {
    ALL: lambda shape: True,
    LARGE: lambda shape: shape.B >= 32 and shape.H >= 128,
    SMALL: lambda shape: 32 <= shape.H <= 64,
}
"""Shapes that are summed up together."""


@dataclass(frozen=True)
class Summary:
    """One backend's ratio to a peer, to the best peer or to the limit, over the shapes of a group."""

    cell: str
    work: str
    group: str
    contestant: str
    against: str
    shapes: int  # how many
    mean: float  # geometric
    least: float
    at: Shape  # where that was


@dataclass(frozen=True)
class Report:
    """One run of ``rnnkit bench``."""

    setting: Setting
    comparisons: tuple[Comparison, ...]

    @property
    def ours(self) -> str:
        """The backend that summaries and pages show: the first that took part."""
        return next(iter(self.setting.backends), REFERENCE)

    @property
    def title(self) -> str:
        """What tells one run from another: threads and instruction set."""
        setting = self.setting
        return f"{setting.threads} thread{'s' * (setting.threads > 1)}, {setting.isa or 'nothing compiled'}"

    @property
    def opponent(self) -> str:
        """Whom ``over_best`` is against, in words; without peers, the reference."""
        names = [PEERS[peer].title for peer in self.setting.peers]
        if len(names) > 1:
            return f"the faster of {' and '.join(names)}"
        return names[0] if names else f"the {REFERENCE} reference"

    def summaries(self) -> list[Summary]:
        """Geometric mean and smallest ratio per cell, work and group of shapes, against everyone."""
        return list(_summaries(self))

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints: the setting, in ``results`` one object per comparison, and ``summary``."""
        results = [{**asdict(one), "shape": one.shape._asdict()} for one in self.comparisons]
        summary = [{**asdict(one), "at": one.at._asdict()} for one in self.summaries()]
        return {**asdict(self.setting), "results": results, "summary": summary}


def row_of(one: Comparison, contestant: str) -> Row | None:
    """A contestant's row, None if it did not take part."""
    return next((row for row in one.rows if row.contestant == contestant), None)


def _summaries(report: Report) -> Iterator[Summary]:
    for cell, work in dict.fromkeys((one.cell, one.work) for one in report.comparisons):
        found = [
            (one.shape, row)
            for one in report.comparisons
            if (one.cell, one.work) == (cell, work) and (row := row_of(one, report.ours))
        ]
        for group, belongs in GROUPS.items():
            within = [(shape, row) for shape, row in found if belongs(shape)]
            peers = [peer for peer in report.setting.peers if any(peer in row.over_peers for _, row in found)]
            for against in (LIMIT, *peers, *([BEST] if len(peers) > 1 else [])):
                points = [(ratio, shape) for shape, row in within if (ratio := _ratio(row, against)) is not None]
                if points:
                    mean = math.exp(sum(math.log(ratio) for ratio, _ in points) / len(points))
                    least, at = min(points)
                    yield Summary(cell, work, group, report.ours, against, len(points), mean, least, at)


def _ratio(row: Row, against: str) -> float | None:
    if against == LIMIT:
        return row.of_limit
    return row.over_best if against == BEST else row.over_peers.get(against)


def read_reports(path: Path) -> list[Report]:
    """The runs in a file that ``rnnkit bench --json`` printed; ``DataError`` if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_report(run) for run in content.get("runs", [content])]
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name what rnnkit bench --json printed") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} should hold what this version's rnnkit bench --json prints, but does not ({reason}); measure again"
        ) from error


def _report(run: dict[str, Any]) -> Report:
    return Report(msgspec.convert(run, Setting), tuple(_comparison(one) for one in run["results"]))


def _comparison(found: dict[str, Any]) -> Comparison:
    shape = [found["shape"][name] for name in Shape._fields]
    return msgspec.convert({**found, "shape": shape}, Comparison)

"""What an evaluation prints: metrics beside those of the baselines, by series or by step, and its forecasts as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import console

METRICS: dict[str, tuple[str, str]] = {
    "mase": ("MASE", "low"),
    "smape": ("sMAPE %", "low"),
    "owa": ("OWA", "low"),
    "rmse": ("RMSE", "low"),
    "mae": ("MAE", "low"),
    "mse_standardised": ("MSE, standardised", "low"),
    "mae_standardised": ("MAE, standardised", "low"),
    "pinball": ("pinball loss", "low"),
    "coverage80": ("inside the 80 % band", ""),
    "coverage95": ("inside the 95 % band", ""),
    "nats_per_char": ("nats per character", "low"),
    "bits_per_char": ("bits per character", "low"),
    "accuracy": ("accuracy", "high"),
    "macro_f1": ("macro F1", "high"),
    "bleu": ("BLEU", "high"),
}
"""Metric → label and which end is better."""
PIECES = (
    "part",
    "metrics",
    "baselines",
    "verdict",
    "beats",
    "baseline",
    "improvement",
    "certainty",
    "beaten",
    "windows",
)
"""What ``--json`` has of a report, in its order."""
RIVALS = 3
"""Baselines that have a column beside the run, the best ones."""
ROWS = 24
"""Rows of a table by series or by step that a terminal shows."""


def in_order(metrics: dict[str, Any]) -> list[str]:
    """The names of metrics as ``METRICS`` has them, others after."""
    return [*(name for name in METRICS if name in metrics), *(name for name in metrics if name not in METRICS)]


def evaluated(run: Path, task: str, found: dict[str, Any], *, json: bool) -> None:
    """What an evaluation prints."""
    for notice in found.get("notices", []):
        console.note(f"note: {notice}")
    if json:
        tables = {name: found[name] for name in ("by_series", "by_step") if name in found}
        console.write_json(**summary(run, task, found), **tables, seconds=round(found.get("seconds", 0.0), 3))
        return
    report(found)
    if "by_step" in found:
        _by_step(found["by_step"], found["baseline"])
    if "by_series" in found:
        _by_series(found["by_series"], found["baseline"])


def summary(run: Path, task: str, found: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report as ``--json`` has them."""
    return {"run": str(run), "task": task, **{name: found[name] for name in PIECES if name in found}}


def report(found: dict[str, Any]) -> None:
    """Metrics of the run beside those of the best baselines, then the verdict."""
    metrics, baselines = found["metrics"], found["baselines"]
    shown = baselines
    if "mase" in metrics:
        shown = dict(sorted(baselines.items(), key=lambda pair: _size(pair[1]["mase"]))[:RIVALS])
    rows, best = [], []
    for name in in_order(metrics):
        value = metrics[name]
        label, better = METRICS.get(name, (name, ""))
        if name.startswith("coverage"):
            label = METRICS[name][0] if name in METRICS else f"inside the {name.removeprefix('coverage')} % band"
            rows.append([label, percent(value), *(percent(b.get(name, "")) for b in shown.values())])
        else:
            figures = [value, *(b.get(name, "") for b in shown.values())]
            rows.append([label, *console.numbers(figures, least=3)])
        best.append(_best([value, *(b.get(name) for b in shown.values())], better))
    console.write(f"On {'the ' if found['part'].startswith('last') else ''}{found['part']}:")
    console.table(["", "this run", *shown], rows, best=best)
    rest = [f"{name} {console.number(b.get('mase'))}" for name, b in baselines.items() if name not in shown]
    if rest:
        console.write(f"MASE of the others: {', '.join(rest)}")
    console.write(f"{'The run ' if found['verdict'].startswith(('beats', 'does')) else ''}{found['verdict']}.")


def percent(share: Any) -> str:
    """A share in percent; what is no finite number as other figures have it."""
    return f"{100 * share:.0f} %" if isinstance(share, float) and math.isfinite(share) else console.number(share)


def _size(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.inf


def _best(values: list[float | None], better: str) -> int | None:
    """The column of the best value, counted with the label's."""
    known = [(v, i) for i, v in enumerate(values, 1) if v is not None and math.isfinite(v)]
    if not better or len(known) < 2:
        return None
    return (min if better == "low" else max)(known)[1]


# -- by series, by step ------------------------------------------------------------------------------


def _by_step(rows: list[dict[str, Any]], rival: str | None) -> None:
    """Steps of the horizon, neighbours joined where there are more than fit on a screen."""
    width = -(-len(rows) // ROWS)
    joined = []
    for i in range(0, len(rows), width):
        group = rows[i : i + width]
        first, last = group[0]["step"], group[-1]["step"]
        joined.append((str(first) if first == last else f"{first}–{last}", [_figures(row, rival) for row in group]))
    console.write()
    _table("step", rival, [(label, _mean(group)) for label, group in joined])


def _by_series(rows: list[dict[str, Any]], rival: str | None) -> None:
    """Series, those first where the run does worst beside the best baseline."""
    lines = [(row["series"], _figures(row, rival)) for row in rows]
    lines.sort(key=lambda line: -_ratio(line[1]))
    console.write()
    _table("series", rival, lines[:ROWS])
    if len(lines) > ROWS:
        console.write(f"… and {len(lines) - ROWS:,} more series, where the run does better; --json has them all")


def _figures(row: dict[str, Any], rival: str | None) -> dict[str, float]:
    """The columns of a row, NaN where there is none."""
    names = ("mase", "smape", "rmse", "coverage80", "coverage95")
    own: dict[str, float | None] = {name: row[name] for name in names if name in row}
    own["rival"] = row["baselines"].get(rival)
    return {name: math.nan if value is None else value for name, value in own.items()}


def _mean(group: list[dict[str, float]]) -> dict[str, float]:
    """Means of figures over steps, of squares for the root of a mean square."""
    means = {name: float(np.mean([row[name] for row in group])) for name in group[0]}
    return means | {"rmse": float(np.sqrt(np.mean([row["rmse"] ** 2 for row in group])))}


def _ratio(figures: dict[str, float]) -> float:
    ratio = figures["mase"] / figures["rival"] if figures["rival"] else math.nan
    return ratio if math.isfinite(ratio) else -math.inf


def _table(first: str, rival: str | None, lines: list[tuple[str, dict[str, float]]]) -> None:
    """A row for each line: MASE of the run and of its best rival, then the other figures."""
    names = [name for name in lines[0][1] if name not in ("mase", "rival")]
    heads = {"smape": "sMAPE %", "rmse": "RMSE", "coverage80": "in 80 %", "coverage95": "in 95 %"}
    shown: dict[str, list[str]] = {}
    for name in names:
        values = [figures[name] for _, figures in lines]
        shown[name] = list(map(percent, values)) if name.startswith("coverage") else console.numbers(values)
    mase = console.numbers([figures[name] for _, figures in lines for name in ("mase", "rival")], least=3)
    table = [
        [label, mase[2 * i], mase[2 * i + 1], *(shown[name][i] for name in names)] for i, (label, _) in enumerate(lines)
    ]
    best = [_best([figures["mase"], figures["rival"]], "low") for _, figures in lines]
    console.table([first, "MASE", f"{rival or 'baseline'}", *(heads[name] for name in names)], table, best=best)


# -- files -------------------------------------------------------------------------------------------


def write_forecasts(found: dict[str, Any], out: Path) -> None:
    """Every forecast of an evaluation as a file of CSV."""
    from rnnkit.outputs import write
    from rnnkit.tasks.backtest import rows

    write(out, to_csv(rows(found["backtest"], found["data"])).encode())
    console.note(f"wrote {out}")


def to_csv(rows: Iterable[list[Any]]) -> str:
    """Rows as CSV, values with the seven digits that a float32 has, what is missing left empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow([digits(v) if isinstance(v, float) else v for v in row])
    return file.getvalue()


def digits(value: float) -> str:
    """A number with seven digits and no exponent.

    >>> digits(1234567890.0), digits(0.1), digits(1e-7), digits(float("nan"))
    ('1234568000', '0.1', '0.0000001', '')
    """
    text = f"{value:.7g}"
    if "e" not in text and "n" not in text:  # neither an exponent nor nan nor inf
        return text
    if not math.isfinite(value):
        return ""
    return str(np.format_float_positional(value, precision=7, fractional=False, trim="-"))

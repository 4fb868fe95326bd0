"""``rnnkit info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rnnkit.cli import options


@click.command(epilog=options.examples("rnnkit info", "rnnkit info runs/energy", "rnnkit info runs/energy --json"))
@click.argument("run", type=options.FOLDER, required=False)
@options.as_json
def info(run: Path | None, json: bool) -> None:
    """Show the network of a run, or this machine and the runs here.

    RUN is a run's folder or a model file: its layers with shapes and parameters, its settings and its figures.
    """
    from rnnkit import console

    found = _machine() if run is None else _run(run)
    if json:
        console.write_json(**found)
    elif run is None:
        _show_machine(found)
    else:
        _show_run(found)


def _machine() -> dict[str, Any]:
    """Versions, the backend that would run, and the runs under runs/."""
    import platform

    import numpy as np

    from rnnkit import __version__, _kernels, api
    from rnnkit.errors import RnnkitError
    from rnnkit.nn import threads

    backend = _kernels.choose()
    runs: list[dict[str, Any]] = []
    for path in api.list_runs(api.RUNS):
        try:
            _, meta = api.Run(path).load_model()
        except RnnkitError as error:
            runs.append({"run": str(path), "task": "", "cell": "", "hidden": "", "figures": str(error)})
            continue
        figures: Any = meta.report.get("metrics", {})
        chosen = {name: meta.options.get(name, "") for name in ("cell", "hidden")}
        runs.append({"run": str(path), "task": meta.task, **chosen, "figures": figures})
    return {
        "rnnkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
        "backend": backend,
        "kernels": _kernels.describe(backend),
        **({"why": _kernels.fallback()} if _kernels.fallback() else {}),
        "threads": threads.available(),
        "runs": runs,
    }


def _run(run: Path) -> dict[str, Any]:
    """What a model file says, with the table of its layers."""
    from rnnkit import api

    model = api.load(run)
    meta = model.meta
    return {
        "run": str(run),
        "task": meta.task,
        "layers": model.network.summary(),
        "parameters": len(model.network.parameters),
        "weights": model.network.weights,
        "network": meta.network,
        "options": meta.options,
        "facts": meta.facts,
        "report": meta.report,
    }


def _show_machine(found: dict[str, Any]) -> None:
    from rnnkit import console
    from rnnkit.cli.results import METRICS, in_order

    runs = found.pop("runs")
    console.facts(found)
    if not runs:
        console.write("\nNo runs under runs/ yet; make one with: rnnkit example energy && rnnkit train energy.csv")
        return
    console.write()
    rows = []
    for run in runs:
        figures = run["figures"]
        if isinstance(figures, dict):
            first = in_order(figures)[:1]
            figures = ", ".join(f"{METRICS.get(k, (k,))[0]} {console.number(figures[k])}" for k in first)
        rows.append([run["run"], run["task"], run["cell"], str(run["hidden"]), figures])
    console.table(["run", "task", "cell", "hidden", "figures"], rows, left=5)


def _show_run(found: dict[str, Any]) -> None:
    from rnnkit import console
    from rnnkit.cli.results import UNJUDGED, quantized, report

    headers = ["layer", "kind", "what", "shapes", "parameters"]
    rows = [[r["layer"], r["kind"], r["what"], _shapes(r["shapes"]), r["parameters"]] for r in found["layers"]]
    weights = "" if found["weights"] == "float32" else f", weights in {found['weights']}"
    console.write(f"{found['run']}: {found['task']}{weights}")
    console.table(headers, [*rows, ["total", "", "", "", found["parameters"]]], left=4)
    console.write("\nSettings")
    console.facts({name: console.setting(value) for name, value in found["options"].items()})
    console.write("\nThe data it learned from")
    console.facts({name: console.brief(value) for name, value in found["facts"].items()})
    console.write()
    if found["report"]:
        report(found["report"])
        if "quantized" in found["report"]:
            console.write()
            quantized(found["report"]["quantized"])
    else:
        console.write(f"{UNJUDGED[0].upper()}{UNJUDGED[1:]}.")


def _shapes(shapes: dict[str, list[int]]) -> str:
    return ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes.items())

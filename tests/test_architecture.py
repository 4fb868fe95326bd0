"""Who may import whom, and what must not be imported early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rnnkit

ROOT = Path(rnnkit.__file__).parent
FLOORS = (
    ("cli", "__main__"),
    (
        "console",
        "plots",
        "views",
        "outputs",
        "benchmark",
        "benchmark_report",
        "benchmark_page",
        "contestants",
        "peers",
        "limits",
        "lanes",
    ),
    ("forecaster", "text"),
    ("api",),
    ("tasks",),
    ("training", "prefetch", "progress", "job", "events", "pacing"),
    ("run",),
    ("modelfile",),
    ("nn", "data", "metrics", "baselines", "samples"),
    ("_kernels",),
    ("cells",),
    ("errors", ""),
)
"""Upper floors first; a module imports from floors below its own, and from its own package."""
APART = {"data", "metrics", "baselines", "samples", "nn"}
"""They stand beside each other and know nothing of each other's insides."""
HOMES = {
    "numba": ("_kernels/numba_",),
    "llvmlite": ("_kernels/numba_",),
    "pandas": ("data/",),
    "pyarrow": ("data/frames.py",),
    "narwhals": ("data/frames.py",),
    "matplotlib": ("plots/",),
    "click": ("cli/",),
    "rich": ("console.py",),
    "safetensors": ("modelfile.py",),
    "statsforecast": ("baselines/fitted.py",),
    "sklearn": ("data/wording.py",),
    "simplemma": ("data/wording.py",),
    "snowballstemmer": ("data/wording.py",),
    "stop_words": ("data/wording.py",),
    "torch": ("peers.py",),
    "onnxruntime": ("peers.py",),
    "tokenizers": ("data/bpe.py",),
    "threadpoolctl": ("nn/threads.py", "nn/initializers.py", "lanes.py"),
}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def place(module):
    """The part of the house that a path or a dotted name belongs to."""
    return module.parts[0].removesuffix(".py").replace("__init__", "") if isinstance(module, Path) else module


def floor(part):
    return next(i for i, parts in enumerate(FLOORS) if part in parts)


def imports(path, late=True):
    """Dotted names that a file imports; without ``late`` only those at its top (TYPE_CHECKING blocks left out)."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if late else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path):
    here = place(path)
    if not here:  # the package itself names what is public, lazily
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "rnnkit" or len(parts) < 2 or parts[1].startswith("__"):
            continue
        there = parts[1] if any(parts[1] in row for row in FLOORS) else ""
        if there != here:
            assert floor(there) > floor(here) or floor(there) == floor(here), f"{path} imports {name}"
            assert not ({here, there} <= APART), f"{path} imports {name}"


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library):
    at = {str(path) for path in MODULES for name in imports(path) if name.split(".")[0] == library}
    strays = [p for p in at if not p.startswith(HOMES[library])]
    assert not strays


@pytest.mark.parametrize("library", ["numba", "pandas", "pyarrow", "matplotlib", "rich", "torch", "statsforecast"])
def test_importing_rnnkit_stays_light(library):
    code = f"import rnnkit, rnnkit.cli, sys; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_every_file_is_one_idea():
    long = {str(p): n for p in MODULES if (n := len((ROOT / p).read_text(encoding="utf-8").splitlines())) > 420}
    assert not long

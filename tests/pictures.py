"""Looking into charts: the figures that would be saved, their titles, the size of a file."""

import struct
from pathlib import Path

from rnnkit import plots


def axes_of(monkeypatch):
    """Collects the figures that are saved."""
    figures = []
    monkeypatch.setattr(plots.sheet, "_save", lambda figure, path: figures.append(figure))
    return figures


def png_size(path):
    content = Path(path).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]

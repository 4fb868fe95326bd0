"""One time as the rows of a known table write it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from rnnkit.data.clock import to_standard
from rnnkit.data.dateparts import ZONE, compose
from rnnkit.data.dates import field_value, pattern
from rnnkit.data.frequency import EPOCH, Frequency

Stamp = Any  # a datetime64 or an integer

_ZONE = re.compile(rf" ?(?:{ZONE})$")
_CLOCK = re.compile(r"%-?[HI]")


def read_stamp(text: str, freq: Frequency) -> Stamp | None:
    """A time written as a frequency writes it, or None; the inverse of ``Frequency.format`` for one cell.

    Of an hour that a clock shows twice it is the first.
    """
    if freq.unit != "step" and freq.style not in EPOCH:
        date = read_date(text, freq.style)
        return to_standard(np.array([date]), freq.clock)[0] if date is not None and freq.clock else date
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    if not abs(number) < 2**53:
        return None
    if freq.unit != "step":
        return np.datetime64(round(number * EPOCH[freq.style][0] / EPOCH[freq.style][1]), "us")
    steps = (number - freq.origin) / freq.scale
    whole = round(steps)
    even = freq.scale == 1.0 and freq.origin == 0.0
    return np.int64(whole) if abs(steps - whole) <= (0.0 if even else 0.1) else None


def read_date(text: str, style: str) -> np.datetime64 | None:
    """One date written in a known style, or None; an offset from UTC other than that of the style is converted."""
    timed = _CLOCK.search(style) is not None
    zone, own = (_ZONE.search(one) if timed else None for one in (style, text))
    tokens = _read(_ZONE.sub("", style) if zone else style, _ZONE.sub("", text) if own else text)
    if tokens is None or (zone and not own):
        return None
    values, wrong = compose({token: np.array([field_value(token, cell)]) for token, cell in tokens.items()})
    if wrong.size:
        return None
    away = field_value("Z", own[0].strip()) - field_value("Z", zone[0].strip()) if own and zone else 0
    found: np.datetime64 = values.astype("datetime64[us]")[0] - np.timedelta64(away, "s")
    return found


@lru_cache
def _pattern(style: str) -> tuple[re.Pattern[str], list[str]]:
    return pattern(style)


def _read(style: str, text: str) -> dict[str, str] | None:
    """Token → its text."""
    expression, tokens = _pattern(style)
    match = expression.fullmatch(text)
    return {token: match[i + 1] for i, token in enumerate(tokens)} if match else None

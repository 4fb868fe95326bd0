"""Dates as people write them → datetime64, and back in the same style.

A style is a strftime pattern of the tokens below plus literal text; %-m, %-d, %-H, %-I are not padded, %q is the
quarter and %3f a fraction of a second with three digits. The style is stored with a model, so that forecasts carry
dates written as the training file wrote them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strings = np.ndarray[Any, Any]
Datetimes = NDArray[np.datetime64]

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_TWO = r"\d{1,2}"
_NAMES = "|".join(sorted((*MONTHS, *(m[:3] for m in MONTHS), "Sept"), key=len, reverse=True))
_DATES = (
    r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})",
    r"(?P<Y>\d{4})(?P<s>[-/])(?P<m>\d{1,2})",
    r"(?P<d>\d{1,2})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<Y>\d{4}|\d\d)",
    r"(?P<m>\d{1,2})(?P<s>[-/.])(?P<Y>\d{4})",
    r"(?P<Y>\d{4})(?P<s>[- ]?[Qq])(?P<q>[1-4])",
    rf"(?P<d>\d{{1,2}})(?P<s>[- ])(?P<b>{_NAMES})(?P=s)(?P<Y>\d{{4}}|\d\d)",
    rf"(?P<b>{_NAMES})(?P<s>[- ])(?P<Y>\d{{4}}|\d\d)",
    rf"(?P<b>{_NAMES})(?P<s> )(?P<d>\d{{1,2}}),? (?P<Y>\d{{4}})",
)
_COMPACT = (
    r"(?P<Y>(?:18|19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)",
    r"(?P<Y>(?:18|19|20)\d\d)(?P<m>\d\d)",
    r"(?P<Y>(?:1[5-9]|20)\d\d)",
)  # plain integers: dates only where the column's name says so
_TIME = (
    r"(?P<t>[T ])(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:\.(?P<f>\d{1,9}))?)?"
    r"(?P<p> ?[AaPp][Mm])?(?P<z> ?(?:Z|[+-]\d\d:?\d\d))?"
)
_FORMS = tuple(re.compile(f"{form}(?:{_TIME})?", re.ASCII | re.IGNORECASE) for form in _DATES)
_COMPACT_FORMS = tuple(re.compile(form, re.ASCII) for form in _COMPACT)
_TOKEN = re.compile(r"%(-?[YymdHIMSbBpqZ]|\d+f)")
_MONTH_OF = {m[:3].lower(): i + 1 for i, m in enumerate(MONTHS)}
_ISO = re.compile(r"%Y-%m(-%d([T ]%H:%M(:%S)?)?)?")


@dataclass
class Dates:
    """Parsed dates: values [n] datetime64[s] (or [us] where seconds have fractions) and the style they came in.

    ambiguous: day and month could be exchanged in every cell and neither reading is the more regular.
    """

    values: Datetimes
    style: str
    ambiguous: bool = False
    notices: list[str] = field(default_factory=list)


def parse_dates(cells: Strings, compact: bool = False) -> Dates | int | None:
    """Reads text cells [n] as dates written in one style, found from the first cell.

    compact admits bare digits (19490131, 194901, 1949). Returns the dates; or the index of the first cell that is
    not a date in the style of those before it; or None when the first cell is no date at all.
    """
    if not len(cells):
        return None
    first = str(cells[0])
    style = _style_of(first, compact)
    if style is None:
        return None
    if _ISO.fullmatch(style) and (fast := _parse_iso(cells, len(first))) is not None:
        return Dates(fast, style)
    distinct, inverse = np.unique(cells, return_inverse=True)
    found = _parse_distinct(distinct.tolist(), style)
    if isinstance(found, Dates):
        found.values = found.values[inverse]
        return found
    return int(np.flatnonzero(np.isin(inverse, np.array(found)))[0])


def _style_of(text: str, compact: bool) -> str | None:
    for form in _FORMS + (_COMPACT_FORMS if compact else ()):
        match = form.fullmatch(text)
        if match:
            break
    else:
        return None
    pieces: list[tuple[int, int, str]] = []
    for name, value in match.groupdict().items():
        if value is None or name in "st":
            continue
        token = {
            "Y": "%Y" if len(value) == 4 else "%y",
            "b": "%b" if len(value) == 3 else "%B",
            "H": "%I" if match.groupdict().get("p") else "%H",
            "f": f"%{len(value)}f",
            "p": (" " if value.startswith(" ") else "") + "%p",
            "z": (" " if value.startswith(" ") else "") + "%Z",
        }.get(name, f"%{name}")
        pieces.append((match.start(name), match.end(name), token))
    style = text
    for start, end, token in sorted(pieces, reverse=True):
        style = style[:start] + token + style[end:]
    return style


def _parse_iso(cells: Strings, length: int) -> Datetimes | None:
    if np.any(np.strings.str_len(cells) != length) or np.any(np.strings.find(cells, "+") >= 0):
        return None
    try:
        return np.asarray(cells, dtype=f"U{length}").astype("datetime64[s]")
    except ValueError:
        return None


@lru_cache
def _pattern(style: str) -> tuple[re.Pattern[str], list[str]]:
    """The expression that reads a style, and its tokens in order of groups."""
    out, tokens, at = "", [], 0
    for token in _TOKEN.finditer(style):
        out += re.escape(style[at : token.start()])
        name = token[1].removeprefix("-")
        tokens.append(name[-1])
        out += {
            "Y": r"(\d{4})", "y": r"(\d\d)", "f": r"(\d{1,9})", "b": f"({_NAMES})", "B": f"({_NAMES})",
            "p": "([AaPp][Mm])", "q": "([1-4])", "Z": r"(Z|[+-]\d\d:?\d\d)", "M": r"(\d\d)", "S": r"(\d\d)",
        }.get(name[-1], f"({_TWO})")  # fmt: skip
        at = token.end()
    return re.compile(out + re.escape(style[at:]), re.ASCII | re.IGNORECASE), tokens


def _parse_distinct(cells: list[str], style: str) -> Dates | list[int]:
    """Dates of distinct cells, or the indices of those that cannot be read."""
    pattern, tokens = _pattern(style)
    matches = [pattern.fullmatch(c) for c in cells]
    bad = [i for i, m in enumerate(matches) if m is None]
    if bad:
        return bad
    parts = {t: [m[i + 1] for m in matches if m] for i, t in enumerate(tokens)}
    notices: list[str] = []
    styles = [style]
    swappable = re.match(r"%d[-/.]%m", style) is not None
    if swappable:
        swapped = style.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
        first, second = np.array(parts["d"], dtype=np.int64), np.array(parts["m"], dtype=np.int64)
        if np.any(second > 12) and np.sum(second > 12) >= np.sum(first > 12):
            styles = [swapped]
        elif not np.any(first > 12) and "." not in style:
            styles = [style, swapped]
    readings = []
    for candidate in styles:
        if candidate != style:
            parts = {**parts, "d": parts["m"], "m": parts["d"]}
        values, wrong = _compose(parts, notices)
        if wrong.size:
            return wrong.tolist()
        readings.append((values, _pad(candidate, parts)))
    if len(readings) == 1:
        order = "day" if readings[0][1].startswith(("%d", "%-d")) else "month"
        if swappable:
            notices.append(f"dates such as '{cells[0]}' read with the {order} first")
        return Dates(*readings[0], notices=notices)
    scores = [_regularity(values) for values, _ in readings]
    best = int(np.argmax(scores))
    if scores[best] - scores[1 - best] < 0.3:
        return Dates(*readings[0], ambiguous=True)
    order = ("day", "month")[best]
    notices.append(f"dates such as '{cells[0]}' read with the {order} first, which makes their steps regular")
    return Dates(*readings[best], notices=notices)


def _compose(parts: dict[str, list[str]], notices: list[str]) -> tuple[Datetimes, NDArray[np.int64]]:
    """Fields of text → datetimes and the indices whose fields do not exist (month 13, 30 February, 25 o'clock)."""
    n = len(next(iter(parts.values())))

    def whole(token: str, default: int) -> NDArray[np.int64]:
        return np.array(parts[token], dtype=np.int64) if token in parts else np.full(n, default, dtype=np.int64)

    year = whole("Y", 1970)
    if "y" in parts:  # POSIX: 69 to 99 are 1969 to 1999
        year = whole("y", 0)
        year += np.where(year < 69, 2000, 1900)
        notices.append("years of two digits are read as 1969 to 2068")
    month, day = whole("m", 1), whole("d", 1)
    if "q" in parts:
        month = 3 * whole("q", 1) - 2
    names = parts.get("b") or parts.get("B")
    if names:
        month = np.array([_MONTH_OF[name[:3].lower()] for name in names], dtype=np.int64)
    hour, minute, second = whole("H", 0), whole("M", 0), whole("S", 0)
    good_hour = (hour >= 0) & (hour < 24)
    if "p" in parts:
        twelve = whole("I", 12)
        good_hour = (twelve >= 1) & (twelve <= 12)
        hour = twelve % 12 + 12 * np.array([p.lower() == "pm" for p in parts["p"]])
    months = (year - 1970) * 12 + np.clip(month, 1, 12) - 1
    start = months.astype("datetime64[M]")
    length = ((start + 1).astype("datetime64[D]") - start.astype("datetime64[D]")).astype(np.int64)
    good = good_hour & (month >= 1) & (month <= 12) & (day >= 1) & (day <= length) & (minute < 60) & (second < 60)
    seconds = (start.astype("datetime64[D]").astype(np.int64) + day - 1) * 86400 + hour * 3600 + minute * 60 + second
    if "Z" in parts:
        offsets = np.array([_offset(z) for z in parts["Z"]], dtype=np.int64)
        if np.any(offsets != offsets[0]):
            seconds = seconds - offsets
            parts["Z"] = ["+00:00"] * n
            notices.append("times with different offsets from UTC are converted to UTC")
    values = seconds.astype("datetime64[s]")
    if "f" in parts:
        micro = np.array([int(f.ljust(6, "0")[:6]) for f in parts["f"]], dtype=np.int64)
        if np.any(micro):
            values = values.astype("datetime64[us]") + micro.astype("timedelta64[us]")
    return values, np.flatnonzero(~good)


def _offset(zone: str) -> int:
    if zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def _pad(style: str, parts: dict[str, list[str]]) -> str:
    """The style with its zone made literal and the tokens that were written without a leading zero marked."""
    for together in ("md", "H", "I"):
        if any(len(v) == 1 for token in together for v in parts.get(token, ())):
            for token in together:
                style = style.replace(f"%{token}", f"%-{token}")
    if any(len(v) > 3 for v in parts.get("b", ())):
        style = style.replace("%b", "%B")  # the first cell said May
    if "Z" in parts:
        style = style.replace("%Z", parts["Z"][0])
    return style


def _regularity(values: Datetimes) -> float:
    """Share of the commonest step, counted in days or in months, whichever is the more even."""
    ordered = np.unique(values)
    if len(ordered) < 3:
        return 0.0
    months = ordered.astype("datetime64[M]")
    same_day = np.unique(ordered.astype("datetime64[D]") - months.astype("datetime64[D]")).size == 1
    steps = [np.diff(ordered).astype(np.int64)] + ([np.diff(months).astype(np.int64)] if same_day else [])
    return max(float(np.unique(s, return_counts=True)[1].max() / len(s)) for s in steps)


def format_dates(times: Datetimes, style: str) -> list[str]:
    """Datetimes [n] written in a style; the inverse of `parse_dates`."""
    micro = np.asarray(times).astype("datetime64[us]")
    days = micro.astype("datetime64[D]")
    months = micro.astype("datetime64[M]").astype(np.int64)
    day = (days - micro.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    rest = (micro - days).astype(np.int64)
    fields = {
        "Y": months // 12 + 1970,
        "m": months % 12 + 1,
        "d": day,
        "H": rest // 3_600_000_000,
        "M": rest // 60_000_000 % 60,
        "S": rest // 1_000_000 % 60,
        "f": rest % 1_000_000,
    }
    tokens = [(t.start(), t.end(), t[1]) for t in _TOKEN.finditer(style)]
    out = []
    for i in range(len(micro)):
        text, at, now = "", 0, {k: int(v[i]) for k, v in fields.items()}
        for start, end, token in tokens:
            text += style[at:start] + _write(token, now)
            at = end
        out.append(text + style[at:])
    return out


def _write(token: str, now: dict[str, int]) -> str:
    name, bare = token[-1], token.startswith("-")
    if name == "f":
        return f"{now['f']:06d}".ljust(9, "0")[: int(token[:-1])]
    if name in "bB":
        return MONTHS[now["m"] - 1][: 3 if name == "b" else None]
    if name == "p":
        return "PM" if now["H"] >= 12 else "AM"
    if name == "q":
        return str((now["m"] - 1) // 3 + 1)
    if name == "Y":
        return f"{now['Y']:04d}"
    value = {"y": now["Y"] % 100, "I": (now["H"] - 1) % 12 + 1}.get(name, now.get(name, 0))
    return str(value) if bare else f"{value:02d}"


_ZONE = re.compile(r"(?<=%[MSp]|\df)( ?)(?:Z|[+-]\d\d:?\d\d)$")


def read_date(text: str, style: str) -> np.datetime64 | None:
    """One date written in a known style, or None; a zone other than that of the style is converted to it."""
    zone = _ZONE.search(style)
    pattern, tokens = _pattern(_ZONE.sub(r"\1%Z", style) if zone else style)
    match = pattern.fullmatch(text)
    if match is None:
        return None
    parts = {token: [match[i + 1]] for i, token in enumerate(tokens)}
    values, wrong = _compose(parts, [])
    if wrong.size:
        return None
    away = _offset(parts["Z"][0]) - _offset(zone[0].strip()) if zone else 0
    found: np.datetime64 = values.astype("datetime64[us]")[0] - np.timedelta64(away, "s")
    return found

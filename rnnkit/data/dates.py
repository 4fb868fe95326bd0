"""Dates as people write them → datetime64, and back in the same style.

A style is a strftime pattern of the tokens below plus literal text; %-m, %-d, %-H, %-I are not padded, %q is the
quarter, %G and %V are the year and the number of a week, and %3f is a fraction of a second with three digits. The
style is stored with a model, so that forecasts carry dates written as the training file wrote them.
"""

from __future__ import annotations

import re

import numpy as np

from rnnkit.data.dateparts import ZONE, Dates, Datetimes, Parts, Whole, resolve
from rnnkit.data.numbers import Strings

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
    r"(?P<s>[Qq])(?P<q>[1-4])[-/ ]?(?P<Y>\d{4})",
    r"(?P<G>\d{4})(?P<s>-?[Ww])(?P<V>\d\d)(?:-(?P<u>[1-7]))?",
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
    r"(?P<t>[T ])(?P<H>\d{1,2}(?=:| ?[AP]M)|\d\d)(?::(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?)?"
    rf"(?P<p> ?[AaPp][Mm])?(?P<z> ?(?:{ZONE}))?"
)
_FORMS = tuple(re.compile(f"{form}(?:{_TIME})?", re.ASCII | re.IGNORECASE) for form in _DATES)
_COMPACT_FORMS = tuple(re.compile(form, re.ASCII) for form in _COMPACT)
_TOKEN = re.compile(r"%(-?[YymdHIMSBbpqZGVu]|\d+f)")
_MONTH_OF = {m[:3].lower(): i + 1 for i, m in enumerate(MONTHS)}
_ISO = re.compile(r"%Y-%m(-%d([T ]%H:%M(:%S)?)?)?")


def parse_dates(cells: Strings, compact: bool = False) -> Dates | int | None:
    """Reads text cells [n] as dates written in one style, found from the first cell.

    compact admits bare digits (19490131, 194901, 1949). Returns the dates; or the index of the first cell that is
    not a date in the style of those before it; or None when the first cell is no date at all.
    """
    if not len(cells):
        return None
    first = str(cells[0])
    style = style_of(first, compact)
    if style is None:
        return None
    if _ISO.fullmatch(style) and (fast := _parse_iso(cells, len(first))) is not None:
        return Dates(fast, style)
    distinct, inverse = np.unique(cells, return_inverse=True)
    found = _parse_distinct(distinct.tolist(), style, first)
    if isinstance(found, Dates):
        found.values = found.values[inverse]
        return found
    return int(np.flatnonzero(np.isin(inverse, found))[0])


def style_of(text: str, compact: bool) -> str | None:
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


def pattern(style: str) -> tuple[re.Pattern[str], list[str]]:
    """The expression that reads a style, and its tokens in order of groups."""
    out, tokens, at = "", [], 0
    for token in _TOKEN.finditer(style):
        out += re.escape(style[at : token.start()])
        name = token[1].removeprefix("-")
        tokens.append(name[-1])
        out += {
            "Y": r"(\d{4})", "y": r"(\d\d)", "f": r"(\d{1,9})", "b": f"({_NAMES})", "B": f"({_NAMES})",
            "p": "([AaPp][Mm])", "q": "([1-4])", "Z": f"({ZONE})", "M": r"(\d\d)", "S": r"(\d\d)", "G": r"(\d{4})",
            "V": r"(\d\d)", "u": "([1-7])",
        }.get(name[-1], f"({_TWO})")  # fmt: skip
        at = token.end()
    return re.compile(out + re.escape(style[at:]), re.ASCII | re.IGNORECASE), tokens


def _parse_distinct(cells: list[str], style: str, first: str) -> Dates | Whole:
    """Dates of distinct cells, or the indices of those that cannot be read; first: the first cell of the column."""
    read, tokens = pattern(style)
    matches = [read.fullmatch(c) for c in cells]
    bad = [i for i, m in enumerate(matches) if m is None]
    if bad:
        return np.array(bad)
    texts = {t: [m[i + 1] for m in matches if m] for i, t in enumerate(tokens)}
    numbers = {t: np.array([field_value(t, text) for text in found]) for t, found in texts.items()}
    short = {t for t, found in texts.items() if any(len(text) == 1 for text in found)}
    padded = {t for t, found in texts.items() if any(text[0] == "0" for text in found)}
    long_months = any(len(text) > 3 for text in texts.get("b", ()))
    match = read.fullmatch(first)
    zone = match[tokens.index("Z") + 1] if match and "Z" in tokens else ""
    return resolve(Parts(numbers, short, padded, first, zone, long_months), style)


def field_value(token: str, text: str) -> int:
    """The number that a field of a date stands for: see `Parts`."""
    if token in "bB":
        return _MONTH_OF[text[:3].lower()]
    if token == "p":
        return int(text.lower() == "pm")
    if token == "f":
        return int(text.ljust(6, "0")[:6])
    return _offset(text) if token == "Z" else int(text)


def _offset(zone: str) -> int:
    if zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


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
    if "%V" in style:
        thursday = (days.astype(np.int64) + 3) // 7 * 7  # of the same week, and of the year that the week belongs to
        first: Datetimes = thursday.astype("datetime64[D]").astype("datetime64[Y]")
        fields["G"] = first.astype(np.int64) + 1970
        fields["V"] = (thursday - first.astype("datetime64[D]").astype(np.int64)) // 7 + 1
        fields["u"] = (days.astype(np.int64) + 3) % 7 + 1
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
    if name in "YG":
        return f"{now[name]:04d}"
    if name == "u":
        return str(now["u"])
    value = {"y": now["Y"] % 100, "I": (now["H"] - 1) % 12 + 1}.get(name, now.get(name, 0))
    return str(value) if bare else f"{value:02d}"

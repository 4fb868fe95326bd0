"""What losses, optimisers and schedules share: a name, options that JSON can hold, a table to be chosen from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar, TypeVar

from rnnkit.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Choice:
    """A row of a table: its ``name`` and its options, the fields that its constructor takes."""

    name: ClassVar[str]

    def options(self) -> dict[str, Any]:
        """The options as JSON can hold them; ``make(kind, table, name, options)`` builds the same object again."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def _within(self, option: str, interval: str) -> None:
        """``UsageError`` unless the option is a number in an interval written like ``"[0, 1)"``."""
        value = getattr(self, option)
        low, high = (float(end) for end in interval[1:-1].split(","))
        if isinstance(value, Real) and not isinstance(value, bool):
            x = float(value)
            above = low <= x if interval[0] == "[" else low < x
            below = x <= high if interval[-1] == "]" else x < high
            if above and below and math.isfinite(x):
                return
        raise UsageError(f"{option} of {self.name} is a number in {interval}, not {value!r}")


C = TypeVar("C", bound=Choice)


def make(kind: str, table: Mapping[str, type[C]], name: str, options: Mapping[str, Any]) -> C:
    """The row of ``table`` called ``name`` with these options; ``UsageError`` for an unknown name or option."""
    if name not in table:
        raise UsageError(f"{kind} is one of {', '.join(table)}, not {name!r}")
    known = [f.name for f in dataclasses.fields(table[name]) if f.init]
    for option in options:
        if option not in known:
            raise UsageError(f"the {name} {kind} has no option {option!r}; it has {', '.join(known) or 'none'}")
    return table[name](**options)

"""The generator of ``energy.csv``: sixteen weeks of hourly electricity load and temperature.

The series is invented, from these equations, for t = 0, 1, … hours after Monday 8 January 2024, 00:00:

    temperature_t = 3 + 0.09 d - 3.2 cos(2π (k - 3) / 24) + w_t                        °C
    w_t           = φ w_{t-1} + σ sqrt(1 - φ²) ε_t         φ = exp(-1/72), σ = 3.6 °C  weather
    s_t           = s_{t-1} + (temperature_t - s_{t-1}) / 10                           walls, slow to follow
    load_t        = (profile(k, weekday) + 5.5 max(16 - s_t, 0)) (1 + 0.0008 d) + u_t + 4 η_t     kW
    u_t           = ρ u_{t-1} + 6 sqrt(1 - ρ²) ν_t         ρ = exp(-1/8)               people, machines

with k the hour of the day, d = t / 24 and ε, η, ν standard normal.  The profile of a working day has a
morning and an evening peak; that of Saturday and Sunday is lower, flatter and later, so the value of the
day before misleads twice a week, and that of the week before knows nothing of the weather.

``python -m rnnkit.samples.make_series FILE`` writes the bundled file again, byte for byte.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START = np.datetime64("2024-01-08T00", "h")  # a Monday
DAYS = 112
SEED = 1997

# kW at hours 0, 1, …, 23, before heating.
WORKDAY = np.array(
    [98, 92, 89, 88, 92, 108, 142, 186, 214, 222, 224, 221, 212, 214, 218, 216, 212, 218, 232, 236, 214, 178, 142, 114],
    dtype=np.float64,
)
WEEKEND = np.array(
    [104, 97, 92, 89, 88, 90, 96, 108, 126, 144, 156, 164, 168, 160, 150, 144, 144, 152, 172, 182, 172, 152, 132, 114],
    dtype=np.float64,
)


def normals(count: int, stream: int, seed: int = SEED) -> NDArray[np.float64]:
    """``count`` standard normal draws, the same under every NumPy.

    NumPy fixes the raw bits of a bit generator for good but not its distributions, hence Box and
    Muller (1958): sqrt(-2 ln u) cos(2π v).
    """
    bits = np.random.Philox(key=[seed, stream]).random_raw(2 * count)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # strictly inside (0, 1)
    return np.sqrt(-2.0 * np.log(uniform[:count])) * np.cos(2.0 * np.pi * uniform[count:])


def autoregressive(noise: NDArray[np.float64], hours: float, deviation: float) -> NDArray[np.float64]:
    """A stationary AR(1) of the given standard deviation whose memory fades by e in ``hours`` steps."""
    phi = np.exp(-1.0 / hours)
    values = deviation * noise
    values[1:] *= np.sqrt(1.0 - phi * phi)
    for t in range(1, len(values)):
        values[t] += phi * values[t - 1]
    return values


def make_series(days: int = DAYS, seed: int = SEED) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Hourly times ``[T]`` and the columns temperature (°C) and load (kW) ``[T, 2]``, with T = 24 · ``days``."""
    steps = 24 * days
    hours = np.arange(steps)
    hour, weekday, day = hours % 24, hours // 24 % 7, hours / 24.0

    weather = autoregressive(normals(steps, 0, seed), hours=72.0, deviation=3.6)
    temperature = 3.0 + 0.09 * day - 3.2 * np.cos(2.0 * np.pi * (hour - 3) / 24.0) + weather

    walls = temperature.copy()
    for t in range(1, steps):
        walls[t] = walls[t - 1] + (temperature[t] - walls[t - 1]) / 10.0
    profile = np.where(weekday < 5, WORKDAY[hour], WEEKEND[hour])
    habits = autoregressive(normals(steps, 1, seed), hours=8.0, deviation=6.0)
    heating = 5.5 * np.maximum(16.0 - walls, 0.0)
    load = (profile + heating) * (1.0 + 0.0008 * day) + habits + 4.0 * normals(steps, 2, seed)
    return START + hours, np.column_stack((temperature, load))


def to_csv(times: NDArray[np.datetime64], values: NDArray[np.float64]) -> str:
    """The table as text: header ``time,temperature,load``, ISO times to the minute, two decimals."""
    stamps = np.datetime_as_string(times, unit="m")
    lines = ["time,temperature,load"]
    for stamp, (temperature, load) in zip(stamps, values, strict=True):
        lines.append(f"{str(stamp).replace('T', ' ')},{temperature:z.2f},{load:.2f}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the series to the file named, or to standard output; returns the exit code."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: python -m rnnkit.samples.make_series [FILE]", file=sys.stderr)
        return 2
    text = to_csv(*make_series())
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

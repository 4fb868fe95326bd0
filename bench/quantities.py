"""The quantities that decide how the kernels compute, measured on this machine.

    python bench/quantities.py [--threads N] [--seconds S] [--json]

Products of few rows by the kernels' own tile, as shares of the multiply-adds that the registers allow; a barrier;
what can be read from each cache and from memory.  All with the instruction set that the kernels run with
(``RNNKIT_ISA`` forces one).  Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit._kernels import machine
from rnnkit.limits import Peak
from rnnkit.nn.threads import apart, resolve

ROWS = (4, 8, 16, 64)
SIZES = (64, 128, 256, 512)
"""Hidden units H: a product is [rows, H] by [H, 4H], a step of an LSTM's recurrence."""
PLACES = {"L1": 16 << 10, "L2": 512 << 10, "L3": 8 << 20, "memory": 256 << 20}
"""Bytes that each thread reads over and over: half of a usual cache, or far more than any."""


def rate(call: Callable[[], float], seconds: float) -> float:
    """Units per second of a call that returns how many it did: the best of at least five, as others only disturb."""
    found = []
    began = time.perf_counter()
    with apart() as part:
        call()
        part()
        while len(found) < 5 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            done = call()
            found.append(done / (time.perf_counter() - start))
    return max(found)


def products(here: Any, limit: float, seconds: float) -> list[dict[str, float]]:
    """GFLOP/s of products of few rows in one thread, and their share of ``limit``, operations per second."""
    rng = np.random.Generator(np.random.Philox(0))
    table = []
    for H in SIZES:
        panels = here.pack_panels(rng.standard_normal((H, 4 * H), dtype=np.float32))
        for rows in ROWS:
            a = rng.standard_normal((rows, H), dtype=np.float32)
            out = np.empty((rows, 4 * H), np.float32)
            operations = 2 * rows * H * 4 * H
            repeats = max(1, round(1e8 / operations))

            def call(a=a, panels=panels, out=out, repeats=repeats, operations=operations) -> float:
                here.products(a, panels, out, repeats)
                return repeats * operations

            found = rate(call, seconds)
            table.append({"H": H, "rows": rows, "gflops": found / 1e9, "of_limit": found / limit})
    return table


def barrier(here: Any, threads: int, seconds: float) -> float:
    """Nanoseconds of a barrier that all threads meet at."""
    count = 200_000

    def call() -> float:
        here.barriers(count, threads)
        return count

    return 1e9 / rate(call, seconds)


def on_lines(rows: int, columns: int) -> np.ndarray:
    """Ones that start on a cache line, as the kernels' panels do: a read across two lines takes twice as long."""
    raw = np.ones(rows * columns + 16, np.float32)
    skip = -raw.ctypes.data % 64 // 4
    return raw[skip : skip + rows * columns].reshape(rows, columns)


def reading(here: Any, threads: int, clock: float, seconds: float) -> list[dict[str, Any]]:
    """GB/s of all threads together and bytes per cycle of each, out of every cache and out of memory.

    Every thread has an array of its own; together they fit the last level.
    """
    table = []
    for place, size in PLACES.items():
        share = size // threads if place in ("L3", "memory") else size
        for team in sorted({1, threads}):
            arrays = on_lines(team, share // 4)
            repeats = max(1, (256 << 20) // share)

            def call(arrays=arrays, repeats=repeats) -> float:
                return here.read(arrays, repeats)

            found = rate(call, seconds)
            row = {"from": place, "kib": share >> 10, "threads": team}
            table.append({**row, "gb_per_second": found / 1e9, "bytes_per_cycle": found / team / clock})
    return table


def measure(threads: int, seconds: float) -> dict[str, Any]:
    """Everything, as JSON has it."""
    here = machine.load()
    cycles = 20_000_000

    def spend() -> float:
        here.cycles(cycles)
        return cycles

    clock = rate(spend, seconds)
    limits = {}
    for team in sorted({1, threads}):
        peak = Peak(team)
        limits[team] = rate(peak.operations, seconds)
    return {
        "isa": machine.instruction_set(),
        "threads": threads,
        "clock_ghz": clock / 1e9,
        "limit_gflops": {str(team): limit / 1e9 for team, limit in limits.items()},
        "products": products(here, limits[1], seconds),
        "barrier_ns": barrier(here, threads, seconds) if threads > 1 else None,
        "reading": reading(here, threads, clock, seconds),
    }


def show(found: dict[str, Any]) -> None:
    """The same as tables."""
    limits = ", ".join(f"{gflops:.0f} GFLOP/s by {team}" for team, gflops in found["limit_gflops"].items())
    print(f"{found['isa']}, {found['clock_ghz']:.2f} GHz; multiply-adds in registers: {limits}")
    print("\nproducts [rows,H]·[H,4H] in one thread: GFLOP/s (share of the limit)\n")
    print(f"{'H':>5}" + "".join(f"{f'{rows} rows':>15}" for rows in ROWS))
    for H in SIZES:
        ones = [one for one in found["products"] if one["H"] == H]
        cells = (f"{one['gflops']:.1f} ({one['of_limit']:.2f})" for one in ones)
        print(f"{H:5}" + "".join(f"{cell:>15}" for cell in cells))
    if found["barrier_ns"] is not None:
        print(f"\na barrier of {found['threads']} threads: {found['barrier_ns']:.0f} ns")
    print("\nreading: GB/s of all threads, bytes per cycle of each\n")
    print(f"{'from':8}{'KiB each':>10}{'threads':>9}{'GB/s':>9}{'bytes/cycle':>13}")
    for one in found["reading"]:
        sizes = f"{one['from']:8}{one['kib']:10,}{one['threads']:9}"
        print(f"{sizes}{one['gb_per_second']:9.1f}{one['bytes_per_cycle']:13.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The quantities that decide how the kernels compute.")
    parser.add_argument("--threads", default="auto")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each quantity")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found = measure(resolve(options.threads), options.seconds)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()

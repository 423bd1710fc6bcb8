"""Every benchmark, or those named: `python -m benchmarks.run [NAME ...] [--json] [--quick]`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import tempfile
from pathlib import Path

from benchmarks import common

NAMES = (
    "turn_overhead",
    "latency_hiding",
    "scale2",
    "ray_tax",
    "phys_scripted",
    "loop_lag",
    "store",
    "startup",
    "memory",
)
_ON_RAY = {"scale2", "ray_tax"}


def main() -> None:
    """Print one table; or, with --json, a list of objects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them by default")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of the table")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it runs, measures nothing")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    figures = measure(given.names or NAMES, quick=given.quick)
    print(common.to_json(figures) if given.json else common.table(figures))


def measure(names, *, quick: bool) -> list[common.Figure]:
    """Run benchmarks in the order of `NAMES`; those on Ray last and on one cluster, which shares the cores."""
    ordered = sorted(names, key=lambda name: (name in _ON_RAY, NAMES.index(name)))
    figures: list[common.Figure] = []
    with contextlib.ExitStack() as stack:
        for name in ordered:
            if name in _ON_RAY:
                stack.enter_context(importlib.import_module("benchmarks.cluster").cluster())
            figures += (
                _store(quick=quick)
                if name == "store"
                else importlib.import_module(f"benchmarks.{name}").run(quick=quick)
            )
    return figures


def _store(*, quick: bool) -> list[common.Figure]:
    """Return the main lines of `benchmarks.store`, which says more when it is run by itself."""
    from benchmarks import store

    with tempfile.TemporaryDirectory() as folder:
        found = store.measure(*((128, 5) if quick else (3_000, 20)), Path(folder))
    rates = found["steps_per_cpu_s"]
    unit = "steps/CPU-s"
    return [
        common.Figure(
            "store: write",
            rates["write"],
            unit,
            rates["floor: orjson lines, write"],
            "orjson lines",
            common.Goal("figure", ">=", 200_000),
        ),
        common.Figure(
            "store: read as Arrow",
            rates["read as Arrow"],
            unit,
            rates["floor: six columns, read as Arrow"],
            "six columns",
            common.Goal("figure", ">=", 1_000_000),
        ),
        common.Figure(
            "store: size",
            found["parquet_over_json"] * found["json_MB"],
            "MB",
            found["json_MB"],
            "JSON",
            common.Goal("ratio", "<=", 0.31),
        ),
    ]


if __name__ == "__main__":
    main()

"""How often judges are wrong, and how soon they see a fault: ``python -m benchmarks judge``.

Every cell is kept as soon as it is measured, so a run that was stopped goes on where it was; ``--minutes`` stops by
itself. Writes ``results/judge.json``, ``docs/benchmark.md`` and its plots from the cells measured so far. ``--quick``
measures a small slice with a seed of its own, prints it, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks import report
from benchmarks.judge import page
from benchmarks.judge.cells import PUBLISHED_SEED, QUICK_SEED, Cell, all_cells, quick_cells
from benchmarks.judge.measure import OURS, measure
from benchmarks.judge.results import from_document
from benchmarks.judge.store import Store, source
from benchmarks.judge.targets import missed


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, write, and say what misses its target.

    Returns:
        0 when every cell is measured and every target reached.
    """
    options = argparse.ArgumentParser(prog="python -m benchmarks judge", description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a small slice, printed only")
    options.add_argument(
        "--seed", type=int, default=PUBLISHED_SEED, help="another one while tuning: nothing is published"
    )
    options.add_argument("--runs", type=int, help="runs a cell, with another seed only")
    options.add_argument("--only", default="", help="only cells whose key contains this, such as quiet/bursts")
    options.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    chosen = options.parse_args(arguments)
    if chosen.quick:
        return quick()
    if chosen.runs is not None and (chosen.seed == PUBLISHED_SEED or chosen.runs < 1):
        options.error(f"--runs {chosen.runs}: at least 1, and only with a --seed of your own")
    store = Store(chosen.seed)
    cells = [cell if chosen.runs is None else replace(cell, runs=chosen.runs) for cell in all_cells()]
    until = time.monotonic() + 60.0 * chosen.minutes
    for cell in cells:
        if chosen.only in cell.key and store.read(cell) is None and time.monotonic() < until:
            figures = measure(cell, chosen.seed)
            store.write(cell, figures)
            print(_line(figures), flush=True)
    measured = store.measured(cells)
    document = {"seed": chosen.seed, "source": source(), "cells_planned": len(cells), "cells": measured}
    if chosen.seed == PUBLISHED_SEED:
        print(report.write("judge", document))
        page.write()
    short = missed(from_document({"machine": report.machine(), **document}))
    for target in short:
        print(f"missed: {target}", file=sys.stderr)
    return 1 if short or len(measured) < len(cells) else 0


def quick(cells: list[Cell] | None = None) -> int:
    """Measure and print the slice.

    Returns:
        0 when no quiet run is rolled back and every fault is found.
    """
    wrong = 0
    for cell in cells or quick_cells():
        figures = measure(cell, QUICK_SEED)
        print(_line(figures), flush=True)
        expected = cell.runs if cell.kind == "fault" else 0
        wrong += figures["judges"][OURS]["rolled_back"] != expected
    return 1 if wrong else 0


def _line(figures: dict[str, Any]) -> str:
    found = " ".join(
        f"{name}: {one['rolled_back']}" + (f"@{one['median_look']}" if one["median_look"] else "")
        for name, one in figures["judges"].items()
    )
    where = f"{figures['kind']}/{figures['scenario']} at {figures['weight']:.0%}"
    return f"{where}: of {figures['runs']} rolled back {found} ({figures['seconds']:.1f} s)"


if __name__ == "__main__":
    raise SystemExit(main())

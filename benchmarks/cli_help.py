"""How long ``coalmine --help`` and every ``coalmine VERB --help`` take, wall clock and processor time.

Run ``python -m benchmarks.cli_help``. The limit is 0.3 s of wall clock; processor time tells what a busy machine hides.
Writes ``results/cli_help.json``.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import quantile, write
from coalmine.cli._verbs import VERBS

LIMIT = 0.3
RUNS = 20


def once(words: Sequence[str]) -> tuple[float, float]:
    """Wall clock and processor time of one run, in seconds."""
    program = str(Path(sys.executable).with_name("coalmine"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures(times: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in seconds."""
    return {
        "median": round(quantile(times, 0.5), 4),
        "p95": round(quantile(times, 0.95), 4),
        "max": round(max(times), 4),
    }


def main() -> int:
    """Measure, print, write; 1 when the 95th percentile of all pages misses the limit."""
    parser = argparse.ArgumentParser(description="Time every help page.")
    parser.add_argument("--runs", type=int, default=RUNS)
    runs = parser.parse_args().runs
    once(["--help"])  # Whoever comes first compiles the byte code.
    pages = {"coalmine": ["--help"], **{f"coalmine {name}": [name, "--help"] for name in VERBS}}
    walls: dict[str, list[float]] = {page: [] for page in pages}
    processor: list[float] = []
    for _ in range(runs):
        for page, words in pages.items():
            wall, spent = once(words)
            walls[page].append(wall)
            processor.append(spent)
    measured = {page: figures(times) for page, times in walls.items()}
    overall, spent_overall = figures([wall for times in walls.values() for wall in times]), figures(processor)
    rows = {**measured, "all, wall clock": overall, "all, processor": spent_overall}
    for page, found in rows.items():
        print(f"{page:<20} median {found['median']:.3f}  p95 {found['p95']:.3f}  max {found['max']:.3f} s")
    document = {
        "runs": runs,
        "limit_seconds": LIMIT,
        "load_average": round(os.getloadavg()[0], 2),
        "wall": overall,
        "processor": spent_overall,
        "pages": measured,
    }
    write("cli_help", document)
    return 0 if overall["p95"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long ``coalmine --help`` and every ``coalmine VERB --help`` take, wall clock, as a shell sees it.

    python benchmarks/cli_help.py [RUNS]

Writes benchmarks/results/cli_help.json. The limit is 0.3 s.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from coalmine.cli._verbs import VERBS

LIMIT = 0.3
RESULTS = Path(__file__).with_name("results") / "cli_help.json"


def once(words: list[str]) -> float:
    """Seconds of one run."""
    began = time.perf_counter()
    subprocess.run([str(Path(sys.executable).with_name("coalmine")), *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def figures(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in seconds."""
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered), 4),
        "p95": round(ordered[max(0, round(0.95 * len(ordered)) - 1)], 4),
        "max": round(ordered[-1], 4),
    }


def main() -> int:
    """Measure, print, write."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    once(["--help"])  # Byte code is compiled by whoever comes first.
    pages = {"coalmine": ["--help"], **{f"coalmine {name}": [name, "--help"] for name in VERBS}}
    times: dict[str, list[float]] = {page: [] for page in pages}
    for _ in range(runs):
        for page, words in pages.items():
            times[page].append(once(words))
    measured = {page: figures(found) for page, found in times.items()}
    overall = figures([one for found in times.values() for one in found])
    for page, found in measured.items():
        print(f"{page:<20} median {found['median']:.3f}  p95 {found['p95']:.3f}  max {found['max']:.3f} s")
    print(f"{'all':<20} median {overall['median']:.3f}  p95 {overall['p95']:.3f}  max {overall['max']:.3f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    document = {
        "runs": runs,
        "limit_seconds": LIMIT,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "all": overall,
        "pages": measured,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    return 0 if overall["p95"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

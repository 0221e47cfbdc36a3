"""How long ``coalmine backtest`` takes for a thousand recorded hours, on one core: ``python -m benchmarks.backtest``.

1,000 traces of 360 looks (errors, and latency in 12 buckets) of releases without fault, so that each is judged to its
end, at weights of 1, 5, 10 and 50 %. Run twice, and once with the metrics in another order: the bytes must be the
same. Processor time tells what a busy machine hides. Writes ``results/backtest.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.judge import traffic as drawn
from benchmarks.judge.quiet_releases import steady
from benchmarks.one_core import ONE_THREAD
from benchmarks.report import write

TRACES, LOOKS, SEED, LIMIT = 1000, drawn.LOOKS, 31_000, 60.0
WEIGHTS = (1, 5, 10, 50)
METRICS = ("- {name: errors, kind: ratio}", "- {name: latency, kind: latency}")
LOOK = timedelta(seconds=10)
START = datetime(2026, 1, 1, tzinfo=UTC)
PORTION = 50


def lines(trace: drawn.Traffic, run: int, weight: float) -> Iterator[str]:
    """One run of a batch as the lines of a trace."""
    le = [*drawn.BOUNDS, "+Inf"]
    for look in range(trace.canary.requests.shape[1]):
        arms = {"canary": trace.canary, "baseline": trace.baseline}
        seen = {
            "errors": {
                name: {"events": int(arm.errors[run, look]), "total": int(arm.requests[run, look])}
                for name, arm in arms.items()
            },
            "latency": {name: {"le": le, "counts": arm.buckets[run, look].tolist()} for name, arm in arms.items()},
        }
        at = (START + (look + 1) * LOOK).isoformat().replace("+00:00", "Z")
        yield json.dumps({"at": at, "weight": weight, "observations": seen}) + "\n"


def record(folder: Path, traces: int, looks: int) -> Path:
    """Write the traces, and a file that names them."""
    names = []
    for first in range(0, traces, PORTION):
        weight, runs = WEIGHTS[first // PORTION % len(WEIGHTS)], min(PORTION, traces - first)
        batch = drawn.draw(steady(0.005), weight / 100, runs, SEED + first, looks)
        for run in range(runs):
            path = folder / f"{first + run:05d}.jsonl"
            path.write_text("".join(lines(batch, run, weight)))
            names.append(path.name)
    listed = folder / "traces.txt"
    listed.write_text("\n".join(names) + "\n")
    return listed


def once(folder: Path, spec: str, listed: str) -> tuple[float, float, bytes]:
    """Wall clock and processor time of one call on one core, and what it printed."""
    core = min(os.sched_getaffinity(0))
    words = [sys.executable, "-m", "coalmine.cli", "backtest", spec, "--traces-from", listed, "-o", "json"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(
        ["taskset", "-c", str(core), *words],
        cwd=folder,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.getcwd()},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ran.stdout


def measure(folder: Path, traces: int, looks: int) -> dict[str, Any]:
    """The figures."""
    listed = record(folder, traces, looks)
    for name, metrics in (("spec.yaml", METRICS), ("other.yaml", METRICS[::-1])):
        (folder / name).write_text("\n".join(["metrics:", *metrics, "policy: {look: 10s}", ""]))
    calls = [once(folder, spec, listed.name) for spec in ("spec.yaml", "spec.yaml", "other.yaml")]
    digests = [hashlib.sha256(printed).hexdigest() for _, _, printed in calls]
    return {
        "traces": traces,
        "looks": looks,
        "buckets": len(drawn.BOUNDS) + 1,
        "limit_seconds": LIMIT,
        "wall_seconds": [round(wall, 2) for wall, _, _ in calls],
        "processor_seconds": [round(spent, 2) for _, spent, _ in calls],
        "same_bytes_twice": digests[0] == digests[1],
        "same_bytes_in_another_order": digests[0] == digests[2],
        "decisions": dict(sorted(Counter(one["decision"] for one in json.loads(calls[0][2])).items())),
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Measure, print, write; 1 when the limit is missed or the bytes differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--traces", type=int, default=TRACES)
    parser.add_argument("--looks", type=int, default=LOOKS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coalmine-backtest-") as folder:
        found = measure(Path(folder), chosen.traces, chosen.looks)
    print(json.dumps(found, indent=2))
    if (chosen.traces, chosen.looks) == (TRACES, LOOKS):
        write("backtest", found)
    same = found["same_bytes_twice"] and found["same_bytes_in_another_order"]
    # One thread that waits for nothing: its processor time is what the call takes on a core of its own.
    return 0 if same and max(found["processor_seconds"]) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.fuzz [--minutes 10] [--seed N] [--only TARGET]``: fuzz every way in, and write what was found.

Writes ``benchmarks/results/fuzz.json``; an input that was not answered as it should be is kept under ``--keep``. Ends
with 0 when there was none.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from tests.fuzz.attempt import attempt, warm_up
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS

MOST_KEPT = 20
"""Of a target; more tell nothing new."""


def fuzz(name: str, seconds: float, seed: int, keep: Path | None) -> dict[str, Any]:
    """Fuzz one target for so long."""
    target, rng = TARGETS[name], random.Random(f"{seed} {name}")
    warm_up(target)
    until, inputs, longest = time.monotonic() + seconds, 0, 0.0
    found: list[str] = []
    while time.monotonic() < until and len(found) < MOST_KEPT:
        data = mutated(rng, target.seeds)
        began = time.monotonic()
        fault = attempt(target, data)
        longest = max(longest, time.monotonic() - began)
        inputs += 1
        if fault:
            found.append(fault)
            print(f"{name}: input {inputs}: {fault}", flush=True)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{seed}-{inputs}").write_bytes(data)
    print(f"{name}: {inputs} inputs, {len(found)} not answered as they should be", flush=True)
    return {"target": name, "inputs": inputs, "longest_seconds": round(longest, 2), "violations": found}


def main() -> int:
    """Fuzz, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(TARGETS))
    parser.add_argument("--keep", type=Path, help="folder for inputs that were not answered as they should be")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else list(TARGETS)
    seconds = 60.0 * chosen.minutes / len(names)
    found = [fuzz(name, seconds, chosen.seed, chosen.keep) for name in names]
    if not chosen.only:
        print(report.write("fuzz", {"seed": chosen.seed, "minutes": chosen.minutes, "targets": found}))
    return 1 if any(one["violations"] for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Draws docs/reliability.md from ``benchmarks/results/faults.json``."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import RESULTS
from tests.faults.plan import MOMENTS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEAD = """# What was broken, and what held

`make faults` runs real rollouts side by side (Temporal on disk, two workers, one route of five Envoys and others of
two), breaks things, and then asks the proxies' admin interface, the route files, the ledger's files and the workflow's
history, never a rollout's own status, whether the invariants held. Metrics are counters that follow the proxies' real
weights. A cell is faults with violations / faults that were carried out at that moment. `--seed` gives the same plan
again; `--only KIND` one kind.
"""


def write() -> Path:
    """Write the page anew."""
    found = json.loads((RESULTS / "faults.json").read_text())
    machine, faults = found["machine"], found["faults"]
    violated = [fault for fault in faults if fault["violations"]]
    kinds = sorted({fault["kind"] for fault in faults})
    lines = [
        HEAD,
        f"{len(faults)} faults of {len(kinds)} kinds in {found['rollouts']} rollouts, {len(violated)} with violations "
        f"(seed {found['seed']}; {machine['processor']}, {machine['cores']} cores, {machine['date']}); "
        f"{found['too_late']} more came after their rollout had closed and do not count.\n",
        f"| kind | {' | '.join(MOMENTS)} |",
        f"|---|{'---|' * len(MOMENTS)}",
    ]
    for kind in kinds:
        cells = []
        for moment in MOMENTS:
            here = [fault for fault in faults if (fault["kind"], fault["moment"]) == (kind, moment)]
            cells.append(f"{sum(bool(f['violations']) for f in here)} / {len(here)}" if here else "")
        lines.append(f"| `{kind}` | {' | '.join(cells)} |")
    lines += ["", f"The ledger of all these rollouts, verified at the end: {len(found['ledger'])} faults."]
    if violated:
        lines += ["", "## Violations", ""]
        lines += [f"- `{f['kind']}` at {f['moment']}: {'; '.join(f['violations'])}" for f in violated]
    PAGE.write_text("\n".join(lines) + "\n")
    return PAGE

"""Draws docs/reliability.md from ``benchmarks/results/faults.json`` and ``faults-broken.json``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.report import RESULTS
from tests.faults.plan import MOMENTS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BROKEN = {
    "no-fencing": "a write under an older generation goes through",
    "no-compensation": "the way back is registered only after the write was confirmed",
    "unbound-approval": "an approval opens whichever gate waits, whatever it names",
    "skip-step": "where the second step is due everything is given",
}
HEAD = """# What was broken, and what held

`make faults` runs real rollouts side by side (Temporal on disk, two workers, one route of five Envoys and others of
two), breaks things, and then asks the proxies' admin interface, the route files, the ledger's files and the
workflow's history, never a rollout's own status, whether the invariants held. Metrics are counters that follow the
proxies' real weights. Half of the rollouts are started by an update, as `coalmine start` does, the others by their
input, as the Temporal UI does. `window` is the rollback window, `close` the time while a closed rollout hands its
record over. A cell is faults with violations / faults that were carried out at that moment. `--seed` and `--faults`
together give the same plan again, `--again SEED` with them the one rollout that holds the fault of that seed in
`benchmarks/results/faults.json`;
`--only KIND` one kind, `--moment MOMENT` one moment. A fault whose moment did not come counts as `random`.

What is looked at, and what could be missed: proxies and files are read every 40 ms from the rollout's start to its
end, and once more when all is at rest. An older write (I3) that a newer one covers within that time leaves no trace
in a file; every write a worker makes late is made to stay, so it would have to be repaired within 40 ms to go
unseen, and what is at rest is judged by itself (I1). A file with two contents under one generation counts as an
older write too. That no weight rose before the ledger had its decision (I4) is read twice: from the order of events
in Temporal's history, which misses nothing, and from the ledger's files at the moment a generation is first seen,
up to 40 ms late. What a step allows (I2) is read three times: from what every proxy shows, from the generation it
shows with it, under which the history ordered just that share, and from the history, where each rise is what its
decision allows: the next step, or everything where a person or the last step said so.

| | what always holds |
|---|---|
| I1 | at rest all traffic is on the arm that the outcome names, on every proxy |
| I2 | the canary's weight is never above what the current step allows |
| I3 | an older write never overrides a newer one, where the router's fencing is `strict` |
| I4 | the workflow's history is the record, the ledger its copy; no weight rises before the ledger has the decision |
| I5 | the same window always gives the same verdict |
| I6 | one rollout at a time for service, environment and region |
"""


def write() -> Path:
    """Write the page anew."""
    found = json.loads((RESULTS / "faults.json").read_text())
    machine, faults = found["machine"], found["faults"]
    violated = [fault for fault in faults if fault["violations"]]
    kinds = sorted({fault["kind"] for fault in faults})
    # What was measured before the time was kept says nothing of it.
    took = f", {found['minutes']:g} minutes" if "minutes" in found else ""
    lines = [
        HEAD,
        f"{len(faults)} faults of {len(kinds)} kinds in {found['rollouts']} rollouts, {len(violated)} with violations "
        f"(`--seed {found['seed']} --faults {found['planned']}`{took}; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['date']}); "
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
    lines += _violations(violated)
    PAGE.write_text("\n".join([*lines, *_advisory(), *_broken()]) + "\n")
    return PAGE


def _violations(violated: list[dict[str, Any]]) -> list[str]:
    if not violated:
        return []
    listed = [f"- `{f['kind']}` at {f['moment']}: {'; '.join(f['violations'])}" for f in violated]
    return ["", "## Violations", "", *listed]


def _advisory() -> list[str]:
    """A data plane that knows no generation: load balancers, DNS."""
    path = RESULTS / "faults-advisory.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    faults = found["faults"]
    violated = [fault for fault in faults if fault["violations"]]
    return [
        "",
        "## Without a fence",
        "",
        "`--advisory` runs the same over a router that takes every write, however old, and says so: an older write",
        "may come through, and has to be written over and told before the rollout is over. All but the order of",
        "writes (I3) is looked at as before:",
        f"{len(faults)} faults of {len({fault['kind'] for fault in faults})} kinds in {found['rollouts']} rollouts, "
        f"{len(violated)} with violations",
        f"(`--advisory --seed {found['seed']} --faults {found['planned']}`, {found['minutes']:g} minutes, "
        f"{found['machine']['date']}).",
        *_violations(violated),
    ]


def write_broken(name: str, found: dict[str, Any]) -> Path:
    """Keep what a broken build was caught at, beside what was found of the others."""
    kept = _kept()
    kept[name] = {key: found[key] for key in ("seed", "rollouts", "faults", "ledger")}
    return report.write("faults-broken", {"broken": dict(sorted(kept.items()))})


def _kept() -> dict[str, Any]:
    path = RESULTS / "faults-broken.json"
    kept: dict[str, Any] = json.loads(path.read_text())["broken"] if path.exists() else {}
    return kept


def _broken() -> list[str]:
    """Whether the harness can see at all: builds that lack one promise."""
    rows = []
    for name, found in _kept().items():
        violated = [fault for fault in found["faults"] if fault["violations"]]
        kinds = ", ".join(f"`{kind}`" for kind in sorted({fault["kind"] for fault in found["faults"]}))
        seen = Counter(wrong for fault in violated for wrong in set(fault["violations"]))
        most = seen.most_common(1)[0][0] if seen else "nothing"
        rows.append(
            f"| `{name}` | {BROKEN[name]} | {kinds} at {_moments(found['faults'])} (seed {found['seed']}) "
            f"| {len(violated)} of {len(found['faults'])} | {most} |"
        )
    if not rows:
        return []
    return [
        "",
        "## Builds that were broken on purpose",
        "",
        "A harness that finds nothing may be blind. `python -m tests.faults --broken NAME` takes one promise out of",
        "the workers and meets it with the faults it is for. Few faults meet the very moment that needs the promise: a",
        "short run names it with `--moment`.",
        "`no-compensation` needs none, and no quiet machine: each of its faults meets it, for `workflow-cancel` and",
        "`two-deciders` at shift or rollback, here and in `make faults`, find the first write held open. It is at a",
        "proxy, and the route's last proxy is frozen until the rollout, which has heard of the fault, waits for that",
        "write no longer. A right build then has to put the route back.",
        "",
        "| build | what it lacks | faults | with violations | the most frequent |",
        "|---|---|---|---|---|",
        *rows,
    ]


def _moments(faults: list[dict[str, Any]]) -> str:
    found = {fault["moment"] for fault in faults}
    return ", ".join(moment for moment in MOMENTS if moment in found) if len(found) < 4 else f"{len(found)} moments"

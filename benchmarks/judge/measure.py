"""One cell, measured: what each judge did to its runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.judge import coalmine_judge
from benchmarks.judge.bound import fewest_looks
from benchmarks.judge.cells import Cell
from benchmarks.judge.rivals import RIVALS
from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.traffic import LOOKS, Traffic, Values, draw

OURS, OURS_NEW = "Coalmine", "Coalmine, new service"
"""With a history, and without."""


def measure(cell: Cell, seed: int) -> dict[str, Any]:
    """Draw the cell's runs and judge them: figures by judge, in a form JSON can hold."""
    began = time.process_time()
    release, history = cell.seeds(seed)
    traffic = draw(cell.scenario, cell.weight, cell.runs, release)
    noise = coalmine_judge.learn(draw(cell.history, cell.weight, cell.runs, history))
    policy = coalmine_judge.benchmark_judge(cell.margin)
    whole = cell.kind != "fault"
    onset = cell.fault.onset if cell.fault else 0
    judges: dict[str, Any] = {}
    for name, known in ((OURS, noise), (OURS_NEW, None)):
        outcome = coalmine_judge.judge(policy, traffic, known, whole=whole)
        # At the no-harm margin the rollback, which comes first, would hide what the proof is worth by itself.
        counts = (outcome.proven < outcome.rolled_back) | (cell.kind == "margin")
        proven = np.where(counts, outcome.proven, NEVER)
        judges[name] = _figures(outcome.rolled_back, traffic, onset) | {
            "promoted": int((proven < NEVER).sum()),
            "median_proof": _quantile(proven, 0.5),
            "covered": outcome.covered,
        }
    if cell.kind in ("quiet", "fault"):
        judges |= {name: _figures(rule(traffic), traffic, onset) for name, rule in RIVALS.items()}
    return {
        "kind": cell.kind,
        "scenario": cell.name,
        "weight": cell.weight,
        "runs": cell.runs,
        "bound_looks": _bound(cell, policy.policy.alpha),
        "onset": onset,
        "judges": judges,
        "seconds": round(time.process_time() - began, 2),
    }


def _figures(found: Values, traffic: Traffic, onset: int) -> dict[str, Any]:
    """Runs rolled back, those before the fault, when, and after how many canary requests."""
    exposed = np.cumsum(traffic.canary.requests, axis=1)
    last = np.minimum(found, LOOKS) - 1
    requests = np.where(found == NEVER, NEVER * LOOKS, np.take_along_axis(exposed, last[:, None], axis=1)[:, 0])
    return {
        "rolled_back": int((found < NEVER).sum()),
        "early": int((found <= onset).sum()),
        "median_look": _quantile(found, 0.5),
        "p90_look": _quantile(found, 0.9),
        "median_requests": _quantile(requests, 0.5),
        "p90_requests": _quantile(requests, 0.9),
    }


def _quantile(values: Values, share: float) -> int | None:
    """None when that part of the runs never got there."""
    value = int(np.quantile(values, share, method="higher"))
    return value if value < NEVER else None


def _bound(cell: Cell, alpha: float) -> int | None:
    if cell.fault is None:
        return None
    return fewest_looks(cell.fault.mean or cell.fault.scenario, cell.weight, alpha)

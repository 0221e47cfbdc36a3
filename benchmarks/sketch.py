"""What the sketch the judge was designed on reaches where the judge misses a target: ``python -m benchmarks sketch``.

The targets of docs/benchmark.md count as kept where the judge is no worse than the sketch it came from. So the sketch's
own rules (``benchmarks.sketch_rules``, ``benchmarks.sketch_rollback``) run over the very traffic of the cells that are
short: published seed, all runs or the first ones. A release counts as promoted where no harm is proven before it is
rolled back. What that is worth is measured beside it: how many releases exactly at the no-harm margin come through, by
the proof alone and in all, those left out that are rolled back before. And what is left of the promotions at equal
error: with so much proof asked for that no more of those come through than may, or than through the judge. Quiet cells
of which the sketch's rate of rollbacks was known before are measured too, to see that it is the same.
Writes ``results/sketch.json``, from which docs/benchmark.md is drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.judge import coalmine_judge, page
from benchmarks.judge.beside_sketch import falls_short
from benchmarks.judge.cells import PUBLISHED_SEED, QUIET_RELEASES, WEIGHTS, Cell, all_cells
from benchmarks.judge.faults import AT_THE_MARGIN
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Results, read
from benchmarks.judge.rivals.shared import NEVER
from benchmarks.judge.sketch_results import AS_FEW, BY_PROOF, FOR_ALL, IN_ALL, ITS_OWN_FIGURES
from benchmarks.judge.traffic import LOOKS, Counts, Traffic, Values, draw
from benchmarks.report import RESULTS, write
from benchmarks.sketch_rollback import harm
from benchmarks.sketch_rules import ALPHA, BETA, counts, covered, no_harm, residuals, used

PROOF, CERTAIN = float(np.log(1.0 / BETA)), float(np.log(1.0 / ALPHA))
"""``ln E`` that the sketch's own rules ask for: of no harm, and of harm."""


def short_cells(results: Results) -> list[Cell]:
    """Quiet cells in which the judge misses the target of promotion, or that of an interval, with history or new."""
    return [
        Cell("quiet", name, weight, found.runs)
        for name in QUIET_RELEASES
        for weight in WEIGHTS
        if any(
            found is not None and falls_short(name, found)
            for found in (results.found("quiet", name, weight, judge) for judge in (OURS, OURS_NEW))
        )
        and (found := results.found("quiet", name, weight, OURS)) is not None
    ]


def margin_cells(results: Results) -> list[Cell]:
    """Releases at the no-harm margin that were measured."""
    return [
        cell
        for cell in all_cells()
        if cell.kind == "margin" and results.found("margin", cell.name, cell.weight, OURS) is not None
    ]


def known_cells() -> list[Cell]:
    """Quiet cells of which it is known how often the sketch rolled back when it was made."""
    names = {name for name, _ in ITS_OWN_FIGURES}
    return [cell for cell in all_cells() if cell.kind == "quiet" and cell.name in names]


def proof_that_holds(peaks: Values, allowed: int | None = None) -> float:
    """The least proof, ``ln E``, that at most ``allowed`` of these releases ever reach, 5 % unless it is said.

    Never less than the rule's own.
    """
    reached = np.sort(peaks)[::-1]
    wrong = int(BETA * reached.size) if allowed is None else allowed
    return PROOF if wrong >= reached.size else float(max(PROOF, np.nextafter(reached[wrong], np.inf)))


def measure(
    cell: Cell,
    runs: int,
    proofs: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    wrong: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """What the sketch does with a cell's first runs, with a history of the service and without.

    Args:
        cell: quiet, or at the margin.
        runs: how many.
        proofs: by judge and measure of error, what a quiet release of this noise must reach at equal error. Of those
            at the margin it is found.
        wrong: how many of these, all at the margin, the judge itself promotes by its proof alone.
    """
    release, past = (_first(draw(scenario, cell.weight, cell.runs, seed), runs) for scenario, seed in _drawn(cell))
    judges = {OURS: past, OURS_NEW: None}
    learnt = [None if hour is None else counts(hour) for hour in judges.values()]
    proven, held = [np.full(release.canary.requests.shape, np.inf) for _ in judges], [dict[str, int]() for _ in judges]
    for name, of in counts(release).items():
        phis = [used(residuals(of), None if known is None else residuals(known[name])) for known in learnt]
        for number, evidence in enumerate(no_harm(of, phis)):
            proven[number] = np.minimum(proven[number], evidence)
            held[number][name] = int(covered(of, phis[number]).sum())
    found: dict[str, Any] = {}
    for number, (judge, (bad, as_made)) in enumerate(zip(judges, harm(release, [*judges.values()]), strict=True)):
        rolled_back, shown = first(bad, CERTAIN), proven[number]
        ours = promoted_by_coalmine(release, judges[judge])
        found[judge] = {
            "rolled_back": int((rolled_back < NEVER).sum()),
            "rolled_back_as_made": int((first(as_made, CERTAIN) < NEVER).sum()),
            "proven": int((first(shown, PROOF) < NEVER).sum()),
            "coalmine_promoted": int(ours.sum()),
            **_beside(ours, first(shown, PROOF) < rolled_back),
            "covered": held[number],
        }
        if cell.kind == "margin":
            found[judge]["equal"] = _equal_error(shown, rolled_back, wrong.get(judge, 0), int(ours.sum()))
        elif judge in proofs:
            found[judge]["equal"] = {
                name: {"proof": proof, **_beside(ours, first(shown, proof) < rolled_back)}
                for name, proof in proofs[judge].items()
            }
    return {"kind": cell.kind, "scenario": cell.name, "weight": cell.weight, "runs": runs, "judges": found}


def _beside(ours: Values, its: Values) -> dict[str, int]:
    """Runs that the sketch promotes, and those that only one of both does, for both see the very same traffic."""
    return {
        "promoted": int(its.sum()),
        "only_coalmine": int((ours & ~its).sum()),
        "only_sketch": int((its & ~ours).sum()),
    }


def _equal_error(shown: Values, rolled_back: Values, by_proof: int, in_all: int) -> dict[str, dict[str, float]]:
    """How much proof lets no more of these releases through than may be, given how many Coalmine lets through."""
    before = np.arange(1, LOOKS + 1) < rolled_back[:, None]
    peaks, left = shown.max(axis=1), np.where(before, shown, -np.inf).max(axis=1)
    few = int(BETA * peaks.size)
    found = {
        BY_PROOF: (peaks, max(few, by_proof)),
        IN_ALL: (left, max(few, in_all)),
        AS_FEW: (peaks, by_proof),
    }
    return {name: {"allowed": most, "proof": proof_that_holds(of, most)} for name, (of, most) in found.items()}


def promoted_by_coalmine(release: Traffic, past: Traffic | None) -> Values:
    """Releases that Coalmine promotes without having rolled them back before, [S]."""
    noise = None if past is None else coalmine_judge.learn(past)
    outcome = coalmine_judge.judge(coalmine_judge.benchmark_judge(), release, noise, whole=False)
    promoted: Values = outcome.proven < outcome.rolled_back
    return promoted


def first(evidence: Values, least: float) -> Values:
    """Look, from 1, at which ``ln E`` [S, T] first reaches this, [S]; ``NEVER`` where it does not."""
    there = evidence >= least
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1, NEVER)


def proofs_of(cell: Cell, rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By judge and measure of error, the proofs that hold for releases at the margin with a cell's weight.

    Of a cell's noise, where that was measured; and of all noise, by the proof.
    """
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["kind"] != "margin" or row["weight"] != cell.weight:
            continue
        for judge, one in row["judges"].items():
            proofs = {FOR_ALL: one["equal"][BY_PROOF]["proof"]}
            if AT_THE_MARGIN[row["scenario"]][1] == cell.name:
                proofs |= {name: equal["proof"] for name, equal in one["equal"].items()}
            known = found.setdefault(judge, {})
            known |= {name: max(known.get(name, PROOF), float(proof)) for name, proof in proofs.items()}
    return found


def promoted_wrongly(results: Results, cell: Cell, runs: int) -> dict[str, int]:
    """Of so many runs at the margin those that each judge promotes; those of another number of runs in proportion."""
    found = {judge: results.found(cell.kind, cell.name, cell.weight, judge) for judge in (OURS, OURS_NEW)}
    return {
        judge: int(one.figures["promoted"]) * runs // one.runs
        for judge, one in found.items()
        if cell.kind == "margin" and one is not None
    }


def _drawn(cell: Cell) -> Iterator[tuple[Any, Any]]:
    return zip((cell.scenario, cell.history), cell.seeds(PUBLISHED_SEED), strict=True)


def _first(traffic: Traffic, runs: int) -> Traffic:
    canary, baseline = (
        Counts(*(values[:runs] for values in (arm.requests, arm.errors, arm.buckets, arm.present)))
        for arm in (traffic.canary, traffic.baseline)
    )
    return Traffic(canary, baseline, traffic.weight)


def main(arguments: list[str] | None = None) -> int:
    """Measure what is not measured yet, write, draw the page anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, help="only so many runs a cell")
    parser.add_argument("--anew", action="store_true", help="forget what was measured before")
    chosen = parser.parse_args(arguments)
    path = RESULTS / "sketch.json"
    known = json.loads(path.read_text())["cells"] if path.exists() and not chosen.anew else []
    rows = {(row.get("kind", "quiet"), row["scenario"], row["weight"]): row for row in known}
    results = read(RESULTS / "judge.json")
    # The proof that holds at the margin is asked of those without fault.
    for cell in dict.fromkeys([*margin_cells(results), *short_cells(results), *known_cells()]):
        key = cell.kind, cell.name, cell.weight
        if key not in rows:
            runs = min(chosen.runs or cell.runs, cell.runs)
            rows[key] = measure(cell, runs, proofs_of(cell, rows.values()), promoted_wrongly(results, cell, runs))
            write("sketch", {"seed": PUBLISHED_SEED, "cells": [*rows.values()]})
            print(rows[key], flush=True)
    page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())

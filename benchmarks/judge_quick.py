"""How often the judge is wrong, and how soon it sees a fault: ``python -m benchmarks.judge_quick``.

200 requests a second, a look each 10 s, alpha 1 %, margin 1, errors and latency. The history of each run is an
independent hour of the same noise. Seeded; two processes; prints a table and writes ``results/judge_quick.json``.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from scipy.stats import beta

from benchmarks import judge_traces as traces
from benchmarks.judge_traces import Scenario, Trace, Values
from benchmarks.report import write
from coalmine.analysis.channels import Counts
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.history import exceedances, ratio_noise, score_noise
from coalmine.analysis.metrics import HistogramCounts, RatioCounts
from coalmine.records import Judge
from coalmine.spec.canary import Metric, Policy

ALPHA, BETA = 0.01, 0.05
NEVER = 10**6
P99_WIDTH = (traces.SPREAD + math.log(1.2) / 2.326) / traces.SPREAD


@dataclass(frozen=True)
class Cell:
    """One scenario at one weight. ``onset``: looks before the fault; ``enough``: share of runs after which to stop."""

    name: str
    scenario: Scenario
    history: Scenario
    weight: float
    runs: int
    onset: int = 0
    enough: float = 1.0
    known: bool = True
    margin: float = 1.0


QUIET, RARE = traces.steady(0.005), traces.steady(0.001)
NULLS: dict[str, Scenario] = {
    "iid": QUIET,
    "rare": RARE,
    "shocks": traces.shared_shocks,
    "outage": traces.shared_outage,
    "overdispersed": traces.overdispersed(0.005, 0.005),
    "bursts": traces.bursts,
    "autocorrelated": traces.autocorrelated,
}
FAULTS: dict[str, tuple[Scenario, Scenario, int, str]] = {
    "errors .5 -> 1 %": (traces.regression(0.005, lambda t: 0.01 + 0 * t), QUIET, 0, "<= 1.7"),
    "errors .1 -> 5 %": (traces.regression(0.001, lambda t: 0.05 + 0 * t), RARE, 0, "first look"),
    "crash": (traces.regression(0.001, lambda t: 1.0 + 0 * t), RARE, 0, "first look"),
    "p99 +20 %": (traces.regression(0.005, lambda t: 0.005 + 0 * t, width=P99_WIDTH), QUIET, 0, "<= 2.3"),
    "latency +10 %": (traces.regression(0.005, lambda t: 0.005 + 0 * t, shift=math.log(1.1)), QUIET, 0, "<= 2.0"),
    "slow leak": (
        traces.regression(0.002, lambda t: 0.002 + 0.0005 * np.maximum(0, t / traces.MINUTE - 10)), RARE, 0, "<= 1.2",
    ),
    "10x errors at 30 min": (
        traces.regression(0.005, lambda t: np.where(t >= 180, 0.05, 0.005)), QUIET, 180, "<= 4 looks",
    ),
}  # fmt: skip


def comparison(cell: Cell, seed: int) -> Comparison:
    """A judge whose history, run by run, is an hour of the cell's noise."""
    metrics = [Metric(name="errors", kind="ratio", margin=cell.margin)]
    metrics += [Metric(name="latency", kind="latency", margin=cell.margin)]
    policy = Policy(alpha=ALPHA, beta=BETA, look=timedelta(seconds=10), no_history="roll_back")
    judge = Judge(metrics=metrics, policy=policy, planned_looks=traces.LOOKS)
    if not cell.known:
        return Comparison(judge)
    past = traces.draw(cell.history, cell.weight, cell.runs, seed + 1)
    arms = (past.canary, past.canary_errors, past.baseline, past.baseline_errors)
    errors, _ = ratio_noise(Counts(*(by_look(values)[..., None] for values in arms)), traces.MINUTE)
    canary, baseline = by_look(past.canary_buckets), by_look(past.baseline_buckets)
    scores, _ = score_noise(canary, baseline, traces.MINUTE)
    shares, _ = ratio_noise(exceedances(canary, baseline, None), traces.MINUTE)
    return Comparison(judge, {"errors": errors, "latency": np.concatenate([scores, shares], axis=-1)})


def by_look(values: Values) -> Values:
    """[S, T, ...] to [T, S, ...], as floats."""
    return np.moveaxis(values, 1, 0).astype(float)


def first_looks(core: Comparison, trace: Trace, enough: float, onset: int = 0) -> tuple[Values, Values]:
    """Look at which each run is rolled back, and at which no harm is first shown; ``NEVER`` when it is not."""
    runs, looks = trace.canary.shape
    present = np.ones(runs, bool)
    state = core.start(runs, {"latency": traces.BOUNDS})
    harm, proof = np.full(runs, NEVER), np.full(runs, NEVER)
    for look in range(looks):
        errors = RatioCounts(
            trace.canary[:, look], trace.canary_errors[:, look],
            trace.baseline[:, look], trace.baseline_errors[:, look], present,
        )  # fmt: skip
        buckets = HistogramCounts(trace.canary_buckets[:, look], trace.baseline_buckets[:, look], present)
        state = core.update(state, [errors, buckets])
        weighed = core.weigh(state)
        shown = np.minimum(*(weighed.metrics[name].no_harm for name in ("errors", "latency"))) >= math.log(1 / BETA)
        harm = np.where((harm == NEVER) & (weighed.harm >= math.log(1 / ALPHA)), look + 1, harm)
        proof = np.where((proof == NEVER) & shown & (harm == NEVER), look + 1, proof)
        if look >= onset and (harm < NEVER).mean() >= enough:
            break
    return harm, proof


def measure(job: tuple[int, int, int]) -> dict[str, Any]:
    """One cell (its number, runs, seed): runs rolled back, median look, and looks in units of the fewest possible."""
    number, runs, seed = job
    cell, seed = cells(runs)[number], seed + 10 * number
    trace = traces.draw(cell.scenario, cell.weight, cell.runs, seed)
    harm, proof = first_looks(comparison(cell, seed), trace, cell.enough, cell.onset)
    median = float(np.quantile(harm, 0.5, method="higher"))
    fewest = traces.fewest_looks(cell.scenario, cell.weight, ALPHA) if cell.enough < 1 else math.inf
    return {
        "scenario": cell.name,
        "weight": cell.weight,
        "runs": cell.runs,
        "known": cell.known,
        "margin": cell.margin,
        "rolled_back": int((harm < NEVER).sum()),
        "early": int((harm <= cell.onset).sum()),
        "median_look": None if median >= NEVER else median - cell.onset,
        "ratio": None if median >= NEVER or not math.isfinite(fewest) else round(median / fewest, 2),
        "promoted": float((proof < NEVER).mean()),
        "median_proof": float(np.quantile(proof, 0.5, method="higher")),
    }


def cells(runs: int) -> list[Cell]:
    """A/A at four weights, regressions at three; half as many A/A runs without history."""
    result = [Cell(f"A/A {n}", s, s, w, runs) for n, s in NULLS.items() for w in (0.01, 0.05, 0.1, 0.5)]
    for name in ("overdispersed", "bursts"):
        result.append(Cell(f"A/A {name}", NULLS[name], NULLS[name], 0.5, runs, known=False))
    result.append(Cell("A/A autocorrelated", traces.autocorrelated, traces.autocorrelated, 0.1, runs, margin=1.2))
    for name, (scenario, history, onset, _) in FAULTS.items():
        result += [Cell(name, scenario, history, w, runs, onset, 0.55) for w in (0.05, 0.1, 0.5)]
    return result


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--runs", type=int, default=40, help="runs a cell (the targets ask for 400 and 200)")
    options.add_argument("--seed", type=int, default=20_000)
    options.add_argument("--only", default="", help="only cells whose name contains this")
    chosen = options.parse_args()
    began = time.monotonic()
    jobs = [
        (number, chosen.runs, chosen.seed) for number, cell in enumerate(cells(chosen.runs)) if chosen.only in cell.name
    ]
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(measure, jobs))
    print(f"{'scenario':22s} {'weight':>6s} {'history':>7s} {'rolled back':>12s} {'median':>7s} {'x KL':>5s}  target")
    for row in rows:
        target = FAULTS.get(row["scenario"], (None, None, 0, ""))[3]
        share = f"{row['rolled_back']}/{row['runs']}"
        median = "-" if row["median_look"] is None else f"{row['median_look']:.0f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.1f}"
        known = "yes" if row["known"] else "no"
        name = row["scenario"] + (f" m{row['margin']}" if row["margin"] > 1 else "")
        print(f"{name:22s} {row['weight']:6.2f} {known:>7s} {share:>12s} {median:>7s} {ratio:>5s}  {target}")
    nulls = [
        row for row in rows
        if row["scenario"].startswith("A/A") and row["known"] and "auto" not in row["scenario"]
    ]  # fmt: skip
    pooled = _upper(sum(row["rolled_back"] for row in nulls), sum(row["runs"] for row in nulls)) if nulls else None
    if pooled is not None:
        print(f"A/A with history, autocorrelated noise apart: upper 95 % limit {100 * pooled:.2f} % (target 1 %)")
    seconds = round(time.monotonic() - began, 1)
    print(f"{seconds} s")
    if not chosen.only:
        write("judge_quick", {"seed": chosen.seed, "seconds": seconds, "pooled_upper_limit": pooled, "cells": rows})


def _upper(events: int, runs: int) -> float:
    """Upper end of the one-sided 95 % Clopper-Pearson interval."""
    return float(beta.ppf(0.95, events + 1, runs - events)) if events < runs else 1.0


if __name__ == "__main__":
    main()

"""What the sketch the judge was designed on reaches where the judge misses a target: ``python -m benchmarks sketch``.

The targets of docs/benchmark.md count as kept where the judge is no worse than the sketch it came from. So the sketch's
own rules for promotion and interval run over the very traffic of the cells that are short: published seed, all runs or
the first ones. They are a conditional e-process of errors, and of requests slower than 250 ms, against 1.5 times the
odds (a bet of 75 % at the first look), and a confidence sequence of the odds ratio, both tempered by one estimate of
the dispersion, three looks late. The sketch's promotions count even where it would have rolled back before. What its
proof is worth is measured beside them: how often it promotes what is exactly at the no-harm margin, and what is left of
its promotions once it asks for so much proof that no more than 5 % of those come through. Writes
``results/sketch.json``, from which docs/benchmark.md is drawn.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.judge import page
from benchmarks.judge.beside_sketch import falls_short
from benchmarks.judge.cells import PUBLISHED_SEED, QUIET_RELEASES, WEIGHTS, Cell, all_cells
from benchmarks.judge.faults import AT_THE_MARGIN
from benchmarks.judge.measure import OURS, OURS_NEW
from benchmarks.judge.results import Results, read
from benchmarks.judge.traffic import LOOKS, MINUTE, Counts, Traffic, Values, draw
from benchmarks.report import RESULTS, write
from coalmine.analysis.increments import curve
from coalmine.analysis.mixture import log_add, log_sum

ALPHA, BETA = 0.01, 0.05
NO_HARM, FIRST = 1.5, 0.75
LAG = 3
BETTER = NO_HARM / np.geomspace(1.1, 8.0, 14)
RUNGS = np.array([1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 14, 20, 30, 50.0])
"""Dispersions the process is kept for; an estimate is rounded up."""
RATIOS = np.exp(np.linspace(-7.0, 7.0, 1401))
"""Of the confidence sequence; the middle one is 1."""
CHANNELS = ("errors", "p97")


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


def counts(traffic: Traffic) -> dict[str, tuple[Values, Values, Values, Values]]:
    """Requests of both arms, events of the canary and of both, [S, T], of each channel; 0 where an arm is absent."""
    canary, baseline = (np.where(traffic.present, arm.requests, 0.0) for arm in (traffic.canary, traffic.baseline))
    found = {}
    for name, events in zip(CHANNELS, ("errors", "slow"), strict=True):
        of_canary, of_baseline = (getattr(arm, events) for arm in (traffic.canary, traffic.baseline))
        x = np.where(traffic.present, of_canary, 0.0)
        found[name] = (canary, baseline, x, x + np.where(traffic.present, of_baseline, 0.0))
    return found


def dispersion(of: tuple[Values, Values, Values, Values], prior: Values | float, looks: float, errors: float) -> Values:
    """Long-run dispersion after each look, [S, T].

    Pearson residuals about the fitted effect, times what their autocorrelation adds, at least what blocks of a minute
    show, shrunk to ``prior`` with ``looks`` looks; autocorrelation and blocks count ``errors`` standard errors less.
    """
    canary, baseline, x, events = of
    share = canary / np.maximum(canary + baseline, 1.0)
    residual, k = x - share * events, np.arange(1, LOOKS + 1)
    spare = np.maximum(1.0 - events / np.maximum(canary + baseline, 1.0), 0.02)
    variance = events * share * (1.0 - share) * spare
    total = np.cumsum(events, 1)
    expected, seen = np.cumsum(share * events, 1) / np.maximum(total, 1.0), (np.cumsum(x, 1) + 0.5) / (total + 1.0)
    scale = np.clip(seen * (1.0 - seen) / np.maximum(expected * (1.0 - expected), 1e-9), 0.05, 20.0)
    squares, effect = _squares(residual, variance)
    before, v_before = (np.concatenate([values[:, :1] * 0, values[:, :-1]], 1) for values in (residual, variance))
    lagged = np.cumsum(residual * before, 1) - effect * np.cumsum(residual * v_before + variance * before, 1)
    lagged += effect**2 * np.cumsum(variance * v_before, 1)
    rho = np.clip(_over(lagged, squares) - errors / np.sqrt(k), 0.0, 0.95)
    by_look = _over(squares, np.cumsum(variance, 1) * scale * np.maximum(k - 1, 1) / k) * (1.0 + rho) / (1.0 - rho)
    blocks = [values.reshape(len(values), -1, MINUTE).sum(-1) for values in (residual, variance)]
    squares, number = _squares(*blocks)[0], np.arange(1, LOOKS // MINUTE + 1)
    assumed = np.cumsum(blocks[1], 1) * scale[:, MINUTE - 1 :: MINUTE] * np.maximum(number - 1, 1) / number
    by_block = _over(squares, assumed) * (1.0 - errors * np.sqrt(2.0 / number))
    by_block = np.repeat(by_block, MINUTE, axis=1)
    by_block = np.concatenate([np.zeros((len(x), MINUTE - 1)), by_block[:, : LOOKS - MINUTE + 1]], 1)
    observed = np.maximum(by_look, by_block)
    return np.maximum((looks * prior + (k - 1) * observed) / (looks + k - 1), 1.0)


def _squares(residual: Values, variance: Values) -> tuple[Values, Values]:
    effect = _over(np.cumsum(residual, 1), np.cumsum(variance, 1))
    squares = np.cumsum(residual**2, 1) - 2.0 * effect * np.cumsum(residual * variance, 1)
    return np.maximum(squares + effect**2 * np.cumsum(variance**2, 1), 0.0), effect


def _over(top: Values, bottom: Values) -> Values:
    return np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)


def no_harm(of: tuple[Values, Values, Values, Values], phi: Values) -> Values:
    """``ln E`` against "at least 1.5 times the odds" after each look, [S, T]."""
    canary, baseline, x, events = of
    rung = np.minimum(np.searchsorted(RUNGS, phi), RUNGS.size - 1)
    capital, spent = np.full((len(x), RUNGS.size, BETTER.size), -np.inf), 0.0
    found = np.empty(x.shape)
    for look in range(LOOKS):
        weight = FIRST if look == 0 else (1.0 - FIRST) / LOOKS
        spent += weight
        x_c, n_c, x_b, n_b = (values[:, look] for values in (x, canary, events - x, baseline))
        likelihood = curve(x_c, n_c, x_b, n_b, np.append(BETTER, NO_HARM))
        against = likelihood[:, :-1] - likelihood[:, -1:]
        capital = log_add(capital, float(np.log(weight))) + against[:, None, :] / RUNGS[:, None]
        chosen = capital[np.arange(len(x)), rung[:, look]]
        found[:, look] = np.logaddexp(log_sum(chosen) - np.log(BETTER.size), np.log(max(1.0 - spent, 1e-300)))
    return found


def covered(of: tuple[Values, Values, Values, Values], phi: Values) -> Values:
    """Runs whose confidence sequence holds 1 at every look, [S]."""
    canary, baseline, x, events = of
    sums, held = np.zeros((len(x), RATIOS.size)), np.ones(len(x), bool)
    for look in range(LOOKS):
        odds = canary[:, look, None] * RATIOS
        whole = np.maximum(odds + baseline[:, look, None], 1e-9)
        more, rest = x[:, look, None], (events - x)[:, look, None]
        sums += more * np.log(np.maximum(odds, 1e-9) / whole) + rest * np.log(
            np.maximum(baseline[:, look, None], 1e-9) / whole
        )
        likelihood = sums / phi[:, look, None]
        mean = log_sum(likelihood) - np.log(RATIOS.size)
        held &= likelihood[:, RATIOS.size // 2] > mean + np.log(ALPHA)
    return held


def proof_that_holds(peaks: Values) -> float:
    """The least proof, ``ln E``, that at most 5 % of these releases ever reach: never less than the rule's own."""
    reached = np.sort(peaks)[::-1]
    wrong = int(BETA * reached.size)
    return float(max(np.log(1.0 / BETA), np.nextafter(reached[wrong], np.inf)))


def measure(cell: Cell, runs: int, proof: Mapping[str, float] = MappingProxyType({})) -> dict[str, Any]:
    """What the sketch does with a cell's first runs, with a history of the service and without.

    ``proof`` is what a release of this noise must reach so that no more than 5 % of the bad ones do, by judge: of a
    release at the margin it is found, of one without fault what it lets through is counted.
    """
    release, past = (_first(draw(scenario, cell.weight, cell.runs, seed), runs) for scenario, seed in _drawn(cell))
    found: dict[str, Any] = {}
    for judge in (OURS, OURS_NEW):
        proven, held = np.full((runs, LOOKS), np.inf), {}
        before = counts(past)
        for name, of in counts(release).items():
            prior: Values | float = 1.25
            if judge == OURS:
                prior = 1.0 + 1.25 * (dispersion(before[name], 1.0, 5.0, 0.0)[:, -1:] - 1.0)
            phi = dispersion(of, prior, 60.0 if judge == OURS else 10.0, 1.0)
            late = np.broadcast_to(np.maximum(prior, 1.0), (runs, LAG))
            phi = np.concatenate([late, phi[:, :-LAG]], axis=1)
            proven = np.minimum(proven, no_harm(of, phi))
            held[name] = int(covered(of, phi).sum())
        peaks = proven.max(axis=1)
        found[judge] = {"promoted": int((peaks >= np.log(1.0 / BETA)).sum()), "covered": held}
        if cell.kind == "margin":
            found[judge]["proof"] = proof_that_holds(peaks)
        elif judge in proof:
            found[judge]["promoted_at_proof"] = int((peaks >= proof[judge]).sum())
    return {"kind": cell.kind, "scenario": cell.name, "weight": cell.weight, "runs": runs, "judges": found}


def proof_of(cell: Cell, judge: str, rows: Iterable[Mapping[str, Any]]) -> float:
    """The proof that holds for every release at the margin with a cell's noise; 0 where none was measured."""
    return max(
        (
            float(row["judges"][judge]["proof"])
            for row in rows
            if row["kind"] == "margin"
            and AT_THE_MARGIN[row["scenario"]][1] == cell.name
            and row["weight"] == cell.weight
        ),
        default=0.0,
    )


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
    for cell in [*margin_cells(results), *short_cells(results)]:
        key = cell.kind, cell.name, cell.weight
        if key not in rows:
            proof = {judge: found for judge in (OURS, OURS_NEW) if (found := proof_of(cell, judge, rows.values()))}
            rows[key] = measure(cell, min(chosen.runs or cell.runs, cell.runs), proof)
            write("sketch", {"seed": PUBLISHED_SEED, "cells": [*rows.values()]})
            print(rows[key], flush=True)
    page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())

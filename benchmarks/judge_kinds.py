"""How often gauges, counts and objectives alarm falsely, and how soon they see a fault.

``python -m benchmarks.judge_kinds``: alpha 1 %, no margin, cold start, 120 minutes (gauges) or looks of 10 s,
judged after every one. For each fault the median wait stands beside what the KL bound needs when the distributions are
known, ``(ln(2 / alpha) + 1.6) / KL``, at least one look. Seeded; one process; prints and writes
``results/judge_kinds.json``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks.report import write
from coalmine.analysis.channels import Pace
from coalmine.analysis.count import CountMetric, EventCounts
from coalmine.analysis.dispersion import Prior
from coalmine.analysis.kinds import MetricJudge, weigh
from coalmine.analysis.mixture import invest
from coalmine.analysis.slo import SloCounts, SloMetric
from coalmine.analysis.value import ValueMeans, ValueMetric
from coalmine.spec.metrics import Slo

ALPHA, BETA = 0.01, 0.05
SEED, RUNS, LOOKS, NEVER = 30_000, 1_000, 120, 10**6
LEVEL = 10.0
"""Of the gauges, whose noise has a standard deviation of 1 a minute."""
SHARE, TRAFFIC = 0.1, 2_000
_COLD = Prior(np.zeros(1), np.zeros(1, bool))

Floats = NDArray[Any]
Draw = Callable[[np.random.Generator, int], Any]


def white(rng: np.random.Generator) -> Floats:
    return rng.standard_normal((RUNS, LOOKS))


def heavy(rng: np.random.Generator) -> Floats:
    return rng.standard_t(3, (RUNS, LOOKS)) / math.sqrt(3.0)


def spikes(rng: np.random.Generator) -> Floats:
    return (rng.random((RUNS, LOOKS)) < 0.05) * 1.0 / math.sqrt(0.05 * 0.95)


def autocorrelated(rho: float) -> Callable[[np.random.Generator], Floats]:
    def draw(rng: np.random.Generator) -> Floats:
        noise = rng.standard_normal((RUNS, LOOKS))
        for look in range(1, LOOKS):
            noise[:, look] = rho * noise[:, look - 1] + math.sqrt(1.0 - rho**2) * noise[:, look]
        return noise

    return draw


def gauges(noise: Callable[[np.random.Generator], Floats], seed: int, more: float = 0.0, since: int = 0) -> Draw:
    """Both arms move together by a third of the level; each has noise of its own."""
    rng = np.random.default_rng(seed)
    shared = LEVEL + LEVEL / 3.0 * np.sin(np.arange(LOOKS) / 10.0) + rng.standard_normal((RUNS, 1))
    canary = shared + noise(rng) + more * (np.arange(LOOKS) >= since)
    baseline, there = shared + noise(rng), np.ones(RUNS, bool)
    return lambda _, look: ValueMeans(canary[:, look], baseline[:, look], there)


def counts(per_look: float, ratio: float, bursts: bool = False) -> Draw:
    """Events of all traffic per look; with bursts a tenth of the looks has ten times as many in both arms."""

    def draw(rng: np.random.Generator, look: int) -> EventCounts:
        rate = per_look * np.where(bursts & (rng.random(RUNS) < 0.1), 10.0, 1.0)
        one = np.ones(RUNS)
        canary, baseline = rng.poisson(SHARE * ratio * rate), rng.poisson((1.0 - SHARE) * rate)
        return EventCounts(canary, baseline, SHARE * one, 10.0 * one, one > 0)

    return draw


def bad_requests(rate: float) -> Draw:
    """The canary's requests with both burn windows showing it: what remains to be judged is chance."""

    def draw(rng: np.random.Generator, look: int) -> SloCounts:
        one = np.ones(RUNS)
        canary = rng.binomial(TRAFFIC, SHARE, RUNS)
        burning = np.ones((RUNS, 2), bool)
        return SloCounts(canary, rng.binomial(canary, rate), TRAFFIC - canary, 10.0 * one, burning, one > 0)

    return draw


def waits(metric: MetricJudge, draw: Draw, seed: int, block: int) -> tuple[Floats, Floats]:
    """Looks until harm and until no harm, for every run."""
    rng = np.random.default_rng(seed + 1)
    state, spent = metric.start(RUNS), 0.0
    harm, proof = np.full(RUNS, NEVER), np.full(RUNS, NEVER)
    for look in range(LOOKS):
        weight = invest(spent, look + 1, LOOKS, new_step=False, extension=False)
        spent += weight
        state = metric.update(state, draw(rng, look), Pace(weight, math.log(1.0 / ALPHA), block))
        weighed = weigh(metric, state, 1.0 - spent)
        harm = np.where((harm == NEVER) & (weighed.harm >= math.log(1.0 / ALPHA)), look + 1, harm)
        proof = np.where((proof == NEVER) & (weighed.no_harm >= math.log(1.0 / BETA)), look + 1, proof)
    return harm, proof


def row(
    kind: str, what: str, found: tuple[Floats, Floats], since: int = 0, needed: float | None = None
) -> dict[str, Any]:
    """One line of the table; ``needed`` marks a fault, in looks."""
    harm, proof = found
    early = harm <= since
    number = int((harm < NEVER).sum())
    made: dict[str, Any] = {"kind": kind, "case": what, "runs": RUNS, "harm": round(number / RUNS, 4)}
    if needed is None:
        made["upper_limit"] = round(float(beta.ppf(0.95, number + 1, RUNS - number)), 4)
        made["no_harm_median"] = None if np.median(proof) >= NEVER else float(np.median(proof))
    else:
        wait = float(np.median(harm[~early])) - since
        made |= {"looks": None if wait >= NEVER - since else wait, "bound": round(needed, 1)}
    return made


def bound(divergence: float) -> float:
    return max(1.0, (math.log(2.0 / ALPHA) + 1.6) / divergence)


def main() -> int:
    """Measure, print, write; 1 when a false alarm's rate is beyond its limit."""
    value = ValueMetric(1.0, 1.5, 0.0)
    count = CountMetric(1.0, 1.5, 0.0, _COLD, look_seconds=10.0)
    slo = SloMetric(Slo(objective=0.99), 10.0)
    rows: list[dict[str, Any]] = []
    regimes: dict[str, Callable[[np.random.Generator], Floats]] = {
        "white": white,
        "heavy tails": heavy,
        "spikes": spikes,
    }
    regimes |= {f"autocorrelated {rho:g}": autocorrelated(rho) for rho in (0.3, 0.5, 0.7)}
    for index, (name, noise) in enumerate(regimes.items()):
        seed = SEED + 10 * index
        rows.append(row("value", f"no change, {name}", waits(value, gauges(noise, seed), seed, 1)))
    for index, (more, since) in enumerate([(1.0, 0), (2.0, 0), (2.0, 60)]):
        seed = SEED + 100 + 10 * index
        when = f" after {since} min" if since else ""
        found = waits(value, gauges(white, seed, more, since), seed, 1)
        rows.append(row("value", f"+{more:g} sd{when}", found, since, bound(more**2 / 4.0)))
    for index, (name, bursts) in enumerate([("steady", False), ("bursts in both arms", True)]):
        seed = SEED + 200 + 10 * index
        rows.append(row("count", f"no change, {name}", waits(count, counts(20.0, 1.0, bursts), seed, 6)))
    for index, ratio in enumerate([2.0, 3.0]):
        seed = SEED + 300 + 10 * index
        part = SHARE * ratio / (SHARE * ratio + 1.0 - SHARE)
        events = 20.0 * (SHARE * ratio + 1.0 - SHARE)
        divergence = part * math.log(part / SHARE) + (1 - part) * math.log((1 - part) / (1 - SHARE))
        rows.append(
            row("count", f"x{ratio:g}", waits(count, counts(20.0, ratio), seed, 6), 0, bound(events * divergence))
        )
    limit = 6.0 * 0.01
    rows.append(row("slo", "burns as fast as allowed", waits(slo, bad_requests(limit), SEED + 400, 6)))
    for index, rate in enumerate([0.09, 0.2]):
        divergence = rate * math.log(rate / limit) + (1 - rate) * math.log((1 - rate) / (1 - limit))
        needed = bound(SHARE * TRAFFIC * divergence)
        found = waits(slo, bad_requests(rate), SEED + 410 + 10 * index, 6)
        rows.append(row("slo", f"burns {rate / limit:.2g} times as fast", found, 0, needed))
    print(json.dumps(rows, indent=1))
    print(write("judge_kinds", {"seed": SEED, "looks": LOOKS, "rows": rows}))
    limits = {"no change, autocorrelated 0.5": 0.03, "no change, autocorrelated 0.7": 1.0}
    wrong = [one for one in rows if "upper_limit" in one and one["harm"] > limits.get(one["case"], 0.015)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether ``coalmine plan`` foretells what the judge then does: ``python -m benchmarks.plan``.

Each setting is forecast, and then played by ``coalmine.analysis.Comparison``, the judge itself, on seeded counts. The
medians of the looks until harm, or until no harm, are compared. Writes ``results/plan.json`` and the table of
docs/plan.md; one process.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks import plan_page
from benchmarks.judge.traffic import BOUNDS, Values, lognormal_shares
from benchmarks.report import write
from coalmine.analysis.comparison import Comparison, channel_names
from coalmine.analysis.forecast.arrival import Arrival
from coalmine.analysis.forecast.course import Stretch
from coalmine.analysis.forecast.outlook import Level, Outlook
from coalmine.analysis.metrics import HistogramCounts, RatioCounts
from coalmine.records import ChannelHistory, Judge, ServiceHistory
from coalmine.spec.canary import Metric, Objective, Policy

NEVER = 10**6
WITHIN = 0.25
"""How far a forecast may be from the median of the simulation."""
MOST_FAR = 0.05
"""Part of the settings that may be further away than that."""
LATENCY = Level(lognormal_shares(np.zeros(1))[0], BOUNDS)


@dataclass(frozen=True)
class Setting:
    """One rollout. ``weights`` (percent) and ``looks`` by step; the last step goes on until all runs have decided."""

    kind: str
    weights: tuple[float, ...]
    looks: tuple[int, ...]
    rps: float
    look_s: float
    times: float
    """Odds of a bad request in the canary over those in the baseline; 1: no regression, no harm is to be shown."""
    rate: float = 0.005
    """Baseline's events per request; for latency only that of the errors judged beside it."""
    known: bool = True
    wobble: float = 0.0
    """Coefficient of variation of each arm's event rate from look to look."""
    both: bool = False
    """Whether errors and latency are judged together; else the metric of ``kind`` alone."""
    onset: int = 0
    """Step with which the regression begins, from 0."""
    margin: float | None = None
    objective: float | None = None
    """Seconds, of a latency."""

    @property
    def name(self) -> str:
        return "errors" if self.kind == "ratio" else "latency"

    def judge(self) -> Judge:
        """The judge of this setting."""
        kinds = {"errors": "ratio", "latency": "latency"}
        names = list(kinds) if self.both else [self.name]
        metrics = [Metric.model_validate({"name": name, "kind": kinds[name], "margin": self.margin}) for name in names]
        if self.objective is not None:
            under = Objective(under=timedelta(seconds=self.objective), share=0.5)
            metrics = [m if m.kind == "ratio" else m.model_copy(update={"objective": under}) for m in metrics]
        noise = ChannelHistory(tau2=2.0 * self.wobble**2)
        channels = {metric.name: dict.fromkeys(channel_names(metric), noise) for metric in metrics}
        policy = Policy(look=timedelta(seconds=self.look_s))
        history = ServiceHistory(looks=120, channels=channels) if self.known else None
        return Judge(metrics=metrics, policy=policy, planned_looks=sum(self.looks), history=history)

    def outlook(self) -> Outlook:
        """What is forecast from."""
        return Outlook(self.judge(), self.rps, {"errors": Level.of_ratio(self.rate), "latency": LATENCY})

    def stretches(self, last: int) -> list[Stretch]:
        """The steps, the last one for ``last`` looks."""
        looks = (*self.looks[:-1], last)
        return [Stretch(number, weight / 100.0) for number, weight in zip(looks, self.weights, strict=True)]


S = Setting
SETTINGS = (
    S("ratio", (1,), (120,), 200, 10, 10),
    S("ratio", (5,), (120,), 200, 10, 2, both=True),
    S("ratio", (10,), (60,), 200, 10, 2),
    S("ratio", (50,), (60,), 200, 10, 2, known=False),
    S("ratio", (50,), (120,), 200, 10, 1.5),
    S("ratio", (5,), (120,), 200, 10, 3, known=False),
    S("ratio", (5,), (120,), 2000, 5, 1.5, rate=0.05),
    S("ratio", (1,), (120,), 2000, 30, 2, known=False),
    S("ratio", (10,), (120,), 20, 30, 5, rate=0.01),
    S("ratio", (50,), (120,), 20, 60, 2, rate=0.02, known=False),
    S("ratio", (5,), (240,), 500, 10, 10, rate=0.0005),
    S("ratio", (50,), (240,), 100, 30, 10, rate=0.0005, known=False),
    S("ratio", (20,), (240,), 40, 5, 5, rate=0.02),
    S("ratio", (1, 10, 50), (20, 40, 60), 100, 15, 2, rate=0.01, both=True),
    S("ratio", (1, 5, 25), (30, 30, 60), 50, 20, 3, known=False),
    S("ratio", (5, 20), (40, 60), 200, 10, 2, rate=0.01, onset=1),
    S("ratio", (10,), (120,), 500, 10, 2, wobble=0.3),
    S("ratio", (50,), (120,), 200, 10, 2, rate=0.02, wobble=0.15),
    S("ratio", (10,), (60,), 200, 10, 2, margin=1.5),
    S("latency", (5,), (120,), 200, 10, 2),
    S("latency", (10,), (60,), 200, 10, 1.5),
    S("latency", (50,), (60,), 100, 30, 2, known=False),
    S("latency", (1,), (120,), 2000, 10, 3, both=True),
    S("latency", (20,), (120,), 20, 60, 3, known=False),
    S("latency", (1, 10, 50), (10, 20, 60), 100, 30, 2),
    S("latency", (5,), (60,), 20, 15, 1.5, objective=0.1),
    S("latency", (10,), (60,), 60, 15, 1, objective=0.1),
    S("ratio", (5,), (120,), 200, 10, 1),
    S("ratio", (10,), (120,), 100, 30, 1, rate=0.02),
    S("ratio", (10,), (120,), 200, 10, 1, rate=0.0005, known=False),
    S("latency", (10,), (120,), 200, 10, 1),
    S("latency", (50,), (120,), 50, 30, 1, known=False),
)  # fmt: skip


def drawn(number: int, seed: int) -> list[Setting]:
    """Settings nobody chose: drawn from the whole range, kept when between 3 and 250 looks are foretold."""
    rng = np.random.default_rng(seed)
    kept: list[Setting] = []
    while len(kept) < number:
        steps = int(rng.integers(1, 4))
        weights = np.sort(rng.choice([1, 2, 5, 10, 20, 30, 50], steps, replace=False))
        setting = Setting(
            kind=str(rng.choice(["ratio", "ratio", "latency"])),
            weights=tuple(float(weight) for weight in weights),
            looks=tuple(int(looks) for looks in rng.integers(10, 60, steps)),
            rps=float(f"{math.exp(rng.uniform(math.log(20), math.log(2000))):.2g}"),
            look_s=float(rng.choice([5, 10, 15, 30, 60])),
            times=float(rng.choice([1, 1.5, 2, 3, 5, 10])),
            rate=float(f"{math.exp(rng.uniform(math.log(0.0005), math.log(0.05))):.2g}"),
            known=bool(rng.random() < 0.5),
        )
        arrival = forecast(setting)
        looks = arrival.looks(0.5)
        if looks is not None and 3 <= looks <= 250:
            kept.append(setting)
    return kept


def forecast(setting: Setting) -> Arrival:
    """What is foretold of a setting."""
    outlook = setting.outlook()
    metric = next(one for one in outlook.judge.metrics if one.name == setting.name)
    course = outlook.course(setting.stretches(3000))
    if setting.times > 1:
        return outlook.harm(metric, setting.times, course, onset=setting.onset)
    return outlook.no_harm(metric, course)


def play(setting: Setting, runs: int, seed: int, most: int) -> Values:
    """The look of each run at which harm is found, or no harm shown for a setting without regression."""
    rng = np.random.default_rng(seed)
    judge, outlook = setting.judge(), setting.outlook()
    core = Comparison(judge)
    state, present = core.start(runs, {"latency": BOUNDS}), np.ones(runs, bool)
    metric = next(one for one in judge.metrics if one.name == setting.name)
    worse = {name: level.shares for name, level in outlook.levels.items()}
    worse[setting.name] = outlook.levels[setting.name].worse(outlook.watched(metric), setting.times).shares
    found, ends = np.full(runs, NEVER), np.cumsum(setting.looks)
    per_look = setting.rps * setting.look_s
    for look in range(most):
        step = min(int(np.searchsorted(ends, look, side="right")), len(ends) - 1)
        requests = rng.poisson(per_look, runs)
        canary = rng.binomial(requests, setting.weights[step] / 100.0)
        windows: list[RatioCounts | HistogramCounts] = []
        for one in judge.metrics:
            before = outlook.levels[one.name].shares
            shares = worse[one.name] if step >= setting.onset else before
            if one.kind == "ratio":
                rates = [shares[1], before[1]]
                if setting.wobble:
                    shape = setting.wobble**-2
                    rates = [rate * rng.gamma(shape, 1.0 / shape, runs) for rate in rates]
                windows.append(
                    RatioCounts(
                        canary,
                        rng.binomial(canary, np.minimum(rates[0], 1.0)),
                        requests - canary,
                        rng.binomial(requests - canary, np.minimum(rates[1], 1.0)),
                        present,
                    )
                )
            else:
                arms = rng.multinomial(canary, shares), rng.multinomial(requests - canary, before)
                windows.append(HistogramCounts(*arms, present))
        new_step, extension = look in ends[:-1], look >= judge.planned_looks
        state = core.update(state, windows, new_step=new_step, extension=extension)
        weighed = core.weigh(state)
        if setting.times > 1:
            enough = weighed.harm >= math.log(1.0 / judge.policy.alpha)
        else:
            enough = weighed.metrics[setting.name].no_harm >= math.log(1.0 / judge.policy.beta)
        found = np.where((found == NEVER) & enough, look + 1, found)
        if (found < NEVER).mean() >= 0.96:
            break
    return found


def measure(setting: Setting, runs: int, seed: int) -> dict[str, Any]:
    """One setting, forecast and played; looks are counted from where the regression begins."""
    began = time.monotonic()
    arrival = forecast(setting)
    seconds = time.monotonic() - began
    found = play(setting, runs, seed, int(1.6 * (arrival.looks(0.98) or 3000)) + 5)
    before = sum(setting.looks[: setting.onset])
    shares: dict[str, dict[str, float | None]] = {}
    for share in (0.5, 0.8, 0.95):
        foretold, seen = arrival.looks(share), float(np.quantile(found, share, method="higher"))
        shares[f"{share:.0%}"] = {
            "forecast": None if foretold is None else foretold - before,
            "simulated": None if seen >= NEVER else seen - before,
        }
    forecast_looks, simulated = shares["50%"]["forecast"], shares["50%"]["simulated"]
    ratio = forecast_looks / simulated if forecast_looks is not None and simulated else None
    return {
        "metric": setting.name,
        "judged": "errors, latency" if setting.both else setting.name,
        "weights": setting.weights,
        "steps": setting.looks,
        "rps": setting.rps,
        "look_s": setting.look_s,
        "rate": setting.rate if setting.kind == "ratio" else None,
        "times": setting.times,
        "known": setting.known,
        "wobble": setting.wobble,
        "margin": setting.margin,
        "onset": setting.onset,
        "objective": setting.objective,
        "looks": shares,
        "ratio": None if ratio is None else round(ratio, 3),
        "within": ratio is not None and simulated is not None and near(forecast_looks or 0.0, simulated),
        "forecast_seconds": round(seconds, 3),
    }


def near(forecast_looks: float, simulated: float) -> bool:
    """Within a quarter of what was simulated; of a whole number of looks, one is always near enough."""
    return abs(forecast_looks - simulated) <= max(WITHIN * simulated, 1.0)


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=41_000)
    options.add_argument("--drawn", type=int, default=30, help="settings drawn at random beside the chosen ones")
    options.add_argument("--only", type=int, nargs="*", help="only settings of these numbers")
    chosen = options.parse_args()
    began = time.process_time()
    settings = [*SETTINGS, *drawn(chosen.drawn, chosen.seed)]
    rows: list[dict[str, Any]] = []
    for number, setting in enumerate(settings):
        if chosen.only is not None and number not in chosen.only:
            continue
        row = measure(setting, chosen.runs, chosen.seed + number) | {"drawn": number >= len(SETTINGS)}
        rows.append(row)
        looks = "  ".join(f"{share} {one['forecast']}/{one['simulated']}" for share, one in row["looks"].items())
        print(
            f"{number:2d} {row['metric']:8s}{'+' if setting.both else ' '} {row['weights']!s:18s} {row['rps']:5g}/s "
            f"{row['look_s']:3g}s {row['rate'] or 0:7.4f} x{row['times']:<4g}{'known' if row['known'] else 'cold ':5s} "
            f"{row['ratio']!s:>6s} {'' if row['within'] else 'FAR'} {looks}",
            flush=True,
        )
    far = [row for row in rows if not row["within"]]
    seconds = round(time.process_time() - began, 1)
    print(f"{len(rows) - len(far)} of {len(rows)} within {WITHIN:.0%} or a look; {seconds} s of processor time")
    if chosen.only is None:
        figures = {"seed": chosen.seed, "runs": chosen.runs, "within": WITHIN, "seconds": seconds, "settings": rows}
        print(write("plan", figures), plan_page.write())
    raise SystemExit(len(far) > MOST_FAR * len(rows))


if __name__ == "__main__":
    main()

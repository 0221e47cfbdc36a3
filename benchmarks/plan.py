"""Whether ``coalmine plan`` foretells what the judge then does: ``python -m benchmarks.plan``.

Each setting is forecast, and then played by ``coalmine.analysis.Comparison``, the judge itself, on seeded counts. The
medians of the looks until harm, or until no harm, are compared. Writes ``results/plan.json`` and the table of
docs/plan.md; one process.
"""

from __future__ import annotations

import argparse
import math
import time
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks import plan_page
from benchmarks.judge.traffic import BOUNDS, Values
from benchmarks.plan_further import BurnWindows, further_window
from benchmarks.plan_settings import FURTHER, SETTINGS, Setting, drawn, drawn_further
from benchmarks.report import write
from coalmine.analysis.comparison import Comparison, looks_per_minute
from coalmine.analysis.forecast.outlook import SHARE_KINDS
from coalmine.analysis.metrics import HistogramCounts, RatioCounts

NEVER = 10**6
WITHIN = 0.25
"""How far a forecast may be from the median of the simulation."""
MOST_FAR = 0.05
"""Part of the settings that may be further away than that."""


def play(setting: Setting, runs: int, seed: int, most: int) -> Values:
    """The look of each run at which harm is found, or no harm shown for a setting without regression."""
    rng = np.random.default_rng(seed)
    judge, outlook = setting.judge(), setting.outlook()
    core = Comparison(judge)
    state, present = core.start(runs, {"latency": BOUNDS}), np.ones(runs, bool)
    metric = next(one for one in judge.metrics if one.name == setting.name)
    worse = {name: level.shares for name, level in outlook.levels.items()}
    if metric.kind in SHARE_KINDS:
        worse[setting.name] = outlook.levels[setting.name].worse(outlook.watched(metric), setting.times).shares
    burns = BurnWindows(metric.slo, timedelta(seconds=setting.look_s)) if metric.slo else None
    found, ends = np.full(runs, NEVER), np.cumsum(setting.looks)
    per_look = setting.rps * setting.look_s
    for look in range(most):
        step = min(int(np.searchsorted(ends, look, side="right")), len(ends) - 1)
        requests = rng.poisson(per_look, runs)
        canary = rng.binomial(requests, setting.weights[step] / 100.0)
        windows: list[Any] = []
        for one in judge.metrics:
            if one.kind not in SHARE_KINDS:
                share = setting.weights[step] / 100.0
                windows.append(further_window(setting, rng, share, canary, requests - canary, burns))
                continue
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
    arrival = setting.forecast()
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
        "kind": setting.kind,
        "rate": setting.rate if setting.kind not in ("latency", "value") else None,
        "times": setting.times,
        "known": setting.known,
        "wobble": setting.wobble,
        "margin": setting.margin,
        "onset": setting.onset,
        "objective": setting.objective,
        "looks": shares,
        "ratio": None if ratio is None else round(ratio, 3),
        "within": ratio is not None
        and simulated is not None
        and near(forecast_looks or 0.0, simulated, block(setting)),
        "down": setting.down,
        "tolerance": setting.tolerance,
        "forecast_seconds": round(seconds, 3),
    }


def near(forecast_looks: float, simulated: float, least: float = 1.0) -> bool:
    """Within a quarter of what was simulated; of a whole number of looks, or blocks, one is always near enough."""
    return abs(forecast_looks - simulated) <= max(WITHIN * simulated, least)


def block(setting: Setting) -> float:
    """Looks between which nothing can change: those of a gauge's block."""
    return looks_per_minute(setting.judge()) if setting.kind == "value" else 1.0


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=41_000)
    options.add_argument("--drawn", type=int, default=30, help="settings drawn at random beside the chosen ones")
    options.add_argument("--only", type=int, nargs="*", help="only settings of these numbers")
    chosen = options.parse_args()
    began = time.process_time()
    settings = [*SETTINGS, *drawn(chosen.drawn, chosen.seed), *FURTHER, *drawn_further(chosen.drawn // 2, chosen.seed)]
    unchosen = {*range(len(SETTINGS), len(SETTINGS) + chosen.drawn)}
    unchosen |= {*range(len(SETTINGS) + chosen.drawn + len(FURTHER), len(settings))}
    rows: list[dict[str, Any]] = []
    for number, setting in enumerate(settings):
        if chosen.only is not None and number not in chosen.only:
            continue
        row = measure(setting, chosen.runs, chosen.seed + number) | {"drawn": number in unchosen}
        rows.append(row)
        looks = "  ".join(f"{share} {one['forecast']}/{one['simulated']}" for share, one in row["looks"].items())
        print(
            f"{number:2d} {row['metric']:12s}{'+' if setting.both else ' '} {row['weights']!s:18s} {row['rps']:5g}/s "
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

"""A forecast in words and tables, for people."""

from __future__ import annotations

from coalmine.analysis.forecast.advice import about, chance
from coalmine.analysis.forecast.told import Baseline, Burn, Cost, Finding, Forecast, Limit, When
from coalmine.analysis.sentences import amount, number, percent, seconds, times
from coalmine.cli._output import columns
from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import format_duration
from coalmine.spec.metrics import Metric


def text(found: Forecast, spec: CanarySpec) -> str:
    """The forecast for people."""
    noise = "the service's noise is known"
    if not found.history:
        asks = (
            "a small regression is held and a human asked"
            if spec.policy.no_history == "hold"
            else "as if it were known"
        )
        noise = f"the service's noise is not known yet (no history): {asks}"
    head = [f"forecast at {found.rps:g} requests/s; {noise}"]
    metrics = {metric.name: metric for metric in spec.metrics}
    head += [_baseline(base, metrics[base.metric]) for base in found.baselines]
    rows: list[list[str]] = []
    for step in found.steps:
        first = True
        for one in step.findings:
            place = [str(step.number), f"{step.weight:g} %"] if first else ["", ""]
            what = _regression(one.regression, metrics[one.metric])
            rows.append(
                [*place, one.metric, what, *_when(one.usual), *_when(one.sure), chance(one.by_end), _fixed(one)]
            )
            first = False
    table = columns(
        [
            "step",
            "canary",
            "metric",
            "found",
            "80 %: requests",
            "in",
            "95 %: requests",
            "in",
            "by its end",
            "fixed test",
        ],
        rows,
        right=[0, 1, 4, 5, 6, 7, 8, 9],
    )
    tail = [
        "The regression is there from the start; requests (the canary's) and times count from the start of the step, "
        "were it to last as long as it takes. fixed test: requests of a test that may look once, 80 %.",
        *(_limit(limit) for limit in found.limits),
        f"no harm in every guardrail by the end of the steps: {chance(found.promotable)} of releases without change",
        *(_cost(cost) for cost in found.costs),
    ]
    return "\n".join(["", *head, "", table, *_burns(found.burns), "", *tail])


def _baseline(base: Baseline, metric: Metric) -> str:
    margin = f", margin {times(base.margin)}"
    if base.noise is not None and base.level is not None:
        # Without a tolerance the level is no matter, and 1 stands for it.
        level = "" if base.origin.startswith("assumed") else f"{amount(base.level, metric.suffix or '')}, "
        what = f"{level}{percent(base.noise)} of it between two like versions, minute by minute"
    elif base.per_hour is not None:
        events = number(round(base.per_hour)) if base.per_hour >= 1000 else f"{base.per_hour:.3g}"
        what = f"{events} events per hour of all traffic"
    else:
        slow = "" if base.slower_than is None else f" slower than {seconds(base.slower_than)}"
        if base.slower_than is not None and base.origin == "assumed" and metric.objective is None:
            slow = " slower than its p97"
        what = f"{percent(base.bad)} of the baseline's requests{slow}"
        if metric.slo is not None:
            lowest = min(burn.rate for burn in metric.slo.burn)
            margin = f", too fast is {lowest:g} times what {100.0 * metric.slo.objective:.6g} % allow"
    return f"{base.metric}: {what} ({base.origin}){margin}"


def _regression(size: float | None, metric: Metric) -> str:
    if size is None:
        return "no harm"
    down = metric.direction == "down"
    if metric.kind == "slo":
        return f"burns {size:.3g} times"
    if metric.kind == "count":
        return f"{times(1.0 / size if down else size)} events"
    if metric.kind == "value":
        return f"{'-' if down else '+'}{100.0 * (size - 1.0):.3g} %"
    return f"{times(size)} worse"


def _burns(burns: list[Burn]) -> list[str]:
    if not burns:
        return []
    rows = [
        [
            str(burn.step),
            burn.metric,
            f"{burn.times:.3g} times",
            f"{burn.rate:g} over {format_duration(burn.long)} and {format_duration(burn.short)}",
            *(about(when) for when in (burn.in_long, burn.in_short, burn.shown)),
        ]
        for burn in burns
        if burn.in_long is not None and burn.in_short is not None and burn.shown is not None
    ]
    head = ["step", "metric", "burns", "windows", "long shows it in", "short in", "both in"]
    what = "burnt that fast from the start of the step on, and not at all before:"
    return ["", what, columns(head, rows, right=[0, 2, 4, 5, 6])] if rows else []


def _limit(limit: Limit) -> str:
    looks = "one look" if limit.looks == 1 else f"{limit.looks:,} looks"
    return (
        f"{limit.metric}: a plain limit speaks at the first look; it fails after {looks} beyond it, "
        f"{format_duration(limit.lasts)} at the earliest"
    )


def _when(when: When | None) -> tuple[str, str]:
    if when is None:
        return "-", "over 30d"
    if not when.looks:
        return "-", "earlier"
    return (number(when.requests) if when.blocks is None else f"{when.blocks} blocks"), about(when.lasts)


def _fixed(finding: Finding) -> str:
    return "" if finding.fixed is None else number(finding.fixed)


def _cost(cost: Cost) -> str:
    end = "until it is caught (95 %)" if cost.caught else "by the end of the steps, not surely caught by then"
    line = (
        f"worst case of {cost.metric}: {times(cost.regression)} adds about {number(cost.bad_requests)} bad requests "
        f"{end}"
    )
    if cost.budget:
        line += f", {percent(cost.bad_requests / cost.budget)} of the error budget of 30 days ({number(cost.budget)})"
    return line

"""What one metric must say: where its counts come from, and limits that fit its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.durations import format_duration
from coalmine.spec.faults import Fault, Path, did_you_mean, listed
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import PLACEHOLDERS
from coalmine.spec.templates import PARTS, TEMPLATE_SOURCES, TEMPLATES, templates_of, untemplated

SMALLEST_SHARE = 1e-9
"""Of max and of an objective: far below it the judge's arithmetic has no digits left."""
KEYS_OF_KIND = {
    "ratio": ("events", "total", "template", "margin", "no_harm", "floor", "max"),
    "latency": ("buckets", "template", "unit", "margin", "no_harm", "floor", "objective"),
    "value": ("values", "template", "direction", "margin", "no_harm", "tolerance", "suffix"),
    "count": ("events", "template", "direction", "margin", "no_harm", "tolerance"),
    "slo": ("events", "total", "template", "slo"),
    "threshold": ("query", "limits", "suffix"),
}
"""Keys that belong to some kinds only, by kind."""
_OF_SOME = tuple(dict.fromkeys(key for keys in KEYS_OF_KIND.values() for key in keys))
COUNTS_REQUESTS = ("ratio", "latency", "slo")
"""Kinds whose counts say how many requests an arm served."""
_ARM = re.compile(r"\{+\s*(arm\b[^{}]*?)\s*\}+")
_KNOWN = listed("{" + name + "}" for name in PLACEHOLDERS)


def metric_faults(metric: Metric, index: int) -> Iterator[Fault]:
    """Everything that contradicts itself within one metric."""
    path = ("metrics", index)
    for key in _OF_SOME:
        if key not in KEYS_OF_KIND[metric.kind] and _is_said(metric, key):
            homes = [kind for kind, keys in KEYS_OF_KIND.items() if key in keys]
            have = listed(KEYS_OF_KIND[metric.kind])
            yield Fault((*path, key), f"belongs to kind: {listed(homes)}; a {metric.kind} metric has {have}")
    if metric.template is not None and metric.template not in TEMPLATE_SOURCES:
        mend = did_you_mean(metric.template, list(TEMPLATE_SOURCES))
        unknown = f"{metric.template!r} is not a known template{mend}"
        yield Fault((*path, "template"), untemplated(metric.template, metric.kind) or unknown)
    elif metric.template in TEMPLATES:
        yield from _lacking_parts(metric, path)
    yield from _same_series(metric, path)
    least = f"it must be at least {SMALLEST_SHARE:g}"
    if metric.max is not None and metric.max < SMALLEST_SHARE:
        yield Fault((*path, "max"), f"{metric.max:g} is too small: {least}")
    if metric.objective is not None and metric.objective.share < SMALLEST_SHARE:
        yield Fault((*path, "objective", "share"), f"{metric.objective.share:g} is too small: {least}")
    if metric.objective is not None and metric.objective.under <= timedelta(0):
        yield Fault((*path, "objective", "under"), "must be longer than zero")
    if metric.kind == "count" and metric.direction == "down" and metric.tolerance:
        yield Fault(
            (*path, "tolerance"), "says how many events are fine: with direction: down fewer are worse; leave it out"
        )
    if metric.kind == "slo":
        yield from _slo_faults(metric, path)
    if metric.kind == "threshold":
        yield from _threshold_faults(metric, path)


def _lacking_parts(metric: Metric, path: Path) -> Iterator[Fault]:
    """What the template cannot read and the metric does not say itself: each reason once."""
    lacks = TEMPLATES[str(metric.template)].lacks
    reasons = [lacks[part] for part in PARTS[metric.kind] if part in lacks and not getattr(metric, part)]
    for reason in dict.fromkeys(reasons):
        yield Fault((*path, "template"), f"{metric.template} has nothing for a {metric.kind} metric: {reason}")


def has_absolute_limit(metric: Metric) -> bool:
    """Whether the bake, where only the canary runs, can judge the metric."""
    return metric.max is not None or metric.objective is not None or metric.kind in ("slo", "threshold")


def _is_said(metric: Metric, key: str) -> bool:
    """Whether a key says something: what equals its default, as a spec that travelled holds, says nothing."""
    said: bool = getattr(metric, key) != Metric.model_fields[key].default
    return said


def missing_parts(metric: Metric, index: int, source: str) -> Iterator[Fault]:
    """What a metric that is read from a source of this kind does not say."""
    if metric.kind == "threshold" and metric.query is None:
        yield Fault(("metrics", index), f"{metric.name!r} reads nothing: write query")
    parts = PARTS[metric.kind]
    missing = [part for part in parts if not getattr(metric, part)]
    if metric.template is not None or not missing:
        return
    able = [*templates_of(missing[0]), *(TEMPLATE_SOURCES.keys() - TEMPLATES.keys())]
    ready = [name for name in able if TEMPLATE_SOURCES[name] == source]
    templates = f"name a template ({listed(ready)})" if ready else ""
    if len(missing) < len(parts):
        message = f"{metric.name!r} has no selector for {missing[0]}: write it"
        message += f", or {templates}" if templates else ""
    else:
        own = f"write {' and '.join(reversed(parts))}"
        message = f"{metric.name!r} reads nothing: {f'{templates}, or {own}' if templates else own}"
    yield Fault(("metrics", index), message)


def _same_series(metric: Metric, path: Path) -> Iterator[Fault]:
    """Every request would be an event."""
    if metric.events is None or metric.total is None:
        return
    events, total = (
        {text.replace(" ", "") for text in ([part] if isinstance(part, str) else part)}
        for part in (metric.events, metric.total)
    )
    if events == total:
        yield Fault(
            (*path, "events"),
            "are the same series as total, so every request would be one: name those of the events alone",
        )


def _slo_faults(metric: Metric, path: Path) -> Iterator[Fault]:
    slo = metric.slo
    if slo is None:
        yield Fault(path, f"{metric.name!r} has no objective: write slo: {{objective: 0.999}}")
        return
    if slo.period <= timedelta(0):
        yield Fault((*path, "slo", "period"), "must be longer than zero")
    for place, burn in enumerate(slo.burn):
        at = (*path, "slo", "burn", place)
        if burn.short <= timedelta(0):
            yield Fault((*at, "short"), "must be longer than zero")
        elif burn.long <= burn.short:
            long, short = format_duration(burn.long), format_duration(burn.short)
            yield Fault((*at, "long"), f"{long} is not longer than the short window ({short}): swap them")
        elif burn.long > slo.period > timedelta(0):
            long, period = format_duration(burn.long), format_duration(slo.period)
            yield Fault((*at, "long"), f"{long} is longer than the objective's period ({period})")
        if burn.rate * (1.0 - slo.objective) >= 1.0:
            most = 1.0 / (1.0 - slo.objective)
            message = (
                f"{burn.rate:g} cannot be reached: with every request bad {slo.objective:g} burns {most:.4g} times"
            )
            yield Fault((*at, "rate"), f"{message}; make it lower")


def _threshold_faults(metric: Metric, path: Path) -> Iterator[Fault]:
    if metric.query is not None:
        for match in _ARM.finditer(metric.query):
            if match[1] not in PLACEHOLDERS or match[0].count("{") > 1:
                yield Fault((*path, "query"), f"{match[0]!r} is not known: use {_KNOWN}")
                break
        if not metric.query.strip():
            yield Fault((*path, "query"), "is blank: write PromQL that answers one number")
    limits = metric.limits
    if limits is None or (limits.min is None and limits.max is None):
        at = path if limits is None else (*path, "limits")
        yield Fault(at, f"{metric.name!r} has no limit: write limits: {{max: ...}}, or min, or both")
    elif limits.min is not None and limits.max is not None and limits.min > limits.max:
        message = f"{limits.min:g} is more than max ({limits.max:g}): no answer could be fine"
        yield Fault((*path, "limits", "min"), message)

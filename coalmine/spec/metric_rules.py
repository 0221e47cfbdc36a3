"""What one metric must say: where its counts come from, and limits that fit its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.canary import Metric
from coalmine.spec.faults import Fault, did_you_mean, listed
from coalmine.spec.selectors import PLACEHOLDERS, parse_selector
from coalmine.spec.templates import PARTS, TEMPLATES, Part

SMALLEST_SHARE = 1e-9
"""Of max and of an objective: far below it the judge's arithmetic has no digits left."""
_KEYS_OF_KIND = {
    "ratio": ("events", "total", "max"),
    "latency": ("buckets", "objective"),
}
_PLACEHOLDER = re.compile(r"\{+\s*([A-Za-z_][^{}]*?)\s*\}+")
_KNOWN = listed("{" + name + "}" for name in PLACEHOLDERS)


def metric_faults(metric: Metric, index: int) -> Iterator[Fault]:
    """Everything that contradicts itself within one metric."""
    path = ("metrics", index)
    for kind, keys in _KEYS_OF_KIND.items():
        for key in keys:
            if kind != metric.kind and getattr(metric, key) is not None:
                message = f"belongs to kind: {kind}; a {metric.kind} metric has {listed(_KEYS_OF_KIND[metric.kind])}"
                yield Fault((*path, key), message)
    if metric.unit != "s" and metric.kind != "latency":
        yield Fault((*path, "unit"), f"belongs to kind: latency; a {metric.kind} metric has no unit")
    if metric.template is not None and metric.template not in TEMPLATES:
        mend = did_you_mean(metric.template, list(TEMPLATES))
        yield Fault((*path, "template"), f"{metric.template!r} is not a known template{mend}")
    yield from _missing_parts(metric, index)
    for part in PARTS[metric.kind]:
        yield from _selector_faults(metric, part, (*path, part))
    least = f"it must be at least {SMALLEST_SHARE:g}"
    if metric.max is not None and metric.max < SMALLEST_SHARE:
        yield Fault((*path, "max"), f"{metric.max:g} is too small: {least}")
    if metric.objective is not None and metric.objective.share < SMALLEST_SHARE:
        yield Fault((*path, "objective", "share"), f"{metric.objective.share:g} is too small: {least}")
    if metric.objective is not None and metric.objective.under <= timedelta(0):
        yield Fault((*path, "objective", "under"), "must be longer than zero")


def _missing_parts(metric: Metric, index: int) -> Iterator[Fault]:
    missing = [part for part in PARTS[metric.kind] if not getattr(metric, part)]
    if metric.template is not None or not missing:
        return
    if len(missing) < len(PARTS[metric.kind]):
        message = (
            f"{metric.name!r} has no selector for {missing[0]}: write it, or name a template ({listed(TEMPLATES)})"
        )
    else:
        parts = " and ".join(reversed(PARTS[metric.kind]))
        message = f"{metric.name!r} reads nothing: name a template ({listed(TEMPLATES)}), or write {parts}"
    yield Fault(("metrics", index), message)


def _selector_faults(metric: Metric, part: Part, path: tuple[str | int, ...]) -> Iterator[Fault]:
    own: str | list[str] | None = getattr(metric, part)
    for place, text in enumerate([own] if isinstance(own, str) else own or []):
        at = path if isinstance(own, str) else (*path, place)
        problem = _selector_problem(text)
        if problem:
            yield Fault(at, problem)


def _selector_problem(text: str) -> str | None:
    try:
        selector = parse_selector(text)
    except ValueError as error:
        return str(error)
    used = [match for matcher in selector.matchers for match in _PLACEHOLDER.finditer(matcher.value)]
    for match in used:
        if match[1] not in PLACEHOLDERS or match[0].count("{") > 1:
            return f"{match[0]!r} in {text!r} is not known: use {_KNOWN}"
    if not used:
        return f"{text!r} reads the same series for both arms: put {_KNOWN.replace(', ', ' or ')} where they differ"
    return None

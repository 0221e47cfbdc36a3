"""Metrics of CloudWatch as a spec writes them: selectors whose labels are dimensions, and alarms.

``RequestCount{namespace="AWS/ApplicationELB",LoadBalancer="app/shop/50dc6c",TargetGroup=~"targetgroup/{arm.backend}/.*"}``
names one metric. ``namespace`` and ``stat`` are no dimensions; ``le`` holds a histogram's bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from coalmine.spec.faults import Fault
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import Matcher, Selector, parse_selector
from coalmine.spec.templates import PARTS

MOST_BOUNDS = 20
"""Each bound is a statistic that CloudWatch is asked, and paid, for."""
_ALARMS = re.compile(r"alarm:\s*(.+)", re.DOTALL)


@dataclass(frozen=True)
class Series:
    """One metric of CloudWatch, or all whose dimensions match."""

    namespace: str
    name: str
    dimensions: tuple[Matcher, ...]
    """Operators ``=`` and ``=~``; a metric has these dimensions and no others."""
    stat: str
    bounds: tuple[float, ...]
    """In the metric's own unit, rising; empty where it is no histogram."""

    @property
    def is_exact(self) -> bool:
        """Whether it is one metric, which needs no list of those there are."""
        return all(matcher.operator == "=" for matcher in self.dimensions)


def series_of(selector: Selector) -> Series:
    """The series a selector names.

    Raises:
        ValueError: it is none of CloudWatch's; says what to write.
    """
    own = {matcher.label: matcher for matcher in selector.matchers if matcher.label in ("namespace", "stat", "le")}
    for label in ("namespace", "stat"):
        if label in own and own[label].operator != "=":
            raise ValueError(f"{selector}: write {label} with =")
    if "namespace" not in own or not own["namespace"].value:
        raise ValueError(f'{selector}: names no namespace: write namespace="AWS/ApplicationELB", or another')
    if not selector.name:
        raise ValueError(f"{selector}: names no metric: write its name before the braces")
    dimensions = tuple(matcher for matcher in selector.matchers if matcher.label not in own)
    for matcher in dimensions:
        if matcher.operator not in ("=", "=~"):
            raise ValueError(f"{selector}: {matcher.operator} is not known to CloudWatch: use = or =~")
    stat = own["stat"].value if "stat" in own else "Sum"
    if stat not in ("Sum", "SampleCount"):
        raise ValueError(f"{selector}: stat {stat!r} is no count: use Sum or SampleCount")
    bounds = _bounds(selector, own["le"]) if "le" in own else ()
    return Series(own["namespace"].value, selector.name, dimensions, stat, bounds)


def alarms_of(query: str) -> list[str]:
    """The alarms of a threshold's query, ``alarm: one, two``.

    Raises:
        ValueError: it names none.
    """
    found = _ALARMS.fullmatch(query.strip())
    names = [name.strip() for name in found[1].split(",")] if found else []
    if not all(names) or not names:
        raise ValueError(f"{query!r} names no alarms: write alarm: and their names, with commas between them")
    return names


def cloudwatch_faults(metric: Metric, index: int) -> Iterator[Fault]:
    """What a metric says that CloudWatch cannot answer."""
    path = ("metrics", index)
    if metric.kind == "threshold" and metric.query is not None:
        try:
            alarms_of(metric.query)
        except ValueError as error:
            yield Fault((*path, "query"), str(error))
    for part in PARTS[metric.kind]:
        own: str | list[str] | None = getattr(metric, part)
        for text in [own] if isinstance(own, str) else own or []:
            try:
                series = series_of(parse_selector(text))
            except ValueError as error:
                yield Fault((*path, part), str(error))
                continue
            if (part == "buckets") != bool(series.bounds):
                mend = 'needs its bounds: write le=~"0.1|0.25|0.5|1"' if part == "buckets" else "has no bounds: drop le"
                yield Fault((*path, part), f"{text!r} {mend}")


def _bounds(selector: Selector, le: Matcher) -> tuple[float, ...]:
    try:
        bounds = tuple(float(text) for text in le.value.split("|"))
    except ValueError:
        bounds = ()
    rising = all(low < high for low, high in pairwise(bounds))
    if not bounds or not rising or bounds[0] <= 0 or len(bounds) > MOST_BOUNDS or le.operator == "!~":
        wanted = f'up to {MOST_BOUNDS} rising numbers above zero, such as le=~"0.1|0.25|0.5|1"'
        raise ValueError(f"{selector}: {le} are no bounds: write {wanted}")
    return bounds

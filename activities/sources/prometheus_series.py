"""Raw samples of series, and what is known of the targets they come from."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.sources.increments import Sample
from activities.sources.prometheus_answer import Answer
from activities.sources.prometheus_http import PrometheusHttp, TooManySamples
from coalmine.errors import QueryRejected
from coalmine.spec.selectors import Matcher, Selector, escape_regex

Labels = tuple[tuple[str, str], ...]
"""A series' labels (``__name__`` among them), sorted: its identity."""
Target = tuple[str, str]
"""Labels ``job`` and ``instance``: what Prometheus scrapes."""

LONGEST_PIECE = 10_000
"""Samples of one series that are asked for at a time."""
REMEMBERED = 6 * 3600 * 1000
"""Milliseconds: how far back the value of a series is looked up that was not scraped for a while."""
_LONGEST_MATCHER = 2_000
"""Characters: queries travel in the address, and servers and proxies limit its length."""


@dataclass(frozen=True)
class Read:
    """Samples by series, in order of time, and the store's warnings."""

    series: Mapping[Labels, Sequence[Sample]]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Targets:
    """When targets were scraped successfully, and when their processes started, in milliseconds."""

    scraped: Mapping[Target, Sequence[int]] = field(default_factory=dict)
    started: Mapping[Target, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def target_of(labels: Labels) -> Target | None:
    """The target a series comes from, None when its labels do not say."""
    named = dict(labels)
    return (named.get("job", ""), named["instance"]) if named.get("instance") else None


async def read_raw(http: PrometheusHttp, selectors: Iterable[Selector], since: int, until: int, scrape: int) -> Read:
    """All raw samples from ``since`` to ``until`` (milliseconds); a series that two selectors match is read once.

    VictoriaMetrics' staleness marks are among them: ``prometheus_marks.read_samples`` leaves them out.

    Raises:
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the store refused, or the series are native histograms.
    """
    pieces = _pieces(since, until, LONGEST_PIECE * scrape)
    wanted = [(selector, low, high) for selector in selectors for low, high in pieces]
    answers = await asyncio.gather(*(_piece(http, selector, low, high, scrape) for selector, low, high in wanted))
    return await http.run(_merge, [answer for group in answers for answer in group])


async def read_values_before(http: PrometheusHttp, selectors: Iterable[Selector], at: int) -> Read:
    """The last value of each series at or before ``at``, however long it has been gone (up to ``REMEMBERED``).

    Raises:
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the store refused.
    """
    queries = [f"last_over_time({selector}[{REMEMBERED}ms])" for selector in selectors]
    answers = await asyncio.gather(*(http.query(query, at) for query in queries))
    values: dict[Labels, Sequence[Sample]] = {}
    for answer in answers:
        for item in answer.series("value"):
            values[_labels(item)] = [(at, item["value"][1])]
    return Read(values, tuple(warning for answer in answers for warning in answer.warnings))


async def read_targets(http: PrometheusHttp, targets: Iterable[Target], since: int, until: int, scrape: int) -> Targets:
    """When each target was scraped, and when its process started (if it says so).

    Raises:
        SourceUnreachable: the store did not answer in time.
        QueryRejected: the store refused.
    """
    wanted = sorted(set(targets))
    if not wanted:
        return Targets()
    read = await read_raw(http, [selector_of("up|process_start_time_seconds", wanted)], since, until, scrape)
    scraped: dict[Target, list[int]] = {}
    started: dict[Target, int] = {}
    for labels, samples in read.series.items():
        target = target_of(labels)
        if target is None:
            continue
        if dict(labels)["__name__"] == "up":
            scraped.setdefault(target, []).extend(at for at, value in samples if value == "1")
        elif numbers := [number for _, value in samples if math.isfinite(number := float(value))]:
            started[target] = round(numbers[-1] * 1000)
    return Targets({target: sorted(times) for target, times in scraped.items()}, started, read.warnings)


def selector_of(names: str, targets: Iterable[Target]) -> Selector:
    """The series of some targets (and perhaps of others) whose names match a regular expression."""
    wanted = set(targets)
    matchers = [
        Matcher("__name__", "=~", names),
        Matcher("job", "=~", "|".join(sorted({escape_regex(job) for job, _ in wanted}))),
        Matcher("instance", "=~", "|".join(sorted({escape_regex(instance) for _, instance in wanted}))),
    ]
    if len(matchers[-1].value) > _LONGEST_MATCHER:
        del matchers[-1]
    return Selector("", tuple(matchers))


def _pieces(since: int, until: int, longest: int) -> list[tuple[int, int]]:
    count = max(1, -(-(until - since) // longest))
    edges = [since + (until - since) * index // count for index in range(count)] + [until]
    return list(itertools.pairwise(edges))


async def _piece(http: PrometheusHttp, selector: Selector, low: int, high: int, scrape: int) -> list[Answer]:
    try:
        return [await http.query(f"{selector}[{high - low}ms]", high)]
    except TooManySamples:
        if high - low <= 2 * scrape:
            raise
        middle = (low + high) // 2
        return [*await _piece(http, selector, low, middle, scrape), *await _piece(http, selector, middle, high, scrape)]


def _merge(answers: Sequence[Answer]) -> Read:
    samples: dict[Labels, dict[int, str]] = {}
    warnings: dict[str, None] = {}
    for answer in answers:
        warnings.update(dict.fromkeys(answer.warnings))
        for item in answer.series("values"):
            into = samples.setdefault(_labels(item), {})
            for at, value in item["values"]:
                into[round(at * 1000)] = value
    return Read({labels: sorted(found.items()) for labels, found in samples.items()}, tuple(warnings))


def _labels(item: Any) -> Labels:
    labels: dict[str, str] = item["metric"]
    if "histograms" in item or "histogram" in item:
        raise QueryRejected(
            f"{labels.get('__name__', 'the series')} is a native histogram, which is not read yet: expose classic "
            "buckets too (scrape_classic_histograms / always_scrape_classic_histograms) and select <name>_bucket"
        )
    return tuple(sorted(labels.items()))

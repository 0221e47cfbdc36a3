"""What a metric may read from a store of each kind: the language of its selectors, and which kinds of metric it can."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coalmine.spec.cloudwatch import cloudwatch_faults
from coalmine.spec.faults import Fault, Path, listed
from coalmine.spec.http_questions import form_problem, question_problem
from coalmine.spec.metrics import Kind, Metric
from coalmine.spec.selectors import PLACEHOLDERS, broken_regex, parse_selector
from coalmine.spec.templates import PARTS, TEMPLATE_SOURCES, Part

_PLACEHOLDER = re.compile(r"\{+\s*([A-Za-z_][^{}]*?)\s*\}+")
BOUND = ("start", "end", "arm.version", "arm.backend")
"""What a statement of SQL is given, as bound values."""
_KNOWN = listed("{" + name + "}" for name in PLACEHOLDERS)


def reading_faults(metric: Metric, index: int, source: str) -> Iterator[Fault]:
    """Everything a source of this kind cannot read for the metric."""
    path = ("metrics", index)
    store = STORES.get(source)
    if store is not None and metric.kind not in store.kinds:
        have = listed(store.kinds)
        yield Fault((*path, "kind"), f"{metric.kind} cannot be read from a source of kind {source}, which has {have}")
        return
    home = TEMPLATE_SOURCES.get(metric.template or "", source)
    if home != source:
        message = f"{metric.template!r} is of sources of kind {home}; {metric.source!r} is of kind {source}"
        yield Fault((*path, "template"), message)
    if store is None:
        # The language of an adapter from elsewhere is its own to check, with --connect and at each look.
        return
    if metric.query is not None and store.query and (problem := store.query(metric.query)):
        yield Fault((*path, "query"), problem)
    if source == "cloudwatch":
        yield from cloudwatch_faults(metric, index)
    for part in PARTS[metric.kind]:
        yield from _part_faults(metric, part, (*path, part), store.problem)


def _part_faults(metric: Metric, part: Part, path: Path, problem_of: Callable[[str], str | None]) -> Iterator[Fault]:
    own: str | list[str] | None = getattr(metric, part)
    for place, text in enumerate([own] if isinstance(own, str) else own or []):
        at = path if isinstance(own, str) else (*path, place)
        problem = problem_of(text)
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
    return broken_regex(selector)


def _filter_problem(text: str) -> str | None:
    """Why it cannot be put beside the arm and the window in one list filter."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    if not text.strip():
        return "is blank: write a list filter, such as WorkflowType = 'Order'"
    if "'" in bare or '"' in bare:
        return f"{text!r} has a quote that does not end"
    if re.search(r"\b(GROUP|ORDER)\s+BY\b", bare, re.IGNORECASE):
        return f"{text!r} groups or orders: only what is counted belongs here"
    if bare.count("(") != bare.count(")"):
        return f"{text!r} has a bracket that does not end"
    return None


def _statement_problem(text: str) -> str | None:
    """Why it cannot be asked of a database for one arm and one window."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    if not re.match(r"\s*(SELECT|WITH)\b", bare, re.IGNORECASE):
        return "is no query: it begins with SELECT or WITH"
    if ";" in bare:
        return "has a semicolon: one statement, which ends by itself"
    unknown = [name for name in re.findall(r"\{([^{}]*)\}", bare) if name not in BOUND]
    if unknown:
        return f"{{{unknown[0]}}} is not known: use {listed('{' + name + '}' for name in BOUND)}, without quotes"
    if re.search(r"'[^']*\{[^']*'", text):
        return "has a placeholder within quotes, where nothing is filled in: values are bound, write it without them"
    if not re.search(r"\{arm\.(version|backend)\}", bare):
        return "answers the same for both arms: compare with {arm.version} or {arm.backend}"
    missing = [name for name in ("start", "end") if f"{{{name}}}" not in bare]
    if missing:
        return f"counts more than the window: compare times with > {{start}} and <= {{end}} ({missing[0]} is missing)"
    return None


@dataclass(frozen=True)
class Store:
    """What one kind of source can do."""

    kinds: tuple[Kind, ...]
    problem: Callable[[str], str | None]
    """Why a text cannot be one of its selectors; None when it can."""
    query: Callable[[str], str | None] | None = None
    """The same of a threshold's query, where it can be told offline."""


STORES: dict[str, Store] = {
    "cloudwatch": Store(("ratio", "latency", "count", "slo", "threshold"), _selector_problem),
    "http": Store(("ratio", "latency", "value", "count", "threshold"), question_problem, form_problem),
    "prometheus": Store(("ratio", "latency", "value", "count", "slo", "threshold"), _selector_problem),
    "sql": Store(("ratio", "latency", "value", "count", "threshold"), _statement_problem, _statement_problem),
    "temporal": Store(("ratio", "latency", "count", "threshold"), _filter_problem),
}

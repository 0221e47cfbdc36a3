"""What two keys of a spec say together: each rule reads a whole, well-formed spec and yields what contradicts itself.

A rule names the sections it reads, so that it is left out while one of them is broken: one mistake, one line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from coalmine.identity.names import LONGEST_NAME
from coalmine.spec.canary import CanarySpec
from coalmine.spec.diagnose_rules import diagnose_faults
from coalmine.spec.durations import format_duration
from coalmine.spec.faults import Fault, Path, did_you_mean, listed, shown
from coalmine.spec.gate_rules import gate_faults, people_faults, same_people_faults
from coalmine.spec.ledger_rules import ledger_faults
from coalmine.spec.metric_rules import COUNTS_REQUESTS, has_absolute_limit, metric_faults, missing_parts
from coalmine.spec.metrics import Metric
from coalmine.spec.notifier_rules import notifier_faults
from coalmine.spec.reading_rules import reading_faults
from coalmine.spec.reminder_rules import reminder_faults
from coalmine.spec.route_rules import backend_faults, name_faults, step_faults
from coalmine.spec.secret_names import BY_NAME
from coalmine.spec.source_rules import source_faults
from coalmine.spec.template_rules import template_faults
from coalmine.spec.urls import url_problem

SMALLEST_CHANCE = 1e-9
"""Of alpha and beta: far below it the judge's arithmetic has no digits left."""
SHORTEST_LOOK = timedelta(milliseconds=100)
LONGEST_VERSION = 128
"""Characters: a version is a search attribute, and part of the rollout's id."""
LONGEST_ID = 255
"""Characters of ``canary/<environment>/<service>/<region>``: a workflow id, and some databases take no more."""
_FORBIDDEN_IN_NAMES = frozenset(" \t\r\n\"'`\\{}")

Rule = Callable[[CanarySpec], Iterable[Fault]]


@dataclass(frozen=True)
class SectionRule:
    """A rule and the top-level keys it reads."""

    sections: frozenset[str]
    check: Rule
    younger: bool = False
    """Runs of rollouts that began without it are replayed without it."""


RULES: list[SectionRule] = []


def _reads(*sections: str, younger: bool = False) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.append(SectionRule(frozenset(sections), rule, younger))
        return rule

    return register


def broken_rules(spec: CanarySpec, broken: Collection[str] = (), *, older: bool = False) -> list[Fault]:
    """Every contradiction in ``spec``, without the rules that read a section named in ``broken``.

    ``older``: by the rules alone that runs knew which began before the younger ones.
    """
    asked = (rule for rule in RULES if not (older and rule.younger) and not rule.sections.intersection(broken))
    return [fault for rule in asked for fault in rule.check(spec)]


@_reads("service", "environment", "region")
def _workflow_id(spec: CanarySpec) -> Iterator[Fault]:
    length = len("/".join(part for part in ("canary", spec.environment, spec.service, spec.region) if part))
    if length > LONGEST_ID:
        message = f"with environment and region it makes a workflow id of {length} characters: at most {LONGEST_ID}"
        yield Fault(("service",), f"{shown(spec.service)} is too long: {message}")


@_reads("arms")
def _arms(spec: CanarySpec) -> Iterator[Fault]:
    arms = {"baseline": spec.arms.baseline, "canary": spec.arms.canary}
    for name, arm in arms.items():
        for key, value in (("version", arm.version), ("backend", arm.backend)):
            wrong = _FORBIDDEN_IN_NAMES.union("/" if key == "version" else "").intersection(value)
            if wrong:
                kept_free = "spaces, slashes, quotes and braces" if key == "version" else "spaces, quotes and braces"
                yield Fault(
                    ("arms", name, key), f"{shown(value)} holds {sorted(wrong)[0]!r}: {kept_free} cannot be in it"
                )
            elif not value.isprintable():
                yield Fault(("arms", name, key), f"{shown(value)} holds an invisible character: leave it out")
        if len(arm.version) > LONGEST_VERSION:
            message = f"{shown(arm.version)} has {len(arm.version):,} characters: at most {LONGEST_VERSION}"
            yield Fault(("arms", name, "version"), message)
    if spec.arms.baseline.backend == spec.arms.canary.backend:
        backend = shown(spec.arms.canary.backend)
        yield Fault(("arms", "canary", "backend"), f"both arms have the backend {backend}: each needs its own")
    if spec.arms.baseline.version == spec.arms.canary.version:
        version = shown(spec.arms.canary.version)
        yield Fault(("arms", "canary", "version"), f"both arms have the version {version}: nothing would be released")


@_reads("arms", "route")
def _route_backends(spec: CanarySpec) -> Iterator[Fault]:
    """What does not come by the weights is counted apart, so it goes to a backend that is nobody else's."""
    taken = {spec.arms.baseline.backend: "the baseline", spec.arms.canary.backend: "the canary"}
    for key in ("testers", "mirror"):
        asked = spec.route.options.get(key)
        backend = asked.get("backend") if isinstance(asked, Mapping) else None
        if not isinstance(backend, str):
            continue
        if backend in taken:
            message = (
                f"{shown(backend)} is the backend of {taken[backend]} already: give it one of its own, so that its "
                "requests do not count in the sample ratio and in the comparison"
            )
            yield Fault(("route", key, "backend"), message)
        taken.setdefault(backend, f"route.{key}")


@_reads("steps", "people", "sources", "route")
def _names(spec: CanarySpec) -> Iterator[Fault]:
    """Names stand in tables, messages and commands: one visible word or a few."""
    names: list[tuple[Path, str]] = [(("route", "name"), spec.route.name)]
    names += [(("steps", at, "gate", "name"), step.gate.name or "-") for at, step in enumerate(spec.steps) if step.gate]
    names += [(("people", group), group) for group in spec.people]
    names += [(("sources", name), name) for name in spec.sources]
    yield from _invisible(names)


@_reads("metrics")
def _metric_names(spec: CanarySpec) -> Iterator[Fault]:
    yield from _invisible([(("metrics", at, "name"), metric.name) for at, metric in enumerate(spec.metrics)])


def _invisible(names: Iterable[tuple[Path, str]]) -> Iterator[Fault]:
    for path, name in names:
        if not name.strip() or not name.isprintable():
            on_key = path[0] in ("people", "sources")
            yield Fault(path, f"{shown(name)} cannot be a name: it is blank or holds invisible characters", on_key)
        elif len(name) > LONGEST_NAME:
            message = f"{shown(name)} has {len(name):,} characters: a name has at most {LONGEST_NAME}"
            yield Fault(path, message, path[0] in ("people", "sources"))


@_reads("steps")
def _weights_rise(spec: CanarySpec) -> Iterator[Fault]:
    for index in range(1, len(spec.steps)):
        before, weight = spec.steps[index - 1].weight, spec.steps[index].weight
        if weight <= before:
            message = f"{weight:g} is not more than {before:g} of the step before: weights rise from step to step"
            yield Fault(("steps", index, "weight"), message)


@_reads("steps", "route", younger=True)
def _steps_can_be_done(spec: CanarySpec) -> Iterator[Fault]:
    yield from step_faults(spec)


@_reads("arms", "route", younger=True)
def _backends_can_be(spec: CanarySpec) -> Iterator[Fault]:
    yield from backend_faults(spec)


@_reads("route", younger=True)
def _names_can_be_written(spec: CanarySpec) -> Iterator[Fault]:
    yield from name_faults(spec)


@_reads("steps", "policy")
def _steps_hold_a_look(spec: CanarySpec) -> Iterator[Fault]:
    look = spec.policy.look
    for index, step in enumerate(spec.steps):
        if step.for_ < look:
            message = f"{format_duration(step.for_)} is shorter than one look (policy.look is {format_duration(look)})"
            yield Fault(("steps", index, "for"), f"{message}: the step would end unjudged; make it longer")


@_reads("steps", "people")
def _gates(spec: CanarySpec) -> Iterator[Fault]:
    yield from gate_faults(spec)


@_reads("people")
def _people(spec: CanarySpec) -> Iterator[Fault]:
    yield from people_faults(spec)


@_reads("steps", "people", younger=True)
def _same_people(spec: CanarySpec) -> Iterator[Fault]:
    yield from same_people_faults(spec)


@_reads("steps", "people", "notify")
def _reminders(spec: CanarySpec) -> Iterator[Fault]:
    yield from reminder_faults(spec)


@_reads("metrics")
def _metrics(spec: CanarySpec) -> Iterator[Fault]:
    names: set[str] = set()
    for index, metric in enumerate(spec.metrics):
        if metric.name in names:
            yield Fault(("metrics", index, "name"), f"{metric.name!r} is there already: each metric has its own name")
        names.add(metric.name)
        yield from metric_faults(metric, index)
    if not _guardrails(spec.metrics):
        yield Fault(("metrics",), "no metric is a guardrail, so nothing would roll back: give one role: guardrail")


@_reads("metrics", "promotion")
def _bake_has_limits(spec: CanarySpec) -> Iterator[Fault]:
    guardrails = _guardrails(spec.metrics)
    if not guardrails or spec.promotion.bake <= timedelta(0):
        return
    if not any(has_absolute_limit(metric) for metric in guardrails):
        first = next(index for index, metric in enumerate(spec.metrics) if metric.role == "guardrail")
        yield Fault(
            ("promotion", "bake"),
            f"a bake of {format_duration(spec.promotion.bake)} has no absolute limit to judge by: give a guardrail max "
            "(ratio) or objective (latency), add an slo or a threshold, or set promotion.bake to 0s",
            near=("metrics", first),
        )


@_reads("metrics", "steps")
def _requests_are_counted(spec: CanarySpec) -> Iterator[Fault]:
    if any(metric.kind in COUNTS_REQUESTS for metric in spec.metrics):
        return
    for index, step in enumerate(spec.steps):
        if step.min_requests:
            message = f"no metric counts requests, so {step.min_requests:,} never come: add a metric of kind"
            yield Fault(("steps", index, "min_requests"), f"{message} {listed(COUNTS_REQUESTS)}, or leave it out")


@_reads("metrics", "sources")
def _metrics_read_something(spec: CanarySpec) -> Iterator[Fault]:
    for index, metric in enumerate(spec.metrics):
        yield from missing_parts(metric, index, _kind_of(spec, metric))


@_reads("metrics", "sources")
def _metrics_suit_their_source(spec: CanarySpec) -> Iterator[Fault]:
    for index, metric in enumerate(spec.metrics):
        yield from reading_faults(metric, index, _kind_of(spec, metric))


@_reads("metrics", "arms", "route", "sources", younger=True)
def _templates_find_the_arms(spec: CanarySpec) -> Iterator[Fault]:
    yield from template_faults(spec)


def _kind_of(spec: CanarySpec, metric: Metric) -> str:
    """The kind of store a metric is read from; the first where its source is not there, which another rule says."""
    source = spec.sources.get(metric.source)
    return source.kind if source is not None else "prometheus"


@_reads("metrics", "sources")
def _metrics_have_sources(spec: CanarySpec) -> Iterator[Fault]:
    if not spec.sources:
        yield Fault(("sources",), "there is none, so no metric can be read: write sources: {prometheus: {url: ...}}")
        return
    for index, metric in enumerate(spec.metrics):
        if metric.source in spec.sources:
            continue
        if "source" not in metric.model_fields_set:
            message = f"which of {listed(spec.sources)}? Name one, or have one source only"
            yield Fault(("metrics", index, "source"), message)
        else:
            message = f"{metric.source!r} is not in sources{did_you_mean(metric.source, list(spec.sources))}"
            yield Fault(("metrics", index, "source"), message)


@_reads("policy")
def _policy(spec: CanarySpec) -> Iterator[Fault]:
    policy = spec.policy
    look = format_duration(policy.look)
    if policy.look < SHORTEST_LOOK:
        yield Fault(("policy", "look"), f"{look} is shorter than {format_duration(SHORTEST_LOOK)}, the shortest look")
    elif policy.no_data_limit < policy.look:
        limit = format_duration(policy.no_data_limit)
        message = f"{limit} is shorter than one look ({look}): data could not be missed that soon"
        yield Fault(("policy", "no_data_limit"), message)
    for key, chance in (("alpha", policy.alpha), ("beta", policy.beta)):
        if chance < SMALLEST_CHANCE:
            yield Fault(("policy", key), f"{chance:g} is too small: it must be at least {SMALLEST_CHANCE:g}")
    if policy.held.timeout <= timedelta(0):
        message = "must be longer than zero, or nobody could answer in time; to act at once choose roll_back above hold"
        yield Fault(("policy", "held", "timeout"), message)


@_reads("policy", "sources", "metrics")
def _looks_hold_a_scrape(spec: CanarySpec) -> Iterator[Fault]:
    used = {metric.source for metric in spec.metrics}
    look = spec.policy.look
    slowest = max(
        (source for name, source in spec.sources.items() if name in used),
        key=lambda source: source.every,
        default=None,
    )
    if slowest is not None and SHORTEST_LOOK <= look < slowest.every:
        name = next(name for name, source in spec.sources.items() if source is slowest)
        yield Fault(
            ("policy", "look"),
            f"{format_duration(look)} is shorter than the scrape interval of {name} "
            f"({format_duration(slowest.every)}): looks would be empty; make it at least as long",
            near=("sources", name, "scrape"),
        )


@_reads("sources")
def _sources(spec: CanarySpec) -> Iterator[Fault]:
    for name, source in spec.sources.items():
        yield from source_faults(name, source)


@_reads("hooks")
def _hooks(spec: CanarySpec) -> Iterator[Fault]:
    for hook, url in spec.hooks:
        problem = url_problem(url, BY_NAME, named=True) if url is not None else None
        if problem:
            yield Fault(("hooks", hook), problem)


@_reads("ledger", "route")
def _paths(spec: CanarySpec) -> Iterator[Fault]:
    paths: list[tuple[Path, str]] = [(("ledger", "path"), spec.ledger.path)]
    if spec.route.router == "envoy":
        paths += [(("route", "files", at), file) for at, file in enumerate(spec.route.options["files"])]
    for path, file in paths:
        if not file.strip() or "\0" in file:
            yield Fault(path, f"{shown(file)} cannot be a path: it is blank or holds a character no path has")


@_reads("ledger")
def _ledger(spec: CanarySpec) -> Iterator[Fault]:
    yield from ledger_faults(spec.ledger)


@_reads("notify")
def _notify(spec: CanarySpec) -> Iterator[Fault]:
    yield from notifier_faults(spec)


@_reads("diagnose")
def _diagnose(spec: CanarySpec) -> Iterator[Fault]:
    yield from diagnose_faults(spec.diagnose)


def _guardrails(metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.role == "guardrail"]


def router_faults(router: str, known: Collection[str], later: bool) -> list[Fault]:
    """What is wrong with the name of a router, given those that are there."""
    if router in known:
        return []
    names = sorted(known)
    if later:
        return [Fault(("route", "router"), f"the router '{router}' is not built yet (known: {listed(names)})")]
    return [Fault(("route", "router"), f"{router!r} is not a known router{did_you_mean(router, names)}")]

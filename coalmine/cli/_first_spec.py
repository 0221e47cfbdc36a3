"""The text of a first spec, with a comment where a person will want to change something. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z][\w-]*(/[\w.-]+)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True)
class Answers:
    """All that a first spec says."""

    service: str
    environment: str
    region: str | None
    baseline: tuple[str, str]
    """Version and backend."""
    canary: tuple[str, str]
    route: str
    files: Sequence[str]
    admins: Sequence[str]
    weights: Sequence[float]
    template: str
    """``envoy`` or ``http``."""
    latency: bool
    """Whether there is a histogram of times."""
    max_errors: float
    objective: tuple[str, float]
    approvers: Sequence[str]
    prometheus: str
    scrape: str
    service_label: str = ""
    """http: the label that names the service, where several report to this store."""
    code_label: str = "code"


def as_yaml(given: Answers) -> str:
    """The file."""
    lines = [
        f"# The canary of {' '.join(given.service.split())}. All keys: docs/spec.md. Try: coalmine validate --connect",
        f"service: {_scalar(given.service)}",
        f"environment: {_scalar(given.environment)}",
        *([f"region: {_scalar(given.region)}"] if given.region else []),
        "",
        "# CI writes the versions; after a promotion the canary's backend is the next baseline's.",
        "arms:",
        f"  baseline: {_arm(given.baseline)}",
        f"  canary: {_arm(given.canary)}",
        "",
        "route:",
        "  router: envoy",
        f"  name: {_scalar(given.route)}",
        f"  files: {_list(given.files)}    # on the worker's disk",
        f"  admins: {_list(given.admins)}    # of every Envoy that serves the route",
        "",
        "# How much traffic, and how long at least. The plan says whether a step is long enough to decide.",
        "steps:",
        *_steps(given),
        "",
        "# Errors and times of the canary against the baseline; max and objective are what the bake is judged by.",
        "metrics:",
        *_metrics(given),
        "",
        "policy:",
        f"  look: {'30s' if _seconds(given.scrape) <= 30 else given.scrape}",
        "",
        *([f"people: {{release: {_list(given.approvers)}}}", ""] if given.approvers else []),
        "notify:",
        "  - {kind: log}    # webhook, github_deployment ...: docs/hooks.md, docs/ci.md",
        "",
        "sources:",
        f"  prometheus: {{url: {_scalar(given.prometheus)}, scrape: {given.scrape}}}",
    ]
    return "\n".join(lines) + "\n"


def _steps(given: Answers) -> list[str]:
    steps = []
    for at, weight in enumerate(given.weights):
        gated = given.approvers and at == len(given.weights) - 1
        gate = ", gate: {approval: {by: [release]}}" if gated else ""
        steps.append(f"  - {{weight: {weight:g}, for: {'5m' if at == 0 else '10m'}{gate}}}")
    return steps


def _metrics(given: Answers) -> list[str]:
    limit, (under, share) = f"max: {given.max_errors:g}", given.objective
    objective = f"objective: {{under: {under}, share: {share:g}}}"
    own = f'{given.service_label}="{given.service}", ' if given.service_label else ""
    if given.template == "envoy" or (not own and given.code_label == "code"):
        lines = [f"  - {{name: errors, kind: ratio, template: {given.template}, {limit}}}"]
        latency = [f"  - {{name: latency, kind: latency, template: {given.template}, {objective}}}"]
    else:
        chosen = f'{own}version="{{arm.version}}"'
        failed = f'{chosen}, {given.code_label}=~"5.."'
        lines = [
            f"  - name: errors\n    kind: ratio\n    total: {_quoted(f'http_requests_total{{{chosen}}}')}",
            f"    events: {_quoted(f'http_requests_total{{{failed}}}')}\n    {limit}",
        ]
        bucket = _quoted(f"http_request_duration_seconds_bucket{{{chosen}}}")
        latency = [f"  - name: latency\n    kind: latency\n    buckets: {bucket}\n    {objective}"]
    return [
        *lines,
        *(latency if given.latency else ["  # No histogram of times was found: add a latency when there is."]),
    ]


def _seconds(text: str) -> float:
    from coalmine.spec.durations import parse_duration

    return parse_duration(text).total_seconds()


def _arm(arm: tuple[str, str]) -> str:
    return f"{{version: {json.dumps(arm[0], ensure_ascii=False)}, backend: {_scalar(arm[1])}}}"


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(_scalar(value) for value in values)}]"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    """In single quotes: selectors are full of double ones."""
    return "'" + text.replace("'", "''") + "'"

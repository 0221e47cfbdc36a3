"""The text of a first spec, with a comment where a person will want to change something. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from coalmine.cli._first_text import listed, quoted, scalar


@dataclass(frozen=True)
class Answers:
    """All that a first spec says."""

    service: str
    environment: str
    region: str | None
    baseline: tuple[str, str]
    """Version and backend."""
    canary: tuple[str, str]
    route: Sequence[str]
    """``route:``, as lines."""
    weights: Sequence[float]
    template: str
    """Of the errors; empty: ``errors`` has their selectors."""
    latency: str
    """The template of the times; empty: there is no histogram of them."""
    max_errors: float
    objective: tuple[str, float]
    approvers: Sequence[str]
    prometheus: str
    scrape: str
    own: str = ""
    """http: matchers of the service's own series, where several report to this store."""
    code_label: str = "code"
    errors: tuple[str, str] = ("", "")
    """Without a template: selectors of all requests and of those that failed."""


def as_yaml(given: Answers) -> str:
    """The file."""
    lines = [
        f"# The canary of {' '.join(given.service.split())}. All keys: docs/spec.md. Try: coalmine validate --connect",
        f"service: {scalar(given.service)}",
        f"environment: {scalar(given.environment)}",
        *([f"region: {scalar(given.region)}"] if given.region else []),
        "",
        "# CI writes the versions; after a promotion the canary's backend is the next baseline's.",
        "arms:",
        f"  baseline: {_arm(given.baseline)}",
        f"  canary: {_arm(given.canary)}",
        "",
        *given.route,
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
        *([f"people: {{release: {listed(given.approvers)}}}", ""] if given.approvers else []),
        "notify:",
        "  - {kind: log}    # webhook, github_deployment ...: docs/hooks.md, docs/ci.md",
        "",
        "sources:",
        f"  prometheus: {{url: {scalar(given.prometheus)}, scrape: {given.scrape}}}",
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
    own = f"{given.own}, " if given.own else ""
    chosen = f'{own}version="{{arm.version}}"'
    total, failed = given.errors
    if given.template == "http" and (own or given.code_label != "code"):
        total = f"http_requests_total{{{chosen}}}"
        failed = f'http_requests_total{{{chosen}, {given.code_label}=~"5.."}}'
    if total:
        ratio = f"kind: ratio\n    total: {quoted(total)}\n    events: {quoted(failed)}"
        lines = [f"  - name: errors\n    {ratio}\n    {limit}"]
    else:
        lines = [f"  - {{name: errors, kind: ratio, template: {given.template}, {limit}}}"]
    if not given.latency:
        return [*lines, "  # No histogram of times was found: add a latency when there is."]
    if given.latency == "http" and (own or given.code_label != "code"):
        bucket = quoted(f"http_request_duration_seconds_bucket{{{chosen}}}")
        return [*lines, f"  - name: latency\n    kind: latency\n    buckets: {bucket}\n    {objective}"]
    return [*lines, f"  - {{name: latency, kind: latency, template: {given.latency}, {objective}}}"]


def _seconds(text: str) -> float:
    from coalmine.spec.durations import parse_duration

    return parse_duration(text).total_seconds()


def _arm(arm: tuple[str, str]) -> str:
    return f"{{version: {json.dumps(arm[0], ensure_ascii=False)}, backend: {scalar(arm[1])}}}"

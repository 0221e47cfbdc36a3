"""What a spec will do and when, before anything is done: steps, looks, earliest promotion, bake and window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import Duration, format_duration
from coalmine.spec.metric_rules import has_absolute_limit
from coalmine.spec.steps import Step

FEW_LOOKS = 3
"""Fewer looks than this in one step leave a fault little time to show."""
LARGE_FIRST_WEIGHT = 25.0
"""Percent; a first step above it exposes many to an untried version."""


class PlanModel(BaseModel):
    """Base of what a plan is made of; durations are ``5m`` in JSON."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)


class PlannedStep(PlanModel):
    """One step. ``starts`` is the earliest offset from the start of the rollout, when every gate opens at once."""

    number: int
    """Counted from 1."""
    weight: float
    starts: Duration
    lasts: Duration
    looks: int
    min_requests: int = 0
    gate: str | None = None
    """Name of the gate before the step."""
    waits: str | None = None
    """What the gate waits for, in words."""
    gate_timeout: Duration | None = None


class Plan(PlanModel):
    """The earliest course of a rollout; all times are offsets from its start."""

    steps: list[PlannedStep]
    looks: int = Field(ge=1)
    """Looks planned over all steps: the sum of their ``for``, divided by ``look``."""
    promotes: Duration
    """Earliest moment at 100 %."""
    bake_ends: Duration
    window_ends: Duration
    longest: Duration
    """Latest moment at 100 % when every gate and every extension is used up to its limit."""
    warnings: list[str] = []


def plan(spec: CanarySpec) -> Plan:
    """The plan of a valid spec."""
    steps: list[PlannedStep] = []
    at = longest = timedelta(0)
    for index, step in enumerate(spec.steps):
        planned = _planned_step(step, index, at, spec.policy.look)
        steps.append(planned)
        at += step.for_
        longest += step.for_ + spec.policy.max_extension + (planned.gate_timeout or timedelta(0))
    bake_ends = at + spec.promotion.bake
    return Plan(
        steps=steps,
        looks=max(at // spec.policy.look, 1),
        promotes=at,
        bake_ends=bake_ends,
        window_ends=bake_ends + spec.promotion.rollback_window,
        longest=longest,
        warnings=list(_warnings(spec, steps)),
    )


def _planned_step(step: Step, index: int, at: timedelta, look: timedelta) -> PlannedStep:
    gate = waits = timeout = None
    if step.gate is not None and step.gate.approval is not None:
        approval = step.gate.approval
        gate = step.gate.name or f"step-{index + 1}"
        waits = f"approval by {approval.count} of {', '.join(approval.by) or 'anyone'}"
        timeout = approval.timeout
    return PlannedStep(
        number=index + 1,
        weight=step.weight,
        starts=at,
        lasts=step.for_,
        looks=step.for_ // look,
        min_requests=step.min_requests,
        gate=gate,
        waits=waits,
        gate_timeout=timeout,
    )


def _warnings(spec: CanarySpec, steps: list[PlannedStep]) -> Iterator[str]:
    policy = spec.policy
    for step in steps:
        if step.looks < FEW_LOOKS:
            looks = "1 look" if step.looks == 1 else f"{step.looks} looks"
            yield (
                f"step {step.number} ({step.weight:g} %) lasts {format_duration(step.lasts)}, {looks} of "
                f"{format_duration(policy.look)}: little time for a fault to show"
            )
    first = steps[0].weight
    if first > LARGE_FIRST_WEIGHT:
        yield f"the first step gives the canary {first:g} % at once: a smaller one exposes fewer to a bad release"
    if spec.promotion.bake > timedelta(0):
        for metric in spec.metrics:
            if metric.role == "guardrail" and not has_absolute_limit(metric):
                limit = {"ratio": "no max", "latency": "no objective"}.get(metric.kind, "no absolute limit")
                yield f"{metric.name} has {limit}: it is not judged during the bake"
    else:
        yield "there is no bake: nothing is watched at 100 %"
    if policy.held.action == "promote":
        timeout = format_duration(policy.held.timeout)
        yield f"a held rollout that nobody answers is promoted after {timeout}, whatever held it"
    for name, source in spec.sources.items():
        if source.insecure_skip_verify:
            yield f"source {name} trusts any certificate"

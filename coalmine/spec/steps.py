"""The way up as a user writes it: steps, and the gates before them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from coalmine.spec.base import SpecModel
from coalmine.spec.durations import Duration

FINEST_WEIGHT = Decimal("0.01")
"""Smallest difference between weights, in percent: routers count in ten-thousandths."""


def _weight_in_hundredths(weight: float) -> float:
    if Decimal(str(weight)) % FINEST_WEIGHT:
        raise ValueError(f"{weight!r} is finer than 0.01 %, the smallest weight: round it")
    return weight


class Escalation(SpecModel):
    """Whom else to tell when a gate has waited long."""

    after: Duration = Field(description="How long the gate waits before. Shorter than its `timeout`.", examples=["2h"])
    to: list[str] = Field(
        min_length=1,
        description="Names of channels of `notify`, groups of `people`, or single identities, who are named in the "
        "message.",
        examples=[["pager", "leads"]],
    )


class ApprovalGate(SpecModel):
    """People who must say yes. ``by`` names groups of ``people`` or single identities; empty = anyone."""

    by: list[str] = Field(
        default=[],
        description="Groups of `people`, or single identities, that may approve. Empty: anyone.",
        examples=[["sre"]],
    )
    count: int = Field(default=1, ge=1, description="How many different people must approve.")
    timeout: Duration = Field(default=timedelta(hours=4), description="How long the gate waits for them.")
    on_timeout: Literal["roll_back", "hold"] = Field(
        default="roll_back", description="What happens when nobody answered in time."
    )
    remind: Duration | None = Field(
        default=None,
        description="How often people are told again while it waits, at least 1m. Absent: once, when it begins.",
        examples=["30m"],
    )
    escalate: Escalation | None = Field(default=None, description="Who else is told when nobody answers for long.")
    verified: bool = Field(default=False, description="Only signed decisions count.")
    four_eyes: bool = Field(
        default=False, description="Who started the rollout, or is among its authors, may not approve."
    )
    break_glass: bool = Field(
        default=True, description="Whether the gate can be opened, or passed by `promote`, without its people."
    )

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the younger keys where nobody said them: a spec of before keeps its digest."""
        younger = {"verified": False, "four_eyes": False, "break_glass": True}
        said = {key: value for key, value in handler(self).items() if value is not None}
        return {key: value for key, value in said.items() if key not in younger or value is not younger[key]}


class Gate(SpecModel):
    """Something that must be true before a step."""

    name: str | None = Field(
        default=None,
        min_length=1,
        description="What `approve` and `reject` call it. Absent: `step-<n>`, counted from 1.",
    )
    approval: ApprovalGate | None = Field(default=None, description="People who must say yes before the step.")


class Step(SpecModel):
    """A weight (percent), how long and for how many canary requests at least, and the gate before it."""

    weight: Annotated[float, AfterValidator(_weight_in_hundredths)] = Field(
        gt=0,
        lt=100,
        description="Percent of the traffic the canary receives, in steps of 0.01. Rises from step to step; "
        "100 comes by itself after the last.",
        examples=[10],
    )
    for_: Annotated[Duration, Field(alias="for")] = Field(
        default=timedelta(minutes=5), description="How long the step lasts at least. At least one look."
    )
    min_requests: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="How many requests the canary must have served in this step at least.",
    )
    gate: Gate | None = Field(default=None, description="What must be true before the step begins.")

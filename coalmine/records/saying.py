"""What people and CI say to a rollout, and what they hear back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from coalmine.records.base import Phase, Record
from coalmine.records.traffic import Check
from coalmine.spec.canary import CanarySpec
from coalmine.spec.durations import Duration


class Submission(Record):
    """A start: the spec, who asked, and whether automation did."""

    spec: CanarySpec
    by: str
    automated: bool = False
    reason: str = ""
    advise: bool = False


class CommandInput(Record):
    """The payload of every signal and update people send: ``{"by": "ana", "reason": "ok"}``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    by: str = Field(min_length=1)
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    for_: Duration | None = Field(default=None, alias="for")


class CommandReceipt(Record):
    """The answer to a command that was taken."""

    message: str
    phase: Phase


class CanaryInput(Record):
    """The input of the workflow ``Canary``. ``carried`` is set by continue-as-new only."""

    service: str
    environment: str
    region: str | None = None
    submission: Submission | None = None
    carried: dict[str, Any] | None = None


class Receipt(Record):
    """The answer to a submission."""

    disposition: Literal["started", "attached", "promoted", "blocked", "rejected"]
    workflow_id: str
    run_id: str = ""
    rollout_id: str = ""
    version: str = ""
    phase: Phase = Phase.ADMITTING
    checks: list[Check] = []
    reason: str = ""

"""What people and CI say to a rollout, and what they hear back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

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
    authors: list[str] = []
    """Who wrote the change: where a gate asks for four eyes, theirs do not count."""


class CommandInput(Record):
    """The payload of every signal and update people send: ``{"by": "ana", "reason": "ok"}``."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    by: str = Field(min_length=1)
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    for_: Duration | None = Field(default=None, alias="for")
    token: str | None = Field(default=None, repr=False)
    """A signed decision (docs/identity.md)."""
    break_glass: bool = False
    """Open the gate without the people it asks for."""

    @model_serializer(mode="wrap")
    def _without_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not said: a rollout pinned to an older worker does not know it."""
        said: dict[str, Any] = handler(self)
        return {key: value for key, value in said.items() if key not in ("token", "break_glass") or value}


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

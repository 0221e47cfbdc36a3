"""What people and CI say to a rollout, and what they hear back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from coalmine.records.base import Cause, Outcome, Phase, Record
from coalmine.records.moments import Moment
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
    during_freeze: bool = False
    """A person starts it though the service is frozen: loud, and on record."""
    authors: list[str] = []
    """Who wrote the change: where a gate asks for four eyes, theirs do not count."""
    token: str = ""
    """A signature or a token of CI that proves who starts it."""
    trace: str = ""
    """The trace it was sent in, as W3C writes it (``traceparent``): what it brings about belongs there."""
    received: Moment | None = None
    """When a workflow took it that was busy: set by that workflow alone."""


class Waiting(Record):
    """A submission that was accepted, and starts once those before it are over."""

    submission: Submission
    at: Moment | None = None
    supersedes: bool = False
    """It does not wait for the running one to end by itself; another that supersedes takes its place."""


class Ended(Record):
    """A version of this service that is over, or never began: for those who wait for its outcome."""

    version: str
    outcome: Outcome | None = None
    cause: Cause | None = None
    exit: int | None = None
    reason: str = ""
    rollout_id: str = ""
    """Empty when it never began."""
    run_id: str = ""
    at: Moment | None = None


class Line(Record):
    """Who waits for the running rollout, in order, and who is over already. Carried from run to run."""

    waiting: list[Waiting] = []
    ended: list[Ended] = []


class Place(Record):
    """One that waits, as ``status`` shows it."""

    position: int
    """From 1."""
    version: str
    by: str
    at: Moment | None = None
    supersedes: bool = False


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


class Withdrawal(Record):
    """The payload of the update ``withdraw``: a version that waits is not to start."""

    version: str
    by: str
    reason: str = ""


class CommandReceipt(Record):
    """The answer to a command that was taken."""

    message: str
    phase: Phase


class CanaryInput(Record):
    """The input of the workflow ``Canary``. ``carried`` and ``line`` are set by continue-as-new only."""

    service: str
    environment: str
    region: str | None = None
    submission: Submission | None = None
    carried: dict[str, Any] | None = None
    line: Line = Line()
    """Those who wait behind ``submission``."""


class Receipt(Record):
    """The answer to a submission."""

    disposition: Literal["started", "attached", "promoted", "blocked", "rejected", "queued"]
    workflow_id: str
    run_id: str = ""
    rollout_id: str = ""
    version: str = ""
    phase: Phase = Phase.ADMITTING
    checks: list[Check] = []
    reason: str = ""
    position: int = 0
    """Of a queued one: its place in line, from 1."""

"""What the fleet of an environment keeps, is asked, and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from coalmine.records.base import Record, RolloutContext


class Ban(Record):
    """A version automation may not start again until a human lifts it."""

    service: str
    version: str
    region: str | None = None
    by: str = ""
    reason: str = ""
    at: datetime | None = None
    rollout_id: str = ""


class FleetRequest(Record):
    """What a rollout or a person asks of the fleet. ``admit`` is answered by the signal ``fleet_answer``."""

    verb: Literal["admit", "ban", "unban"]
    environment: str
    service: str
    version: str
    region: str | None = None
    workflow_id: str = ""
    run_id: str = ""
    request_id: str = ""
    by: str = ""
    automated: bool = False
    reason: str = ""
    rollout_id: str = ""
    context: RolloutContext | None = None


class FleetAnswer(Record):
    """The fleet's answer to ``admit``: the number of the rollout, and the ban if there is one."""

    request_id: str
    number: int
    ban: Ban | None = None


class FleetState(Record):
    """One environment: who is banned, and how many rollouts each version had. Carried over continue-as-new."""

    environment: str
    bans: list[Ban] = []
    numbers: dict[str, int] = {}
    """Rollouts so far, by ``<service>[/<region>]/<version>``."""
    answered: dict[str, FleetAnswer] = {}
    """The last answers by request id: a repeated request gets the same number."""

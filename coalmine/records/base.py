"""What all records share: the model, names of phases, outcomes and verbs, ids, and queues."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

TASK_QUEUE = "coalmine"
"""Workflows, routes and looks."""
TASK_TIMEOUT = timedelta(seconds=2)
"""How long the server waits for a worker that took a workflow task before it gives the task to another."""
ASKED_TOO_EARLY = "something happened since the last workflow task: ask again"
"""What a query is answered that a worker took up before the task with the events that came first."""
NEVER_COMPLETED = "the task before this one was never completed: the workflow is read again from its history"
"""What it is answered where its worker had taken in a task that was another's, and came to nothing there."""
STOOD_STILL = "[TMPRL1101]"
"""The SDK's mark where its worker did not get to the end within 2 s, as one that was frozen or starved meanwhile."""
ASK_AGAIN = (ASKED_TOO_EARLY, NEVER_COMPLETED, STOOD_STILL)
"""Answers that say nothing of the workflow: whoever asks once more is told."""
SIDE_TASK_QUEUE = "coalmine-side"
"""Messages to people, diagnoses, archives: what may hang without delaying a rollback."""
HOOK_TASK_QUEUE = "coalmine-hooks"
"""Hooks and load: users' own services, which may hang without delaying a message to people either."""


class Record(BaseModel):
    """Base of all records: unknown fields of newer versions are let through, never an error."""

    model_config = ConfigDict(
        extra="ignore", populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="strings"
    )


class Phase(StrEnum):
    """Where a rollout stands."""

    ADMITTING = "admitting"
    GATED = "gated"
    STEPPING = "stepping"
    HELD = "held"
    PROMOTING = "promoting"
    BAKING = "baking"
    WINDOW = "window"
    ROLLING_BACK = "rolling_back"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How a closed rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class Cause(StrEnum):
    """What brought the outcome about."""

    ANALYSIS = "analysis"
    INCIDENT = "incident"
    DEADLINE = "deadline"
    HUMAN = "human"
    ERROR = "error"


class Action(StrEnum):
    """What one look decides."""

    CONTINUE = "continue"
    ADVANCE = "advance"
    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Verb(StrEnum):
    """What people can say to a rollout."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    EXTEND = "extend"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


VerdictName = Literal["pass", "fail", "inconclusive", "no_data"]
Measure = Literal["odds ratio", "rate ratio", "difference", "burn rate"]
"""What an effect is: a ratio of canary to baseline, their difference, or how fast the canary uses the error budget."""
Weights = dict[str, float]
"""Percent of traffic by backend; the values sum to 100."""


def canary_id(environment: str, service: str, region: str | None = None) -> str:
    """The workflow id of a canary: the lock of its service, environment and region (I6)."""
    return "/".join(part for part in ("canary", environment, service, region) if part)


EVERYWHERE = "*"
"""Stands for every environment: no environment can have this name."""


def fleet_id(environment: str) -> str:
    """The workflow id of an environment's fleet; of ``EVERYWHERE``, of the one that keeps what holds for all."""
    return f"fleet/{environment}"


def rollout_id(environment: str, service: str, region: str | None, version: str, number: int | str) -> str:
    """``<environment>/<service>[/<region>]/<version>/<n>``; of a rollout that got no number, ``n`` is its run's id."""
    return "/".join(part for part in (environment, service, region, version, str(number)) if part)


class RolloutContext(Record):
    """Which rollout an activity works for: bound to every log line it writes. ``step`` counts from 0."""

    rollout_id: str = ""
    service: str = ""
    environment: str = ""
    region: str | None = None
    version: str = ""
    step: int | None = None
    look: int | None = None

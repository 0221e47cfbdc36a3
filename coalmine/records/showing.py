"""What a rollout shows: status, decisions, and the final report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coalmine.records.base import Action, Cause, Outcome, Phase, Record, Verb, Weights
from coalmine.records.diagnosis import Diagnosis
from coalmine.records.evaluation import MetricVerdict
from coalmine.records.moments import Moment
from coalmine.records.record import ChainTip, LedgerEntry
from coalmine.records.saying import Ended, Place
from coalmine.records.traffic import Check
from coalmine.spec.durations import Duration


class GateStatus(Record):
    """A gate: whether it waits, and who has said what."""

    name: str
    step: int
    attempt: int = 1
    state: Literal["closed", "waiting", "open"] = "closed"
    by: list[str] = []
    """Groups or people who may approve; empty = anyone."""
    count: int = 1
    approvals: list[str] = []
    deadline: Moment | None = None


class StepStatus(Record):
    """One step and how far it is."""

    weight: float
    for_: Duration = Field(alias="for")
    min_requests: int = 0
    gate: str | None = None
    state: Literal["todo", "now", "done"] = "todo"
    started_at: Moment | None = None


class Refusal(Record):
    """An input that was refused, and why."""

    at: Moment
    verb: str
    reason: str
    by: str = ""
    input: str = ""


class RolloutStatus(Record):
    """Everything a person or a tool wants to know of a rollout now: the answer to the query ``status``."""

    phase: Phase
    outcome: Outcome | None = None
    cause: Cause | None = None
    exit: int | None = None
    """The exit code (docs/cli.md), None while open."""
    reason: str = ""
    service: str
    environment: str
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    rollout_id: str = ""
    workflow_id: str = ""
    run_id: str = ""
    by: str = ""
    starter: str = ""
    """Who proved to have started it; empty = ``by`` is what was said, unproved."""
    automated: bool = False
    advise: bool = False
    step: int = 0
    """Index of the current step, from 0."""
    steps: list[StepStatus] = []
    weights: Weights = {}
    canary_weight: float = 0.0
    generation: int = 0
    looks: int = 0
    planned_looks: int = 0
    verdicts: list[MetricVerdict] = []
    unmet: list[str] = []
    """What stands between now and the next step, in words."""
    next_look_at: Moment | None = None
    step_ends_at: Moment | None = None
    deadline_at: Moment | None = None
    """When the bake, the rollback window, a hold or a waiting gate ends."""
    gate: GateStatus | None = None
    paused: bool = False
    held_reason: str = ""
    canary_requests: int = 0
    step_requests: int = 0
    history_note: str = ""
    """What is known of the service's noise, in plain words."""
    restored: bool | None = None
    restore_failure: str = ""
    """Why the last try to restore the route did not do: which proxies show it already, and which do not."""
    restore_tries: int = 0
    """After a rollback: whether the router reads back the snapshot. None before one."""
    refused: list[Refusal] = []
    can_send: list[Verb] = []
    diagnosis: Diagnosis | None = None
    """What points to the cause of the last rollback or hold."""
    ledger_backlog: int = 0
    sequence: int = 0
    """Of the record's last entry: it grew when this did. 0 = an older worker answers, which does not tell."""
    waiting: list[Place] = []
    """Other versions that start after this one, in order."""
    ended: list[Ended] = []
    """Versions that were over, or were told that they will not start, before this one; the newest last."""
    started_at: Moment | None = None
    closed_at: Moment | None = None


class DecisionLog(Record):
    """The answer to the query ``decisions``: newest last, the oldest may have moved on to the ledger."""

    entries: list[LedgerEntry] = []
    refused: list[Refusal] = []
    dropped: int = 0


class RolloutReport(Record):
    """The result of the workflow: what happened and why."""

    outcome: Outcome | None
    """None for an advised rollout, which shifted nothing; see ``advice``."""
    reason: str
    cause: Cause | None = None
    exit: int = 0
    rollout_id: str = ""
    service: str = ""
    environment: str = ""
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    by: str = ""
    advice: Action | None = None
    weights: Weights = {}
    looks: int = 0
    canary_requests: int = 0
    started_at: Moment | None = None
    closed_at: Moment | None = None
    seconds_to_restore: float | None = None
    """From the decision to roll back until the router read back right."""
    verdicts: list[MetricVerdict] = []
    checks: list[Check] = []
    diagnosis: Diagnosis | None = None
    decisions: list[LedgerEntry] = []
    ledger_complete: bool = True
    ledger_tip: ChainTip | None = None
    """Where the ledger's chain ended: ``coalmine ledger verify --connect`` finds by it what was cut off since."""

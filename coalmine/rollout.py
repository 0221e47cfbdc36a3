"""The state of one rollout: everything a continue-as-new must carry, in one serialisable structure.

Pure: what may be said in which phase is in ``coalmine.commands``, what follows from a look in ``coalmine.decisions``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from coalmine.backlog import put_by
from coalmine.exit_codes import advised_exit_code, exit_code
from coalmine.gates import Approval, GateState, approval_of, gate_name
from coalmine.identity.names import folded
from coalmine.records import (
    Action,
    Cause,
    ChainTip,
    Check,
    Diagnosis,
    Drift,
    Evidence,
    Finding,
    Identity,
    Judge,
    LedgerEntry,
    Line,
    MetricVerdict,
    Moment,
    Notification,
    Outcome,
    Phase,
    Record,
    Refusal,
    RolloutContext,
    RouteState,
    ServiceHistory,
    SlotPlace,
    Submission,
    Verb,
    Weights,
    Window,
)
from coalmine.spec.canary import CanarySpec
from coalmine.spec.steps import Step

KEPT_DECISIONS = 60
"""Entries the query ``decisions`` still shows; older ones are in the ledger."""
KEPT_REFUSALS = 20


class Order(Record):
    """What a human ordered and the workflow has yet to do: roll back, reject or promote."""

    verb: Verb
    by: str
    reason: str = ""
    ending: Outcome | None = None
    """What a rollback is to end as, when not by its verb."""


class HeldState(Record):
    """Why the rollout is held, until when, and where it goes when resumed."""

    finding: str
    """The finding or deadline that held it; resuming acknowledges it."""
    reason: str
    since: Moment
    deadline: Moment
    resume_to: Phase


class PendingDiagnosis(Record):
    """A rollback or a hold whose cause is yet to be looked for."""

    decision: Literal["roll_back", "hold"]
    reason: str
    at: Moment
    window: Window
    metrics: list[str] = []
    """Names of those to break down, the most suspicious first."""
    compare: bool = True
    share: float | None = None
    """The canary's part of the traffic, 0-1."""


class RolloutState(Record):
    """One rollout, from submission to report."""

    submission: Submission
    by_older_rules: bool = False
    """This run began at a worker that told unsigned names apart by their every character, and let a signed promote past
    verified gates without a reason. It goes on so: what it decided must come out the same when it is replayed."""
    starter: Identity | None = None
    """Who proved to have started it."""
    workflow_id: str = ""
    run_id: str = ""
    rollout_id: str = ""
    number: int = 0
    phase: Phase = Phase.ADMITTING
    outcome: Outcome | None = None
    ending: Outcome | None = None
    """What the outcome will be once the route is restored."""
    cause: Cause | None = None
    reason: str = ""
    advice: Action | None = None
    cancelled: bool = False
    started_at: Moment | None = None
    closed_at: Moment | None = None
    checks: list[Check] = []
    history: ServiceHistory | None = None
    history_note: str = ""
    prepared: bool = False
    """The hook ``prepare`` was called: ``rolled_back`` has something to undo."""

    snapshot: RouteState | None = None
    weights: Weights = {}
    generation: int = 0
    written: bool = False
    """A write was attempted: from here on every end but ``promoted`` restores the snapshot."""
    lease: float = 0.0
    """Of an advisory router: seconds for which an older write can still come through."""
    reconcile_at: Moment | None = None
    """When the route is read again after the last write to such a router."""
    restored: bool | None = None
    restore_began: Moment | None = None
    restore_seconds: float | None = None
    restore_tries: int = 0
    restore_failure: str = ""
    """Why the last try failed."""
    back_from: Weights = {}
    """Where a rollback in steps began; empty: it goes back at once, or none has begun."""
    back_steps: int = 0
    """Of it, confirmed so far."""
    at_once: bool = False
    """No further steps: somebody said so, or one could not be taken."""
    restore_told: int = 0
    """How often people were told that it takes long."""

    step: int = -1
    """Index of the current step; -1 before the first."""
    step_started: Moment | None = None
    step_extra: float = 0.0
    """Seconds a human added to this step."""
    step_requests: int = 0
    canary_requests: int = 0

    planned_looks: int = 0
    looks: int = 0
    next_look: Moment | None = None
    collected_until: dict[str, Moment] = {}
    """By metric: the end of the last window that was collected. The next one starts there."""
    fresh_step: bool = False
    """The next look is the first of a step."""
    share_from: Moment | None = None
    """Since when the canary's share has been what it is now."""
    evidence: Evidence | None = None
    bake_evidence: Evidence | None = None
    verdicts: list[MetricVerdict] = []
    finding: Finding | None = None
    finding_reason: str = ""
    no_data_since: Moment | None = None
    told_no_data: bool = False

    drift: Drift | None = None
    """What the last look found instead of our own weights; None when they are there."""
    drifts: int = 0
    """Looks in a row that found it so."""
    left_before: Drift | None = None
    """What a run before a reset had left instead of the weights of the step that this one goes on from."""

    to_diagnose: PendingDiagnosis | None = None
    diagnosis: Diagnosis | None = None
    """What points to the cause of the last rollback or hold."""

    paused: bool = False
    paused_at: Moment | None = None
    order: Order | None = None
    held: HeldState | None = None
    overridden: bool = False
    """A human, or the policy of a hold, said promote: what a look would ask a human about is answered."""
    acknowledged: list[str] = []
    gates: list[GateState] = []
    bake_ends: Moment | None = None
    window_ends: Moment | None = None
    line: Line = Line()
    """Who starts after this one."""
    next_submission: Submission | None = None
    """Where rollouts that began before there was a line kept who starts next."""

    to_archive: list[str] = []
    """Earlier runs of this rollout whose history is not kept beside the ledger yet."""
    slot_request: str = ""
    """Under which id the fleet keeps a slot for this rollout, or its place among those that wait; empty: neither."""
    slot: SlotPlace | None = None
    """Where it stood when the fleet last answered, while it waits."""
    unmet: list[str] = []
    promotion_waits: bool = False
    """100 % is decided, and not written yet: the ledger has to take it first, and people may pause it."""
    sequence: int = 0
    backlog: list[LedgerEntry] = []
    """Entries the ledger has not taken yet."""
    ledger_tip: ChainTip | None = None
    """Where the ledger's chain ended after the last write."""
    unwritten: int = 0
    """Looks and refused words the ledger never took: its outage outlasted the backlog. Temporal's history has them."""
    urgent: bool = False
    """The backlog holds more than looks: write it now."""
    log: list[LedgerEntry] = []
    dropped: int = 0
    refused: list[Refusal] = []
    reset_at: Moment | None = None
    """When the reset was made that this run came of: what was signed before may have been used then."""
    used_tokens: dict[str, Moment] = {}
    """Signed decisions that were taken, by ``jti``: until they expire, and while a copy that came before is checked."""
    outbox: list[Notification] = []

    @classmethod
    def begin(cls, submission: Submission, workflow_id: str, run_id: str, now: datetime) -> RolloutState:
        """The state of a rollout that was just submitted."""
        spec = submission.spec
        return cls(
            submission=submission,
            workflow_id=workflow_id,
            run_id=run_id,
            started_at=now,
            gates=[
                GateState(name=gate_name(spec, index), step=index)
                for index, step in enumerate(spec.steps)
                if step.gate is not None and step.gate.approval is not None
            ],
        )

    @property
    def spec(self) -> CanarySpec:
        """The spec as it was submitted."""
        return self.submission.spec

    @property
    def advise(self) -> bool:
        """Judge and report, never shift traffic."""
        return self.submission.advise

    @property
    def stage_is_bake(self) -> bool:
        """All traffic is on the canary: there is no concurrent baseline."""
        return self.phase is Phase.BAKING or (self.held is not None and self.held.resume_to is Phase.BAKING)

    @property
    def before_full(self) -> bool:
        """The promotion has not begun: the baseline has traffic still."""
        return not self.stage_is_bake and self.phase in (Phase.ADMITTING, Phase.GATED, Phase.STEPPING, Phase.HELD)

    @property
    def current_step(self) -> Step | None:
        """The step the rollout is in, None before the first."""
        return self.spec.steps[self.step] if 0 <= self.step < len(self.spec.steps) else None

    @property
    def is_last_step(self) -> bool:
        """The next step up is 100 %."""
        return self.step == len(self.spec.steps) - 1

    @property
    def step_ends(self) -> datetime | None:
        """When the step's time (and what a human added) is over."""
        step = self.current_step
        if step is None or self.step_started is None:
            return None
        return self.step_started + step.for_ + timedelta(seconds=self.step_extra)

    @property
    def exit_code(self) -> int | None:
        """The exit code (docs/cli.md), None while open."""
        if self.outcome is None:
            return advised_exit_code(self.advice) if self.phase is Phase.CLOSED else None
        return exit_code(self.outcome, self.cause)

    def canary_share(self) -> float:
        """The canary's configured share of traffic now, in percent."""
        return self.weights.get(self.spec.arms.canary.backend, 0.0)

    def step_weights(self, index: int) -> Weights:
        """Absolute weights of a step; one past the last is the promotion."""
        canary = 100.0 if index >= len(self.spec.steps) else self.spec.steps[index].weight
        arms = self.spec.arms
        return {arms.baseline.backend: round(100.0 - canary, 4), arms.canary.backend: canary}

    def gate_before(self, index: int) -> GateState | None:
        """The gate before step ``index``, if there is one."""
        return next((gate for gate in self.gates if gate.step == index), None)

    def put_by(self, entry: LedgerEntry) -> None:
        """Keep an entry for the ledger, however long it is out."""
        self.unwritten += put_by(self.backlog, entry)

    def waiting_gate(self) -> GateState | None:
        """The gate that waits for people now; none once the rollout went past it, by ``promote`` too."""
        if self.past_gates:
            return None
        ahead = (gate for gate in self.gates if gate.step > self.step and gate.waiting_since is not None)
        return next((gate for gate in ahead if not self.gate_open(gate)), None)

    @property
    def past_gates(self) -> bool:
        """All traffic is on the canary, or on its way there."""
        return self.stage_is_bake or self.phase in (Phase.PROMOTING, Phase.WINDOW)

    def gate_open(self, gate: GateState) -> bool:
        """Enough distinct people approved this attempt."""
        given = [yes for yes in gate.approvals if yes.attempt == gate.attempt]
        return any(yes.break_glass and self.counts(gate, yes) for yes in given) or (
            self.yeses(gate) >= approval_of(self.spec, gate.step).count
        )

    def yeses(self, gate: GateState) -> int:
        """How many different people's yes counts at this attempt."""
        given = [yes for yes in gate.approvals if yes.attempt == gate.attempt and self.counts(gate, yes)]
        return len({self.person(yes.by, verified=yes.verified) for yes in given})

    def person(self, name: str, *, verified: bool) -> str:
        """The form by which two names are the same person to this rollout."""
        if self.by_older_rules:
            return name.casefold() if verified else name
        return folded(name)

    def counts(self, gate: GateState, given: Approval) -> bool:
        """Where verified people are asked for, nobody else's word counts."""
        return given.verified or not approval_of(self.spec, gate.step).verified

    def context(self) -> RolloutContext:
        """Which rollout this is, for the log lines of whatever works for it."""
        arms = self.spec.arms
        return RolloutContext(
            rollout_id=self.rollout_id,
            service=self.spec.service,
            environment=self.spec.environment,
            region=self.spec.region,
            version=arms.canary.version,
            step=self.step if self.step >= 0 else None,
            look=self.looks + 1 if self.next_look is not None else None,
        )

    def judge(self) -> Judge:
        """What the judge needs besides counts."""
        return Judge(
            metrics=self.spec.metrics,
            policy=self.spec.policy,
            planned_looks=max(self.planned_looks, 1),
            history=self.history,
        )

    def settle(self) -> timedelta:
        """How long ago a window must end for its samples to be scraped and flushed (docs/prometheus.md)."""
        used = {metric.source for metric in self.spec.metrics}
        lags = [source.every + source.flush for name, source in self.spec.sources.items() if name in used]
        return max(lags, default=timedelta(0))

    def deadline(self) -> datetime | None:
        """When the hold, the waiting gate, the bake or the rollback window ends."""
        if self.held is not None:
            return self.held.deadline
        if self.phase is Phase.BAKING:
            return self.bake_ends
        if self.phase is Phase.WINDOW:
            return self.window_ends
        gate = self.waiting_gate()
        return gate.deadline if gate else None

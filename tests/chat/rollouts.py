"""Rollouts without Temporal, for the chat app: the real states, the real rules (``coalmine.commands``), in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from coalmine import command_input, commands, console
from coalmine.client import RolloutRef, RolloutRow
from coalmine.errors import RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.records import (
    CommandReceipt,
    DecisionLog,
    Identity,
    LedgerEntry,
    MetricVerdict,
    Outcome,
    Phase,
    RolloutStatus,
    Verb,
)
from coalmine.rollout import HeldState, RolloutState
from coalmine.spec.canary import CanarySpec
from tests.workflows.specs import make_spec, make_submission

DOWN = "Temporal at 127.0.0.1:7233 did not answer within 10 s"


def gated_spec(service: str = "checkout", environment: str = "test", **approval: Any) -> CanarySpec:
    """Two steps, with a gate before the second."""
    return make_spec(
        service=service,
        environment=environment,
        steps=[
            {"weight": 10, "for": "1m"},
            {"weight": 50, "for": "1m", "gate": {"name": "go", "approval": {"by": ["sre"], **approval}}},
        ],
        people={"sre": ["ana@example.org", "bo@example.org"]},
    )


def make_state(phase: Phase = Phase.STEPPING, spec: CanarySpec | None = None, number: int = 1) -> RolloutState:
    """A rollout in a phase, as the workflow would have it."""
    now = datetime.now(UTC)
    spec = spec or gated_spec()
    workflow_id = f"canary/{spec.environment}/{spec.service}"
    state = RolloutState.begin(make_submission(spec), workflow_id, f"run-{number}", now)
    state.rollout_id = f"{spec.environment}/{spec.service}/{spec.arms.canary.version}/{number}"
    state.phase, state.step, state.step_started = phase, 0, now
    state.weights = {"checkout-v1": 90.0, "checkout-v2": 10.0}
    state.verdicts = [
        MetricVerdict(
            verdict="inconclusive", metric="errors", sentence="errors: 1 % against 1 %, not enough requests yet"
        )
    ]
    if phase is Phase.ADMITTING:
        state.step = -1
    if phase is Phase.GATED:
        state.gates[0].waiting_since, state.gates[0].deadline = now, now + timedelta(hours=4)
    if phase is Phase.HELD:
        later = now + timedelta(hours=4)
        state.held = HeldState(finding="signal", reason="slow", since=now, deadline=later, resume_to=Phase.STEPPING)
    if phase is Phase.BAKING:
        state.bake_ends = now + timedelta(hours=1)
    if phase is Phase.WINDOW:
        state.window_ends = now + timedelta(hours=1)
        state.outcome = Outcome.PROMOTED
    if phase is Phase.CLOSED:
        state.outcome, state.reason, state.closed_at = Outcome.ROLLED_BACK, "errors: 9 % against 1 %", now
    return state


@dataclass
class Said:
    """One word that arrived."""

    ref: RolloutRef
    verb: Verb
    given: dict[str, Any]


@dataclass
class MemoryRollouts:
    """``coalmine.rollouts.Rollouts`` over states in memory."""

    states: dict[str, RolloutState] = field(default_factory=dict)
    """The newest of each workflow."""
    earlier: list[RolloutState] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    down: bool = False
    hang: asyncio.Event | None = None
    """While it is set to an event that is not, questions and words hang."""
    identify: Callable[[str], Identity | None] = lambda token: None
    """Who a token proves."""
    broken: dict[str, Exception] = field(default_factory=dict)
    """What is raised by questions about a workflow."""
    questions: int = 0
    lists: int = 0
    _answers: dict[str, CommandReceipt] = field(default_factory=dict)

    def add(self, state: RolloutState) -> RolloutState:
        """Let a rollout be; an earlier one of the same workflow is over."""
        if state.workflow_id in self.states:
            self.earlier.append(self.states[state.workflow_id])
        self.states[state.workflow_id] = state
        if not state.log:
            self.note(state, "admitted", "admitted")
        return state

    def note(self, state: RolloutState, kind: str, reason: str, by: str = "", **data: Any) -> LedgerEntry:
        """Write into a record."""
        entry = LedgerEntry(
            kind=kind, rollout_id=state.rollout_id, sequence=(state.log[-1].sequence if state.log else 0) + 1,
            at=datetime.now(UTC), reason=reason, by=by, data=data,
        )  # fmt: skip
        state.log.append(entry)
        return entry

    async def _ready(self) -> None:
        if self.hang is not None:
            await self.hang.wait()
        if self.down:
            raise TemporalUnavailable(DOWN)

    def _all(self) -> list[RolloutState]:
        return [*self.states.values(), *reversed(self.earlier)]

    def _state(self, ref: RolloutRef) -> RolloutState:
        for state in self._all():
            if state.workflow_id == ref.workflow_id and ref.run_id in (None, state.run_id):
                return state
        raise RolloutNotFound(f"there is no rollout '{ref.workflow_id}'; did you mean 'checkout'?")

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        await self._ready()
        for state in self._all():
            spec = state.spec
            names = (spec.service, f"{spec.environment}/{spec.service}", state.workflow_id, state.rollout_id)
            if name in names and environment in (None, spec.environment):
                return RolloutRef(state.workflow_id, state.run_id if name == state.rollout_id else None)
        raise RolloutNotFound(f"there is no rollout '{name}'; did you mean 'checkout'?")

    async def rollouts(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        region: str | None = None,
        running: bool | None = None,
        phase: str | None = None,
        workflow_ids: Sequence[str] | None = None,
        limit: int = 50,
    ) -> list[RolloutRow]:
        await self._ready()
        self.lists += 1
        rows = []
        for state in self._all():
            spec, is_open = state.spec, state.phase is not Phase.CLOSED and state in self.states.values()
            if (
                service not in (None, spec.service)
                or running not in (None, is_open)
                or phase not in (None, state.phase)
            ):
                continue
            if workflow_ids is not None and state.workflow_id not in workflow_ids:
                continue
            rows.append(
                RolloutRow(
                    service=spec.service, environment=spec.environment, version=spec.arms.canary.version,
                    phase=str(state.phase), outcome=state.outcome, canary_weight=state.canary_share(), open=is_open,
                    started_at=state.started_at, closed_at=state.closed_at, workflow_id=state.workflow_id,
                    run_id=state.run_id,
                )
            )  # fmt: skip
        return rows[:limit]

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        await self._ready()
        self.questions += 1
        if ref.workflow_id in self.broken:
            raise self.broken[ref.workflow_id]
        state = self._state(ref)
        state.sequence = state.log[-1].sequence if state.log else 0
        return console.status(state)

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        await self._ready()
        self.questions += 1
        state = self._state(ref)
        return DecisionLog(entries=list(state.log), refused=list(state.refused))

    async def send(
        self,
        ref: RolloutRef,
        verb: Verb,
        *,
        by: str,
        reason: str = "",
        gate: str | None = None,
        attempt: int | None = None,
        longer: timedelta | None = None,
        token: str | None = None,
        break_glass: bool = False,
        once: str | None = None,
    ) -> CommandReceipt:
        await self._ready()
        if once is not None and once in self._answers:
            return self._answers[once]
        state = self._state(ref)
        given = {"by": by, "reason": reason, "gate": gate, "attempt": attempt, "break_glass": break_glass}
        self.said.append(Said(ref, verb, {**given, "longer": longer, "token": token, "once": once}))
        command = command_input.decode(
            verb, {name: value for name, value in given.items() if value not in (None, False)}
        )
        identity = self.identify(token) if token else None
        if (why := commands.refusal(state, verb, command, identity)) is not None:
            self.note(state, "refused", why, by, verb=str(verb))
            raise RefusedError(why)
        message = commands.carry_out(state, verb, command, datetime.now(UTC), identity)
        self.note(state, "command", message, by, verb=str(verb), said=reason, verified=identity is not None)
        receipt = CommandReceipt(message=message, phase=state.phase)
        if once is not None:
            self._answers[once] = receipt
        return receipt

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        return f"http://ui.example/workflows/{workflow_id}"

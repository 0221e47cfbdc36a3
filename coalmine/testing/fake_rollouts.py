"""Rollouts without Temporal, for tests of interfaces: as many as are wanted, moved by hand, silent when told.

It answers as ``coalmine.client.Coalmine`` does, refuses as the workflow does (``can_send``), and keeps what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from coalmine.errors import RefusedError, RolloutNotFound, TemporalUnavailable
from coalmine.recorded import Recorded
from coalmine.records import (
    CommandReceipt,
    DecisionLog,
    LedgerEntry,
    Outcome,
    Phase,
    Receipt,
    Refusal,
    RolloutStatus,
    Submission,
    Verb,
    canary_id,
)
from coalmine.records.texts import check_writable
from coalmine.rollout_names import readings
from coalmine.searching import RolloutRef, RolloutRow
from coalmine.spec.canary import CanarySpec
from coalmine.testing.sample_rollouts import BEGAN, CAN_SEND, a_past, a_status
from coalmine.timeline import TimelineEntry

_PHASES = (Phase.STEPPING, Phase.GATED, Phase.BAKING, Phase.STEPPING, Phase.HELD, Phase.STEPPING, Phase.WINDOW)


@dataclass(frozen=True)
class Sent:
    """One thing somebody said."""

    workflow_id: str
    verb: Verb
    by: str
    reason: str
    gate: str | None
    attempt: int | None
    longer: timedelta | None
    token: str | None


@dataclass
class FakeRollouts:
    """``FakeRollouts.many(2000)``, or ``FakeRollouts()`` and ``put``."""

    statuses: dict[str, RolloutStatus] = field(default_factory=dict)
    """By workflow id."""
    past: dict[str, Recorded] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    started: list[tuple[CanarySpec, str, str]] = field(default_factory=list)
    """Spec, who, token."""
    answers: dict[str, CommandReceipt] = field(default_factory=dict)
    """By what they were given as ``once``."""
    silent: str = ""
    """While this says why, Temporal does not answer."""
    asked: dict[str, int] = field(default_factory=dict)
    """How often each question was asked."""

    @classmethod
    def many(cls, count: int) -> FakeRollouts:
        """So many open rollouts, in several phases, environments and regions."""
        fake = cls()
        for number in range(count):
            phase = _PHASES[number % len(_PHASES)]
            environment = ("production", "staging", "test")[number % 3]
            region = ("eu", "us", None)[number % 5 % 3]
            fake.put(a_status(f"service-{number:04}", environment, region, phase, number=number))
        return fake

    def put(self, status: RolloutStatus, past: Recorded | None = None) -> RolloutStatus:
        """Let a rollout be there, or be as this from now on."""
        self.statuses[status.workflow_id] = status
        if past is not None or status.workflow_id not in self.past:
            self.past[status.workflow_id] = past or a_past(status)
        return status

    def change(self, workflow_id: str, **changes: object) -> RolloutStatus:
        """Let something happen to a rollout; what can be said follows from its phase."""
        status = self.statuses[workflow_id].model_copy(update=changes)
        return self.put(status.model_copy(update={"can_send": list(CAN_SEND.get(status.phase, ()))}))

    async def find(self, name: str, environment: str | None = None, region: str | None = None) -> RolloutRef:
        """By name; the environment must be in it."""
        self._hear("find")
        meant = readings(name, environment, region)
        for wanted in meant:
            if wanted.workflow_id in self.statuses:
                return RolloutRef(wanted.workflow_id)
        raise RolloutNotFound(f"there is no rollout '{meant[0].workflow_id or meant[0].service}'")

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
        """As search attributes show them: the latest started open ones, then the latest closed."""
        self._hear("rollouts")
        if workflow_ids is not None:
            self._hear("rollouts by id")
        wanted = {"service": service, "environment": environment, "region": region, "phase": phase}
        rows = [
            _row(status)
            for status in self.statuses.values()
            if all(value is None or getattr(status, name) == value for name, value in wanted.items())
            and (running is None or running == (status.phase is not Phase.CLOSED))
            and (workflow_ids is None or status.workflow_id in workflow_ids)
        ]
        rows.sort(key=lambda row: row.closed_at or row.started_at or BEGAN, reverse=True)
        return sorted(rows, key=lambda row: not row.open)[:limit]

    async def unlike(self, known: Sequence[RolloutRow], limit: int = 500) -> list[RolloutRow]:
        """Those that stand otherwise, the latest started first."""
        self._hear("unlike")
        told = {row.workflow_id: _stand(row) for row in known}
        rows = [_row(status) for status in self.statuses.values() if status.phase is not Phase.CLOSED]
        rows.sort(key=lambda row: row.started_at or BEGAN, reverse=True)
        return [row for row in rows if told.get(row.workflow_id) != _stand(row)][:limit]

    async def status(self, ref: RolloutRef) -> RolloutStatus:
        """Now."""
        self._hear("status")
        return self._of(ref)

    async def decisions(self, ref: RolloutRef) -> DecisionLog:
        """What was said, and a shift."""
        self._hear("decisions")
        status = self._of(ref)
        entries = [
            LedgerEntry(
                kind="admitted", rollout_id=status.rollout_id, sequence=1, at=BEGAN, by=status.by, reason="no history"
            )
        ]
        entries += [
            LedgerEntry(
                kind="command",
                rollout_id=status.rollout_id,
                sequence=number,
                at=BEGAN + timedelta(minutes=number),
                by=said.by,
                reason=f"{said.verb} is taken",
                data={"verb": str(said.verb), "said": said.reason},
            )
            for number, said in enumerate((one for one in self.sent if one.workflow_id == ref.workflow_id), start=2)
        ]
        return DecisionLog(entries=entries, refused=status.refused)

    async def history(self, ref: RolloutRef, everything: bool = False) -> list[TimelineEntry]:
        """That it was started."""
        self._hear("history")
        status = self._of(ref)
        return [TimelineEntry(at=BEGAN, kind="started", text=f"{status.service} {status.version}", by=status.by)]

    async def mark(self, ref: RolloutRef) -> str:
        """Of all that is known of it."""
        self._hear("mark")
        return self._of(ref).model_dump_json()

    async def recorded(self, ref: RolloutRef) -> Recorded:
        """Its looks and shifts."""
        self._hear("recorded")
        self._of(ref)
        return self.past[ref.workflow_id]

    async def start(
        self,
        spec: CanarySpec,
        *,
        by: str,
        automated: bool = False,
        reason: str = "",
        advise: bool = False,
        during_freeze: bool = False,
        authors: Sequence[str] = (),
        token: str = "",
        within: timedelta = timedelta(seconds=30),
    ) -> Receipt:
        """Start it, or attach."""
        self._hear("start")
        check_writable(Submission(spec=spec, by=by, reason=reason, authors=list(authors)))
        workflow_id = canary_id(spec.environment, spec.service, spec.region)
        running = self.statuses.get(workflow_id)
        attached = running is not None and running.phase is not Phase.CLOSED
        if not attached:
            self.started.append((spec, by, token))
            running = self.put(a_status(spec.service, spec.environment, spec.region, Phase.STEPPING, by=by))
        assert running is not None
        return Receipt(
            disposition="attached" if attached else "started",
            workflow_id=workflow_id,
            run_id=running.run_id,
            rollout_id=running.rollout_id,
            version=running.version,
            phase=running.phase,
        )

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
        """Take what means something in the phase, and let it have its effect."""
        self._hear("send")
        check_writable({"by": by, "reason": reason, "gate": gate})
        if once is not None and once in self.answers:
            return self.answers[once]
        there = self.statuses.get(ref.workflow_id)
        if there is not None and ref.run_id not in (None, there.run_id):
            raise RefusedError(f"{ref.workflow_id} is closed (ended): nothing can be sent to it")
        status = self._of(ref)
        if verb not in status.can_send:
            refused = Refusal(at=datetime.now(UTC), verb=str(verb), by=by, reason=f"{verb} means nothing now")
            self.put(status.model_copy(update={"refused": [*status.refused, refused]}))
            raise RefusedError(f"{verb} means nothing while it is {status.phase}")
        self.sent.append(Sent(ref.workflow_id, verb, by, reason, gate, attempt, longer, token))
        after = self._after(status, verb)
        receipt = CommandReceipt(message=f"{verb} is taken", phase=after.phase)
        if once is not None:
            self.answers[once] = receipt
        return receipt

    def ui_link(self, workflow_id: str, run_id: str | None = None) -> str | None:
        """Nowhere."""
        return None

    def _after(self, status: RolloutStatus, verb: Verb) -> RolloutStatus:
        match verb:
            case Verb.APPROVE | Verb.RESUME:
                return self.change(status.workflow_id, phase=Phase.STEPPING, gate=None, held_reason="", paused=False)
            case Verb.PAUSE:
                return self.change(status.workflow_id, paused=True)
            case Verb.PROMOTE:
                return self.change(status.workflow_id, phase=Phase.BAKING, canary_weight=100.0, gate=None)
            case Verb.REJECT | Verb.ROLLBACK:
                outcome = Outcome.REJECTED if verb is Verb.REJECT else Outcome.ROLLED_BACK
                return self.change(
                    status.workflow_id, phase=Phase.CLOSED, outcome=outcome, canary_weight=0.0, gate=None,
                    closed_at=datetime.now(UTC), reason=f"{verb} by a human", restored=True,
                )  # fmt: skip
            case Verb.EXTEND:
                return status

    def _hear(self, question: str) -> None:
        self.asked[question] = self.asked.get(question, 0) + 1
        if self.silent:
            raise TemporalUnavailable(self.silent)

    def _of(self, ref: RolloutRef) -> RolloutStatus:
        status = self.statuses.get(ref.workflow_id)
        if status is None or (ref.run_id is not None and ref.run_id != status.run_id):
            raise RolloutNotFound(f"there is no rollout '{ref.workflow_id}'")
        return status


def _stand(row: RolloutRow) -> tuple[str, float, str | None]:
    return row.phase, row.canary_weight, row.outcome


def _row(status: RolloutStatus) -> RolloutRow:
    return RolloutRow(
        service=status.service,
        environment=status.environment,
        region=status.region,
        version=status.version,
        phase=str(status.phase),
        outcome=str(status.outcome) if status.outcome else None,
        canary_weight=status.canary_weight,
        open=status.phase is not Phase.CLOSED,
        started_at=status.started_at,
        closed_at=status.closed_at,
        workflow_id=status.workflow_id,
        run_id=status.run_id,
    )

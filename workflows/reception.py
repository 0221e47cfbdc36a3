"""Submissions: a start is an update-with-start, answered once the rollout is admitted or refused (I6)."""

from __future__ import annotations

from abc import abstractmethod

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from coalmine.approving import nameless
    from coalmine.identity.names import folded
    from coalmine.queueing import places, receive, withdraw
    from coalmine.records import (
        CommandReceipt,
        Ended,
        FleetAnswer,
        Line,
        Outcome,
        Phase,
        Receipt,
        Submission,
        Withdrawal,
    )
    from coalmine.rollout import RolloutState
    from coalmine.slot_book import slot_text, waits_for_slot

from workflows.admission import Admission
from workflows.inputs import decoded
from workflows.messages import Messages
from workflows.recalling import took_over


class Reception(Messages):
    """Takes submissions: starts, attaches, refuses. ``Canary`` inherits it."""

    _admission: Admission
    _done: bool
    _submitted: int
    """Submissions of the running version that were answered or wait for an answer."""

    @abstractmethod
    def _open(self, state: RolloutState) -> None:
        """Take a rollout on."""

    def _begin(self, submission: Submission, line: Line | None = None) -> None:
        info = workflow.info()
        if submission.received is not None and info.continued_run_id is None:
            # Whoever sends it does not say when it came.
            submission = submission.model_copy(update={"received": None})
        state = RolloutState.begin(submission, info.workflow_id, info.run_id, workflow.now())
        state.line = line or Line()
        self._open(state)

    @workflow.update(name="submit", description="Start a release, or attach to it when it runs already")
    async def submit(self, given: RawValue) -> Receipt:
        """Answer once it is admitted or refused."""
        self._check_submission(given)
        submission = self._submission(given)
        if self._state is None:
            self._begin(submission)
        state, version = self._rollout, submission.spec.arms.canary.version
        running = state.spec.arms.canary.version
        if version != running:
            return self._other_version(submission)
        if state.phase is Phase.CLOSED:
            return self._closing()
        self._submitted += 1
        first = self._submitted == 1 and state.phase is Phase.ADMITTING
        await workflow.wait_condition(
            lambda: state.phase is not Phase.ADMITTING or self._done or waits_for_slot(state) is not None
        )
        waits = waits_for_slot(state)
        if waits is not None:
            return self._receipt("queued", slot_text(waits)).model_copy(update={"position": waits.position})
        if Outcome.BLOCKED in (state.outcome, state.ending):
            return self._receipt("blocked", state.reason)
        if first:
            return self._receipt("started", state.history_note)
        differs = "" if submission.spec == state.spec else "; its spec differs from the one sent now, which is not used"
        return self._receipt("attached", f"{running} is {state.phase} already{differs}")

    @submit.validator
    def _check_submit(self, given: RawValue) -> None:
        # In a run that a reset made the handler refuses (``Messages._validate``).
        if not took_over():
            self._check_submission(given)

    def _check_submission(self, given: RawValue) -> None:
        submission = self._submission(given)
        spec = submission.spec
        if not folded(submission.by):
            raise ApplicationError("'by' is empty: say who submits", type="Refused", non_retryable=True)
        if self._state is not None:
            ours = self._state.spec
            if (spec.service, spec.environment, spec.region) != (ours.service, ours.environment, ours.region):
                reason = f"this workflow belongs to {ours.service} in {ours.environment}, not to {spec.service}"
                raise ApplicationError(reason, type="Refused", non_retryable=True)

    def _other_version(self, submission: Submission) -> Receipt:
        """Another version runs: the spec that was sent says what becomes of the two (``coalmine.queueing``)."""
        state = self._rollout
        wanted = submission.spec.arms.canary.version
        answer = receive(state, submission, workflow.now())
        if answer.disposition == "rejected":
            return self._closing() if state.phase is Phase.CLOSED else self._receipt("rejected", answer.reason)
        self._waiting.poke()
        if self._journal is not None and state.phase is not Phase.CLOSED:
            # A closed rollout's record is handed over already; the line itself is carried on all the same.
            if answer.disposition == "queued":
                noted = f"{wanted}: {answer.reason}"
                self._journal.note("queued", noted, submission.by, version=wanted, position=answer.position)
            self._journal.show()
        for gone in answer.dropped:
            self._tell_dropped(gone)
        receipt = self._receipt(answer.disposition, answer.reason)
        changes = {"version": wanted, "rollout_id": "", "phase": Phase.ADMITTING, "position": answer.position}
        return receipt.model_copy(update=changes)

    def _tell_dropped(self, gone: Ended) -> None:
        if self._journal is not None:
            if self._rollout.phase is not Phase.CLOSED:
                self._journal.note("not_started", f"{gone.version}: {gone.reason}", version=gone.version)
            service = self._rollout.spec.service
            self._journal.tell(
                f"{service} {gone.version} will not start", gone.reason, "warning", key=f"not-started-{gone.version}"
            )

    @workflow.update(name="withdraw", description='Take a version out of the line: {"version": "1.2.0", "by": "ana"}')
    def withdraw(self, given: RawValue) -> CommandReceipt:
        """Answer what became of it."""
        self._check_withdrawal(given)
        wish, state = _withdrawal(given), self._rollout
        gone = withdraw(state, wish.version, wish.by.strip(), wish.reason, workflow.now())
        if gone is None:
            raise AssertionError("it waited when it was checked")
        self._waiting.poke()
        self._tell_dropped(gone)
        return CommandReceipt(message=f"{gone.version} will not start: {gone.reason}", phase=state.phase)

    @withdraw.validator
    def _check_withdraw(self, given: RawValue) -> None:
        if not took_over():
            self._check_withdrawal(given)

    def _check_withdrawal(self, given: RawValue) -> None:
        try:
            wish = _withdrawal(given)
        except (ValueError, ValidationError) as error:
            raise ApplicationError(f"not a withdrawal: {problems(error)}", type="Refused", non_retryable=True) from None
        state = self._rollout
        if not wish.by.strip() or nameless(state, wish.by):
            raise ApplicationError("'by' is empty: say who withdraws", type="Refused", non_retryable=True)
        waiting = [place.version for place in places(state.line)]
        if wish.version not in waiting:
            reason = (
                f"{wish.version} does not wait behind {state.spec.arms.canary.version} "
                f"(waiting: {', '.join(waiting) or 'none'})"
            )
            raise ApplicationError(reason, type="Refused", non_retryable=True)

    def _closing(self) -> Receipt:
        """It ended, and only hands its record over: nothing can be attached to it, and nothing starts in it."""
        ended = self._rollout.outcome or "ended"
        return self._receipt("rejected", f"the rollout before has just {ended} and is closing: try again in a moment")

    def _submission(self, given: RawValue) -> Submission:
        try:
            return Submission.model_validate(decoded(given))
        except (ValueError, ValidationError) as error:
            reason = f"not a submission: {problems(error)}"
            raise ApplicationError(reason, type="Refused", non_retryable=True) from None

    def _receipt(self, disposition: str, reason: str) -> Receipt:
        state = self._rollout
        return Receipt.model_validate(
            {
                "disposition": disposition,
                "workflow_id": state.workflow_id,
                "run_id": state.run_id,
                "rollout_id": state.rollout_id,
                "version": state.spec.arms.canary.version,
                "phase": state.phase,
                "checks": state.checks,
                "reason": reason,
            }
        )

    @workflow.signal(name="fleet_answer", description="The fleet answers admission (not for people)")
    def fleet_answer(self, answer: FleetAnswer) -> None:
        """Take the rollout's number and ban."""
        if self._state is not None:
            self._admission.hear(answer)


def _withdrawal(given: RawValue) -> Withdrawal:
    return Withdrawal.model_validate(decoded(given))


def problems(error: Exception) -> str:
    """What is wrong with an input, field by field."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:5]]
    return "; ".join(found)

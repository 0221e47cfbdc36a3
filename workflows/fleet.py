"""One environment's fleet: an entity workflow that keeps bans and counts rollouts. A rollback never asks it."""

from __future__ import annotations

import re

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from coalmine.markdown import cell, table
    from coalmine.records import (
        Ban,
        FleetAnswer,
        FleetRequest,
        FleetState,
        FreezeOrder,
        Frozen,
        SlotBook,
        SlotLimit,
        Thaw,
    )

from workflows.freezes import Freezes, start_sweeping
from workflows.slots import Slots
from workflows.versioning import when_versioned

KEPT_ANSWERS = 500
"""Answers remembered, so that a repeated request gets the same number."""
SHOWN_BANS = 25
"""Bans on the page, the newest first; ``coalmine ban --list`` shows all."""
RUN_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LONGEST_ID = 255
"""Bytes of a workflow id; some databases take no more."""


@workflow.defn(name="Fleet", versioning_behavior=when_versioned(VersioningBehavior.AUTO_UPGRADE))
class Fleet:
    """Takes requests as signals (only 10 updates may be in flight) and answers by the signal ``fleet_answer``."""

    @workflow.init
    def __init__(self, state: FleetState) -> None:
        self._state = state
        self._to_answer: list[FleetRequest] = []
        self._slots = Slots(state.slots, self._to_answer)
        self._freezes = Freezes(state)

    @workflow.run
    async def run(self, state: FleetState) -> FleetState:
        """Answer for ever; continue as new when the history grows long."""
        self._show()
        start_sweeping(self._freezes, self._show)
        while self._to_answer or not self._may_continue_as_new():
            await self._slots.idle(lambda: bool(self._to_answer) or self._may_continue_as_new())
            while self._to_answer:
                await self._answer(self._to_answer.pop(0))
            self._show()
        workflow.continue_as_new(self._state)

    def _may_continue_as_new(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished()

    @workflow.signal(name="admit", description="A rollout asks for its number and whether its version is banned")
    def admit(self, request: FleetRequest) -> None:
        """Queue the answer; the workflow sends it."""
        if _can_be_answered(request):
            self._to_answer.append(request)
        else:
            workflow.logger.warning("request without an address dropped", extra={"service": request.service[:100]})

    @workflow.signal(name="ban", description="Ban a version from automated starts (sent by a rollback)")
    def ban(self, request: FleetRequest) -> None:
        """Ban without an answer."""
        self._ban(request)

    @workflow.signal(name="unban", description="Lift a ban")
    def unban(self, request: FleetRequest) -> None:
        """Lift a ban; one that is not there is nothing to do."""
        self._lift(request)

    @workflow.update(name="ban", description="Ban a version from automated starts, and say what is banned")
    def ban_and_answer(self, request: FleetRequest) -> Ban:
        """Ban for a person, who sees what was recorded."""
        return self._ban(request)

    @ban_and_answer.validator
    def _check_ban(self, request: FleetRequest) -> None:
        _check_person(request)

    @workflow.update(name="unban", description="Lift a ban, and say which")
    def unban_and_answer(self, request: FleetRequest) -> Ban:
        """Lift a ban for a person."""
        lifted = self._lift(request)
        if lifted is None:
            raise ApplicationError(_not_banned(self._state, request), type="Refused", non_retryable=True)
        return lifted

    @unban_and_answer.validator
    def _check_unban(self, request: FleetRequest) -> None:
        _check_person(request)
        if _find(self._state, request) is None:
            raise ApplicationError(_not_banned(self._state, request), type="Refused", non_retryable=True)

    @workflow.signal(name="release", description="A rollout is over and needs its slot no more")
    def release(self, request: FleetRequest) -> None:
        """Free the slot; one that is not there is nothing to do."""
        self._slots.release(request)

    @workflow.update(name="slots", description='Limit how many rollouts run at once: {"limit": 3, "by": "ana"}')
    def set_slots(self, given: SlotLimit) -> SlotBook:
        """Set or lift the limit; rollouts that run go on."""
        self._slots.limit(given)
        self._show()
        return self._state.slots

    @set_slots.validator
    def _check_slots(self, given: SlotLimit) -> None:
        if not given.by.strip():
            raise ApplicationError("'by' is empty: say who sets the limit", type="Refused", non_retryable=True)

    @workflow.update(name="freeze", description="Let nothing start, and brake what runs where 'brake' says so")
    async def freeze(self, order: FreezeOrder) -> Frozen:
        """Freeze for a person, who sees what was told to whom."""
        self._freezes.freeze(order)
        self._slots.tell_waiting()
        self._show()
        if order.brake is not None:
            await self._freezes.braked()
            self._show()
        return self._freezes.frozen()

    @freeze.validator
    def _check_freeze(self, order: FreezeOrder) -> None:
        self._freezes.check(order)

    @workflow.update(name="unfreeze", description="Lift a freeze, and say which")
    def unfreeze(self, given: Thaw) -> Frozen:
        """Lift a freeze for a person."""
        answer = self._freezes.thaw(given.service)
        self._show()
        return answer

    @workflow.query(name="freezes", description="What may not start, and whom the emergency brake has told")
    def freezes(self) -> Frozen:
        """Freezes in force, and the brake that was pulled last."""
        return self._freezes.frozen()

    @workflow.query(name="slots", description="How many rollouts may run at once, who runs and who waits")
    def slots(self) -> SlotBook:
        """The book of slots."""
        return self._state.slots

    @workflow.query(name="bans", description="Banned versions, and how many rollouts each version had")
    def bans(self) -> FleetState:
        """The fleet's state without the answers it remembers."""
        return self._state.model_copy(update={"answered": {}})

    async def _answer(self, request: FleetRequest) -> None:
        answered = self._state.answered
        known = answered.get(request.request_id)
        if known is None:
            book = "/".join(part for part in (request.service, request.region, request.version) if part)
            number = self._state.numbers.get(book, 0) + 1
            self._state.numbers[book] = number
            known = FleetAnswer(request_id=request.request_id, number=number, ban=_covering(self._state, request))
            answered[request.request_id] = known
            for old in list(answered)[: max(0, len(answered) - KEPT_ANSWERS)]:
                del answered[old]
        else:
            known = known.model_copy(update={"ban": _covering(self._state, request)})
        known = known.model_copy(update={"slot": self._slots.ask(request), "freeze": self._freezes.covering(request)})
        rollout = workflow.get_external_workflow_handle(request.workflow_id, run_id=request.run_id or None)
        try:
            await rollout.signal("fleet_answer", known)
        except FailureError as error:
            # A rollout that closed in the meantime needs no answer.
            workflow.logger.info("answer not delivered", extra={"rollout": request.workflow_id, "why": str(error)})

    def _ban(self, request: FleetRequest) -> Ban:
        self._lift(request)
        ban = Ban(
            service=request.service,
            version=request.version,
            region=request.region,
            by=request.by,
            reason=request.reason,
            at=workflow.now(),
            rollout_id=request.rollout_id,
        )
        self._state.bans.append(ban)
        self._show()
        return ban

    def _lift(self, request: FleetRequest) -> Ban | None:
        found = _find(self._state, request)
        if found is not None:
            self._state.bans.remove(found)
            self._show()
        return found

    def _show(self) -> None:
        newest = reversed(self._state.bans[-SHOWN_BANS:])
        rows = [[cell(text, 60) for text in (ban.service, ban.version, ban.by, ban.reason)] for ban in newest]
        started = sum(self._state.numbers.values())
        workflow.set_current_details(
            f"### Fleet of {self._state.environment}\n\n{started} rollouts so far, {len(self._state.bans)} bans\n\n"
            + (table(("service", "banned version", "by", "reason"), rows) if rows else "")
            + self._slots.page()
            + self._freezes.page()
        )


def _can_be_answered(request: FleetRequest) -> bool:
    """Whether there is an address: the server refuses a signal to a malformed one, and the task with it, for ever."""
    malformed_run = request.run_id and not RUN_ID.fullmatch(request.run_id)
    return 0 < len(request.workflow_id.encode()) <= LONGEST_ID and not malformed_run


def _find(state: FleetState, request: FleetRequest) -> Ban | None:
    wanted = (request.service, request.region, request.version)
    return next((ban for ban in state.bans if (ban.service, ban.region, ban.version) == wanted), None)


def _covering(state: FleetState, request: FleetRequest) -> Ban | None:
    """The ban that keeps this version out: the one for its region, or one for all regions."""
    for ban in state.bans:
        if (ban.service, ban.version) == (request.service, request.version) and ban.region in (None, request.region):
            return ban
    return None


def _check_person(request: FleetRequest) -> None:
    missing = [name for name in ("service", "version", "by") if not getattr(request, name).strip()]
    if missing:
        raise ApplicationError(f"'{missing[0]}' is empty: say which {missing[0]}", type="Refused", non_retryable=True)


def _not_banned(state: FleetState, request: FleetRequest) -> str:
    banned = ", ".join(ban.version for ban in state.bans if ban.service == request.service) or "none"
    return f"{request.service} {request.version} is not banned in {state.environment} (banned: {banned})"

"""The fleet's freezes, and the emergency brake: first nothing starts any more, then what runs is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from coalmine import freezing
    from coalmine.markdown import cell, table
    from coalmine.records import BRAKE, Brake, BrakeRequest, FleetRequest, FleetState, Freeze, FreezeOrder, Frozen

from workflows.calls import Budget, call
from workflows.interruption import failure_reason

BRAKING = Budget(timedelta(seconds=60), total=timedelta(minutes=5), heartbeat=timedelta(seconds=10))
SWEEP_AGAIN = timedelta(seconds=3)
"""Visibility knows by then of what started before the freeze."""
SWEEP_SELDOM = timedelta(seconds=10)
FREQUENT = 20
"""Sweeps in quick succession; one that is admitted for an hour is looked at less often then."""
SHOWN_WITHIN = timedelta(seconds=5)
"""How long whoever pulls the brake waits to hear whom it has told; it goes on all the same."""


class Freezes:
    """What may not start in one environment."""

    def __init__(self, state: FleetState) -> None:
        self._state = state

    def covering(self, request: FleetRequest) -> Freeze | None:
        """The freeze that keeps this service from starting now."""
        everywhere = [request.frozen] if request.frozen is not None else []
        return freezing.covering([*self._state.freezes, *everywhere], request.service, workflow.now())

    def check(self, order: FreezeOrder) -> None:
        """An update's validator.

        Raises:
            ApplicationError: ``Refused``, with the reason.
        """
        reason = freezing.why_not(self._state.freezes, order.freeze, workflow.now())
        if reason is None and order.brake is not None and order.freeze.service is not None:
            reason = (
                f"the brake is for a whole environment, not for {order.freeze.service} alone: leave the service out, "
                f"or tell that rollout: coalmine rollback {order.freeze.service}"
            )
        if reason is not None:
            raise ApplicationError(reason, type="Refused", non_retryable=True)

    def freeze(self, order: FreezeOrder) -> None:
        """Freeze, and pull the brake where that is asked for: ``sweep`` carries it out."""
        state, now = self._state, workflow.now()
        new = order.freeze.model_copy(update={"at": now, "environment": state.environment})
        state.freezes = freezing.frozen(state.freezes, new, now)
        if order.brake is not None:
            state.brake = Brake(action=order.brake, by=new.by, reason=new.reason, at=now)

    async def braked(self) -> None:
        """Wait until the brake has told everybody, for a moment at most."""
        brake = self._state.brake
        try:
            await workflow.wait_condition(
                lambda: brake is None or brake.done, timeout=SHOWN_WITHIN, timeout_summary="say whom the brake has told"
            )
        except TimeoutError:
            return

    def thaw(self, service: str | None) -> Frozen:
        """Lift a freeze. The brake of a whole environment is let go with it; what it stopped stays stopped.

        Raises:
            ApplicationError: ``Refused``: there is none.
        """
        state = self._state
        state.freezes, lifted = freezing.thawed(state.freezes, service, workflow.now())
        if lifted is None:
            there = "; ".join(freezing.sentence(one) for one in state.freezes) or "nothing is"
            what = freezing.place(state.environment, service)
            raise ApplicationError(f"{what} is not frozen ({there})", type="Refused", non_retryable=True)
        if service is None and state.brake is not None:
            state.brake.done = True
        return Frozen(freezes=state.freezes, lifted=lifted, brake=state.brake)

    def frozen(self) -> Frozen:
        """What is frozen now, and the brake that was pulled last."""
        return Frozen(freezes=freezing.in_force(self._state.freezes, workflow.now()), brake=self._state.brake)

    async def sweep(self, show: Callable[[], None]) -> None:
        """For ever: while a brake is pulled, tell what is in flight, until all have taken it."""
        while True:
            await workflow.wait_condition(lambda: self._state.brake is not None and not self._state.brake.done)
            brake = self._state.brake
            assert brake is not None
            await self._sweep(brake)
            show()
            if not brake.done:
                pause = SWEEP_AGAIN if brake.sweeps < FREQUENT else SWEEP_SELDOM
                await workflow.sleep(pause, summary="emergency brake: look for whom it has not told")

    async def _sweep(self, brake: Brake) -> None:
        slots = self._state.slots
        request = BrakeRequest(
            environment=self._state.environment,
            action=brake.action,
            by=brake.by,
            reason=brake.reason,
            known=[one.workflow_id for one in (*slots.holders, *slots.waiting)],
            told=brake.told,
        )
        try:
            swept = await call(BRAKE, request, BRAKING, f"emergency brake: {brake.action.replace('_', ' ')}")
        except ActivityError as error:
            brake.failure = failure_reason(error)
            return
        brake.failure, brake.sweeps = "", brake.sweeps + 1
        brake.told, brake.refused = sorted({*brake.told, *swept.told}), swept.refused
        brake.done = brake.done or (brake.sweeps > 1 and not swept.told and not swept.refused)

    def page(self) -> str:
        """Freezes and the brake for the fleet's page; nothing where nothing is frozen."""
        brake, shown = self._state.brake, ""
        if freezes := freezing.in_force(self._state.freezes, workflow.now()):
            rows = [[cell(one.service or "all", 60), cell(freezing.sentence(one), 200)] for one in freezes]
            shown = "\n\n" + table(("frozen", "why"), rows)
        if brake is not None and (freezes or not brake.done):
            shown += f"\n\n{_brake_text(brake)}"
        return shown


def _brake_text(brake: Brake) -> str:
    word = "roll back" if brake.action == "roll_back" else "hold"
    left = [f"{name}: {why}" for name, why in brake.refused.items()]
    left += [brake.failure] if brake.failure else []
    state = "done" if brake.done else ": ".join(["under way", *(["; ".join(left)] if left else [])])
    return f"**Emergency brake** ({word}, by {cell(brake.by, 60)}): {len(brake.told)} took it; {cell(state, 200)}"


def start_sweeping(freezes: Freezes, show: Callable[[], None]) -> asyncio.Task[None]:
    """Have the brake carried out beside the fleet's main line; ``show`` brings its page up to date."""
    return asyncio.create_task(freezes.sweep(show))

"""Moving traffic: fenced by a generation the workflow chooses, read back from every proxy, restored to the snapshot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.ownership import same_weights, weights_text
    from coalmine.records import (
        CHECK_ROUTE,
        READ_ROUTE,
        SHIFT,
        RouteCheckRequest,
        RouteChecks,
        RouteRequest,
        RouteState,
        ShiftRequest,
        Weights,
    )
    from coalmine.rollout import RolloutState

from workflows.calls import RESTORE, ROUTE_CHECK, ROUTE_READ, ROUTE_WRITE, SUMMARY_LIMIT, call
from workflows.counting import count_restore
from workflows.interruption import Interrupted, failure_reason, failure_type, unless
from workflows.journal import Journal
from workflows.patience import Patience
from workflows.recalling import Recollection, may_have_forgotten
from workflows.taking_over import TakingOver

RESTORE_WRITES = "restore-writes"
"""Histories recorded before take a restore after a reset for no write: they neither wait a lease nor call the hook."""
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
"""Between two tries of a restore that was refused."""


class Traffic:
    """The only hand on the route. Every write takes a higher generation than any it has seen."""

    def __init__(
        self, state: RolloutState, journal: Journal, taking_over: TakingOver, ordered: Callable[[], bool]
    ) -> None:
        self._state = state
        self._journal = journal
        self._taking_over = taking_over
        self._ordered = ordered
        self._patience = Patience(state, journal)
        self._recollection = Recollection(state, journal, self._patience)

    @property
    def learnt(self) -> int:
        """Another number after a run that a reset made has put right what was left on the route."""
        return self._taking_over.learnt

    @property
    def is_foreign(self) -> bool:
        """Whether a run before this one, made by a reset, may still have left there what is not this one's."""
        return self._taking_over.unsettled

    async def read(self, summary: str) -> RouteState:
        """The route as every proxy shows it."""
        spec = self._state.spec
        backends = [spec.arms.baseline.backend, spec.arms.canary.backend]
        return await call(
            READ_ROUTE,
            RouteRequest(route=spec.route, backends=backends, context=self._state.context()),
            ROUTE_READ,
            summary,
        )

    async def check(self, summary: str) -> RouteChecks:
        """What the router says it can do, against what the rollout will ask of it."""
        spec = self._state.spec
        request = RouteCheckRequest(
            context=self._state.context(),
            route=spec.route,
            arms=spec.arms,
            weights=[*(step.weight for step in spec.steps), 100.0],
        )
        return await call(CHECK_ROUTE, request, ROUTE_CHECK, summary)

    async def learn_lease(self) -> None:
        """Ask for how long an older write can still come through."""
        self._state.lease = (await self.check("ask how long an older write can come through")).lease

    async def shift(self, weights: Weights, summary: str) -> None:
        """Write weights and wait until every proxy shows them.

        Raises:
            Interrupted: a human ordered something else meanwhile, or the route is another rollout's; the write may or
                may not have happened.
            ActivityError: it could not be done; the state of the route is unknown.
        """
        state = self._state
        while True:
            # At every try: a write that a reset copied while it was on its way is refused where a later rollout has
            # written since, and must not be made again unasked.
            if self._taking_over.unsettled:
                await unless(self._ordered, self._taking_over.settle())
            if self._taking_over.lost:
                raise Interrupted
            state.written = True
            generation = self._take_generation()
            request = ShiftRequest(
                weights=weights, generation=generation, route=state.spec.route, context=state.context()
            )
            try:
                shown = await unless(self._ordered, call(SHIFT, request, ROUTE_WRITE, summary))
            except ActivityError as error:
                if failure_type(error) != "StaleGeneration":
                    raise
                await unless(self._ordered, self._overtake(failure_reason(error)))
                continue
            self._shifted(shown, generation, summary)
            return

    async def restore(self) -> bool:
        """Try to put the snapshot back: call it until it is, for as long as it takes.

        Returns:
            Whether the router reads back right; only then the rollback is done.
        """
        state = self._state
        if self._taking_over.unsettled:
            await self._patience.wait_for(self._taking_over.settle())
        if self._taking_over.lost:
            state.restored = True
            return True
        touched = state.written or self._taking_over.took_over or await self._recollection.was_written()
        if touched and state.snapshot is None and not await self._recall_snapshot():
            return False
        if state.snapshot is None or not touched or state.restored:
            state.restored = True
            return True
        state.restored = False
        state.restore_began = state.restore_began or workflow.now()
        if not state.written and workflow.patched(RESTORE_WRITES):
            # What the run before the reset wrote may still be on its way: it is looked after like a write of our own.
            state.written = True
        target, generation = state.snapshot.weights, self._take_generation()
        request = ShiftRequest(
            weights=target, generation=generation, route=state.spec.route, restoring=True, context=state.context()
        )
        try:
            shown = await self._patience.wait_for(call(SHIFT, request, RESTORE, f"restore {weights_text(target)}"))
        except ActivityError as error:
            await self._not_restored(failure_reason(error), stale=failure_type(error) == "StaleGeneration")
            return False
        if not all(
            same_weights(weights, target) for weights in (shown.weights, *(proxy.weights for proxy in shown.proxies))
        ):
            await self._not_restored(f"read back {weights_text(shown.weights)}", stale=False)
            return False
        state.restored = True
        state.restore_seconds = (workflow.now() - state.restore_began).total_seconds()
        count_restore(state, state.restore_seconds)
        self._shifted(shown, generation, f"restored {weights_text(target)}")
        return True

    async def _recall_snapshot(self) -> bool:
        """Where a reset cut off the snapshot too: the histories of the runs before say what there is to put back."""
        state, arms = self._state, self._state.spec.arms
        state.restore_began = state.restore_began or workflow.now()
        weights = {arms.baseline.backend: 100.0, arms.canary.backend: 0.0}
        try:
            if may_have_forgotten(state):
                left = await self._recollection.left()
                if left is None:
                    return True
                weights = left.rest
                await self._patience.wait_for(self.learn_lease())
            shown = await self._patience.wait_for(self.read("read what the run before the reset left"))
        except ActivityError as error:
            await self._not_restored(failure_reason(error), stale=False)
            return False
        if is_ours(shown, state):
            state.snapshot, state.generation = (
                shown.model_copy(update={"weights": weights}),
                max(state.generation, shown.generation),
            )
        return True

    async def _not_restored(self, reason: str, stale: bool) -> None:
        """Write down why (once), and wait a little longer each time before the next try."""
        state = self._state
        if reason != state.restore_failure:
            self._journal.note("restore_failed", reason, generation=state.generation)
        state.restore_failure, state.restore_tries = reason, state.restore_tries + 1
        self._journal.show_page()
        if stale:
            await self._overtake(reason)
        pause = min(FIRST_PAUSE * 2 ** min(state.restore_tries - 1, 10), LONGEST_PAUSE)
        await self._patience.wait_for(
            workflow.sleep(pause, summary=f"not restored ({reason}): try again"[:SUMMARY_LIMIT])
        )

    async def _overtake(self, reason: str) -> None:
        """Somebody wrote a newer generation while we own the route: read it, and go above it."""
        self._journal.note("overtaken", reason)
        try:
            self._state.generation = max(self._state.generation, (await self.read("read the newer route")).generation)
        except ActivityError as error:
            workflow.logger.warning("route not readable", extra={"why": failure_reason(error)})
            await workflow.sleep(1, summary="route not readable: try again")

    def _take_generation(self) -> int:
        self._state.generation += 1
        return self._state.generation

    def _shifted(self, shown: RouteState, generation: int, what: str) -> None:
        state = self._state
        before = state.canary_share()
        state.weights = shown.weights
        state.generation = max(state.generation, shown.generation)
        if state.lease:
            state.reconcile_at = workflow.now() + timedelta(seconds=state.lease)
        if state.canary_share() != before:
            state.share_from = workflow.now()
        self._journal.note("shifted", what, generation=generation, weights=shown.weights)
        self._journal.show()


def is_ours(shown: RouteState, state: RolloutState) -> bool:
    """Whether nobody but the arms has traffic: a route on which others have some will have to be looked at."""
    arms = state.spec.arms
    return sum(shown.weights.get(arm.backend, 0.0) for arm in (arms.baseline, arms.canary)) > 99.99

"""Moving traffic: fenced by a generation the workflow chooses, read back from every proxy, restored to the snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import READ_ROUTE, SHIFT, RouteRequest, RouteState, ShiftRequest, Weights
    from coalmine.rollout import RolloutState

from workflows.calls import RESTORE, ROUTE_READ, ROUTE_WRITE, call
from workflows.interruption import failure_reason, failure_type, unless
from workflows.journal import Journal

TELL_AFTER = timedelta(minutes=1)
"""A restore that takes longer than this is told to people, and again ten times as late."""


class Traffic:
    """The only hand on the route. Every write takes a higher generation than any it has seen."""

    def __init__(self, state: RolloutState, journal: Journal, ordered: Callable[[], bool]) -> None:
        self._state = state
        self._journal = journal
        self._ordered = ordered

    async def read(self, summary: str) -> RouteState:
        """The route as every proxy shows it."""
        return await call(READ_ROUTE, RouteRequest(route=self._state.spec.route), ROUTE_READ, summary)

    async def shift(self, weights: Weights, summary: str) -> None:
        """Write weights and wait until every proxy shows them.

        Raises:
            Interrupted: a human ordered something else meanwhile; the write may or may not have happened.
            ActivityError: it could not be done; the state of the route is unknown.
        """
        state = self._state
        state.written = True
        while True:
            generation = self._take_generation()
            request = ShiftRequest(weights=weights, generation=generation, route=state.spec.route)
            try:
                shown = await unless(self._ordered, call(SHIFT, request, ROUTE_WRITE, summary))
            except ActivityError as error:
                if failure_type(error) != "StaleGeneration":
                    raise
                await self._overtake(failure_reason(error))
                continue
            self._shifted(shown, generation, summary)
            return

    async def restore(self) -> None:
        """Put the snapshot back; retries for ever, and returns only when the router reads back right."""
        state = self._state
        if state.snapshot is None or not state.written:
            state.restored = True
            return
        state.restored = False
        state.restore_began = state.restore_began or workflow.now()
        target = state.snapshot.weights
        while True:
            generation = self._take_generation()
            request = ShiftRequest(weights=target, generation=generation, route=state.spec.route)
            summary = f"restore {_weights(target)}"
            attempt = asyncio.ensure_future(call(SHIFT, request, RESTORE, summary))
            await self._patiently(attempt)
            try:
                shown = attempt.result()
            except ActivityError as error:
                reason = failure_reason(error)
                self._journal.note("restore_failed", reason, generation=generation)
                if failure_type(error) == "StaleGeneration":
                    await self._overtake(reason)
                else:
                    await workflow.sleep(1, summary="restore refused: try again")
                continue
            if _same(shown.weights, target) and all(_same(proxy.weights, target) for proxy in shown.proxies):
                break
            self._journal.note("restore_failed", f"read back {_weights(shown.weights)}", generation=generation)
            await workflow.sleep(1, summary="read back wrong: restore again")
        state.restored = True
        state.restore_seconds = (workflow.now() - state.restore_began).total_seconds()
        self._shifted(shown, generation, f"restored {_weights(target)}")

    async def _patiently(self, attempt: asyncio.Future[RouteState]) -> None:
        """Wait for a restore, and tell people when it is not done within a minute."""
        patience = TELL_AFTER
        while not attempt.done():
            try:
                await workflow.wait_condition(
                    attempt.done, timeout=patience, timeout_summary="restore not confirmed yet: tell people"
                )
            except TimeoutError:
                self._journal.tell(
                    "Rollback is not confirmed yet",
                    f"{self._state.rollout_id}: the route has not read back right for {patience}; still trying.",
                    "critical",
                )
                self._journal.note("restore_slow", "the rollback is not confirmed yet; people were told")
                patience *= 10

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
        if state.canary_share() != before:
            state.share_from = workflow.now()
        self._journal.note("shifted", what, generation=generation, weights=shown.weights)
        self._journal.show()


def _same(left: Weights, right: Weights) -> bool:
    return all(abs(left.get(name, 0.0) - right.get(name, 0.0)) < 0.005 for name in {*left, *right})


def _weights(weights: Weights) -> str:
    return ", ".join(f"{name} {weight:g} %" for name, weight in sorted(weights.items()) if weight) or "nothing"

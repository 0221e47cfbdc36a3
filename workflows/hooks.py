"""Calling the hooks of a spec: what deploys the canary, verifies it, retires the old version, cleans up."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import HOOK_COPIED, RUN_HOOK, Done, HookRequest
    from coalmine.rollout import RolloutState

from workflows.calls import HOOK, call
from workflows.interruption import Interrupted, failure_reason, failure_type
from workflows.journal import Journal
from workflows.taking_over import TakingOver

KNOWN_FIRST = "hooks-after-taking-over"
"""Histories recorded before call a hook while it is being asked what the run before a reset left."""


class Hooks:
    """Calls the hooks of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal, taking_over: TakingOver) -> None:
        self._state = state
        self._journal = journal
        self._taking_over = taking_over

    async def run_or_tell(self, name: str, url: str) -> None:
        """Call a hook upon which nothing depends: a failure is noted, and told to people.

        Raises:
            Interrupted: as ``run`` does.
        """
        try:
            await self.run(name, url)
        except ActivityError as error:
            self._journal.note("hook", f"{name}: {failure_reason(error)}", hook=name)
            self._journal.tell(f"Hook {name} failed", f"{self._state.rollout_id}: {failure_reason(error)}", "warning")

    async def run(self, name: str, url: str) -> None:
        """Call one hook; its key is the same for every retry, for every worker, and after a reset.

        Raises:
            ActivityError: the hook said no, or never answered.
            Interrupted: the route is another's by now, so it was not called.
        """
        if self._taking_over.unsettled and workflow.patched(KNOWN_FIRST):
            await self._settle(name)
        state, arms = self._state, self._state.spec.arms
        request = HookRequest(
            context=state.context(),
            url=url,
            hook=name,
            key=f"{state.rollout_id}:{name}",
            rollout_id=state.rollout_id,
            service=state.spec.service,
            environment=state.spec.environment,
            region=state.spec.region,
            version=arms.canary.version,
            baseline_version=arms.baseline.version,
            reason=state.reason,
            run_id=state.run_id,
        )
        done = await self._called(request)
        self._journal.note("hook", f"{name}: {done.detail or 'done'}", hook=name)

    async def _called(self, request: HookRequest) -> Done:
        """Once more where a reset went back to the middle of the call: the run that ordered it is no more."""
        while True:
            try:
                return await call(RUN_HOOK, request, HOOK, f"hook {request.hook}")
            except ActivityError as error:
                if failure_type(error) != HOOK_COPIED:
                    raise
            await self._settle(request.hook)

    async def _settle(self, name: str) -> None:
        await self._taking_over.settle()
        if self._taking_over.lost:
            self._journal.note("hook", f"{name}: not called after the reset", hook=name)
            raise Interrupted

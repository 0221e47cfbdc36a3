"""Calling the hooks of a spec: what deploys the canary, verifies it, retires the old version, cleans up."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.records import RUN_HOOK, HookRequest
    from coalmine.rollout import RolloutState

from workflows.calls import HOOK, call
from workflows.interruption import failure_reason
from workflows.journal import Journal


class Hooks:
    """Calls the hooks of one rollout."""

    def __init__(self, state: RolloutState, journal: Journal) -> None:
        self._state = state
        self._journal = journal

    async def run_or_tell(self, name: str, url: str) -> None:
        """Call a hook upon which nothing depends: a failure is noted, and told to people."""
        try:
            await self.run(name, url)
        except ActivityError as error:
            self._journal.note("hook", f"{name}: {failure_reason(error)}", hook=name)
            self._journal.tell(f"Hook {name} failed", f"{self._state.rollout_id}: {failure_reason(error)}", "warning")

    async def run(self, name: str, url: str) -> None:
        """Call one hook; its key is the same for every retry, and for every worker.

        Raises:
            ActivityError: the hook said no, or never answered.
        """
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
        )
        done = await call(RUN_HOOK, request, HOOK, f"hook {name}")
        self._journal.note("hook", f"{name}: {done.detail or 'done'}", hook=name)

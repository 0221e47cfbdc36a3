"""One rollout with its planned faults: played to its end on the scene they share, and examined."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from benchmarks.simulated_metrics import BASELINE_ERRORS
from coalmine.records import (
    TASK_QUEUE,
    TASK_TIMEOUT,
    CanaryInput,
    RolloutStatus,
    Submission,
    canary_id,
    guard_id,
)
from tests.faults import examine
from tests.faults.aftermath import clear, keep
from tests.faults.catalogue import CATALOGUE
from tests.faults.holding import unconfirmed
from tests.faults.moments import come_to, is_gated
from tests.faults.plan import PlannedFault, PlannedRollout, TooLate
from tests.faults.scene import ENVIRONMENT, Scene
from tests.faults.sightings import Sightings, by_guard, versions, watch
from tests.faults.starting import begin_by_command, end_of, submission_for
from tests.faults.told import Told, told
from tests.faults.weights import unordered

_MOMENT_WITHIN = 45.0
"""On a busy machine it is a while before a rollout is closing; what comes before it would meet another moment."""
_ENDS_WITHIN = 240.0
"""Several times what it takes when nothing else runs on the machine: what is stuck is stuck after that too."""
_GUARDED_WITHIN = 120.0
_BEFORE = frozenset({"start", "shift", "look", "random"})
"""Moments that come whether or not the second step is approved."""
_BAD = 10 * BASELINE_ERRORS


class Act:
    """One rollout with its faults."""

    def __init__(self, scene: Scene, route: str, version: str, planned: PlannedRollout) -> None:
        self.scene, self.route, self.version, self.planned = scene, route, version, planned
        self.chance = random.Random(planned.faults[0].seed)
        self.envoys = scene.ground.envoys[route]
        self.deaf: set[int] = set()
        """Numbers of proxies that a fault keeps from answering."""
        self.last_proxy = asyncio.Lock()
        """Held by whoever keeps it from answering: one who lets it go would do so for another who does not."""
        self.by_hand: dict[int, float] = {}
        """What hands wrote past the rollout: the canary's share by generation."""
        self.approved = False
        """Whether a rightful approval of the second step was given."""
        self.injected: list[PlannedFault] = []
        """Those that found something to break."""
        self._done: list[PlannedFault] = []
        """Those that are over."""
        self.wrong: list[str] = []
        self.handle: WorkflowHandle[Any, Any]
        self.seen = Sightings([[] for _ in self.envoys], [{} for _ in self.envoys])
        self._runs: list[str] = []

    async def play(self) -> None:
        """Run the rollout to its end, and examine it."""
        client = self.scene.ground.client
        before = self.generation()
        bad = _BAD if self.planned.bad else BASELINE_ERRORS
        self.scene.metrics.routes[self.route].canary_errors = bad
        if self.planned.by_command:
            first, asked = await begin_by_command(client, self._submission(self.version))
        else:
            first, asked = await self.start(self.version), None
        self._runs = [first.result_run_id or ""]
        self.handle = client.get_workflow_handle(first.id)
        watching = asyncio.create_task(watch(self))
        people = asyncio.create_task(self._people())
        faults = [asyncio.create_task(self._fault(fault)) for fault in self.planned.faults]
        try:
            async with asyncio.timeout(_ENDS_WITHIN):
                await self._ended()
                await asyncio.gather(*faults)
                await self._ended()
        except TimeoutError:
            self.wrong.append(f"no end after {_ENDS_WITHIN:g} s")
            await self.handle.terminate("the harness gives up")
        finally:
            for task in (watching, people, *faults):
                task.cancel()
            if asked is not None:
                await end_of(asked)
            ends = await asyncio.gather(watching, people, *faults, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, RPCError | TimeoutError):
                raise end
        self._runs = await self._all_runs(first)
        history = await told(client, self.handle.id, self._runs)
        hand_was_last = max(self.by_hand, default=0) > max(history.generations, default=0)
        if hand_was_last:
            # It was over before it could look, or there was nobody left to: then that is the guard's too.
            await self._until_at_rest(history, _GUARDED_WITHIN)
        elif history.closed == "terminated" and not history.promoted:
            # No code of the rollout runs any more: the traffic guard has to see to it.
            await self.until_restored(_GUARDED_WITHIN)
        if history.generations:
            # Before the guard is asked: what it had put back by now, its history says then.
            self.wrong += await examine.at_rest(self.scene.ground, self.route, history, {})
        ordered = (await examine.guarded(client, guard_id(ENVIRONMENT))).get(self.handle.id, {})
        # Of this rollout's time alone: the guard may have written for earlier ones of the service.
        guarded = {generation: share for generation, share in ordered.items() if generation > before}
        if not history.generations:
            self.wrong = [wrong for wrong in self.wrong if not by_guard(wrong, guarded)]
            self.wrong += await examine.at_rest(self.scene.ground, self.route, history, guarded)
        if not hand_was_last:
            self.wrong += examine.mended(history, guarded)
        self.wrong += examine.cancels(history)
        self.wrong += examine.strangers(history, self.seen.generations, before, guarded | self.by_hand)
        if not self.scene.advisory:
            self.wrong += examine.fences(self.seen.generations, self.seen.contents)
        self.wrong += examine.rises(history, self.seen.held)
        self.wrong += unordered(self.seen.together, examine.by_generation(history, guarded | self.by_hand))
        self.wrong += examine.record(history, self.scene.ground.folder, self._runs)
        self.wrong += examine.verdicts(history)
        if self.wrong and self.scene.keep is not None:
            await keep(self, self._runs, self.scene.keep)
        await clear(self)

    async def _all_runs(self, first: WorkflowHandle[Any, Any]) -> list[str]:
        """Every run since the first, oldest first: one that a reset replaced at once was never seen as the latest.

        A server that is killed while it resets may have done so, and is asked again.
        """
        client = self.scene.ground.client
        began = (await client.get_workflow_handle(first.id, run_id=first.result_run_id).describe()).start_time
        listed = [one async for one in client.list_workflows(f"WorkflowId = '{first.id}'") if one.start_time >= began]
        others = [one.run_id for one in sorted(listed, key=lambda one: one.start_time) if one.run_id not in self._runs]
        return [self._runs[0], *others, *self._runs[1:]]

    async def start(self, version: str) -> WorkflowHandle[Any, Any]:
        """Start a version under this route's id."""
        return await self.scene.ground.client.start_workflow(
            "Canary",
            CanaryInput(service=self.route, environment=ENVIRONMENT, submission=self._submission(version)),
            id=canary_id(ENVIRONMENT, self.route),
            task_queue=TASK_QUEUE,
            task_timeout=TASK_TIMEOUT,
        )

    def _submission(self, version: str) -> Submission:
        meets_window = any(fault.moment == "window" for fault in self.planned.faults)
        return submission_for(self.scene, self.route, version, meets_window=meets_window)

    async def allow_next_step(self) -> None:
        """The rightful approval."""
        self.approved = True
        await self.handle.signal("approve", {"by": "bo", "reason": "fault test", "gate": "step-2"})

    @property
    def shows_canary(self) -> bool:
        """Whether the first proxy gives the canary something."""
        return self.seen.share > 0

    async def is_closed(self) -> bool:
        """Whether no run is open."""
        return (await self.handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    async def until_restored(self, seconds: float) -> None:
        """Wait until every proxy shows the canary at nothing, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.scene.ground.until_restored(self.route)

    async def until_taken_back(self, generation: int, seconds: float) -> None:
        """Wait until every file holds this generation or a newer one, and every proxy shows the canary at nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while min(int(version.split(":")[0]) for version in versions(self.envoys)) < generation:
                    await asyncio.sleep(0.02)
                await self.scene.ground.until_restored(self.route)

    async def _until_at_rest(self, history: Told, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await examine.at_rest(self.scene.ground, self.route, history, {}):
                    await asyncio.sleep(0.1)

    async def _ended(self) -> None:
        while True:
            try:
                described = await self.handle.describe()
            except RPCError:
                await asyncio.sleep(0.1)
                continue  # The server is away.
            if described.run_id not in self._runs:
                self._runs.append(described.run_id or "")
            if described.status is not WorkflowExecutionStatus.RUNNING:
                return
            with suppress(WorkflowFailureError, RPCError):
                await self.scene.ground.client.get_workflow_handle(self.handle.id, run_id=described.run_id).result()

    async def _fault(self, planned: PlannedFault) -> None:
        met = planned
        try:
            async with AsyncExitStack() as held:
                if planned.meets_held_write:
                    # However long it takes: every rollout has a first write, or ends.
                    await held.enter_async_context(unconfirmed(self))
                try:
                    async with asyncio.timeout(_MOMENT_WITHIN):
                        await come_to(self, planned.moment)
                except TimeoutError:
                    # It comes upon the rollout all the same, and counts as what it is: at some other moment.
                    met = replace(planned, moment="random")
                if not await self.is_closed():
                    await self._inject(met)
        finally:
            self._done.append(planned)
            if planned.moment == "close":
                self.scene.hung.discard(self.route)

    async def _inject(self, planned: PlannedFault) -> None:
        self.injected.append(planned)
        try:
            await CATALOGUE[planned.kind](self)
        except TooLate:
            self.injected.remove(planned)
        except RPCError as error:
            # What is said to a rollout that has just closed comes too late; that is no fault of it.
            if "not found" not in str(error) and "already completed" not in str(error):
                raise
            self.injected.remove(planned)

    async def _people(self) -> None:
        """Approve the second step, once it waits and the faults of that moment had theirs.

        Not before a gate that was opened wrongly had shown: the step begins with the next look.
        """
        here = [fault for fault in self.planned.faults if fault.moment == "gate"]
        # A zombie is made of the write that follows the approval, which it gives itself: nobody comes before it.
        made = [fault for fault in self.planned.faults if fault.kind.startswith("zombie") and fault.moment in _BEFORE]
        while not await is_gated(self) or not {*here, *made} <= set(self._done):
            await asyncio.sleep(0.1)
        if here:
            await self._next_looks(2)
        await self.allow_next_step()

    async def _next_looks(self, count: int) -> None:
        """Wait until so many more looks were taken, for half a minute at most: the metrics may be away."""
        first: int | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while True:
                    with suppress(RPCError, WorkflowQueryFailedError):
                        looks = (await self.handle.query("status", result_type=RolloutStatus)).looks
                        first = looks if first is None else first
                        if looks >= first + count:
                            return
                    await asyncio.sleep(0.1)

    def add(self, wrong: str) -> None:
        """Say, once, what was wrong."""
        if wrong not in self.wrong:
            self.wrong.append(wrong)

    def generation(self) -> int:
        """The newest that a route file holds."""
        return max(int(version.split(":")[0]) for version in versions(self.envoys))


async def play_all(scene: Scene, plan: Sequence[PlannedRollout], until: float) -> list[Act]:
    """Carry out the plan, every route one rollout after the other, until the loop's clock says ``until``."""
    waiting, done = list(enumerate(plan)), list[Act]()

    async def one_route(route: str) -> None:
        while waiting and asyncio.get_running_loop().time() < until:
            number, planned = waiting.pop(0)
            act = Act(scene, route, f"2.{number}.0", planned)
            await act.play()
            done.append(act)
            told = ", ".join(f"{fault.kind} at {fault.moment}" for fault in planned.faults)
            print(f"{len(done)}: {told}: {act.wrong or 'right'}", flush=True)

    async with asyncio.TaskGroup() as routes:
        for route in scene.ground.routes:
            routes.create_task(one_route(route))
    return done

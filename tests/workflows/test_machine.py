"""Many short rollouts side by side, each driven at random: people, failures, metrics, cancellations.

On the dev server, where races are real. Whatever happened, the invariants hold when all is at rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, get_type_hints

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from coalmine.records import Finding, Outcome, Phase, RolloutStatus, Verb
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import CRASH, GOOD, HARM, UNDECIDED, Judgement, World

SIDE_BY_SIDE = 8
MAY_FAIL = (RPCError, WorkflowUpdateFailedError)
"""What a random act may meet: the rollout is closed, or refuses."""
FOUND: list[Judgement] = [
    *(GOOD, GOOD, GOOD, GOOD, UNDECIDED, HARM, CRASH),
    (Finding.HARM_UNSURE, "a little worse"),
    (Finding.SIGNAL, "slower"),
    (Finding.SAMPLE_RATIO, "30 % instead of 10 %"),
]


class Worlds(World):
    """One worker for many worlds: an activity goes to the world of the workflow that asks."""

    def __init__(self) -> None:
        super().__init__()
        self.by_id: dict[str, World] = {}

    @property
    def activities(self) -> list[Any]:
        """For the worker on the main queue."""
        return [self._sent_on(method) for method in super().activities]

    @property
    def side_activities(self) -> list[Any]:
        """For the worker on the side queue."""
        return [self._sent_on(method) for method in super().side_activities]

    @property
    def hook_activities(self) -> list[Any]:
        """For the worker on the hooks' queue."""
        return [self._sent_on(method) for method in super().hook_activities]

    def _sent_on(self, method: Any) -> Callable[[Any], Awaitable[Any]]:
        name = method.__name__

        async def run(request: Any) -> Any:
            return await getattr(self.by_id[activity.info().workflow_id or ""], name)(request)

        run.__annotations__ = get_type_hints(method)
        return activity.defn(name=name)(run)


class Chaos:
    """One rollout and what happens to it, all from one seed."""

    def __init__(self, rollout: Rollout, seed: int) -> None:
        self.rollout, self.world, self.dice = rollout, rollout.world, random.Random(seed)
        self.service = f"service-{seed}"
        self.happened: list[str] = []

    def submission(self, version: int = 1) -> Any:
        """A release of two steps, the second behind a gate for two people."""
        gate = {
            "name": "go",
            "approval": {"count": 2, "timeout": "3s", "on_timeout": self.dice.choice(["hold", "roll_back"])},
        }
        return make_submission(
            quick(
                service=self.service,
                arms={
                    "baseline": {"version": f"1.{version - 1}.0", "backend": f"checkout-v{version}"},
                    "canary": {"version": f"1.{version}.0", "backend": f"checkout-v{version + 1}"},
                },
                steps=[{"weight": 10, "for": "1s"}, {"weight": 50, "for": "1s", "gate": gate}],
                policy={"no_data_limit": "3s", "max_extension": "2s", "held": {"timeout": "4s"}},
                promotion={"bake": "1s", "rollback_window": "2s"},
            )
        )

    async def live(self) -> None:
        """Start, let things happen, heal the world, and wait until all is at rest."""
        await self.rollout.submit(self.submission())
        for _ in range(self.dice.randint(4, 20)):
            name, act = self.dice.choice(self.acts())
            self.happened.append(name)
            try:
                await act()
            except MAY_FAIL as error:
                self.happened.append(type(error).__name__)
            await asyncio.sleep(self.dice.choice([0, 0, 0.05, 0.3, 0.8]))
        self.heal()
        for _ in range(30):
            if (await self.rollout.handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
                return
            await asyncio.sleep(1)
            if self.dice.random() < 0.2:
                await self.try_to(self.rollout.send(self.dice.choice(["rollback", "promote", "resume"])))
        await self.try_to(self.rollout.send("rollback"))
        await self.rollout.end(0.2)

    async def try_to(self, act: Awaitable[Any]) -> None:
        """Do it, if it is still open."""
        try:
            await act
        except MAY_FAIL:
            return

    def heal(self) -> None:
        """No more failures."""
        world = self.world
        world.judge = lambda number, stage: GOOD
        world.silent = world.ledger_down = world.fleet_silent = False
        world.shift_errors, world.collect_error = [], ""
        for gate in (world.collect_gate, world.shift_gate):
            if gate is not None:
                gate.set()
        world.collect_gate = world.shift_gate = None

    def acts(self) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
        """What may happen, the frequent things several times."""
        people = ["ana", "bo", "cy"]
        verbs = [*Verb, Verb.APPROVE, Verb.APPROVE, Verb.APPROVE, Verb.RESUME, Verb.PAUSE]
        verb, by = self.dice.choice(verbs), self.dice.choice(people)
        if verb in (Verb.ROLLBACK, Verb.REJECT, Verb.PROMOTE) and self.dice.random() < 0.6:
            verb = Verb.APPROVE
        extra = {"gate": "go"} if verb is Verb.APPROVE and self.dice.random() < 0.7 else {}
        return [
            *[(f"signal {verb} {by}", lambda: self.rollout.send(verb, by=by, **extra))] * 4,
            *[(f"update {verb} {by}", lambda: self.rollout.say(verb, by=by, **extra))] * 4,
            ("garbage", lambda: self.rollout.handle.signal(self.dice.choice(["aprove", "pause"]), [1, 2])),
            *[("found", self.find)] * 3,
            ("silence", self.fall_silent),
            ("router", self.break_router),
            ("stranger", self.meet_a_stranger),
            ("ledger", self.lose_ledger),
            ("hang", self.hang),
            ("submit", lambda: self.rollout.submit(self.submission())),
            ("submit next", lambda: self.rollout.submit(self.submission(2))),
            *([("cancel", lambda: self.rollout.handle.cancel())] if self.dice.random() < 0.2 else []),
        ]

    async def find(self) -> None:
        """The judge finds something else from now on."""
        found = self.dice.choice(FOUND)
        self.world.judge = lambda number, stage: found

    async def fall_silent(self) -> None:
        """The metric store falls silent, or speaks again."""
        self.world.silent = not self.world.silent

    async def break_router(self) -> None:
        """The next shifts fail."""
        kind, final = self.dice.choice(
            [("RouterUnreachable", False), ("RouteRejected", True), ("RouteUnconfirmed", False)]
        )
        self.world.shift_errors = [
            ApplicationError("no", type=kind, non_retryable=final) for _ in range(self.dice.randint(1, 3))
        ]

    async def meet_a_stranger(self) -> None:
        """Somebody else's write went through, with the same weights."""
        self.world.generation += self.dice.randint(1, 3)

    async def lose_ledger(self) -> None:
        """The ledger is down for a moment."""
        self.world.ledger_down = not self.world.ledger_down

    async def hang(self) -> None:
        """Collecting or shifting hangs for a moment."""
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(self.dice.uniform(0.1, 1.5), gate.set)
        if self.dice.random() < 0.5:
            self.world.collect_gate = gate
        else:
            self.world.shift_gate, self.world.shift_gate_above = gate, -1

    def check(self, status: RolloutStatus) -> None:
        """The invariants, at rest."""
        world = self.world
        assert status.phase is Phase.CLOSED
        # I1: all traffic on the arm that the outcome names.
        live = {backend for backend, weight in world.route.items() if weight}
        second = status.version == "1.2.0"
        if not (second and status.outcome is Outcome.BLOCKED):
            promoted = status.outcome is Outcome.PROMOTED
            assert live == {f"checkout-v{1 + second + promoted}"}
        assert len(live) == 1
        # I3: no older write overrode a newer one.
        generations = [write.generation for write in world.writes]
        assert generations == sorted(set(generations))
        # I4: the ledger has every entry of every rollout, and it is closed.
        for name in {name for name, _ in world.ledger}:
            entries = [entry for (owner, _), entry in sorted(world.ledger.items()) if owner == name]
            assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
            kinds = [entry.kind for entry in entries]
            assert "closed" in kinds
            # People may still be refused while the rest of the record is handed over.
            assert {*kinds[kinds.index("closed") + 1 :]} <= {"refused", "undelivered", "archived"}
            self.check_way_up(name, entries)

    def check_way_up(self, name: str, entries: list[Any]) -> None:
        """I2: never more than the step that was entered allows, read off the order of the record."""
        canary = f"checkout-v{int(name.split('/')[2].split('.')[1]) + 1}"
        allowed, approvers = 10.0, set()
        for entry in entries:
            if entry.kind == "command" and entry.data["verb"] == "approve":
                approvers.add(entry.by)
            if entry.kind == "advance":
                assert len(approvers) >= 2, "went past the gate without two people"
                allowed = 50.0
            if entry.kind in ("promote", "override"):
                allowed = 100.0
            if entry.kind == "roll_back":
                allowed = 100.0 if allowed == 100.0 else allowed
            if entry.kind == "shifted":
                assert entry.data["weights"].get(canary, 0.0) <= allowed


@pytest.mark.parametrize("round_", [1, 2])
async def test_whatever_happens_the_invariants_hold(temporal_client: Client, round_: int) -> None:
    worlds = Worlds()
    async with AsyncExitStack() as stack:
        for worker in workers(temporal_client, worlds):
            await stack.enter_async_context(worker)
        runs = []
        for number in range(SIDE_BY_SIDE):
            seed = round_ * 1_000 + number
            rollout_id = f"canary/test/service-{seed}"
            world = worlds.by_id[rollout_id] = World(client=temporal_client)
            runs.append(Chaos(Rollout(temporal_client, world, asyncio.sleep, now, id=rollout_id, tick=0.1), seed))
        await asyncio.gather(*(run.live() for run in runs))
        for run in runs:
            status = await run.rollout.status()
            failed = await run.rollout.failed_tasks()
            try:
                run.check(status)
                assert failed == []
            except AssertionError as error:
                error.add_note(f"{run.service}: {status.phase} {status.outcome} {status.reason}: {run.happened}")
                raise

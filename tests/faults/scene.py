"""The stack on which rollouts meet their faults side by side, and what faults of different rollouts share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from benchmarks.ground import WorkerProcess
from benchmarks.simulated_metrics import SimulatedMetrics
from coalmine import guard_client
from coalmine.pollers import await_worker
from coalmine.records import (
    GuardSettings,
)
from coalmine.testing.fake_prometheus import FakeAnswer
from tests.faults.disk_ground import DiskGround

ENVIRONMENT = "faults"


class Scene:
    """The stack, and what faults of different rollouts share."""

    def __init__(
        self, ground: DiskGround, metrics: SimulatedMetrics, keep: Path | None = None, *, advisory: bool = False
    ) -> None:
        self.ground, self.metrics = ground, metrics
        self.advisory = advisory
        """Whether older writes come through: what is at rest counts, not what was there in between."""
        self.keep = keep
        """Where the histories of rollouts with violations go."""
        self.workers: list[WorkerProcess] = []
        self.hands = asyncio.Lock()
        """Held by whoever meddles with workers: two such faults at once could leave none to go on."""
        self.answers: dict[str, Callable[[], FakeAnswer | None]] = {}
        """What the metric store answers for a route instead of its samples."""
        self.hung: set[str] = set()
        """Routes whose webhook does not answer now."""
        self.hook_url = ""
        self.wrong: list[str] = []
        """What no single rollout did: workers that ended by themselves."""
        self._started = 0
        self._supervisor: asyncio.Task[None] | None = None
        self._hooks: web.AppRunner | None = None
        metrics.server.answer = self._answer

    async def open(self) -> None:
        """Start two workers and the server that is told of rollouts."""
        app = web.Application()
        app.router.add_post("/{route}", self._be_told)
        self._hooks = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._hooks.setup()
        await web.TCPSite(self._hooks, "127.0.0.1", 0).start()
        self.hook_url = f"http://127.0.0.1:{self._hooks.addresses[0][1]}"
        self.workers = [await self._worker(), await self._worker()]
        # Longer than from the end of one rollout to the start of the next: the route is put back in between.
        guard = GuardSettings(every=timedelta(seconds=1), grace=timedelta(seconds=3), by="faults")
        # On a busy machine a worker takes longer to start than a person at a command waits for one.
        await await_worker(self.ground.client, "nothing can begin", timedelta(seconds=120))
        await guard_client.turn_on(self.ground.client, ENVIRONMENT, guard)
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End what was started."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        for worker in self.workers:
            await worker.kill()
        if self._hooks is not None:
            await self._hooks.cleanup()

    async def replace_workers(self, count: int, *, kill: bool = True) -> None:
        """End the oldest workers at once; as many new ones take their place."""
        async with self.hands:
            gone = [self.workers.pop(0) for _ in range(count)]
            await asyncio.gather(*((worker.kill() if kill else worker.stop()) for worker in gone))
            for _ in gone:
                self.workers.append(await self._worker())

    async def _supervise(self) -> None:
        """Start a worker again that ended, as any supervisor does; but only one that found no Temporal may end."""
        while True:
            await asyncio.sleep(0.1)
            async with self.hands:
                for worker in [worker for worker in self.workers if worker.ended_by_itself]:
                    said = worker.log.read_text()[-2000:]
                    if "the worker cannot start" not in said:
                        self.wrong.append(f"a worker ended by itself: {said}")
                    self.workers[self.workers.index(worker)] = await self._worker()

    async def _worker(self) -> WorkerProcess:
        self._started += 1
        return await self.ground.worker(self._started)

    def _answer(self, query: str, headers: object) -> FakeAnswer | None:
        for route, answer in list(self.answers.items()):
            if f'"{route}"' in query:
                return answer()
        return None

    async def _be_told(self, request: web.Request) -> web.Response:
        while request.match_info["route"] in self.hung:
            await asyncio.sleep(0.05)
        return web.Response()

"""The command line against a real Temporal dev server and the real workflows, in a scripted world."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from coalmine.cli import main
from coalmine.client import Coalmine, RolloutRef
from coalmine.connection import settings
from coalmine.errors import CoalmineError, TemporalUnavailable
from coalmine.preflight import create_missing
from coalmine.records import Phase, RolloutStatus, Verb
from coalmine.spec.canary import CanarySpec
from coalmine.worker_settings import WorkerSettings
from tests.cli.release_script import Runner
from tests.conftest import TemporalServer
from tests.workflows.specs import make_spec
from tests.workflows.world import World
from worker import build_workers

WORKFLOW_ID = "canary/test/checkout"
UI = "http://ui.example"


@dataclass(frozen=True)
class Ran:
    """What one command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Stdout as JSON: all of it, so a stray word of a person's would fail here."""
        return json.loads(self.out)


@dataclass
class Desk:
    """A namespace of its own, a folder for specs, and hands to type commands."""

    client: Client
    coalmine: Coalmine
    world: World
    folder: Path
    capsys: pytest.CaptureFixture[str]
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def type(self, *words: str) -> Ran:
        """Run a command as the shell would, but in a thread of this process."""
        self.capsys.readouterr()
        code = await asyncio.to_thread(main, words)
        printed = self.capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    def write(self, spec: CanarySpec | None = None, name: str = "spec.yaml", **changes: Any) -> str:
        """Write a spec (JSON is YAML) and return its path."""
        path = self.folder / name
        path.write_text((spec or make_spec(**changes)).model_dump_json(by_alias=True, exclude_none=True, indent=1))
        return str(path)

    async def serve(self) -> None:
        """Start workers; they end with the test."""
        serving = build_workers(
            self.client,
            WorkerSettings(drain=timedelta(seconds=1)),
            main=self.world.activities,
            side=self.world.side_activities,
            hooks=self.world.hook_activities,
        )
        for worker in serving:
            await self.served_by(worker)

    async def served_by(self, worker: Worker) -> None:
        """Let a worker of the test's own run until the end."""
        await self._stack.enter_async_context(worker)

    async def retire(self) -> None:
        """End the workers."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    @property
    def ref(self) -> RolloutRef:
        """The rollout of the specs written here."""
        return RolloutRef(WORKFLOW_ID)

    @property
    def workflows_page(self) -> str:
        """Where the Temporal UI has the workflows of this namespace."""
        return f"{UI}/namespaces/{self.client.namespace}/workflows"

    def verb(self, name: str) -> Verb:
        """What can be sent."""
        return Verb(name)

    async def until_started(self) -> None:
        """Wait until the workflow answers, for a start that runs beside."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.coalmine.status(self.ref)
                except CoalmineError:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def until(self, met: Callable[[RolloutStatus], bool]) -> RolloutStatus:
        """Wait for a status."""
        async with asyncio.timeout(60):
            while True:
                # A worker that has just begun, on a busy machine, may not answer in time at first.
                with suppress(TemporalUnavailable):
                    status = await self.coalmine.status(self.ref)
                    if met(status):
                        return status
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """End the workers and whatever rollouts are left."""
        async for left in self.client.list_workflows("ExecutionStatus = 'Running'"):
            # It may have ended by itself meanwhile.
            with suppress(RPCError):
                await self.client.get_workflow_handle(left.id, run_id=left.run_id).terminate(reason="the test is over")
        await self._stack.aclose()


@pytest.fixture
async def empty_desk(
    bare_temporal: TemporalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Desk]:
    """A desk without a worker, on a server where nobody ever polled."""
    client = await bare_temporal.connect()
    await create_missing(client)
    told = {"COALMINE_BY": "ana@example.org", "COALMINE_UI_URL": UI}
    for name, value in {**bare_temporal.variables(), **told}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)
    desk = Desk(client, Coalmine(client, settings()), World(client=client), tmp_path, capsys)
    yield desk
    await desk.close()


@pytest.fixture
async def desk(empty_desk: Desk) -> Desk:
    """A desk with a worker that serves the real workflows."""
    await empty_desk.serve()
    return empty_desk


@pytest.fixture
async def busy_desk(desk: Desk) -> Desk:
    """A desk with a rollout in its first step, whose next step has a gate."""
    steps = [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "10m", "gate": {"approval": {"by": ["sre"]}}}]
    spec = desk.write(steps=steps, policy={"look": "1s"}, people={"sre": ["ana@example.org"]})
    assert (await desk.type("start", spec)).code == 0
    await desk.until(lambda status: status.phase is Phase.STEPPING)
    async with asyncio.timeout(30):
        while not await desk.coalmine.rollouts():
            await asyncio.sleep(0.05)  # Visibility lags a little behind.
    return desk


@pytest.fixture
def runner(bare_temporal: TemporalServer, tmp_path: Path) -> Runner:
    """Nothing but a path, the server, and where GitHub wants its files."""
    return Runner(
        tmp_path,
        {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GITHUB_OUTPUT": str(tmp_path / "outputs"),
            # Where the source lies, for a checkout that is not installed.
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONWARNINGS": "error",
            **bare_temporal.variables(),
        },
    )

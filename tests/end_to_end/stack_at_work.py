"""The local stack under load, and hands that type commands at it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activities.routers.envoy import EnvoyRouter
from coalmine.local.demo_releases import HEALTHY, Release
from coalmine.local.processes import Process
from coalmine.local.stack import FIRST_VERSION, SLOTS, Stack, deploy
from coalmine.local.temporal import temporal_program
from coalmine.records import RouteState
from coalmine.spec.canary import Route
from coalmine.testing.otlp_receiver import OtlpReceiver
from tests.cli.release_script import Job, Runner

BLUE, GREEN = SLOTS
RATE = 200
"""Requests per second through Envoy, both versions together."""
_WITHIN = 180.0


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Stdout as JSON."""
        assert self.out, self.err
        return json.loads(self.out)


@dataclass
class StackAtWork:
    """One stack that is up, with load on its Envoy."""

    stack: Stack
    traces: OtlpReceiver
    """Where its worker and its commands send what they trace."""
    traces_file: Path
    """Where all of them write it too."""
    load: Process = field(init=False)

    def __post_init__(self) -> None:
        self.load = Process("load", self.stack.path)

    def begin_load(self) -> None:
        """Open-loop load for longer than all tests take; ``down`` ends it."""
        command = [sys.executable, "-m", "coalmine.cli", "load", self.stack.envoy["url"]]
        self.load.start([*command, "--rate", str(RATE), "--for", "15m"], dict(os.environ))

    async def coalmine(self, *words: str, **variables: str) -> Ran:
        """Type ``coalmine ...`` as a user of this stack does, with these variables besides."""
        return await self._run(sys.executable, "-m", "coalmine.cli", *words, **variables)

    async def ci_job(self, spec: Path, **variables: str) -> Job:
        """Run the script of infra/ci as a job does that waits for nothing."""
        folder = self.stack.path / "job"
        folder.mkdir()
        runner = Runner(
            folder,
            {
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                "GITHUB_STEP_SUMMARY": str(folder / "summary"),
                "GITHUB_OUTPUT": str(folder / "outputs"),
                "COALMINE_HOME": self.stack.folder,
                "COALMINE_DETACH": "1",
                "COALMINE_TRACES_FILE": str(self.traces_file),
                **variables,
            },
        )
        return await runner.run(str(spec), "--by", "ci@example.org")

    async def temporal(self, *words: str) -> Ran:
        """Type ``temporal ...`` at this stack's server."""
        where = ["--address", self.stack.temporal["address"], "--namespace", self.stack.temporal["namespace"]]
        return await self._run(temporal_program(), *words, *where)

    async def release(self, release: Release, environment: str) -> Path:
        """Deploy a version into the slot without traffic, and write its spec; returns the file."""
        await deploy(self.stack, GREEN, release.version, [release.behaviour], slow=HEALTHY.p99())
        spec = {**release.spec(self.stack, (FIRST_VERSION, BLUE), GREEN), "environment": environment, "notify": []}
        file = self.stack.path / f"{environment}-{release.version}.yaml"
        file.write_text(json.dumps(spec))
        return file

    async def route(self) -> RouteState:
        """The route as file and proxy have it."""
        envoy = self.stack.envoy
        route = {"router": "envoy", "name": "checkout", "files": [envoy["route_file"]], "admins": [envoy["admin"]]}
        return await EnvoyRouter().read(Route.model_validate(route), [BLUE, GREEN])

    async def _run(self, *command: str, **variables: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, "COALMINE_HOME": self.stack.folder, "COALMINE_BY": "ana", **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _WITHIN)
        except BaseException:
            process.kill()
            await process.communicate()
            raise
        return Ran(process.returncode, out.decode(), err.decode())

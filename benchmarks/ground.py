"""The ground benchmarks and fault tests stand on: a Temporal dev server, Envoys, a metric store, and workers to kill.

All are real processes but the metric store, whose counts the benchmark must know beforehand.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.search_attributes import KEYS

NAMESPACE = "coalmine"
BASELINE, CANARY = "shop-v1", "shop-v2"


class Backends:
    """Two tiny HTTP servers in this process, so that Envoy has healthy endpoints."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Serve both arms on free ports."""
        for name in (BASELINE, CANARY):
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self._answer(name))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._runners.append(runner)
            self.addresses[name] = f"127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End both."""
        for runner in self._runners:
            await runner.cleanup()

    @staticmethod
    def _answer(name: str) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=name)

        return answer


class WorkerProcess:
    """The worker as production runs it: a process that can be killed."""

    def __init__(self, folder: Path, address: str, number: int = 0, module: str = "worker") -> None:
        self.log = folder / f"worker-{number}.log"
        self.module = module
        self.folder = folder
        self._address = address
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 when it does not run."""
        return self._process.pid if self._process is not None else 0

    @property
    def ended_by_itself(self) -> bool:
        """Whether it was started, and is gone though nobody ended it."""
        return self._process is not None and self._process.returncode is not None

    def variables(self) -> dict[str, str]:
        """Its environment."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "COALMINE_"))},
            "TEMPORAL_ADDRESS": self._address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
        }

    async def start(self) -> None:
        """Start it; it serves once it polls."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module),
                cwd=self.folder,
                env=self.variables(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait for it to drain."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(how)
        await process.wait()


class Ground:
    """``async with Ground(folder, proxies=3) as ground``: ``ground.client``, ``ground.envoys``, ``ground.worker()``."""

    def __init__(self, folder: Path, proxies: int | Mapping[str, int] = 1, routes: Sequence[str] = ("shop",)) -> None:
        self.folder = folder
        self.routes = routes
        self.envoys: dict[str, list[EnvoyProxy]] = {}
        self.backends = Backends()
        self.worker_module = "worker"
        """What is run as the worker: fault tests run one that is broken on purpose."""
        self.worker_kind = WorkerProcess
        """How it is run."""
        self.client: Client
        self.address = ""
        self._proxies = proxies
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        stack = self._stack
        self._session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)))
        await self.backends.start()
        stack.push_async_callback(self.backends.stop)
        self.client = await self._start_temporal(stack)
        self.address = self.client.service_client.config.target_host
        for route in self.routes:
            self.envoys[route] = []
            for number in range(self._proxies if isinstance(self._proxies, int) else self._proxies[route]):
                self.envoys[route].append(await self._envoy(route, number))

    async def _start_temporal(self, stack: AsyncExitStack) -> Client:
        """A dev server in memory, ended by the stack."""
        temporal = await WorkflowEnvironment.start_local(
            namespace=NAMESPACE,
            data_converter=pydantic_data_converter,
            search_attributes=KEYS,
            dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
            dev_server_log_level="error",
            dev_server_startup_timeout=timedelta(seconds=30),
            dev_server_extra_args=["--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true"],
        )
        stack.push_async_callback(temporal.shutdown)
        return temporal.client

    async def _envoy(self, route: str, number: int) -> EnvoyProxy:
        folder = self.folder / f"{route}-{number}"
        folder.mkdir(parents=True)
        file = folder / "route.json"
        file.write_text(json.dumps(route_response(route, {BASELINE: 10_000, CANARY: 0})))
        clusters = {name: [address] for name, address in self.backends.addresses.items()}
        proxy = EnvoyProxy(folder, file, clusters, route_name=route)
        await self._stack.enter_async_context(proxy)
        return proxy

    def route(self, name: str) -> dict[str, Any]:
        """The ``route`` of a spec for one of ours."""
        envoys = self.envoys[name]
        return {
            "router": "envoy",
            "name": name,
            "files": [str(envoy.route_file) for envoy in envoys],
            "admins": [envoy.admin_url for envoy in envoys],
        }

    async def worker(self, number: int = 0) -> WorkerProcess:
        """A worker, started; stopped with the ground at the latest."""
        worker = self.worker_kind(self.folder, self.address, number, self.worker_module)
        await worker.start()
        self._stack.push_async_callback(worker.kill)
        return worker

    async def canary_share(self, envoy: EnvoyProxy) -> float:
        """The canary's share of traffic in percent, as the proxy itself shows it."""
        return (await self.canary_shown(envoy))[1]

    async def canary_shown(self, envoy: EnvoyProxy) -> tuple[int, float]:
        """The generation a proxy shows (0: none yet), and the canary's share of traffic under it, in percent."""
        url = f"{envoy.admin_url}/config_dump"
        async with self._session.get(url, params={"resource": "dynamic_route_configs"}) as answer:
            dump = json.loads(await answer.text())
        generation, share = 0, float("nan")
        for config in dump.get("configs", []):
            number = str(config.get("version_info", "")).partition(":")[0]
            generation = int(number) if number.isdecimal() else 0
            share = canary_share_of(config["route_config"])
        return generation, share

    async def until_restored(self, route: str) -> None:
        """Wait until every proxy of a route shows the canary at 0 %."""
        for envoy in self.envoys[route]:
            while await self.canary_share(envoy) > 0:
                await asyncio.sleep(0.001)


def canary_share_of(configuration: Mapping[str, Any]) -> float:
    """The canary's share of traffic in percent, by a RouteConfiguration of Envoy; NaN where it names no weights."""
    weights: dict[str, int] = {}
    for host in configuration["virtual_hosts"]:
        for entry in host["routes"]:
            action = entry.get("route", {})
            if "cluster" in action:
                return 100.0 if action["cluster"] == CANARY else 0.0
            for cluster in action.get("weighted_clusters", {}).get("clusters", []):
                weights[cluster["name"]] = cluster.get("weight", 0)
    total = sum(weights.values())
    return 100.0 * weights.get(CANARY, 0) / total if total else float("nan")

"""The local stack: real Temporal, Envoy and Prometheus, the demo service in two slots, and a worker, as processes.

One call up, one down, nothing left behind. Everything lies in one folder (``COALMINE_HOME``): logs, pid files, data,
and ``stack.json``, by which the command line finds the stack.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from coalmine.connection import stack_folder
from coalmine.encryption import KEYS_VARIABLE
from coalmine.local.demo_service import Behaviour
from coalmine.local.envoy import BUCKETS_MS, EnvoyProxy, route_response
from coalmine.local.processes import LocalStackError, Process, await_port, end_strays, free_ports
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.local.temporal import NAMESPACE, start_temporal

SERVICE = "checkout"
"""The demo service's name, and its route's."""
SLOTS = ("checkout-blue", "checkout-green")
"""The backends: a release goes into the slot that has no traffic."""
FIRST_VERSION = "1.0.0"
NAMES = ("load", "worker", *SLOTS, "prometheus", "envoy", "temporal", "codec")
"""In the order they are stopped: what asks before what answers."""
SCRAPE = 1.0
_COME_UP = 60.0
"""Seconds; a part that ends is noticed at once, so this is for machines that are busy."""


@dataclass
class Stack:
    """What is up, and where. ``stack.json`` is this as JSON."""

    folder: str
    temporal: dict[str, str] = field(default_factory=dict)
    """``address``, ``namespace``, ``ui``."""
    envoy: dict[str, str] = field(default_factory=dict)
    """``url``, ``admin``, ``route_file``."""
    prometheus: dict[str, str] = field(default_factory=dict)
    """``url``."""
    worker: dict[str, str] = field(default_factory=dict)
    """``metrics``: ``host:port`` where Prometheus scrapes it."""
    slots: dict[str, int] = field(default_factory=dict)
    """The port of each slot of the demo service."""
    logs: str = ""

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder)

    def environment(self) -> dict[str, str]:
        """What a process of ours needs to find this stack."""
        return {"TEMPORAL_ADDRESS": self.temporal["address"], "TEMPORAL_NAMESPACE": self.temporal["namespace"]}

    def save(self) -> None:
        """Write ``stack.json`` whole or not at all."""
        draft = self.path / "stack.json.new"
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(self.path / "stack.json")


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``COALMINE_HOME``, else ``.coalmine/local`` here."""
    return stack_folder(os.environ if environment is None else environment).absolute()


async def up(folder: Path | None = None, schedule: list[Behaviour] | None = None) -> Stack:
    """Start everything and wait until it serves; on any failure what was started is stopped again.

    Args:
        folder: Where its files go.
        schedule: How the first version of the demo service behaves.

    Raises:
        LocalStackError: it is up already, or a part did not come up; says where its log is.
        MissingExtra: a program of the extra ``local`` is missing.
    """
    folder = (folder or default_folder()).absolute()
    with _lock(folder):
        running = [name for name in NAMES if Process(name, folder).pid() is not None]
        if running:
            raise LocalStackError(f"the local stack in {folder} is up already ({', '.join(running)}): coalmine down")
        shutil.rmtree(folder / "prometheus", ignore_errors=True)
        stack = Stack(folder=str(folder), logs=str(folder))
        try:
            await _start_all(stack, schedule or [Behaviour()])
        except BaseException:
            _stop_all(folder)
            raise
        stack.save()
        return stack


async def _start_all(stack: Stack, schedule: list[Behaviour]) -> None:
    folder = stack.path
    stack.slots = dict(zip(SLOTS, free_ports(len(SLOTS)), strict=True))
    for slot in SLOTS:
        await deploy(stack, slot, FIRST_VERSION, schedule)
    temporal = await start_temporal(folder, os.environ.get(KEYS_VARIABLE))
    stack.temporal = {"address": temporal.address, "namespace": NAMESPACE, "ui": temporal.ui}
    await _start_envoy(stack)
    stack.worker = {"metrics": f"127.0.0.1:{free_ports(1)[0]}"}
    await _start_prometheus(stack)
    worker = Process("worker", folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    environment["COALMINE_METRICS_ADDRESS"] = stack.worker["metrics"]
    worker.start([sys.executable, "-m", "worker"], {**environment, **stack.environment()})
    await _await_worker(worker)


async def deploy(stack: Stack, slot: str, version: str, schedule: list[Behaviour], slow: float = 5.0) -> None:
    """Put a version into a slot: the process that was there ends, a new one takes its port.

    Args:
        stack: The stack it belongs to.
        slot: One of ``SLOTS``.
        version: What it calls itself.
        schedule: Its behaviours; the seed is the version, so that a version always behaves alike.
        slow: Seconds above which its responses count as bad.
    """
    process = Process(slot, stack.path)
    process.stop()
    port = stack.slots[slot]
    process.start(
        [
            *(sys.executable, "-m", "coalmine.local.demo_service"),
            *("--port", str(port), "--version", version, "--slow", f"{slow:g}"),
            *("--seed", str(seed_of(version))),
            *("--schedule", json.dumps([asdict(behaviour) for behaviour in schedule])),
        ]
    )
    await await_port(process, port)


def seed_of(version: str) -> int:
    """The seed of a version's faults."""
    return zlib.crc32(version.encode())


async def slot_stats(stack: Stack, slot: str) -> dict[str, Any]:
    """What the version in a slot served so far, counted by itself."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.get(f"http://127.0.0.1:{stack.slots[slot]}/stats") as answer,
    ):
        stats: dict[str, Any] = await answer.json()
        return stats


async def _start_envoy(stack: Stack) -> None:
    folder = stack.path / "envoy"
    folder.mkdir(parents=True, exist_ok=True)
    route_file = folder / "route.json"
    weights = dict(zip(SLOTS, (10_000, 0), strict=True))
    route_file.write_text(json.dumps(route_response(SERVICE, weights), indent=2))
    clusters = {slot: [f"127.0.0.1:{port}"] for slot, port in stack.slots.items()}
    proxy = EnvoyProxy(folder, route_file, clusters, route_name=SERVICE, buckets_ms=BUCKETS_MS)
    process = Process("envoy", stack.path)
    process.start(proxy.prepare())
    await _ready("envoy", process, proxy.await_ready())
    stack.envoy = {"url": proxy.listener_url, "admin": proxy.admin_url, "route_file": str(route_file)}


async def _start_prometheus(stack: Stack) -> None:
    admin = stack.envoy["admin"].removeprefix("http://")
    jobs = [
        ScrapeJob("envoy", [admin], path="/stats/prometheus"),
        ScrapeJob(SERVICE, [f"127.0.0.1:{port}" for port in stack.slots.values()]),
        ScrapeJob("coalmine-worker", [stack.worker["metrics"]]),
    ]
    server = PrometheusServer(stack.path / "prometheus", jobs, scrape=SCRAPE)
    process = Process("prometheus", stack.path)
    server.log = process.log
    process.log.unlink(missing_ok=True)
    process.start(server.prepare())
    await _ready("prometheus", process, server.await_ready())
    stack.prometheus = {"url": server.url}


async def _ready(name: str, process: Process, waiting: Any) -> None:
    task = asyncio.ensure_future(waiting)
    try:
        async with asyncio.timeout(_COME_UP):
            while not task.done():
                process.check()
                await asyncio.wait([task], timeout=0.1)
        await task
    except TimeoutError:
        raise LocalStackError(f"{name} did not come up in {_COME_UP:g} s: see {process.log}") from None
    finally:
        task.cancel()


async def _await_worker(worker: Process) -> None:
    """A worker serves once it says so."""
    try:
        async with asyncio.timeout(_COME_UP):
            while '"serving"' not in worker.log.read_text(errors="replace"):
                worker.check()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise LocalStackError(f"the worker does not serve after {_COME_UP:g} s: see {worker.log}") from None


def down(folder: Path | None = None) -> list[str]:
    """Stop everything that runs from a folder; nothing there is nothing to do.

    Returns:
        The names of the processes that were stopped.
    """
    folder = (folder or default_folder()).absolute()
    if not folder.exists():
        return []
    with _lock(folder):
        return _stop_all(folder)


def running(folder: Path | None = None) -> dict[str, int | None]:
    """Every part and its pid, None where it does not run; the codec server only where it does."""
    folder = (folder or default_folder()).absolute()
    found = {name: Process(name, folder).pid() for name in reversed(NAMES)}
    return {name: pid for name, pid in found.items() if name != "codec" or pid is not None}


def find(folder: Path | None = None) -> Stack | None:
    """The stack that is up in a folder, None when there is none."""
    folder = (folder or default_folder()).absolute()
    try:
        return Stack(**json.loads((folder / "stack.json").read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise LocalStackError(f"{folder / 'stack.json'} cannot be read ({error}): run coalmine down") from None


def _stop_all(folder: Path) -> list[str]:
    (folder / "stack.json").unlink(missing_ok=True)
    stopped: list[str] = []
    for name in NAMES:
        process = Process(name, folder)
        if process.pid() is not None:
            stopped.append(name)
        process.stop()
    return stopped + [f"pid {pid}" for pid in end_strays(folder)]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Two commands at once on one folder must not half-start or half-stop it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise LocalStackError(f"{folder}: cannot be used ({error.strerror}): name another with --folder") from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalStackError(f"another coalmine up or down works in {folder} now: wait for it") from None
        yield

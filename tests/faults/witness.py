"""What a rollout left behind, read from the proxies, the route files and the ledger: never from its own state."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.archive import kept_histories
from activities.ledgers.file import FileLedger
from activities.ledgers.names import book_of
from activities.routers.envoy import EnvoyRouter
from benchmarks.ground import Ground
from coalmine.errors import RouterUnreachable
from coalmine.records import RolloutReport, RouteState
from coalmine.spec.canary import Route
from coalmine.timeline import TimelineEntry, timeline_of

PATIENCE = 120.0
"""Seconds a condition may take: the machine may be busy with everything else."""


class Witness:
    """``async with watching(ground, "shop") as witness``: reads proxies and files all the time."""

    def __init__(self, ground: Ground, route: str) -> None:
        self.shares: set[float] = set()
        """Every share of the canary any proxy ever showed, in percent."""
        self.generations: list[list[int]] = [[] for _ in ground.envoys[route]]
        """Of each file, in the order seen."""
        self._ground = ground
        self._envoys = ground.envoys[route]
        self._route = Route.model_validate(ground.route(route))
        self.frozen: set[int] = set()
        """Numbers of proxies that do not answer now."""

    async def watch(self) -> None:
        """Read on until cancelled."""
        while True:
            for number, envoy in enumerate(self._envoys):
                version = json.loads(envoy.route_file.read_text())["version_info"]
                self.generations[number].append(int(version.split(":")[0]))
                if number not in self.frozen:
                    try:
                        self.shares.add(await self._ground.canary_share(envoy))
                    except TimeoutError:
                        continue  # It was frozen while we asked.
            await asyncio.sleep(0.02)

    async def shows(self, share: float, number: int = 0) -> None:
        """Wait until one proxy shows this share."""

        async def shown() -> bool:
            return await self._ground.canary_share(self._envoys[number]) == share

        await until(shown)

    async def rests_at(self, generation: int) -> bool:
        """Whether files and proxies all carry this generation and give the canary nothing."""
        state = await self._read()
        shown = [await self._ground.canary_share(envoy) for envoy in self._envoys]
        generations = {state.generation, *(proxy.generation for proxy in state.proxies)}
        return generations == {generation} and set(shown) == {0.0}

    async def _read(self) -> RouteState:
        # A proxy may be slow to answer on a busy machine.
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(RouterUnreachable):
                    return await EnvoyRouter().read(self._route)

    @contextmanager
    def frozen_proxy(self, number: int) -> Iterator[None]:
        """Stop a proxy with SIGSTOP; it goes on after the block."""
        pid = self._envoys[number].pid
        assert pid is not None
        self.frozen.add(number)
        with stopped(pid):
            yield
        self.frozen.discard(number)

    async def faults(self, report: RolloutReport, allowed: set[float]) -> list[str]:
        """What contradicts I1 to I4; empty when all is right."""
        wrong: list[str] = []
        wanted = 100.0 if report.outcome == "promoted" else 0.0
        state = await self._read()
        for envoy, proxy in zip(self._envoys, state.proxies, strict=True):
            shown = await self._ground.canary_share(envoy)
            if shown != wanted:
                wrong.append(f"I1: {envoy.admin_url} shows {shown:g} %, {report.outcome} wants {wanted:g} %")
            if proxy.generation != state.generation:
                wrong.append(f"I3: {envoy.admin_url} shows generation {proxy.generation}, not {state.generation}")
        if strange := self.shares - allowed:
            wrong.append(f"I2: shares no step allows: {sorted(strange)}")
        if any(seen != sorted(seen) for seen in self.generations):
            wrong.append("I3: a file went back to an older generation")
        # After a reset two runs have said something under the same sequence, at different times.
        entries = [(entry["sequence"], entry["at"]) for entry in ledger(self._ground.folder, report.rollout_id)]
        sequences = {sequence for sequence, _ in entries}
        if sequences != set(range(1, len(sequences) + 1)) or len(set(entries)) != len(entries) or not entries:
            wrong.append(f"I4: the ledger has the entries {entries}")
        if not report.ledger_complete:
            wrong.append("I4: the report says the ledger is not complete")
        return wrong


@asynccontextmanager
async def watching(ground: Ground, route: str) -> AsyncIterator[Witness]:
    """A witness that reads until the block ends."""
    witness = Witness(ground, route)
    task = asyncio.create_task(witness.watch())
    try:
        yield witness
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
    if not isinstance(ended, asyncio.CancelledError):
        raise RuntimeError("the witness went blind") from ended


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP before the block, SIGCONT after it, whatever happened."""
    os.kill(pid, signal.SIGSTOP)
    try:
        # The signal is heard by one thread; on a busy machine the others run on until that one has.
        deadline = time.monotonic() + PATIENCE
        while not _all_stopped(pid):
            assert time.monotonic() < deadline, f"{pid} does not stop"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _all_stopped(pid: int) -> bool:
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return set(states) == {"T"}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; bounded."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


async def attempts(handle: WorkflowHandle[Any, Any], activity: str) -> int:
    """Which attempt of an activity a worker carries out now; 0 when none does."""
    described = await handle.describe()
    for pending in described.raw_description.pending_activities:
        if (
            pending.activity_type.name == activity
            and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        ):
            return pending.attempt
    return 0


async def kept_timeline(ground: Ground, rollout_id: str) -> list[TimelineEntry]:
    """What ``coalmine history --ledger`` shows of a rollout once Temporal has forgotten it."""
    store = FileLedger(ground.folder / "ledger")
    runs, lacking = await kept_histories(store, await store.rollout(book_of(rollout_id), rollout_id))
    assert not lacking, lacking
    return await timeline_of(runs, pydantic_data_converter)


def ledger(folder: Path, rollout_id: str) -> list[dict[str, Any]]:
    """A rollout's entries, as the files hold them."""
    # heads.jsonl stands at the top and holds no entries.
    lines = [line for path in (folder / "ledger").glob("*/**/*.jsonl") for line in path.read_text().splitlines()]
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [entry for entry in entries if entry["rollout_id"] == rollout_id]

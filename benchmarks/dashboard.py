"""How soon the live page is usable with 2,000 open rollouts, and how soon a change is seen on it.

Run ``python -m benchmarks.dashboard`` (about a minute). A real Temporal dev server holds 2,000 open workflows with the
search attributes of rollouts; the dashboard asks it by the real client, and a real chromium opens the page anew, with
nothing cached, and then watches it: a workflow that is started appears as a row, and a row that is shown changes its
phase, which the last question of a quick round brings, and one that no page shows comes onto a page that is sorted by
weight when its weight rises above that of all others. Every fourth waits at a gate, and a worker is asked for whom.
Usable means: all rows of the first page are drawn, and the search field takes what is typed. Writes
``results/dashboard.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from playwright.async_api import Browser, Page
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.chromium import browser
from benchmarks.ending import run
from benchmarks.report import quantile, write
from benchmarks.served_dashboard import dashboard
from coalmine.client import Coalmine
from coalmine.connection import Settings as Where
from coalmine.connection import connect_client
from coalmine.local.temporal import NAMESPACE, start_temporal
from coalmine.records import TASK_QUEUE, CanaryInput, Phase, RolloutStatus, canary_id
from coalmine.testing.sample_rollouts import a_status

ROLLOUTS, LOADS, CHANGES = 2_000, 20, 20
USABLE_WITHIN, SEEN_WITHIN = 1.0, 2.0
ROWS = 50
PATIENCE = 60_000
MOVING = 10
"""Open workflows whose phase or weight changes by turns: the oldest, none of the latest that a quick round lists."""
GATED_EACH = 4
"""Every so many waits at a gate."""
WORKED_ON = "benchmark-worked-on"
"""The task queue of what moves or waits: a worker of the rollouts' own would be given a task of each of the others."""
_KEYWORDS = {
    name: SearchAttributeKey.for_keyword(f"Coalmine{name}") for name in ("Service", "Environment", "Version", "Phase")
}
_WEIGHT = SearchAttributeKey.for_int("CoalmineWeight")


@workflow.defn(name="Canary")
class Moved:
    """Open for good, and in the phase it was told; at first, as far as anybody asks, at a gate."""

    @workflow.init
    def __init__(self, given: CanaryInput) -> None:
        self._status = a_status(given.service, given.environment, phase=Phase.GATED)

    @workflow.run
    async def run(self, given: CanaryInput) -> None:
        """Wait."""
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def status(self) -> RolloutStatus:
        """What it waits for."""
        return self._status

    @workflow.update
    async def phase(self, phase: str) -> None:
        """Be in it: whoever asks hears so with the task that says it to Temporal's lists."""
        workflow.upsert_search_attributes([_KEYWORDS["Phase"].value_set(phase)])

    @workflow.update
    async def weight(self, weight: int) -> None:
        """Be at it."""
        workflow.upsert_search_attributes([_WEIGHT.value_set(weight)])


async def open_rollout(
    client: Client, service: str, environment: str, queue: str = TASK_QUEUE, phase: Phase = Phase.STEPPING
) -> None:
    """A workflow that is open for good: lists are made of search attributes."""
    said = {"Service": service, "Environment": environment, "Version": "1.42.0", "Phase": str(phase)}
    pairs = [SearchAttributePair(_KEYWORDS[name], value) for name, value in said.items()]
    await client.start_workflow(
        "Canary",
        CanaryInput(service=service, environment=environment),
        id=canary_id(environment, service),
        task_queue=queue,
        search_attributes=TypedSearchAttributes([*pairs, SearchAttributePair(_WEIGHT, 10)]),
    )


async def fill(client: Client, count: int) -> None:
    """So many, some at a time."""
    slots = asyncio.Semaphore(50)

    async def one(number: int) -> None:
        at = (TASK_QUEUE, Phase.STEPPING) if number % GATED_EACH else (WORKED_ON, Phase.GATED)
        async with slots:
            await open_rollout(client, f"service-{number:04}", ("production", "staging", "test")[number % 3], *at)

    await asyncio.gather(*(one(number) for number in range(count)))


async def usable(chromium: Browser, url: str) -> float:
    """Seconds from the navigation to a page that can be used, in a browser that knows nothing of it."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    began = time.perf_counter()
    await page.goto(url, wait_until="commit")
    await page.locator("#rows tr").nth(ROWS - 1).wait_for()
    await page.get_by_label("Search").press("a")
    took = time.perf_counter() - began
    await page.close()
    return took


async def following(chromium: Browser, url: str) -> Page:
    """A page that has heard from its stream."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    await page.goto(url)
    await page.locator("body[data-seen]").wait_for(state="attached")
    return page


async def seen(chromium: Browser, url: str, client: Client, changes: int) -> list[float]:
    """Seconds from a start that Temporal has taken to the row that shows it, each."""
    page = await following(chromium, f"{url}/?sort=started&down=1")
    times = []
    for number in range(changes):
        # Not in step with whoever asks once a second.
        await asyncio.sleep(0.5 + number / changes)
        await open_rollout(client, f"new-{number:03}", "production")
        began = time.perf_counter()
        await page.get_by_role("link", name=f"new-{number:03}").wait_for()
        times.append(time.perf_counter() - began)
    await page.close()
    return times


async def phase_seen(chromium: Browser, url: str, client: Client, changes: int) -> list[float]:
    """Seconds from another phase that Temporal has taken, of a row that is shown, to the row that says it, each."""
    page = await following(chromium, f"{url}/?sort=started")
    times = []
    for number in range(changes):
        service, phase = moving(number % MOVING), (Phase.PROMOTING, Phase.STEPPING)[number // MOVING % 2]
        await asyncio.sleep(0.5 + number / changes)
        handle = client.get_workflow_handle(canary_id("production", service))
        await handle.execute_update(Moved.phase, str(phase))
        began = time.perf_counter()
        row = page.get_by_role("row").filter(has_text=service)
        await row.filter(has_text=str(phase)).wait_for()
        times.append(time.perf_counter() - began)
    await page.close()
    return times


async def order_seen(chromium: Browser, url: str, client: Client, changes: int) -> list[float]:
    """Seconds from a weight above all others that Temporal has taken, of a row that is on no page, to its row, each."""
    page = await following(chromium, f"{url}/?sort=weight&down=1")
    times = []
    for number in range(changes):
        service = moving(number % MOVING)
        await asyncio.sleep(0.5 + number / changes)
        handle = client.get_workflow_handle(canary_id("production", service))
        await handle.execute_update(Moved.weight, 90)
        began = time.perf_counter()
        row = page.get_by_role("row").filter(has_text=service)
        await row.wait_for()
        times.append(time.perf_counter() - began)
        await handle.execute_update(Moved.weight, 10)
        await row.wait_for(state="detached")
    await page.close()
    return times


def moving(number: int) -> str:
    """The service of one that changes."""
    return f"moving-{number:02}"


async def measure(rollouts: int, loads: int, changes: int) -> dict[str, list[float]]:
    """Times of loads, of starts, of changed phases, of moves by order, and of one list of all rollouts."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        temporal = await start_temporal(folder)
        stack.push_async_callback(asyncio.to_thread, temporal.process.stop)
        where = Where(temporal.address, NAMESPACE, "the benchmark", temporal.ui, {})
        client = await connect_client(where)
        for number in range(MOVING):
            await open_rollout(client, moving(number), "production", WORKED_ON)
        runner = UnsandboxedWorkflowRunner()
        worker = Worker(client, task_queue=WORKED_ON, workflows=[Moved], workflow_runner=runner)
        await stack.enter_async_context(worker)
        await fill(client, rollouts - MOVING)
        coalmine = Coalmine(client, where)
        while len(await coalmine.rollouts(running=True, limit=rollouts + 1)) < rollouts:
            await asyncio.sleep(0.1)
        lists = []
        for _ in range(5):
            began = time.perf_counter()
            await coalmine.rollouts(running=True, limit=10_000)
            lists.append(time.perf_counter() - began)
        async with dashboard(coalmine) as url, browser() as chromium:
            times = [await usable(chromium, url) for _ in range(loads)]
            changed = await seen(chromium, url, client, changes)
            phases = await phase_seen(chromium, url, client, changes)
            moves = await order_seen(chromium, url, client, changes)
        return {"usable_s": times, "seen_s": changed, "phase_seen_s": phases, "order_seen_s": moves, "list_s": lists}


def main() -> int:
    """Measure, print, write; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description="Time the live page with many rollouts.")
    parser.add_argument("--rollouts", type=int, default=ROLLOUTS)
    parser.add_argument("--loads", type=int, default=LOADS)
    parser.add_argument("--changes", type=int, default=CHANGES)
    given = parser.parse_args()
    measured = run(measure(given.rollouts, given.loads, given.changes))
    figures = {name: _figures(times) for name, times in measured.items()}
    document = {
        "rollouts": given.rollouts,
        "waiting_at_a_gate": len(range(0, given.rollouts - MOVING, GATED_EACH)),
        "load_average": round(os.getloadavg()[0], 2),
        **figures,
        "limit_usable_s": USABLE_WITHIN,
        "limit_seen_s": SEEN_WITHIN,
    }
    write("dashboard", document)
    for name, found in figures.items():
        print(f"{name}: {found}")
    slowest = max(figures[name]["max"] for name in ("seen_s", "phase_seen_s", "order_seen_s"))
    return 0 if figures["usable_s"]["p95"] <= USABLE_WITHIN and slowest <= SEEN_WITHIN else 1


def _figures(times: list[float]) -> dict[str, float]:
    return {
        "tries": len(times),
        "p50": round(quantile(times, 0.5), 3),
        "p95": round(quantile(times, 0.95), 3),
        "max": round(max(times), 3),
    }


if __name__ == "__main__":
    sys.exit(main())

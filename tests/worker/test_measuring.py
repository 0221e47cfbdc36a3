"""What a worker counts: on a real server, with a world that fails in the ways that alerts look for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

import worker
from activities.measuring import BUCKETS
from coalmine.census import Census
from coalmine.errors import TemporalUnavailable
from coalmine.records import Outcome, canary_id
from coalmine.searching import RolloutRow
from coalmine.worker_settings import WorkerSettings
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World

_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")


class Metrics:
    """A runtime whose metrics can be read."""

    def __init__(self, address: str) -> None:
        self.address = address
        settings = PrometheusConfig(
            bind_address=address,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides=BUCKETS,
        )
        self.runtime = Runtime(telemetry=TelemetryConfig(metrics=settings))

    async def read(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        """Samples of a metric with these labels, by the other labels of ours, in alphabetical order of their names."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.address}/metrics") as answer,
        ):
            text = await answer.text()
        found = {}
        for line in text.splitlines():
            match = _SAMPLE.fullmatch(line)
            if match and match[1] == name:
                said = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
                if labels.items() <= said.items():
                    own = sorted(said.items() - labels.items())
                    found[tuple(value for key, value in own if key not in _FOREIGN)] = float(match[3])
        return found


_FOREIGN = {"namespace", "task_queue", "workflow_type", "activity_type", "service_name", "region"}


@pytest.fixture
def metrics(unused_tcp_port: int) -> Metrics:
    return Metrics(f"127.0.0.1:{unused_tcp_port}")


@pytest.fixture
async def measured(temporal_env: TemporalServer, temporal_client: Client, metrics: Metrics) -> AsyncIterator[Rollout]:
    """A rollout on workers as they are wired in production, in a scripted world."""
    client = await temporal_env.connect(runtime=metrics.runtime)
    world = World(client=client)
    wired = worker.build_workers(
        client, WorkerSettings(), main=world.activities, side=world.side_activities, hooks=world.hook_activities
    )
    async with AsyncExitStack() as stack:
        for one in wired:
            await stack.enter_async_context(one)
        yield Rollout(client, world, asyncio.sleep, now, id=canary_id("measured", "checkout"), tick=0.05)


async def test_what_fails_is_counted_by_its_type(measured: Rollout, metrics: Metrics) -> None:
    here = {"environment": "measured", "service": "checkout"}
    world = measured.world
    world.shift_errors = [ApplicationError("away", type="RouterUnreachable")]
    world.notify_error = ApplicationError("gone", type="HookRefused", non_retryable=True)
    spec = quick(environment="measured", notify=[{"kind": "log"}])
    await measured.submit(make_submission(spec))
    await measured.until(lambda status: status.looks > 0)
    # Before its first step a rollout would wait for the ledger.
    world.ledger_down = True
    looks_before = (await measured.status()).looks
    await measured.until(lambda status: status.looks > looks_before + 1)
    assert await metrics.read("coalmine_rollouts_closed_total", **here, outcome="promoted") == {("",): 0}
    writes = await metrics.read("coalmine_route_writes_total", **here, restoring="false")
    assert writes[("RouterUnreachable", "envoy")] == 1
    assert writes[("done", "envoy")] >= 1
    ledger = await metrics.read("coalmine_ledger_writes_total", **here)
    assert ledger[("LedgerError",)] >= 1
    world.ledger_down = False
    world.silent = True
    looks_before = (await measured.status()).looks
    await measured.until(lambda status: status.looks > looks_before + 1)
    await measured.say("rollback")
    report = await measured.result(0.2)
    assert report.outcome is Outcome.ROLLED_BACK

    kinds = {kind: count for (kind,), count in (await metrics.read("coalmine_decisions_total", **here)).items()}
    assert (kinds["roll_back"], kinds["no_data"], kinds["closed"], kinds["restore_slow"]) == (1, 1, 1, 0)
    assert kinds["undelivered"] >= 1
    closed = await metrics.read("coalmine_rollouts_closed_total", **here, outcome="rolled_back")
    assert closed[("human",)] == 1
    assert closed[("analysis",)] == 0
    assert (await metrics.read("coalmine_restore_seconds_count", **here))[()] == 1
    assert {float(key[0]) for key in await metrics.read("coalmine_restore_seconds_bucket", **here)} == {
        *BUCKETS["coalmine_restore"],
        float("inf"),
    }
    windows = await metrics.read("coalmine_metric_windows_total", **here)
    assert windows[("errors", "ok")] >= 1
    assert windows[("errors", "no_data")] >= 1
    looks = await metrics.read("coalmine_looks_total", **here)
    assert looks[("no_data", "compare")] >= 1
    messages = await metrics.read("coalmine_messages_total", **here)
    assert {result for result, _ in messages} == {"HookRefused"}
    assert (await metrics.read("coalmine_ledger_writes_total", **here))[("done",)] >= 1


async def test_open_rollouts_are_counted_and_what_is_over_goes(temporal_env: TemporalServer, metrics: Metrics) -> None:
    census = Census(await temporal_env.connect(), metrics.runtime.metric_meter)

    def row(service: str, phase: str, weight: float) -> RolloutRow:
        return RolloutRow(service=service, environment="prod", phase=phase, canary_weight=weight)

    census.show([row("cart", "stepping", 10), row("shop", "held", 50), row("pay", "held", 5)])
    assert await metrics.read("coalmine_rollouts_open", environment="prod", phase="held") == {("pay",): 1, ("shop",): 1}
    assert await metrics.read("coalmine_canary_weight", service="cart") == {("prod",): 10}
    census.show([row("shop", "rolling_back", 0)])
    assert await metrics.read("coalmine_rollouts_open", environment="prod") == {
        **{("held", "pay"): 0, ("held", "shop"): 0},
        **{("rolling_back", "shop"): 1, ("stepping", "cart"): 0},
    }
    weights: Any = await metrics.read("coalmine_canary_weight", environment="prod")
    assert weights[("shop",)] == 0
    assert weights[("cart",)] != weights[("cart",)], "not a number: no canary is open"


async def test_a_count_that_fails_is_tried_again(
    temporal_env: TemporalServer, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [
        TemporalUnavailable("away"),
        RuntimeError("never seen before"),
        [RolloutRow(service="shop", environment="prod", phase="held")],
    ]

    async def listed(*_: Any, **__: Any) -> list[RolloutRow]:
        answer = answers.pop(0) if answers else []
        if isinstance(answer, Exception):
            raise answer
        found: list[RolloutRow] = answer
        seen.set()
        return found

    seen = asyncio.Event()
    monkeypatch.setattr("coalmine.census.list_rollouts", listed)
    census = Census(await temporal_env.connect(), metrics.runtime.metric_meter)
    keeping = asyncio.create_task(census.keep(timedelta(milliseconds=1)))
    await asyncio.wait_for(seen.wait(), 30)
    keeping.cancel()
    assert ("prod", "held", "shop") in await metrics.read("coalmine_rollouts_open")

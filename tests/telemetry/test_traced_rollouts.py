"""Rollouts on a real server whose workers trace: encrypted, queued, and with a collector that hangs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio.client import Client
from temporalio.worker import Interceptor, Replayer

from coalmine.encryption import data_converter, new_key
from coalmine.records import Outcome, canary_id
from coalmine.telemetry import spans
from coalmine.telemetry.interceptor import RolloutTracing
from coalmine.telemetry.starting import finish, interceptors, set_up
from coalmine.testing.otlp_receiver import OtlpReceiver
from tests.conftest import TemporalServer
from tests.workflows.driving import Rollout
from tests.workflows.serving import now, workers
from tests.workflows.specs import make_submission, quick
from tests.workflows.world import World
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.one_input import OneInput

OF_THE_NEXT = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def traced(
    server: TemporalServer, receiver: OtlpReceiver, environment: str, keys: str | None = None
) -> AsyncIterator[Rollout]:
    """A rollout on workers that send their traces to the receiver."""
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        assert set_up("coalmine-worker", os.environ)
        client = world.client = await Client.connect(
            server.address, namespace=server.namespace, data_converter=data_converter(keys), interceptors=interceptors()
        )
        try:
            async with AsyncExitStack() as stack:
                for worker in workers(client, world):
                    await stack.enter_async_context(worker)
                yield Rollout(client, world, asyncio.sleep, now, id=canary_id(environment, "checkout"), tick=0.05)
        finally:
            finish(0.2)


async def test_a_collector_that_hangs_delays_no_rollout(temporal_env: TemporalServer, temporal_client: Client) -> None:
    with OtlpReceiver(hang=True) as receiver:
        async with traced(temporal_env, receiver, "hung") as rollout:
            await rollout.submit(make_submission(quick(environment="hung")))
            report = await rollout.result(0.2)
            assert report.outcome is Outcome.PROMOTED
            assert await rollout.failed_tasks() == []


async def test_encrypted_rollouts_are_traced_and_each_is_in_the_trace_of_who_submitted_it(
    temporal_env: TemporalServer, temporal_client: Client, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(new_key(datetime.now(UTC)))
    with OtlpReceiver() as receiver:
        async with traced(temporal_env, receiver, "sealed", str(keys)) as rollout:
            with spans.span("the first job"):
                first = spans.ids()["trace_id"]
                await rollout.submit(make_submission(quick(environment="sealed")))
            following = quick(
                environment="sealed",
                arms={
                    "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
                    "canary": {"version": "1.2.0", "backend": "checkout-v3"},
                },
                promotion={"bake": "1s", "rollback_window": "0s", "when_busy": "queue"},
            )
            trace = f"00-{OF_THE_NEXT}-00f067aa0ba902b7-01"
            receipt = await rollout.submit(make_submission(following, trace=trace))
            assert receipt.disposition == "queued"
            await rollout.until(lambda status: status.looks > 0)
            before = await rollout.handle.fetch_history()
            await rollout.say("rollback")
            await rollout.until(lambda status: status.version == "1.2.0" and status.looks > 0)
            await rollout.say("rollback")
            await rollout.end(0.2)

        def run_of(trace_id: str) -> bool:
            names = {span.name for span in receiver.spans if span.trace_id == trace_id}
            return names >= {"RunWorkflow:Canary", "RunActivity:shift", "RunActivity:evaluate"}

        assert run_of(first)
        assert run_of(OF_THE_NEXT)
        assert not [span for span in receiver.spans if "Fleet" in span.name and span.name.startswith("RunWorkflow")]
    assert "checkout-v2" not in str(before.to_json())
    header = before.events[0].workflow_execution_started_event_attributes.header.fields["_tracer-data"]
    assert first in header.data.decode()
    tracing = RolloutTracing(TracerProvider(shutdown_on_exit=False).get_tracer("test"))
    on_and_off: tuple[list[Interceptor], ...] = ([tracing, OneInput()], [OneInput()])
    for interceptors_ in on_and_off:
        replayer = Replayer(
            workflows=[Canary, Fleet],
            data_converter=data_converter(str(keys)),
            interceptors=interceptors_,
            debug_mode=True,
        )
        await replayer.replay_workflow(before)

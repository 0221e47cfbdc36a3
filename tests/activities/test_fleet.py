"""Asking the fleet: it is started where it is missing, and asked once however often it is asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.fleet import FleetActivities
from coalmine.records import TASK_QUEUE, FleetRequest, FleetState, fleet_id
from tests.conftest import TemporalServer
from workflows.fleet import Fleet

RUNNER = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules("coalmine"))


def ban(version: str, environment: str) -> FleetRequest:
    return FleetRequest(
        verb="ban", environment=environment, service="checkout", version=version, by="ana", request_id=f"ban-{version}"
    )


async def bans(client: Client, environment: str) -> list[str]:
    handle = client.get_workflow_handle(fleet_id(environment))
    state = await handle.query("bans", result_type=FleetState, rpc_timeout=timedelta(seconds=30))
    return [found.version for found in state.bans]


async def test_the_fleet_is_started_once_and_hears_every_request(temporal_client: Client) -> None:
    activities = FleetActivities(temporal_client)
    async with Worker(temporal_client, task_queue=TASK_QUEUE, workflows=[Fleet], workflow_runner=RUNNER):
        done = await ActivityEnvironment().run(activities.ask_fleet, ban("1.0", "staging"))
        assert done.detail == "ban sent to fleet/staging"
        await asyncio.gather(
            *(ActivityEnvironment().run(activities.ask_fleet, ban(version, "staging")) for version in ("1.1", "1.0"))
        )
        assert sorted(await bans(temporal_client, "staging")) == ["1.0", "1.1"]
        await ActivityEnvironment().run(
            activities.ask_fleet, ban("1.0", "staging").model_copy(update={"verb": "unban"})
        )
        assert await bans(temporal_client, "staging") == ["1.1"]


async def test_a_server_that_refuses_is_worth_a_retry(temporal_env: TemporalServer) -> None:
    elsewhere = await Client.connect(temporal_env.address, namespace="nowhere", data_converter=pydantic_data_converter)
    with pytest.raises(ApplicationError, match=r"fleet/staging was not reached: .*nowhere") as caught:
        await ActivityEnvironment().run(FleetActivities(elsewhere).ask_fleet, ban("1.0", "staging"))
    assert (caught.value.type, caught.value.non_retryable) == ("TemporalUnavailable", False)

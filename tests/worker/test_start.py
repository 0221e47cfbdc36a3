"""Starting: the namespace is checked first, what is missing comes with the very commands, and metrics are served."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

import aiohttp
import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest

import worker
from coalmine.errors import TemporalUnavailable
from coalmine.preflight import create_missing, find_lacks
from coalmine.worker_settings import WorkerSettings
from tests.conftest import TemporalServer, binary
from tests.worker.conftest import WORKER, Start


async def run_cli(command: str, server: TemporalServer) -> None:
    """Run a printed command as a human would, against this server."""
    for part in command.split(" && "):
        program, *arguments = shlex.split(part)
        assert program == "temporal"
        process = await asyncio.create_subprocess_exec(
            binary("temporal"),
            *arguments,
            "--address",
            server.address,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()


async def test_a_namespace_without_attributes_stops_the_worker_with_the_command_that_mends_it(
    bare_temporal: TemporalServer, start: Start
) -> None:
    process = await start(WORKER, bare_temporal.variables())
    assert await process.ended() == 1
    (line,) = [line for line in process.lines if line["level"] == "error"]
    what, _, command = line["reason"].partition("; run: ")
    assert "lacks the search attributes CoalmineService, " in what
    await run_cli(command, bare_temporal)
    assert await find_lacks(await bare_temporal.connect()) == []


async def test_a_missing_namespace_is_said_with_both_commands(bare_temporal: TemporalServer) -> None:
    server = TemporalServer(bare_temporal.address, "no-such-shop")
    lacks = await find_lacks(await server.connect())
    assert [lack.what.split(" ")[0] for lack in lacks] == ["namespace", "namespace"]
    assert lacks[0].command == "temporal operator namespace create --namespace no-such-shop --retention 720h"


async def test_an_attribute_of_another_type_is_named(bare_temporal: TemporalServer) -> None:
    client = await bare_temporal.connect()
    wrong = {"CoalmineWeight": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=wrong)
    )
    told = f"CoalmineWeight of namespace '{client.namespace}' is Keyword and must be Int"
    with pytest.raises(TemporalUnavailable, match=told):
        await worker.preflight(client)
    lacks = await find_lacks(client)
    for lack in lacks:
        await run_cli(lack.command, bare_temporal)
    assert await find_lacks(client) == []


async def test_what_is_missing_can_be_created(bare_temporal: TemporalServer) -> None:
    client = await TemporalServer(bare_temporal.address, f"{bare_temporal.namespace}-created").connect()
    created = await create_missing(client)
    assert created[0] == f"namespace {client.namespace}"
    assert len(created) == 8
    assert await create_missing(client) == []
    await worker.preflight(client)


async def test_the_whole_worker_serves_shows_metrics_and_drains(
    bare_temporal: TemporalServer, start: Start, unused_tcp_port: int, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    process = await start(
        WORKER, {**bare_temporal.variables(), "COALMINE_METRICS_ADDRESS": address}, "--create-missing"
    )
    serving = await process.logged("serving")
    assert serving["queues"] == ["coalmine", "coalmine-side", "coalmine-hooks"]
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as response:
        assert "temporal_" in await response.text()
    process.terminate()
    assert await process.ended() == 0
    assert process.lines[-1]["event"] == "drained"
    assert os.listdir(tmp_path) == [], "a worker without work leaves nothing behind"


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"COALMINE_DRAIN": "soon"}, 2, "COALMINE_DRAIN: "),
        ({}, 1, "no Temporal server is set: set TEMPORAL_ADDRESS"),
        ({"TEMPORAL_PROFILE": "nobody"}, 2, "profile"),
    ],
)
async def test_what_stops_it_is_one_clear_line(start: Start, variables: dict[str, str], code: int, words: str) -> None:
    process = await start(WORKER, variables)
    assert await process.ended() == code
    (line,) = [line for line in process.lines if line["level"] == "error"]
    assert words in line["reason"]


async def test_a_stop_that_comes_before_the_first_poll_is_heard(bare_temporal: TemporalServer) -> None:
    client = await bare_temporal.connect()
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(worker.serve(worker.build_workers(client, WorkerSettings()), stop), 60)


async def test_a_worker_that_fails_for_good_ends_the_process(temporal_env: TemporalServer) -> None:
    client = await TemporalServer(temporal_env.address, "nowhere").connect()
    workers = worker.build_workers(client, WorkerSettings())
    with pytest.raises(RuntimeError, match="nowhere"):
        await asyncio.wait_for(worker.serve(workers, asyncio.Event()), 60)

"""Open-loop load: due times are fixed, and a stall shows in every request that was due within it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.load import LoadSecond, due_times, generate_load, run_load
from coalmine.errors import InputError
from coalmine.records import LoadRequest
from tests.activities.conftest import Endpoint


def request(url: str = "http://127.0.0.1/", rate: float = 200.0, seconds: float = 0.5, **more: object) -> LoadRequest:
    return LoadRequest.model_validate({"url": url, "rate": rate, "duration": timedelta(seconds=seconds), **more})


async def test_every_due_request_is_sent_and_counted(endpoint: Endpoint) -> None:
    report = await run_load(request(endpoint.url + "cart?a=1", headers={"X-Tester": "1"}))
    assert (report.sent, report.ok, report.failed) == (100, 100, 0)
    assert report.statuses == {"200": 100}
    assert 0 < report.p50 <= report.p90 <= report.p99 <= report.max
    assert report.seconds >= 0.5
    assert {(heard.method, heard.path, heard.headers["X-Tester"]) for heard in endpoint.heard} == {
        ("GET", "/cart?a=1", "1")
    }


async def test_failures_are_counted_by_status_and_by_error(endpoint: Endpoint) -> None:
    async def drop(arrived: web.Request) -> web.StreamResponse:
        assert arrived.transport is not None
        arrived.transport.abort()
        return web.Response()

    endpoint.answers = [web.Response(status=500)] * 10 + [web.Response(status=302)] * 5 + [drop]
    report = await run_load(request(endpoint.url, rate=20, seconds=1))
    assert (report.sent, report.ok, report.failed) == (20, 5, 15)
    assert report.statuses == {"302": 5, "500": 10}
    assert sum(report.errors.values()) == 5


async def test_what_a_closed_connection_lost_is_not_sent_again_in_silence() -> None:
    heard = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the first request of a connection, and close it on the second, as a reload does."""
        nonlocal heard
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""):
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                heard += 1
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        report = await run_load(request(f"http://127.0.0.1:{port}/", rate=10, seconds=1, max_in_flight=1))
    assert report.sent == heard
    assert report.failed == sum(report.errors.values()) > 0


async def test_nobody_there_is_an_error_of_each_request(unused_tcp_port: int) -> None:
    report = await run_load(request(f"http://127.0.0.1:{unused_tcp_port}/", rate=50, seconds=0.2))
    assert (report.sent, report.failed) == (10, 10)
    assert report.errors == {"ClientConnectorError": 10}


async def test_a_stall_is_seen_by_all_that_were_due_meanwhile(endpoint: Endpoint) -> None:
    """Closed-loop generators would send one request into the stall; this one sends them all, counted from when due."""
    stalled, release = 0, asyncio.Event()

    async def stall(_: web.Request) -> web.StreamResponse:
        nonlocal stalled
        stalled += 1
        await release.wait()
        return web.Response()

    async def end_stall() -> None:
        await endpoint.arrived.wait()
        await asyncio.sleep(0.8)
        # On a machine that stood still meanwhile they are all on their way yet.
        async with asyncio.timeout(30):
            while stalled <= 40:
                await asyncio.sleep(0.01)
        endpoint.answers = [web.Response()]
        release.set()

    endpoint.answers = [stall]
    ending = asyncio.create_task(end_stall())
    report = await run_load(request(endpoint.url, rate=100, seconds=1.2))
    await ending
    assert report.ok == report.sent == 120
    assert stalled > 40
    assert report.max > 0.7
    assert report.p50 > 0.1, "two thirds of the requests were due within the stall"


async def test_too_slow_an_answer_is_a_time_out(endpoint: Endpoint) -> None:
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    endpoint.answers = [hang]
    report = await run_load(request(endpoint.url, rate=20, seconds=0.25, timeout=timedelta(seconds=0.2)))
    assert report.errors == {"timeout": 5}
    assert report.p50 >= 0.2
    never.set()


async def test_what_is_open_at_once_is_bounded(endpoint: Endpoint) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    endpoint.answers = [hang]
    running = asyncio.create_task(run_load(request(endpoint.url, rate=100, seconds=0.2, max_in_flight=3)))
    await asyncio.sleep(0.4)
    release.set()
    report = await running
    assert (report.sent, report.ok) == (20, 3)
    assert report.errors == {"too many in flight": 17}


async def test_it_can_be_stopped_early(endpoint: Endpoint) -> None:
    until = asyncio.Event()
    running = asyncio.create_task(run_load(request(endpoint.url, seconds=3600), until=until))
    await endpoint.arrived.wait()
    until.set()
    report = await asyncio.wait_for(running, 30)
    assert 0 < report.sent == report.ok < 3600 * 200


async def test_totals_are_told_each_second(endpoint: Endpoint) -> None:
    told: list[LoadSecond] = []
    until = asyncio.Event()

    def tell(second: LoadSecond) -> None:
        told.append(second)
        if len(told) == 2:
            until.set()

    await run_load(request(endpoint.url, rate=50, seconds=60), until=until, on_second=tell)
    assert [second.seconds for second in told] == [1, 2]
    assert 0 < told[0].sent < told[1].sent
    assert told[1].ok + told[1].failed + told[1].in_flight >= told[0].sent


async def test_as_an_activity_it_beats(endpoint: Endpoint) -> None:
    environment = ActivityEnvironment()
    beats: list[object] = []
    environment.on_heartbeat = lambda *details: beats.append(details[0])
    report = await environment.run(generate_load, request(endpoint.url, rate=20, seconds=1.5))
    assert report.ok == 30
    assert len(beats) == 1


WRONG = [
    (request(url="shop"), "url: 'shop' is no http"),
    (request(url="file:///etc/passwd"), "url: 'file:///etc/passwd' is no http"),
    (request(rate=0), "rate: 0 is not above 0"),
    (request(rate=5001), "rate: 5001 is not above 0 and at most 5000"),
    (request(seconds=0), "duration: 0 s"),
    (request(seconds=86401), "duration: 86401 s is not above 0 and at most 24 h"),
    (request(timeout=timedelta(0)), "timeout: "),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
async def test_what_cannot_be_sent_is_refused(wrong: LoadRequest, words: str) -> None:
    with pytest.raises(InputError, match=words):
        await run_load(wrong)
    with pytest.raises(ApplicationError, match=words) as caught:
        await ActivityEnvironment().run(generate_load, wrong)
    assert caught.value.non_retryable


def test_uniform_times_are_evenly_spaced() -> None:
    times = list(due_times(request(rate=4, seconds=2)))
    assert times == [0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


def test_poisson_times_follow_the_seed_and_the_rate() -> None:
    first, again, other = (
        list(due_times(request(rate=1000, seconds=10, arrivals="poisson", seed=seed))) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert all(left <= right for left, right in pairwise(first))
    assert abs(len(first) - 10_000) < 500
    assert max(first) < 10

"""The demo service: draws that repeat, faults that follow a schedule, and HTTP that proxies can live with."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from coalmine.local.demo_service import BOUNDS, LONGEST, Behaviour, DemoService, Faults, Tally, with_p99
from coalmine.local.processes import free_ports

FAST = Behaviour(errors=0.0, median=0.001, sigma=0.01)
_SAMPLE = re.compile(r"(\w+)\{([^}]*)\} (\S+)")


def _draws(seed: int, schedule: list[Behaviour], count: int = 200, elapsed: float = 0.0) -> list[tuple[int, float]]:
    faults = Faults(seed, schedule)
    return [faults.draw(elapsed) for _ in range(count)]


def test_the_same_seed_gives_the_same_sequence() -> None:
    schedule = [Behaviour(errors=0.3)]
    assert _draws(7, schedule) == _draws(7, schedule)
    assert _draws(7, schedule) != _draws(8, schedule)


def test_draws_follow_their_behaviour() -> None:
    draws = _draws(1, [Behaviour(errors=0.2, median=0.05, sigma=0.4)], count=20_000)
    assert sum(status == 500 for status, _ in draws) / len(draws) == pytest.approx(0.2, abs=0.02)
    latencies = sorted(seconds for _, seconds in draws)
    assert latencies[10_000] == pytest.approx(0.05, rel=0.05)
    assert latencies[19_800] == pytest.approx(Behaviour(median=0.05, sigma=0.4).p99(), rel=0.1)


def test_no_response_takes_longer_than_the_longest() -> None:
    assert max(seconds for _, seconds in _draws(1, [Behaviour(median=2.0, sigma=3.0)])) == LONGEST


def test_a_schedule_holds_over_time_in_whatever_order_it_is_given() -> None:
    late, early, middle = Behaviour(after=60, errors=1.0), Behaviour(errors=0.0), Behaviour(after=10, errors=0.5)
    faults = Faults(1, [late, early, middle])
    held = {elapsed: faults.at(elapsed) for elapsed in (0, 9.99, 10, 59.9, 60, 1e6)}
    assert held == {0: early, 9.99: early, 10: middle, 59.9: middle, 60: late, 1e6: late}
    assert {faults.draw(61)[0] for _ in range(20)} == {500}


def test_before_its_first_moment_the_first_behaviour_holds() -> None:
    first = Behaviour(after=5)
    assert Faults(1, [first]).at(0) == first


def test_a_schedule_needs_a_behaviour() -> None:
    with pytest.raises(ValueError, match="at least one behaviour"):
        Faults(1, [])


def test_with_p99_moves_the_tail_alone() -> None:
    slower = with_p99(Behaviour(), 1.4)
    assert slower.p99() == pytest.approx(1.4 * Behaviour().p99())
    assert slower.median == Behaviour().median


def test_what_is_counted_is_exposed_as_prometheus_reads_it() -> None:
    tally = Tally("1.2.0")
    for status, seconds in ((200, 0.004), (200, 0.005), (500, 0.02), (200, 9.0)):
        tally.count(status, seconds)
    lines = tally.exposition().splitlines()
    samples = [match for line in lines if (match := _SAMPLE.fullmatch(line))]
    assert len(samples) == sum(not line.startswith("# TYPE ") for line in lines)
    assert all('version="1.2.0"' in match[2] for match in samples)
    requests = {match[2][-4:-1]: float(match[3]) for match in samples if match[1] == "http_requests_total"}
    assert requests == {"200": 3, "500": 1}
    buckets = [float(match[3]) for match in samples if match[1].endswith("_bucket")]
    assert len(buckets) == len(BOUNDS) + 1
    # A bound belongs to its own bucket.
    assert buckets[0] == 2
    assert buckets == sorted(buckets)
    assert buckets[-1] == 4
    assert [match[2] for match in samples if match[1].endswith("_bucket")][-1].endswith('le="+Inf"')
    [total] = [float(match[3]) for match in samples if match[1].endswith("_seconds_sum")]
    assert total == pytest.approx(9.029)


@pytest.mark.parametrize(("status", "seconds"), [(500, 0.01), (200, 0.2)])
def test_the_first_bad_response_is_remembered(status: int, seconds: float) -> None:
    tally = Tally("1", slow=0.1)
    tally.count(200, 0.01)
    assert tally.stats()["first_bad"] is None
    tally.count(status, seconds)
    first = tally.stats()["first_bad"]
    tally.count(status, seconds)
    assert tally.stats()["first_bad"] == first is not None
    assert tally.stats()["requests"] == 3


@asynccontextmanager
async def _serving(*schedule: Behaviour) -> AsyncIterator[tuple[DemoService, int]]:
    service, stop = DemoService("3.1.0", 1, schedule, LONGEST), asyncio.Event()
    [port] = free_ports(1)
    serving = asyncio.create_task(service.serve(port, stop))
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    assert not serving.done()
                    await asyncio.sleep(0.01)
            writer.close()
            await writer.wait_closed()
        yield service, port
    finally:
        stop.set()
        await serving


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        return int(head.split()[1]), await reader.readexactly(int(length[1]))


async def test_one_connection_carries_many_requests() -> None:
    async with _serving(FAST) as (service, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nhost: demo\r\n\r\n")
            assert await _answer(reader) == (200, b"3.1.0\n")
        # A request in two pieces, and two requests in one.
        writer.write(b"GET / HT")
        await writer.drain()
        writer.write(b"TP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert await _answer(reader) == (200, b"3.1.0\n")
        assert await _answer(reader) == (200, b"3.1.0\n")
        writer.write(b"GET /stats HTTP/1.1\r\n\r\n")
        status, body = await _answer(reader)
        assert (status, json.loads(body)["requests"], json.loads(body)["version"]) == (200, 5, "3.1.0")
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b'http_requests_total{version="3.1.0",code="200"} 5\n' in (await _answer(reader))[1]
        assert service.tally.codes[200] == 5
        writer.close()
        await writer.wait_closed()


async def test_errors_are_500_on_a_connection_that_stays() -> None:
    async with _serving(Behaviour(errors=1.0, median=0.001, sigma=0.01)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await _answer(reader))[0] == 500
        writer.close()
        await writer.wait_closed()


async def test_a_service_that_stops_lets_go_of_idle_connections() -> None:
    async with _serving(FAST) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await _answer(reader)
    async with asyncio.timeout(30):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()

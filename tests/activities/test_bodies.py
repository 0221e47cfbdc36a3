"""Bodies that come in pieces."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from activities.bodies import read_up_to


@pytest.fixture
async def body() -> aiohttp.StreamReader:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return aiohttp.StreamReader(protocol, limit=2**16, loop=loop)


async def test_what_comes_later_is_waited_for(body: aiohttp.StreamReader) -> None:
    body.feed_data(b'{"n"')
    reading = asyncio.create_task(read_up_to(body, 100))
    # The task's first turn takes all there is.
    await asyncio.sleep(0)
    assert not reading.done()
    body.feed_data(b": 42}")
    body.feed_eof()
    assert await reading == b'{"n": 42}'


async def test_no_more_is_read_than_asked_for(body: aiohttp.StreamReader) -> None:
    body.feed_data(b"0123456789")
    assert await read_up_to(body, 4) == b"0123"
    assert await read_up_to(body, 0) == b""

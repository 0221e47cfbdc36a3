"""What the source ``http`` sends, and what it refuses: wrong types, endless bodies, slowness, redirects."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from activities.sources.http_json import LARGEST
from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.records import MetricCounts
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.source_contract import Happened, collect
from tests.sources.http_world import COUNTS, HttpWorld, in_pieces, orders

SECRET = "s3cr3t-v4lue"


@pytest.fixture
async def world() -> AsyncIterator[HttpWorld]:
    async with orders() as made:
        yield made


async def asked(world: HttpWorld, expression: str = "n", **keys: Any) -> MetricCounts:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    metric = Metric(
        **({"name": "events", "kind": "count", "events": f"{COUNTS} -> {expression}"} | keys), source="orders"
    )
    return await collect(world, metric, window)


def answer(world: HttpWorld, data: object) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(text=data if isinstance(data, str) else json.dumps(data))

    world.answer = reply


@pytest.mark.parametrize("number", [1.5, 2.0, "7", -1, True, [1], {"a": 1}])
async def test_what_is_no_count_is_refused_and_never_rounded(world: HttpWorld, number: object) -> None:
    answer(world, {"n": number})
    with pytest.raises(QueryRejected, match=r"metrics\.events\.events answered .*whole numbers from 0"):
        await asked(world)


@pytest.mark.parametrize("number", [2**53 + 1, 10**20, 10**400])
async def test_a_count_that_no_double_tells_apart_is_refused(world: HttpWorld, number: int) -> None:
    answer(world, {"n": number})
    with pytest.raises(QueryRejected, match=r"metrics\.events\.events answered \d+\.{,3}, which is over 2\^53"):
        await asked(world)


async def test_a_number_beyond_a_double_is_refused(world: HttpWorld) -> None:
    answer(world, {"n": -(10**400)})
    with pytest.raises(QueryRejected, match=r"metrics\.top\.query answered -1000.*it must be a finite number"):
        await asked(world, name="top", kind="threshold", events=None, query="/v1/orders/x -> n")


@pytest.mark.parametrize("data", [{}, {"n": None}, {"m": 0}, [], None])
async def test_null_and_what_is_not_there_are_no_data(world: HttpWorld, data: object) -> None:
    answer(world, data)
    counts = await asked(world)
    assert counts.status == "no_data"
    assert "canary: empty: events finds nothing, or null" in counts.reason


async def test_zero_is_zero(world: HttpWorld) -> None:
    answer(world, {"n": 0})
    counts = await asked(world)
    assert counts.canary is not None
    assert counts.canary.events == 0


@pytest.mark.parametrize("text", ["<html>", '{"n": NaN}', "", '{"n": 1', "[" * 100_000])
async def test_what_is_no_json_is_refused(world: HttpWorld, text: str) -> None:
    answer(world, text)
    with pytest.raises(QueryRejected, match="not with JSON"):
        await asked(world)


async def test_an_expression_that_does_not_suit_the_answer_is_refused(world: HttpWorld) -> None:
    answer(world, {"n": "text"})
    with pytest.raises(QueryRejected, match=r"metrics\.events\.events: .* cannot be read of the answer"):
        await asked(world, "sum(n)")


async def test_an_answer_in_pieces_is_read_whole(world: HttpWorld) -> None:
    world.answer = lambda request: in_pieces(request, [b'{"n"', b": 4", b"2}"])
    counts = await asked(world)
    assert counts.canary is not None
    assert counts.canary.events == 42


async def test_an_endless_answer_is_not_read_to_its_end(world: HttpWorld) -> None:
    answer(world, json.dumps({"n": 1, "more": "x" * LARGEST}))
    with pytest.raises(QueryRejected, match="more than 1,048,576 bytes"):
        await asked(world)


async def test_one_path_is_asked_once_for_each_arm(world: HttpWorld) -> None:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    counts = await collect(world, world.ratio, window)
    assert counts.canary is not None
    assert (counts.canary.total, counts.canary.events) == (5, 1)
    assert len(world.requests) == 2


async def test_several_selectors_are_added_up(world: HttpWorld) -> None:
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(7, 2)})
    metric = Metric(name="all", kind="count", source="orders", events=[f"{COUNTS} -> total", f"{COUNTS} -> by.failed"])
    counts = await collect(world, metric, window)
    assert counts.canary is not None
    assert counts.canary.events == 9


async def test_values_and_thresholds(world: HttpWorld) -> None:
    answer(world, {"pods": [{"mb": 1.5}, {"mb": 2}]})
    counts = await asked(world, name="memory", kind="value", events=None, values=f"{COUNTS} -> pods[*].mb")
    assert counts.canary is not None
    assert counts.canary.values == [1.5, 2.0]
    counts = await asked(world, name="top", kind="threshold", events=None, query="/v1/orders/x -> max(pods[*].mb)")
    assert counts.value == 2.0
    with pytest.raises(QueryRejected, match="list of numbers"):
        await asked(world, name="memory", kind="value", events=None, values=f"{COUNTS} -> pods[0]")


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (401, QueryRejected, "set token_env"),
        (403, QueryRejected, "may not read this"),
        (400, QueryRejected, "refused"),
        (302, QueryRejected, r"write the API's own address in sources\.orders\.url"),
        (429, SourceUnreachable, "429"),
        (503, SourceUnreachable, "503"),
    ],
)
async def test_a_status_is_told_apart(world: HttpWorld, status: int, error: type[Exception], word: str) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(status=status, text="try again", headers={"Location": "/v1/orders/x"})

    world.answer = reply
    with pytest.raises(error, match=word):
        await asked(world)


@pytest.mark.parametrize("status", [204, 404])
async def test_nothing_there_is_no_data(world: HttpWorld, status: int) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.Response(status=status)

    world.answer = reply
    counts = await asked(world)
    assert counts.status == "no_data"
    assert str(status) in counts.reason


async def test_a_slow_answer_ends_at_the_timeout(world: HttpWorld) -> None:
    done = asyncio.Event()

    async def reply(request: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    world.answer = reply
    world.source = world.source.model_copy(update={"timeout": timedelta(seconds=0.2)})
    with pytest.raises(SourceUnreachable, match=r"did not answer within 0\.2 s"):
        await asked(world)
    done.set()


async def test_secrets_are_sent_and_are_in_no_error(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", SECRET)
    monkeypatch.setenv("COALMINE_SECRET_TENANT", "tenant-s3cr3t")
    world.source = world.source.model_copy(
        update={"token_env": "ORDERS_TOKEN", "headers": {"X-Tenant": "${COALMINE_SECRET_TENANT}"}}
    )
    answer(world, {"n": f"Bearer {SECRET} of tenant-s3cr3t"})
    with pytest.raises(QueryRejected) as caught:
        await asked(world, "sum(n)")
    assert SECRET not in str(caught.value)
    assert "tenant-s3cr3t" not in str(caught.value)
    assert world.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert world.requests[0].headers["X-Tenant"] == "tenant-s3cr3t"


async def test_a_user_logs_in(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_PASSWORD", SECRET)
    world.source = world.source.model_copy(update={"username": "ana", "password_env": "ORDERS_PASSWORD"})
    answer(world, {"n": 1})
    assert (await asked(world)).status == "ok"
    sent = world.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"ana:{SECRET}"


async def test_a_secret_that_is_not_set_is_named(world: HttpWorld) -> None:
    world.source = world.source.model_copy(update={"token_env": "NOT_THERE_AT_ALL"})
    with pytest.raises(QueryRejected, match=r"sources\.orders\.token_env: .*NOT_THERE_AT_ALL is not set"):
        await asked(world)


async def test_tls_wants_the_authority_that_signed(world: HttpWorld, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def reply(request: web.Request) -> web.Response:
        return web.json_response({"n": 3})

    app = web.Application()
    app.router.add_get("/{any:.*}", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        world.source = Source(kind="http", url=url)
        with pytest.raises(SourceUnreachable, match="set ca_file to the authority"):
            await asked(world)
        for more in ({"ca_file": str(tmp_path / "ca.pem")}, {"insecure_skip_verify": True}):
            world.source = Source(kind="http", url=url, **more)
            assert (await asked(world)).status == "ok"
        world.source = Source(kind="http", url=url, ca_file=str(tmp_path / "none.pem"))
        with pytest.raises(QueryRejected, match="there is no file"):
            await asked(world)
    finally:
        await runner.cleanup()


async def test_a_version_that_would_be_another_path_is_refused(world: HttpWorld) -> None:
    canary = world.arms.canary.model_copy(update={"version": ".."})
    window = await world.happen({"baseline": Happened(5, 1), "canary": Happened(5, 1)})
    with pytest.raises(QueryRejected, match="another path"):
        await collect(world, world.ratio, window, arms=world.arms.model_copy(update={"canary": canary}))
    assert all("/v1/orders/1.41.0" in request.raw_path for request in world.requests)

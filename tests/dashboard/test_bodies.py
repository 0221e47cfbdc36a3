"""Bodies that are too large: nobody's is read, and everybody else's only as far as the limit, on every path."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import Body, Request

from coalmine.dashboard import bodies
from coalmine.dashboard.api import LARGEST_SPEC
from coalmine.dashboard.auth.header import ByHeader, read_peers
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.dashboard.auth.oidc import LOGOUT
from coalmine.dashboard.csrf import LARGEST_FORM
from coalmine.dashboard.people import Person
from coalmine.records import Verb
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import Served, served

ROLLOUT = "/api/v1/rollouts/production/checkout"
JSON, YAML, FORM = "application/json", "application/yaml", "application/x-www-form-urlencoded"
VERBS = [(f"{ROLLOUT}/{verb}", JSON, bodies.MOST) for verb in Verb]
SPECS = [(path, kind, LARGEST_SPEC) for path in ("/api/v1/rollouts", "/api/v1/validate") for kind in (JSON, YAML)]
FORMS = [("/act/production/checkout/pause", FORM, LARGEST_FORM)]
ANA = {"X-User": "ana@example.org"}
CHUNK = b" " * 16_384


@dataclass
class Answer:
    status: int
    text: str
    read: int
    """Bytes that were asked for."""


@pytest.fixture
async def desk(fake: FakeRollouts) -> AsyncIterator[Served]:
    def access(*_: object) -> ByHeader:
        return ByHeader("X-User", read_peers(["127.0.0.1"]))

    async with served(fake, access, headers=ANA) as desk:
        yield desk


async def endless(desk: Served, path: str, headers: dict[str, str], told: int | None = None) -> Answer:
    """What is answered to a body that never ends; ``told``: the length that its header says."""
    read, status, text = 0, 0, b""

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += len(CHUNK)
        assert read < 10 * LARGEST_SPEC, "it is read without end"
        return {"type": "http.request", "body": CHUNK, "more_body": True}

    async def send(message: Any) -> None:
        nonlocal status, text
        status, text = message.get("status", status), text + message.get("body", b"")

    given = {"Host": desk.url.rpartition("/")[2], **headers}
    given |= {"Transfer-Encoding": "chunked"} if told is None else {"Content-Length": str(told)}
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": path, "root_path": "",
        "raw_path": path.encode(), "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    await desk.app(scope, receive, send)
    return Answer(status, text.decode(), read)


async def test_a_body_of_nobody_is_not_read_whatever_writes(desk: Served) -> None:
    described = {path for path, operations in desk.app.openapi()["paths"].items() if "post" in operations}
    assert len(described) == len(Verb) + 2
    for path in described - {"/api/v1/validate"}:
        for told in (None, 60_000_000):
            here = path.format(environment="production", service="checkout")
            answer = await endless(desk, here, {"Content-Type": JSON}, told)
            assert (here, answer.status, answer.read) == (here, 401, 0)


@pytest.mark.parametrize("path", ["/act/production/checkout/pause", LOGOUT, "/api/v1/nothing", "/"])
async def test_nor_is_it_by_pages_and_paths_that_are_none(fake: FakeRollouts, path: str) -> None:
    async with served(fake, lambda *_: Nobody()) as desk:
        answer = await endless(desk, path, {"Content-Type": FORM})
    assert answer.status in (403, 404, 405)
    assert answer.read == 0


async def test_nor_is_it_where_its_sender_may_not_say_the_verb(fake: FakeRollouts) -> None:
    class StartsOnly(ByHeader):
        async def who(self, request: Request) -> Person | None:
            return Person("ci", proved_by="token", verbs=frozenset({"start"}))

    async with served(fake, lambda *_: StartsOnly("X-User", [])) as desk:
        answer = await endless(desk, f"{ROLLOUT}/pause", {"Content-Type": JSON})
    assert (answer.status, answer.read) == (403, 0)
    assert "may start, not pause" in answer.text


async def test_a_stream_is_none_the_worse_for_a_body(desk: Served) -> None:
    much = desk.client.build_request("GET", "/events/fleet", content=b" " * 1_000_000)
    answer = await desk.client.send(much, stream=True)
    assert answer.status_code == 200
    assert await anext(answer.aiter_lines())
    await answer.aclose()


@pytest.mark.parametrize(("path", "kind", "most"), VERBS + SPECS + FORMS)
async def test_a_body_that_is_too_large_is_read_as_far_as_the_limit(
    desk: Served, fake: FakeRollouts, path: str, kind: str, most: int
) -> None:
    headers = {**ANA, "Content-Type": kind}
    told = await endless(desk, path, headers, told=most + 1)
    assert (told.status, told.read) == (413, 0)
    # A length that is told may be less than what comes.
    for answer in (await endless(desk, path, headers), await endless(desk, path, headers, told=2)):
        assert answer.status == 413
        assert most < answer.read <= most + len(CHUNK)
    assert f"the body has more than {most:,} bytes" in told.text.lower()
    assert fake.sent == []


async def in_parts(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 10_000):
        yield body[begin : begin + 10_000]


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_over_the_wire(desk: Served, fake: FakeRollouts, in_chunks: bool) -> None:
    async def status_of(body: bytes, **headers: str) -> int:
        content = in_parts(body) if in_chunks else body
        answer = await desk.client.post(
            f"{ROLLOUT}/approve", content=content, headers={"Content-Type": JSON, **headers}
        )
        if answer.status_code == 413:
            assert answer.json()["detail"].startswith("the body has more than 65,536 bytes")
        return answer.status_code

    said = json.dumps({"reason": "fine"}).encode()
    assert await status_of(said.ljust(bodies.MOST + 1)) == 413
    assert await status_of(b" " * 5_000_000) == 413
    assert await status_of(b" " * 5_000_000, **{"X-User": ""}) == 401
    assert fake.sent == []
    assert await status_of(said.ljust(bodies.MOST)) == 200
    assert [one.reason for one in fake.sent] == ["fine"]


async def test_a_path_that_knows_of_no_limit_has_one(desk: Served) -> None:
    async def raw(request: Request) -> int:
        return len(await request.body())

    async def parsed(given: Annotated[Any, Body()]) -> int:
        return len(given)

    async def streamed(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    for reads in (raw, parsed, streamed):
        desk.app.add_api_route(f"/api/v1/{reads.__name__}", reads, methods=["POST"])
        for told in (None, bodies.MOST + 1):
            answer = await endless(desk, f"/api/v1/{reads.__name__}", {"Content-Type": JSON}, told)
            assert (answer.status, "65,536 bytes" in answer.text) == (413, True)

"""Keys by URL: what is kept, what is asked for again, and what is never taken. The server is real, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from activities.key_sets import LARGEST_SET, KeySets, url_problem
from activities.verification import VerificationActivities
from coalmine.errors import InputError
from coalmine.identity.claims import Decided
from coalmine.identity.keys import KEYS_VARIABLE, read_jwks
from coalmine.identity.signing import new_key, sign
from coalmine.records import VerifyRequest
from tests.identity.key_server import KeyServer, key_server
from tests.identity.test_forged import NOW

ANA, BO = new_key("ana-1", "ana"), new_key("bo-1", "bo")


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server(ANA) as server:
        yield server


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def ask(sets: KeySets, server: KeyServer, kid: str = "ana-1") -> set[str]:
    return set(await sets.keys(server.url, kid, read_jwks, "KEYS"))


async def test_kept_for_a_minute(server: KeyServer, clock: Clock) -> None:
    sets = KeySets(clock)
    for _ in range(5):
        assert await ask(sets, server) == {"ana-1"}
    assert server.asked == 1
    server.people = [BO]
    clock.now += 60
    assert await ask(sets, server) == {"bo-1"}


async def test_an_unknown_key_is_asked_for_once_a_minute(server: KeyServer, clock: Clock) -> None:
    sets = KeySets(clock)
    await ask(sets, server)
    server.people = [ANA, BO]
    assert await ask(sets, server, "bo-1") == {"ana-1", "bo-1"}
    for _ in range(50):
        await ask(sets, server, "stranger")
    assert server.asked == 2


async def test_many_at_once_are_one_question(server: KeyServer, clock: Clock) -> None:
    sets = KeySets(clock)
    await asyncio.gather(*(ask(sets, server) for _ in range(20)))
    assert server.asked == 1


async def test_the_last_good_set_counts_for_an_hour(server: KeyServer, clock: Clock) -> None:
    sets = KeySets(clock)
    await ask(sets, server)
    server.answer = web.Response(status=503)
    clock.now += 3600
    assert await ask(sets, server) == {"ana-1"}
    clock.now += 1
    with pytest.raises(InputError, match=r"older than an hour: it answers HTTP 503"):
        await ask(sets, server)
    assert server.asked == 2, "a server in trouble is not asked at every decision"
    server.answer = None
    clock.now += 10
    assert await ask(sets, server) == {"ana-1"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=302, headers={"Location": "/other"}), "redirect"),
        (web.Response(status=404), "HTTP 404"),
        (web.Response(body=b"{"), "no JSON"),
        (web.Response(body=b"[" * 100_000), "no JSON"),
        (web.Response(body=b"\xff\xfe"), "no text"),
        (web.Response(body=b" " * (LARGEST_SET + 1)), "more than 1,000,000 bytes"),
        (web.Response(body=json.dumps({"keys": [ANA]}).encode()), "private or shared"),
    ],
    ids=["redirect", "missing", "cut", "deep", "bytes", "large", "private"],
)
async def test_what_is_no_set_is_refused(server: KeyServer, clock: Clock, answer: web.Response, why: str) -> None:
    server.answer = answer
    with pytest.raises(InputError, match=why) as caught:
        await ask(KeySets(clock), server)
    assert str(ANA["d"]) not in str(caught.value)
    assert server.asked == 1


async def test_a_server_that_hangs_is_left(server: KeyServer, clock: Clock) -> None:
    server.hang = asyncio.Event()
    with pytest.raises(InputError, match=r"within 0\.2 s"):
        await ask(KeySets(clock, within=0.2), server)


async def test_nobody_there(clock: Clock, unused_tcp_port: int) -> None:
    with pytest.raises(InputError, match=r"KEYS: http://127.0.0.1:\d+: no keys could be had: it did not answer"):
        await KeySets(clock).keys(f"http://127.0.0.1:{unused_tcp_port}/secret-path", "a", read_jwks, "KEYS")


@pytest.mark.parametrize(
    ("verb", "reset_after", "counts"),
    [
        ("pause", None, True),
        ("pause", -1, True),
        ("pause", 0, True),
        ("pause", 0.002, False),
        ("pause", 1, False),
        ("rollback", 1, True),
        ("reject", 1, True),
    ],
)
async def test_what_was_signed_before_a_reset_is_signed_again_unless_it_leads_back(
    server: KeyServer, verb: str, reset_after: float | None, counts: bool
) -> None:
    """The run that a reset made does not know which tokens were used since the task it went back to."""
    activities = VerificationActivities({KEYS_VARIABLE: server.url})
    signed = NOW.replace(microsecond=0)
    decided = Decided(verb, "test/checkout/1.1.0/1", "ok")
    request = VerifyRequest(
        token=sign(ANA, decided, signed, "1"),
        verb=verb,
        rollout_id=decided.rollout_id,
        reason="ok",
        at=NOW + timedelta(seconds=5),
        reset_at=None if reset_after is None else signed + timedelta(seconds=reset_after),
    )
    found = await activities.verify_decision(request)
    assert (found.person == "ana") is counts, found.reason
    assert counts or "before the reset" in found.reason


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://idp.example.org/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://[::1]/keys", True),
        ("http://localhost/keys", True),
        ("http://idp.example.org/keys", False),
        ("http://localhost.example.org/keys", False),
        ("http://127.0.0.1@example.org/keys", False),
        ("http://10.0.0.1/keys", False),
        ("ftp://127.0.0.1/keys", False),
        ("file:///etc/keys", False),
        ("https:///keys", False),
        ("https://[::1", False),
        ("https://host:99999/keys", False),
    ],
)
def test_which_urls_count(url: str, fine: bool) -> None:
    assert (url_problem(url) is None) is fine


async def test_a_decision_is_verified_by_them(server: KeyServer) -> None:
    activities = VerificationActivities({KEYS_VARIABLE: server.url})
    decided = Decided("pause", "test/checkout/1.1.0/1", "ok")
    request = VerifyRequest(
        token=sign(ANA, decided, NOW, "1"), verb="pause", rollout_id=decided.rollout_id, reason="ok", at=NOW
    )
    assert (await activities.verify_decision(request)).person == "ana"
    stranger = request.model_copy(update={"token": sign(BO, decided, NOW, "2")})
    assert "not among the worker's" in (await activities.verify_decision(stranger)).reason
    garbage = request.model_copy(update={"token": "x"})
    assert "no token" in (await activities.verify_decision(garbage)).reason

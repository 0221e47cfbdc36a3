"""``--auth oidc``: the code flow with PKCE at a provider, and everything that may be wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from coalmine.dashboard import session
from coalmine.dashboard.auth.header import read_peers
from coalmine.dashboard.auth.oidc import CALLBACK, LOGIN, ByOidc, OidcSettings, local_path
from coalmine.dashboard.limits import CALLBACKS, FAILED_LOGINS, Limits
from coalmine.dashboard.people import Access
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.errors import InputError
from coalmine.records import Phase
from coalmine.testing.fake_oidc import CLIENT, FakeOidc
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import PATIENCE, SECRET, Served, served, until

ACT = "/act/production/checkout/pause"


def by(provider: FakeOidc, **changes: Any) -> Callable[[Place, Sessions], Access]:
    def access(place: Place, sessions: Sessions) -> Access:
        given = {"issuer": provider.issuer, "client_id": CLIENT, "redirect_uri": place.url + CALLBACK, **changes}
        return ByOidc(OidcSettings(**given), sessions)

    return access


@pytest.fixture
async def provider() -> AsyncIterator[FakeOidc]:
    async with FakeOidc("ana@example.org", ["sre"]) as provider:
        yield provider


@pytest.fixture
def fake() -> FakeRollouts:
    fake = FakeRollouts()
    fake.put(a_status("checkout", phase=Phase.STEPPING))
    return fake


@pytest.fixture
async def desk(fake: FakeRollouts, provider: FakeOidc) -> AsyncIterator[Served]:
    async with served(fake, by(provider)) as desk:
        yield desk


async def come_back(desk: Served, path: str = "/") -> httpx.Response:
    """Follow a login up to our own callback's answer."""
    answer = await desk.client.get(path)
    for _ in range(2):
        assert answer.status_code == 302
        answer = await desk.client.get(answer.headers["location"])
    assert answer.status_code == 302
    return await desk.client.get(answer.headers["location"])


async def test_who_logs_in_comes_back_to_where_they_were_and_acts_signed(desk: Served, fake: FakeRollouts) -> None:
    answer = await come_back(desk, "/rollouts/production/checkout?region=")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/rollouts/production/checkout?region="
    cookies = [value.lower() for value in answer.headers.get_list("set-cookie")]
    assert all("httponly" in one and "samesite=lax" in one for one in cookies)
    assert "ana@example.org" in await desk.page("/")
    form = await desk.form(ACT)
    assert (await desk.client.post(ACT, data=form)).status_code == 303
    assert fake.sent[0].by == "ana@example.org"
    assert fake.sent[0].token is not None


async def test_a_session_planted_before_the_login_does_not_become_theirs(desk: Served) -> None:
    sessions = desk.settings.sessions
    planted = sessions.begin()
    desk.client.cookies.set(sessions.name, sessions.seal("session", asdict(planted)), domain="127.0.0.1")
    answer = await come_back(desk)
    [given] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{sessions.name}=")]
    asked = Request({"type": "http", "headers": [(b"cookie", given.partition(";")[0].encode())]})
    theirs = sessions.of(asked)
    assert theirs is not None
    assert theirs.person == "ana@example.org"
    assert theirs.sid != planted.sid


@pytest.mark.parametrize("verb", ["rollback", "pause", "promote", "approve"])
async def test_a_browsers_cookie_alone_writes_nothing_by_the_api(desk: Served, fake: FakeRollouts, verb: str) -> None:
    """What another site makes a browser send has the cookie, and no form's token."""
    await come_back(desk, "/")
    answer = await desk.client.post(f"/api/v1/rollouts/production/checkout/{verb}", json={"reason": "x"})
    assert answer.status_code == 401
    start = await desk.client.post("/api/v1/rollouts", content="a: b", headers={"content-type": "application/yaml"})
    assert start.status_code == 401
    assert fake.sent == []


async def test_nobody_reads_without_a_login_and_streams_lead_nowhere(desk: Served) -> None:
    assert (await desk.client.get("/")).headers["location"] == f"{LOGIN}?next=%2F"
    for path in ("/events/fleet", "/api/v1/rollouts"):
        assert (await desk.client.get(path)).status_code == 401
    answer = await desk.client.post(ACT, data={"csrf": "x"})
    assert answer.status_code == 401
    # Whoever wrote a reason in a page of yesterday hears what to do: no proxy is there to come by.
    assert "Your session is over, and nothing was said" in answer.text


async def test_who_signs_out_is_unknown(desk: Served) -> None:
    await come_back(desk)
    text = await desk.page("/")
    csrf = text.split('name="csrf" value="')[1].split('"')[0]
    stolen = dict(desk.client.cookies)
    assert (await desk.client.post("/auth/logout", data={"csrf": "0"})).status_code == 403
    assert "You are signed out" in await_text(await desk.client.post("/auth/logout", data={"csrf": csrf}))
    assert (await desk.client.get("/")).status_code == 302
    # Nor does a copy of the cookie count, that somebody took before; the next login is not touched by that.
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, cookies=stolen) as thief:
        assert (await thief.get("/")).status_code == 302
    await come_back(desk)
    assert "ana@example.org" in await desk.page("/")


async def sign_out(desk: Served) -> None:
    csrf = (await desk.page("/")).split('name="csrf" value="')[1].split('"')[0]
    await_text(await desk.client.post("/auth/logout", data={"csrf": csrf}))


@pytest.mark.parametrize("path", ["/events/fleet", "/events/rollouts/production/checkout"])
async def test_signing_out_ends_what_the_session_follows_and_no_other(
    desk: Served, fake: FakeRollouts, path: str
) -> None:
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, timeout=PATIENCE) as client:
        other = replace(desk, client=client)
        await come_back(desk)
        await come_back(other)
        async with desk.stream(path) as left, other.stream(path) as kept:
            await anext(left)
            await anext(kept)
            await sign_out(desk)
            async with asyncio.timeout(PATIENCE):
                assert [update async for update in left] == []
            fake.change("canary/production/checkout", phase=Phase.BAKING)
            await until(kept, lambda update: "baking" in str(update))
        assert (await desk.client.get(path)).status_code == 401


async def test_a_login_that_is_over_ends_what_it_follows(desk: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await come_back(desk)
    following = Sessions.following

    @contextmanager
    def hours_later(self: Sessions, request: Request) -> Iterator[tuple[asyncio.Event, float]]:
        with following(self, request) as (over, left):
            yield over, left - session.LIFETIME

    monkeypatch.setattr(Sessions, "following", hours_later)
    async with desk.stream("/events/fleet") as updates, asyncio.timeout(PATIENCE):
        assert [update async for update in updates] == []


async def test_a_login_that_is_signed_out_while_a_stream_begins_is_over_for_it(desk: Served) -> None:
    sessions = desk.settings.sessions
    answer = Response()
    sessions.put(answer, sessions.begin("ana"))
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    request = Request({"type": "http", "headers": [(b"cookie", f"{name}={value}".encode())]})
    with sessions.following(request) as (over, left):
        assert 0 < left <= session.LIFETIME
        assert not over.is_set()
        sessions.end(request, Response())
        assert over.is_set()
    with sessions.following(request) as (over, _left):
        assert over.is_set()
    assert sessions._followed == {}


def await_text(answer: httpx.Response) -> str:
    """The text of an answer that went well."""
    assert answer.status_code == 200
    return answer.text


async def test_a_login_begun_elsewhere_does_not_count(desk: Served, provider: FakeOidc) -> None:
    # An attacker hands over a link with a code of their own: this browser never began that login.
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False) as other:
        answer = await other.get(LOGIN)
        answer = await other.get(answer.headers["location"])
        planted = answer.headers["location"]
    assert (await desk.client.get(planted)).status_code == 400
    assert (await desk.client.get("/")).status_code == 302


async def logs_in(desk: Served, address: str = "") -> int:
    """What somebody hears who logs in with a browser of their own."""
    headers = {"X-Forwarded-For": address} if address else {}
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False, headers=headers) as browser:
        answer = await browser.get(LOGIN)
        while answer.status_code == 302:
            answer = await browser.get(answer.headers["location"])
        return answer.status_code


async def test_a_whole_company_logs_in_by_one_proxy(fake: FakeRollouts, provider: FakeOidc) -> None:
    async with served(fake, by(provider), limits=Limits(lambda: 0.0)) as desk:
        assert [await logs_in(desk) for _ in range(30)] == [303] * 30


async def test_nobody_locks_the_others_out(fake: FakeRollouts, provider: FakeOidc) -> None:
    async with served(fake, by(provider), limits=Limits(lambda: 0.0)) as desk:
        for _ in range(60):
            assert (await desk.client.get(LOGIN)).status_code == 302
            assert (await desk.client.get(f"{CALLBACK}?state=x&code=y")).status_code == 400
        assert await logs_in(desk) == 303
        provider.refuse = "access_denied"
        assert {await logs_in(desk) for _ in range(30)} == {403}
        provider.refuse = ""
        assert await logs_in(desk) == 303


async def test_of_a_proxy_that_is_trusted_each_client_has_its_own_failures(
    fake: FakeRollouts, provider: FakeOidc
) -> None:
    proxies = read_peers(["127.0.0.1", "10.0.0.5"])
    async with served(fake, by(provider), limits=Limits(lambda: 0.0), proxies=proxies) as desk:
        assert {await logs_in(desk, "192.0.2.1") for _ in range(20)} == {303}
        begun = await desk.client.get(LOGIN, headers={"X-Forwarded-For": "192.0.2.66"})
        provider.refuse = "access_denied"
        # What a browser writes itself stands before what the proxies add.
        said = [await logs_in(desk, f"192.0.2.{n}, 192.0.2.66, 10.0.0.5") for n in range(FAILED_LOGINS.burst + 1)]
        assert said == [403] * FAILED_LOGINS.burst + [429]
        provider.refuse = ""
        assert await logs_in(desk, "192.0.2.66") == 429
        assert await logs_in(desk, "192.0.2.1") == 303
        # Who began before comes back.
        answer = await desk.client.get(begun.headers["location"])
        answer = await desk.client.get(answer.headers["location"], headers={"X-Forwarded-For": "192.0.2.66"})
        assert answer.status_code == 303


async def test_the_same_state_asks_the_provider_a_few_times_only(fake: FakeRollouts, provider: FakeOidc) -> None:
    async with served(fake, by(provider), limits=Limits(lambda: 0.0)) as desk:
        begun = await desk.client.get(LOGIN)
        state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        where = f"{CALLBACK}?state={state}&code=guessed"
        codes = [(await desk.client.get(where)).status_code for _ in range(CALLBACKS.burst + 1)]
        assert codes == [403] * CALLBACKS.burst + [429]


async def test_a_callback_counts_once(desk: Served, provider: FakeOidc) -> None:
    await come_back(desk)
    assert (await desk.client.get(provider.redirects[0])).status_code == 400


async def test_the_provider_says_no(desk: Served, provider: FakeOidc) -> None:
    provider.refuse = "access_denied"
    answer = await come_back(desk)
    assert answer.status_code == 403
    assert "access_denied" in answer.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nonce": "another"}, "of another login"),
        ({"aud": "another"}, "does not hold"),
        ({"aud": [CLIENT, "x"], "azp": "x"}, "another client"),
        ({"iss": "https://evil.example"}, "does not hold"),
        ({"exp": 1}, "does not hold"),
        ({"iat": time.time() + 3600}, "does not hold"),
        ({"exp": None}, "does not hold"),
        ({"email_verified": False}, "did not verify"),
        ({"email_verified": None}, "did not verify"),
        ({"email": ""}, "names nobody"),
        ({"email": "a\nb"}, "names nobody"),
        ({"groups": [1]}, "no list of names"),
    ],
)
async def test_an_id_token_that_proves_nothing_lets_nobody_in(
    desk: Served, provider: FakeOidc, changes: dict[str, Any], said: str
) -> None:
    # None: the claim is not there at all.
    provider.spoil = lambda claims: {k: v for k, v in {**claims, **changes}.items() if v is not None}
    answer = await come_back(desk)
    assert answer.status_code == 403, answer.text
    assert said in answer.text
    assert (await desk.client.get("/")).status_code == 302


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.example.org"},
        {"issuer": None},
        {"authorization_endpoint": "http://login.example.org/authorize"},
        {"token_endpoint": "http://login.example.org/token"},
        {"jwks_uri": "http://login.example.org/keys"},
        {"jwks_uri": None},
    ],
)
async def test_a_document_that_leads_elsewhere_or_over_http_lets_nobody_in(
    desk: Served, provider: FakeOidc, changes: dict[str, Any]
) -> None:
    provider.announces = changes
    answer = await desk.client.get(LOGIN)
    assert answer.status_code == 503
    assert "--oidc-issuer: " in answer.text


async def test_a_token_signed_by_a_stranger_lets_nobody_in(desk: Served, provider: FakeOidc) -> None:
    async with FakeOidc("eve@example.org") as stranger:
        provider.signs_with = stranger.key
        answer = await come_back(desk)
    assert answer.status_code == 403
    assert "does not hold" in answer.text


async def test_a_client_with_a_secret_proves_itself(fake: FakeRollouts) -> None:
    async with FakeOidc("ana@example.org", client_secret="s3cret") as provider:
        async with served(fake, by(provider, client_secret="s3cret")) as desk:
            assert (await come_back(desk)).status_code == 303
        async with served(fake, by(provider, client_secret="wrong")) as desk:
            assert (await come_back(desk)).status_code == 403


async def test_a_silent_provider_is_said(fake: FakeRollouts) -> None:
    async with FakeOidc("ana@example.org") as provider:
        access = by(provider)
    async with served(fake, access) as desk:
        answer = await desk.client.get(LOGIN)
        assert answer.status_code == 503
        assert "did not answer" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/a\\b",
        "javascript:alert(1)",
        "",
        "/auth/login",
        "/a\n",
    ],
)
def test_nobody_is_led_elsewhere(path: str) -> None:
    assert local_path(path) == "/"


async def test_a_login_asks_for_what_it_checks(desk: Served) -> None:
    answer = await desk.client.get(LOGIN)
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name][0]) >= 43
    assert asked["redirect_uri"] == [desk.url + CALLBACK]


def test_an_issuer_over_http_is_refused() -> None:
    with pytest.raises(InputError, match=r"--oidc-issuer: .* is http"):
        ByOidc(OidcSettings("http://login.example.org", CLIENT, ""), Sessions(SECRET, True))

"""What pages and servers of others must not be able to do: forged forms, frames, other names, stolen cookies."""

from __future__ import annotations

import time

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from coalmine.dashboard.limits import BAD_TOKENS, CHECKS, WRITES, Limits, Rate
from coalmine.dashboard.people import Denied
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import LIFETIME, LOGIN_WITHIN, Session, Sessions
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import SECRET, Served, served

ACT = "/act/production/checkout/rollback"
PATHS = ("/", "/rollouts/production/checkout", ACT, "/trends", "/nowhere", "/api/v1/rollouts", "/static/dashboard.js")


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_has_the_headers(desk: Served, path: str) -> None:
    headers = (await desk.client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


async def test_pages_load_nothing_from_elsewhere_and_have_nothing_inline(desk: Served) -> None:
    for path in PATHS[:5]:
        text = (await desk.client.get(path)).text
        assert "style=" not in text
        assert "<style" not in text
        assert 'src="http' not in text
        assert 'href="http' not in text
        assert " on" + "click=" not in text


async def test_a_form_counts_only_with_the_token_of_its_session(desk: Served, fake: FakeRollouts) -> None:
    form = await desk.form(ACT)
    for wrong in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}):
        answer = await desk.client.post(ACT, data={**form, **wrong} if wrong else {"reason": "x"})
        assert answer.status_code == 403, answer.text
    async with httpx.AsyncClient(base_url=desk.url, trust_env=False) as other:
        assert (await other.post(ACT, data=form)).status_code == 403
        await other.get(ACT)
        assert (await other.post(ACT, data=form)).status_code == 403
    assert fake.sent == []
    assert (await desk.client.post(ACT, data=form)).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_others_send_nothing_even_with_a_token(
    desk: Served, fake: FakeRollouts, headers: dict[str, str]
) -> None:
    form = await desk.form(ACT)
    assert (await desk.client.post(ACT, data=form, headers=headers)).status_code == 403
    assert fake.sent == []


async def test_our_own_page_may_send(desk: Served) -> None:
    form = await desk.form(ACT)
    headers = {"Origin": desk.url, "Sec-Fetch-Site": "same-origin"}
    assert (await desk.client.post(ACT, data=form, headers=headers)).status_code == 303


async def test_another_name_for_our_address_is_refused(desk: Served) -> None:
    assert (await desk.client.get("/", headers={"Host": "rebound.example"})).status_code == 403
    for none in ("[", "[::1", "a]b"):
        assert (await desk.client.get("/", headers={"Host": none})).status_code == 403
    assert (await desk.client.get("/healthz", headers={"Host": "10.0.0.7"})).json() == {"status": "ok"}
    port = desk.url.rpartition(":")[2]
    assert (await desk.client.get("/", headers={"Host": f"localhost:{port}"})).status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"csrf=a&csrf=b", 400),
        ("application/x-www-form-urlencoded", b"x" * 300_000, 413),
        ("application/x-www-form-urlencoded", b"\xff=\xff", 400),
    ],
)
async def test_what_is_no_form_of_ours_is_refused(desk: Served, kind: str, body: bytes, status: int) -> None:
    answer = await desk.client.post(ACT, content=body, headers={"Content-Type": kind})
    assert answer.status_code == status


def cookie(url: str) -> str:
    from starlette.responses import Response

    sessions, response = Sessions(SECRET, Place(url).secure), Response()
    sessions.put(response, sessions.begin("ana"))
    return response.headers["set-cookie"].lower()


def test_cookies_are_for_us_alone() -> None:
    found = cookie("https://coalmine.example.org")
    assert found.startswith("__host-coalmine=")
    for flag in ("httponly", "secure", "samesite=lax", "path=/"):
        assert flag in found
    assert "domain" not in found
    assert "secure" not in cookie("http://127.0.0.1:8088")
    # Over http they are for nobody who is elsewhere: whoever listens on the way would have them.
    assert "secure" in cookie("http://coalmine.example.org")
    assert "httponly" in cookie("http://127.0.0.1:8088")


def test_a_session_of_another_secret_or_purpose_counts_for_nothing() -> None:
    sessions, others = Sessions(SECRET, True), Sessions("another-secret-" * 3, True)
    session = Session("sid", "ana")
    sealed = sessions.seal("session", {"sid": "sid", "person": "ana"})
    assert others.unseal("session", sealed, 100) is None
    assert sessions.unseal("said", sealed, 100) is None
    assert sessions.unseal("session", sealed + "x", 100) is None
    token = sessions.token(session, "ana")
    assert sessions.token_holds(token, session, "ana")
    assert not sessions.token_holds(token, session, "bo")
    assert not sessions.token_holds(token, Session("other", "ana"), "ana")
    assert not others.token_holds(token, session, "ana")


def test_a_login_a_login_under_way_and_a_forms_token_end(monkeypatch: pytest.MonkeyPatch) -> None:
    began = now = LIFETIME * 60_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    sessions, response = Sessions(SECRET, False), Response()
    session = sessions.begin("ana")
    sessions.put(response, session)
    sessions.put_login(response, {"state": "s"})
    token = sessions.token(session, "ana")
    set_ = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    assert [f"Max-Age={seconds};" in one for seconds, one in zip((LIFETIME, LOGIN_WITHIN), set_, strict=True)] == [
        True
    ] * 2
    cookies = "; ".join(one.partition(";")[0] for one in set_).encode()
    asked = Request({"type": "http", "headers": [(b"cookie", cookies)]})

    now = began + LOGIN_WITHIN
    assert sessions.take_login(asked) == {"state": "s"}
    now += 1
    # A browser that keeps its cookie for longer does not make it count for longer.
    assert sessions.take_login(asked) == {}
    now = began + LIFETIME
    assert sessions.of(asked) == session
    now += 1
    assert sessions.of(asked) is None
    now = began + 2 * LIFETIME - 1
    assert sessions.token_holds(token, session, "ana")
    now += 1
    assert not sessions.token_holds(token, session, "ana")


def test_too_often_is_said_and_passes() -> None:
    now = [0.0]
    limits, rate = Limits(lambda: now[0]), Rate(2, 60)
    limits.take(rate, "ana")
    limits.take(rate, "ana")
    limits.take(rate, "bo")
    with pytest.raises(Denied, match="wait 1 s") as denied:
        limits.take(rate, "ana")
    assert (denied.value.status, denied.value.wait) == (429, 1)
    # The number that is said is enough, and never 0.
    now[0] += 0.7
    with pytest.raises(Denied, match="wait 1 s"):
        limits.take(rate, "ana")
    now[0] += 1.0
    limits.take(rate, "ana")


async def test_how_long_to_wait_is_the_same_number_in_text_and_header(fake: FakeRollouts) -> None:
    now = [0.0]
    async with served(fake, limits=Limits(lambda: now[0])) as desk:
        form = await desk.form(ACT)
        for rate in (WRITES, CHECKS):
            for _ in range(rate.burst):
                for who in ("ana", "127.0.0.1"):
                    desk.settings.limits.take(rate, who)
        page = await desk.client.post(ACT, data=form)
        checked = await desk.client.post("/api/v1/validate", content="a", headers={"Content-Type": "application/yaml"})
        forged = {"Authorization": "Bearer a.b.c"}
        for _ in range(BAD_TOKENS.burst):
            await desk.client.get("/api/v1/rollouts", headers=forged)
        token = await desk.client.get("/api/v1/rollouts", headers=forged)
    for answer, wait in ((page, 1), (checked, 1), (token, 3)):
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(wait))
        assert f"wait {wait} s" in answer.text


async def test_an_error_nobody_foresaw_tells_nothing_of_our_insides(desk: Served, fake: FakeRollouts) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    fake.status = broken  # type: ignore[method-assign, assignment]
    for path in ("/rollouts/production/checkout", "/api/v1/rollouts/production/checkout"):
        answer = await desk.client.get(path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]

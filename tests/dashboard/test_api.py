"""The API: verbs over HTTP, errors that name field, value and mend, and never a write by nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from coalmine.dashboard.auth.header import ByHeader, read_peers
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.identity.claims import Decided, start_subject
from coalmine.identity.issuers import SAYABLE, Issuer
from coalmine.identity.keys import read_jwks
from coalmine.identity.signing import public_half
from coalmine.identity.verification import verify
from coalmine.records import Phase, Verb
from coalmine.spec.digest import spec_digest
from coalmine.testing.fake_oidc import FakeOidc
from coalmine.testing.fake_rollouts import FakeRollouts
from tests.dashboard.served import KEY, Served, served
from tests.workflows.specs import make_spec

API = "/api/v1"
ROLLOUT = f"{API}/rollouts/production/checkout"
AUDIENCE = "coalmine-dashboard"
KEYS = read_jwks(json.dumps({"keys": [public_half(KEY)]}), "the worker's")


@pytest.fixture
async def provider() -> AsyncIterator[FakeOidc]:
    async with FakeOidc("ana@example.org") as provider:
        yield provider


def issuers(provider: FakeOidc, verbs: tuple[str, ...] = SAYABLE) -> list[Issuer]:
    return [Issuer(provider.issuer, f"{provider.issuer}/keys", AUDIENCE, "{email}", {}, ("sre",), verbs)]


@pytest.fixture
async def desk(fake: FakeRollouts, provider: FakeOidc) -> AsyncIterator[Served]:
    headers = {"Authorization": f"Bearer {provider.bearer(AUDIENCE)}"}
    async with served(fake, lambda *_: Nobody(), issuers=issuers(provider), headers=headers) as desk:
        yield desk


@pytest.mark.parametrize("verbs", [("start",), ("start", "rollback"), ()])
async def test_a_token_says_what_its_issuer_was_trusted_with(
    verbs: tuple[str, ...], fake: FakeRollouts, provider: FakeOidc
) -> None:
    headers = {"Authorization": f"Bearer {provider.bearer(AUDIENCE)}"}
    async with served(fake, lambda *_: Nobody(), issuers=issuers(provider, verbs), headers=headers) as desk:
        assert (await desk.client.get(ROLLOUT)).status_code == 200
        spec = make_spec().model_dump_json(by_alias=True, exclude_none=True)
        as_json = {"Content-Type": "application/json"}
        started = await desk.client.post(f"{API}/rollouts", content=spec, headers=as_json)
        assert started.status_code == (200 if "start" in verbs else 403)
        for verb in Verb:
            answer = await desk.client.post(f"{ROLLOUT}/{verb}", json={"reason": "to see"})
            if verb in verbs:
                assert answer.status_code == 200
            else:
                assert answer.status_code == 403
                told = f"may {', '.join(sorted(verbs)) or 'read'}, not {verb}"
                assert told in answer.json()["detail"]
                assert "'verbs'" in answer.json()["detail"]
    assert [said.verb for said in fake.sent] == [verb for verb in Verb if verb in verbs]


async def test_reading(desk: Served) -> None:
    listed = (await desk.client.get(f"{API}/rollouts", params={"state": "open"})).json()
    assert [row["service"] for row in listed["rollouts"]] == ["checkout"]
    status = (await desk.client.get(ROLLOUT)).json()
    assert (status["phase"], status["gate"]["name"], status["can_send"][0]) == ("gated", "go", "approve")
    assert (await desk.client.get(f"{ROLLOUT}/decisions")).json()["entries"][0]["kind"] == "admitted"
    assert (await desk.client.get(f"{ROLLOUT}/history")).json()["entries"][0]["kind"] == "started"
    assert (await desk.client.get(f"{API}/schema")).json()["title"] == "Coalmine canary spec"


@pytest.mark.parametrize("verb", list(Verb))
async def test_every_verb_is_said_for_the_tokens_person(desk: Served, fake: FakeRollouts, verb: Verb) -> None:
    if verb is Verb.RESUME:
        fake.change("canary/production/checkout", phase=Phase.HELD)
    body: dict[str, Any] = {"reason": "why"} | ({"for": "45m"} if verb is Verb.EXTEND else {})
    answer = await desk.client.post(f"{ROLLOUT}/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["message"] == f"{verb} is taken"
    [said] = fake.sent
    assert (said.verb, said.by, said.reason) == (verb, "ana@example.org", "why")


async def test_what_is_said_is_signed_so_that_a_worker_verifies_it(desk: Served, fake: FakeRollouts) -> None:
    assert (await desk.client.post(f"{ROLLOUT}/approve", json={"reason": "ok", "gate": "go"})).status_code == 200
    token = fake.sent[0].token
    assert token is not None
    found = verify(token, Decided("approve", "production/checkout/1.42.0/1", "ok", "go", 1), KEYS, datetime.now(UTC))
    assert (found.person, found.groups, found.kid) == ("ana@example.org", ("sre",), KEY["kid"])


async def test_what_is_said_again_with_its_key_is_said_once(desk: Served, fake: FakeRollouts) -> None:
    fake.change("canary/production/checkout", phase=Phase.HELD)

    async def say(verb: str, body: dict[str, str], key: str | None) -> tuple[int, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await desk.client.post(f"{ROLLOUT}/{verb}", json=body, headers=headers)
        return answer.status_code, answer.json()

    first, second = await asyncio.gather(*(say("extend", {"for": "30m"}, "a") for _ in range(2)))
    assert first == second
    assert first[0] == 200
    assert len(fake.sent) == 1
    # Another key, other words, or no key: said anew.
    for body, key in (({"for": "30m"}, "b"), ({"for": "31m"}, "a"), ({"for": "30m"}, None), ({"for": "30m"}, None)):
        assert (await say("extend", body, key))[0] == 200
    assert len(fake.sent) == 5
    assert [await say("resume", {}, "a") for _ in range(2)] == [(200, {**first[1], "message": "resume is taken",
                                                                       "phase": "stepping"})] * 2  # fmt: skip
    assert (await say("resume", {}, "c"))[0] == 409
    assert len(fake.sent) == 6


@pytest.mark.parametrize("key", ["", "x" * 201, "a b", "\xe9"])
async def test_a_key_that_cannot_be_kept_is_refused(desk: Served, fake: FakeRollouts, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await desk.client.post(f"{ROLLOUT}/extend", json={}, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"].lower() == "idempotency-key"
    assert fake.sent == []


async def test_one_persons_key_gives_nobody_elses_answer(fake: FakeRollouts) -> None:
    def access(*_: object) -> ByHeader:
        return ByHeader("X-User", read_peers(["127.0.0.1"]))

    async with served(fake, access) as desk:
        for who in ("bo", "ana"):
            headers = {"X-User": who, "Idempotency-Key": "a"}
            assert (await desk.client.post(f"{ROLLOUT}/extend", json={}, headers=headers)).status_code == 200
    assert [said.by for said in fake.sent] == ["bo", "ana"]


async def test_a_start_is_signed_and_the_same_again_attaches(desk: Served, fake: FakeRollouts) -> None:
    spec = make_spec(service="cart")
    text = spec.model_dump_json(by_alias=True, exclude_none=True)
    for disposition in ("started", "attached"):
        answer = await desk.client.post(
            f"{API}/rollouts", content=text, headers={"Content-Type": "application/json"}, params={"reason": "ship"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["disposition"] == disposition
    [(started, by, token)] = fake.started
    assert by == "ana@example.org"
    subject = start_subject("canary/test/cart", "1.1.0", spec_digest(started))
    assert verify(token, Decided("start", subject, "ship"), KEYS, datetime.now(UTC)).person == "ana@example.org"


async def test_validate_names_every_problem_at_its_line(desk: Served, fake: FakeRollouts) -> None:
    yaml = {"Content-Type": "application/yaml"}
    spec = make_spec().model_dump_json(by_alias=True, exclude_none=True)
    assert (await desk.client.post(f"{API}/validate", content=spec, headers=yaml)).json()["valid"] is True
    answer = await desk.client.post(f"{API}/validate", content="service: x\nstepz: []\n", headers=yaml)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problems = answer.json()["problems"]
    assert {"field": "stepz", "line": 2}.items() <= {
        **problems[-1],
        **next(p for p in problems if p["line"] == 2),
    }.items()
    assert fake.started == []


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("GET", "/rollouts/production/nobody", {}, 404, "there is no rollout 'canary/production/nobody'"),
        ("GET", "/rollouts", {"params": {"limit": "0"}}, 422, "limit: Input should be greater than or equal to 1"),
        ("GET", "/rollouts", {"params": {"state": "x"}}, 422, "state: Input should be 'open' or 'closed'"),
        ("POST", "/rollouts/production/checkout/resume", {"json": {}}, 409, "resume means nothing while it is gated"),
        ("POST", "/rollouts/production/checkout/promote", {"json": {}}, 422, "reason: it is empty"),
        ("POST", "/rollouts/production/checkout/pause", {"json": {"by": "bo"}}, 422, "by: Extra inputs"),
        ("POST", "/rollouts/production/checkout/extend", {"json": {"for": "soon"}}, 422, "for: "),
        ("POST", "/rollouts/production/checkout/explode", {"json": {}}, 404, "there is no such page"),
        ("POST", "/rollouts", {"content": b"x", "headers": {"Content-Type": "text/html"}}, 415, "text/html"),
        ("POST", "/rollouts", {"content": b"\xff", "headers": {"Content-Type": "text/yaml"}}, 422, "UTF-8"),
        ("DELETE", "/rollouts", {}, 405, "Method Not Allowed"),
    ],
)
async def test_errors_are_problems_that_name_the_mend(
    desk: Served, method: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    answer = await desk.client.request(method, API + path, **options)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert said in problem["detail"]


async def test_silence_may_be_tried_again(desk: Served, fake: FakeRollouts) -> None:
    fake.silent = "no worker polls"
    answer = await desk.client.get(ROLLOUT)
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert answer.headers["retry-after"]


WRITES = [f"{ROLLOUT}/{verb}" for verb in Verb] + [f"{API}/rollouts"]


@pytest.mark.parametrize("path", WRITES)
async def test_nobody_writes(fake: FakeRollouts, provider: FakeOidc, path: str) -> None:
    spec = make_spec(service="cart").model_dump_json(by_alias=True, exclude_none=True)
    wrong = [
        {},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": f"Bearer {provider.bearer('another')}"},
        {"Authorization": f"Bearer {provider.bearer(AUDIENCE, exp=1)}"},
        {"Authorization": f"Bearer {provider.bearer(AUDIENCE, iss='https://evil.example')}"},
        {"X-Forwarded-User": "ana"},
    ]
    # Also where the pages take whoever comes for somebody, who is proved by nobody.
    async with served(fake, issuers=issuers(provider)) as desk:
        await desk.page("/")
        for headers in wrong:
            content = {"Content-Type": "application/json", **headers}
            answer = await desk.client.post(path, content=spec if path.endswith("rollouts") else "{}", headers=content)
            assert answer.status_code == 401, answer.text
            assert answer.headers["www-authenticate"] == "Bearer"
    assert fake.sent == []
    assert fake.started == []


async def test_who_the_proxy_proved_may_write(fake: FakeRollouts) -> None:
    def access(*_: object) -> ByHeader:
        return ByHeader("X-User", read_peers(["127.0.0.1"]))

    async with served(fake, access, headers={"X-User": "bo"}) as desk:
        assert (await desk.client.post(f"{ROLLOUT}/pause", json={})).status_code == 200
        # A page of another origin cannot make bo's browser do it.
        evil = {"Origin": "https://evil.example"}
        assert (await desk.client.post(f"{ROLLOUT}/rollback", json={}, headers=evil)).status_code == 403
    assert [said.by for said in fake.sent] == ["bo"]


async def test_forged_tokens_become_too_many(fake: FakeRollouts, provider: FakeOidc) -> None:
    async with served(fake, issuers=issuers(provider)) as desk:
        codes = [
            (await desk.client.get(ROLLOUT, headers={"Authorization": "Bearer a.b.c"})).status_code for _ in range(12)
        ]
    assert codes[0] == 401
    assert codes[-1] == 429

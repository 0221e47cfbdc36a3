"""A user's own step over HTTP: what each answer means."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.hooks import run_hook
from activities.posting import where
from coalmine.records import HookRequest
from tests.activities.conftest import Endpoint

KEY = "production/checkout/1.42.0/1:prepare"


def request(url: str) -> HookRequest:
    return HookRequest(
        url=url,
        hook="prepare",
        key=KEY,
        rollout_id="production/checkout/1.42.0/1",
        service="checkout",
        environment="production",
        version="1.42.0",
    )


async def refused(endpoint: Endpoint, answer: web.Response | Any) -> ApplicationError:
    endpoint.answers = [answer]
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(run_hook, request(endpoint.url + "deploy?token=s3cret"))
    assert "s3cret" not in str(caught.value), "paths and queries may hold secrets"
    return caught.value


async def test_the_request_names_the_rollout_and_carries_its_key(endpoint: Endpoint) -> None:
    await ActivityEnvironment().run(run_hook, request(endpoint.url))
    (heard,) = endpoint.heard
    assert heard.method == "POST"
    assert heard.headers["Idempotency-Key"] == KEY
    assert heard.body == {
        "hook": "prepare",
        "key": KEY,
        "rollout_id": "production/checkout/1.42.0/1",
        "service": "checkout",
        "environment": "production",
        "region": None,
        "version": "1.42.0",
        "baseline_version": "",
        "reason": "",
    }


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (web.Response(), ""),
        (web.Response(status=204), ""),
        (web.Response(status=201, text="deployed"), ""),
        (web.json_response({"ok": True, "detail": "3 pods"}), "3 pods"),
        (web.json_response(["not", "an", "object"]), ""),
        (web.Response(text="{broken", content_type="application/json"), ""),
    ],
)
async def test_done(endpoint: Endpoint, answer: web.Response, detail: str) -> None:
    endpoint.answers = [answer]
    assert (await ActivityEnvironment().run(run_hook, request(endpoint.url))).detail == detail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (web.json_response({"ok": False, "reason": "no quota"}), "says no: no quota"),
        (web.json_response({"ok": False}), "says no: without a reason"),
        (web.Response(status=400, text="bad"), "refused (HTTP 400: bad)"),
        (web.json_response({"reason": "unknown service"}, status=404), "refused (HTTP 404: unknown service)"),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), "redirects (HTTP 302)"),
    ],
)
async def test_a_definite_no(endpoint: Endpoint, answer: web.Response, words: str) -> None:
    error = await refused(endpoint, answer)
    assert (error.type, error.non_retryable) == ("HookRefused", True)
    assert words in error.message
    assert "prepare" in error.message
    assert len(endpoint.heard) == 1, "a redirect is not followed"


@pytest.mark.parametrize("status", [202, 409])
async def test_a_hook_that_is_still_at_it_is_asked_again(endpoint: Endpoint, status: int) -> None:
    error = await refused(endpoint, web.Response(status=status, headers={"Retry-After": "7"}))
    assert (error.type, error.non_retryable) == ("HookPending", False)
    assert error.next_retry_delay == timedelta(seconds=7)
    assert error.category is ApplicationErrorCategory.BENIGN
    error = await refused(endpoint, web.Response(status=status))
    assert error.next_retry_delay == timedelta(seconds=5)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_not_now(endpoint: Endpoint, status: int) -> None:
    error = await refused(endpoint, web.Response(status=status, text="busy"))
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("HookUnreachable", False, None)
    assert f"HTTP {status}: busy" in error.message


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("30", 30, 30),
        ("0", 1, 1),
        ("-5", 1, 1),
        ("86400", 300, 300),
        ("99999999999999999999", None, None),
        ("soon", None, None),
        ("a date", 1, 200),
    ],
)
async def test_the_wish_when_to_come_back(
    endpoint: Endpoint, value: str, low: float | None, high: float | None
) -> None:
    if value == "a date":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    error = await refused(endpoint, web.Response(status=503, headers={"Retry-After": value}))
    delay = error.next_retry_delay
    if low is None or high is None:
        assert delay is None
    else:
        assert delay is not None
        assert low <= delay.total_seconds() <= high


async def test_nobody_there_is_worth_a_retry(unused_tcp_port: int) -> None:
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(run_hook, request(f"http://127.0.0.1:{unused_tcp_port}/x"))
    assert (caught.value.type, caught.value.non_retryable) == ("HookUnreachable", False)
    assert f"http://127.0.0.1:{unused_tcp_port} did not answer" in caught.value.message


@pytest.mark.parametrize("url", ["ftp://host/x", "no-scheme/x?token=s3cret", "http://", ""])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ApplicationError, match="is no http") as caught:
        await ActivityEnvironment().run(run_hook, request(url))
    assert caught.value.non_retryable
    assert "s3cret" not in caught.value.message


async def test_a_slow_hook_is_waited_for_with_heartbeats_and_ends_before_temporal_gives_up(endpoint: Endpoint) -> None:
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, start_to_close_timeout=timedelta(seconds=0.4))
    environment.on_heartbeat = lambda *details: beats.append(details)
    endpoint.answers = [hang]
    with pytest.raises(ApplicationError, match=r"did not answer within 0\.3 s"):
        await environment.run(run_hook, request(endpoint.url))
    assert beats
    never.set()


async def test_an_answer_without_end_is_cut(endpoint: Endpoint) -> None:
    endpoint.answers = [web.Response(status=400, body=b"x" * 3_000_000)]
    error = await refused(endpoint, endpoint.answers[0])
    assert len(error.message) < 400


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@hooks.example/T0/B0?token=1", "https://hooks.example"),
        ("http://127.0.0.1:9090/x", "http://127.0.0.1:9090"),
    ],
)
def test_only_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert where(url) == shown


async def test_a_call_that_another_run_ordered_is_not_made(endpoint: Endpoint) -> None:
    environment = ActivityEnvironment()
    own = environment.info.workflow_run_id
    with pytest.raises(ApplicationError) as caught:
        await environment.run(run_hook, request(endpoint.url).model_copy(update={"run_id": "the run before"}))
    assert (caught.value.type, caught.value.non_retryable) == ("HookCopied", True)
    assert endpoint.heard == []
    await environment.run(run_hook, request(endpoint.url).model_copy(update={"run_id": own}))
    assert "run_id" not in endpoint.heard[0].body

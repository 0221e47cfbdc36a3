"""A spec names secrets; only what is sent holds their values, and nothing that comes back or is logged shows them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import encode_basic_auth, web
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.hooks import run_hook
from activities.log_lines import configure_logging
from activities.metrics import MetricsActivities
from activities.notification import NotificationActivities
from activities.notifiers.webhook import WebhookChannel
from activities.routers.registry import Routers
from activities.secrets import filled
from activities.sources.prometheus import PrometheusSource
from activities.traffic import TrafficActivities
from coalmine.encryption import data_converter, new_key
from coalmine.errors import SecretMissing
from coalmine.records import CollectRequest, HookRequest, Notification, NotifyRequest, RouteRequest, Window
from coalmine.spec.canary import Route
from coalmine.spec.channels import Notifier
from tests.activities.conftest import Endpoint
from tests.workflows.specs import make_spec

NAME = "COALMINE_SECRET_DEPLOY"
BY_NAME = f"${{{NAME}}}"
VALUE = "s3cr3t/of the+worker=="


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The worker's log, as JSON lines."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, VALUE)


def hook(url: str) -> HookRequest:
    return HookRequest(
        url=url, hook="prepare", key="k", rollout_id="test/checkout/1/1", service="checkout", environment="test"
    )


async def written(error: BaseException, keys: Path | None) -> str:
    """A failure as it stands in a history, and as who reads it decodes it."""
    converter = data_converter(str(keys) if keys else None)
    failure = Failure()
    await converter.encode_failure(error, failure)
    raw = str(failure)
    decoded = await converter.decode_failure(failure)
    return f"{raw} {decoded!r} {decoded.__cause__!r}"


def fail(text: str) -> ApplicationError:
    """With a cause, a traceback whose source line and message both hold the text, and details."""
    try:
        try:
            raise ValueError(f"inner {text}")
        except ValueError as inner:
            raise ApplicationError(f"outer {text}", {"url": text}, [text], type="Odd") from inner
    except ApplicationError as error:
        return error


def test_values_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("from-a-file\n")
    environ = {"COALMINE_SECRET_A": "from-a-variable", "COALMINE_SECRET_B_FILE": str(path)}
    text = "https://${COALMINE_SECRET_A}@host/${COALMINE_SECRET_B}/${COALMINE_SECRET_A}"
    assert filled(text, environ) == "https://from-a-variable@host/from-a-file/from-a-variable"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "COALMINE_SECRET_A is not set on the worker"),
        ({"COALMINE_SECRET_A": ""}, "COALMINE_SECRET_A is not set on the worker"),
        ({"COALMINE_SECRET_A_FILE": "/nowhere/at/all"}, "COALMINE_SECRET_A_FILE names cannot be read: No such file"),
        ({"COALMINE_SECRET_A": "short"}, "less than 8 characters"),
        ({"COALMINE_SECRET_A": "two\nlines of it"}, "line break"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(environ: dict[str, str], words: str) -> None:
    with pytest.raises(SecretMissing, match=words) as caught:
        filled("${COALMINE_SECRET_A}", environ)
    assert "short" not in str(caught.value)
    assert "lines of it" not in str(caught.value)


async def test_a_hook_gets_the_value_and_the_request_keeps_the_name(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, "plain-enough-for-a-path")
    request = hook(f"{endpoint.url}deploy/{BY_NAME}?again={BY_NAME}")
    await ActivityEnvironment().run(run_hook, request)
    (heard,) = endpoint.heard
    assert heard.path == "/deploy/plain-enough-for-a-path?again=plain-enough-for-a-path"
    assert "plain-enough" not in request.model_dump_json() + json.dumps(heard.body)


async def test_a_password_by_name_becomes_basic_authentication(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, "a-long-password")
    await ActivityEnvironment().run(run_hook, hook(endpoint.url.replace("://", f"://ci:{BY_NAME}@")))
    assert endpoint.heard[0].headers["Authorization"] == encode_basic_auth("ci", "a-long-password")


async def test_a_missing_secret_is_a_clear_no(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME)
    with pytest.raises(ApplicationError, match=f"the secret {NAME} is not set on the worker") as caught:
        await ActivityEnvironment().run(run_hook, hook(endpoint.url + BY_NAME))
    assert (caught.value.type, caught.value.non_retryable, endpoint.heard) == ("SecretMissing", True, [])


@pytest.mark.parametrize("status", [200, 302, 404, 503])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_an_answer_that_repeats_the_secret_shows_it_nowhere(
    endpoint: Endpoint, log: io.StringIO, tmp_path: Path, status: int, encrypted: bool
) -> None:
    keys = tmp_path / "keys" if encrypted else None
    if keys is not None:
        keys.write_text(new_key(datetime.now(UTC)))
    said = {"ok": False, "reason": f"bad token {VALUE}", "detail": VALUE, "token": VALUE}
    endpoint.answers = [web.json_response(said, status=status)]
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(run_hook, hook(f"{endpoint.url}?key={BY_NAME}"))
    logging.getLogger("x").error("hook failed", exc_info=caught.value, extra={"answer": said})
    shown = log.getvalue() + await written(caught.value, keys) + repr(caught.value)
    assert VALUE not in shown
    assert "***" in shown


async def test_what_a_hook_reports_is_kept_without_the_secret(endpoint: Endpoint) -> None:
    endpoint.answers = [web.json_response({"detail": f"deployed with {VALUE}"})]
    done = await ActivityEnvironment().run(run_hook, hook(f"{endpoint.url}?key={BY_NAME}"))
    assert done.detail == "deployed with ***"


async def test_a_channel_that_refuses_shows_it_nowhere(endpoint: Endpoint, log: io.StringIO) -> None:
    endpoint.answers = [web.Response(status=404, text=f"no hook {VALUE}")]
    channels = [Notifier(kind="webhook", url=f"{endpoint.url}?key={BY_NAME}"), Notifier(kind="webhook", url=BY_NAME)]
    request = NotifyRequest(notification=Notification(title="x"), channels=channels)
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(NotificationActivities({"webhook": WebhookChannel()}).notify, request)
    shown = log.getvalue() + await written(caught.value, None) + repr(caught.value)
    assert VALUE not in shown
    assert "no hook ***" in shown
    assert "is no http(s) URL" in shown


async def test_a_source_shows_it_nowhere(endpoint: Endpoint, log: io.StringIO) -> None:
    spec = make_spec(
        sources={"prometheus": {"url": f"{endpoint.url}{BY_NAME}", "headers": {"X-Token": f"Bearer {BY_NAME}"}}}
    )
    endpoint.answers = [web.json_response({"status": "error", "error": f"not for {VALUE}"}, status=403)]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    request = CollectRequest.model_validate(
        {
            "metrics": spec.metrics,
            "arms": spec.arms,
            "sources": spec.sources,
            "window": Window(start=moment, end=moment),
        }
    )
    source = PrometheusSource()
    try:
        found = await ActivityEnvironment().run(MetricsActivities({"prometheus": source}).collect, request)
    finally:
        source.close()
    assert endpoint.heard[0].headers["X-Token"] == f"Bearer {VALUE}"
    shown = found.model_dump_json() + log.getvalue()
    assert VALUE not in shown
    assert "not for ***" in shown


async def test_a_source_without_its_secret_has_no_data_and_says_which(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NAME)
    spec = make_spec(sources={"prometheus": {"url": f"{endpoint.url}{BY_NAME}"}})
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    request = CollectRequest.model_validate(
        {
            "metrics": spec.metrics,
            "arms": spec.arms,
            "sources": spec.sources,
            "window": Window(start=moment, end=moment),
        }
    )
    found = await ActivityEnvironment().run(MetricsActivities({"prometheus": PrometheusSource()}).collect, request)
    assert found.metrics[0].reason.startswith("rejected: sources.prometheus.url: the secret COALMINE_SECRET_DEPLOY")


async def test_a_router_shows_it_nowhere(endpoint: Endpoint, log: io.StringIO, tmp_path: Path) -> None:
    route = {
        "router": "envoy",
        "name": "shop",
        "files": [str(tmp_path / "route.yaml")],
        "admins": [f"{endpoint.url}{BY_NAME}"],
    }
    endpoint.answers = [web.Response(status=403, text=VALUE)]
    traffic = TrafficActivities(Routers())
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(traffic.read_route, RouteRequest(route=Route.model_validate(route)))
    assert VALUE not in log.getvalue() + await written(caught.value, None) + repr(caught.value)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_messages_causes_traces_and_details_are_written_without_it(tmp_path: Path, encrypted: bool) -> None:
    keys = tmp_path / "keys" if encrypted else None
    if keys is not None:
        keys.write_text(new_key(datetime.now(UTC)))
    filled(BY_NAME)
    shown = await written(fail(f"{VALUE} and Bearer 0123456789abcdef"), keys)
    assert VALUE not in shown
    assert "0123456789abcdef" not in shown
    assert "outer *** and Bearer ***" in shown
    if not encrypted:
        assert "inner *** and Bearer ***" in shown


async def test_failures_of_before_are_read_as_ever() -> None:
    failure, error = Failure(), ApplicationError("as it was", {"n": 1}, type="Odd", non_retryable=True)
    await pydantic_data_converter.encode_failure(error, failure)
    found: Any = await data_converter(None).decode_failure(failure)
    assert (found.message, found.type, found.non_retryable, list(found.details)) == (
        "as it was",
        "Odd",
        True,
        [{"n": 1}],
    )

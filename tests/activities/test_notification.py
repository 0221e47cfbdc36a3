"""Telling people: every channel once, a dead one does not silence or repeat the others."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from aiohttp import web
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.notification import NotificationActivities
from activities.notifiers.base import NotifierChannel
from activities.notifiers.log import LogChannel
from activities.notifiers.registry import make_notifier, notifier_kinds
from activities.notifiers.webhook import WebhookChannel
from coalmine.errors import HookRefused, HookUnreachable, UnknownAdapter
from coalmine.records import SIDE_TASK_QUEUE, Done, Notification, NotifyRequest, Outcome, Phase
from coalmine.spec.channels import Notifier
from tests.activities.conftest import Endpoint
from tests.activities.one_activity import OneNotification

SAID = Notification(
    title="checkout 1.42.0: promoted",
    text="no harm",
    rollout_id="production/checkout/1.42.0/1",
    phase=Phase.WINDOW,
    outcome=Outcome.PROMOTED,
    key="production/checkout/1.42.0/1:promoted",
)


class Channel:
    """A channel that fails with what it is given, then takes everything."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.got: list[Notification] = []

    async def send(self, channel: Notifier, notification: Notification) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(notification)


def serving(*channels: Channel) -> tuple[NotificationActivities, NotifyRequest]:
    """Activities over at most two channels, and a request to all of them in this order."""
    notifiers = [Notifier(kind="log"), Notifier(kind="webhook", url="http://127.0.0.1/")][: len(channels)]
    by_kind: dict[str, NotifierChannel] = {
        notifier.kind: channel for notifier, channel in zip(notifiers, channels, strict=True)
    }
    return NotificationActivities(by_kind), NotifyRequest(notification=SAID, channels=notifiers)


async def test_every_channel_gets_it() -> None:
    left, right = Channel(), Channel()
    activities, request = serving(left, right)
    assert await ActivityEnvironment().run(activities.notify, request) == Done(detail="told on 2 of 2 channels")
    assert (left.got, right.got) == ([SAID], [SAID])


async def test_no_channel_is_nothing_to_do() -> None:
    activities, request = serving()
    assert (await ActivityEnvironment().run(activities.notify, request)).detail == "told on 0 of 0 channels"


async def test_a_dead_channel_does_not_silence_the_others_and_a_retry_leaves_them_out() -> None:
    good, bad = Channel(), Channel(HookUnreachable("down"))
    activities, request = serving(bad, good)
    environment = ActivityEnvironment()
    beats: list[tuple[object, ...]] = []
    environment.on_heartbeat = lambda *details: beats.append(details)
    with pytest.raises(ApplicationError, match="down") as caught:
        await environment.run(activities.notify, request)
    assert (caught.value.type, caught.value.non_retryable) == ("HookUnreachable", False)
    again = ActivityEnvironment()
    again.info = replace(again.info, heartbeat_details=json.loads(json.dumps(beats[-1])), attempt=2)
    await again.run(activities.notify, request)
    assert (len(good.got), len(bad.got)) == (1, 1)


async def test_a_refusal_is_remembered_and_reported_when_the_rest_is_through() -> None:
    refusing, slow = Channel(HookRefused("no such room")), Channel(HookUnreachable("down"))
    activities, request = serving(refusing, slow)
    environment, beats = ActivityEnvironment(), []
    environment.on_heartbeat = lambda *details: beats.append(details)
    with pytest.raises(ApplicationError, match="no such room; down"):
        await environment.run(activities.notify, request)
    again = ActivityEnvironment()
    again.info = replace(again.info, heartbeat_details=json.loads(json.dumps(beats[-1])), attempt=2)
    with pytest.raises(ApplicationError, match="no such room") as caught:
        await again.run(activities.notify, request)
    assert (caught.value.type, caught.value.non_retryable) == ("HookRefused", True)
    assert (len(refusing.got), len(slow.got)) == (0, 1)


async def test_an_adapter_that_breaks_is_told_apart_and_the_others_go_out() -> None:
    good = Channel()
    activities, request = serving(Channel(KeyError("room")), good)
    with pytest.raises(ApplicationError, match="KeyError: 'room'") as caught:
        await ActivityEnvironment().run(activities.notify, request)
    assert not caught.value.non_retryable
    assert good.got == [SAID]


async def test_a_kind_this_worker_lacks_names_those_it_has() -> None:
    activities, request = serving(Channel())
    request.channels.append(Notifier(kind="webhook", url="http://127.0.0.1/"))
    with pytest.raises(ApplicationError, match=r"no channel of kind 'webhook' \(it serves log\)"):
        await ActivityEnvironment().run(activities.notify, request)


async def test_on_a_real_server_a_retry_reaches_only_who_lacks_the_message(temporal_client: Client) -> None:
    good, bad = Channel(), Channel(HookUnreachable("down"), HookUnreachable("still down"))
    activities, request = serving(bad, good)
    async with Worker(
        temporal_client, task_queue=SIDE_TASK_QUEUE, workflows=[OneNotification], activities=[activities.notify]
    ):
        await temporal_client.execute_workflow(
            OneNotification.run,
            request,
            id="one-notification",
            task_queue=SIDE_TASK_QUEUE,
            execution_timeout=timedelta(seconds=60),
        )
    assert (len(good.got), len(bad.got)) == (1, 1)


async def test_a_webhook_gets_the_message_as_json_with_its_key(endpoint: Endpoint) -> None:
    await WebhookChannel().send(Notifier(kind="webhook", url=endpoint.url), SAID)
    (heard,) = endpoint.heard
    assert heard.headers["Idempotency-Key"] == SAID.key
    assert Notification.model_validate(heard.body) == SAID


@pytest.mark.parametrize(("status", "error"), [(404, HookRefused), (301, HookRefused), (500, HookUnreachable)])
async def test_what_a_webhook_answers(endpoint: Endpoint, status: int, error: type[Exception]) -> None:
    endpoint.answers = [web.Response(status=status, text="why")]
    with pytest.raises(error, match=f"HTTP {status}: why"):
        await WebhookChannel().send(Notifier(kind="webhook", url=endpoint.url + "secret"), SAID)


async def test_a_webhook_without_url_is_refused() -> None:
    with pytest.raises(HookRefused, match="needs a 'url'"):
        await WebhookChannel().send(Notifier.model_construct(kind="webhook", url=None), SAID)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where structlog writes during the test, as JSON."""
    stream = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    yield stream
    structlog.reset_defaults()


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
async def test_the_log_gets_one_line(lines: io.StringIO, severity: str) -> None:
    await LogChannel().send(Notifier(kind="log"), SAID.model_copy(update={"severity": severity}))
    said = json.loads(lines.getvalue())
    assert said["level"] == severity
    assert (said["title"], said["text"], said["rollout_id"]) == (SAID.title, SAID.text, SAID.rollout_id)


def test_channels_are_made_by_name() -> None:
    assert notifier_kinds() == ["eventbridge", "github_deployment", "gitlab_deployment", "log", "sns", "webhook"]
    assert isinstance(make_notifier("log"), LogChannel)
    with pytest.raises(
        UnknownAdapter, match=r"'pager' is not known; known are eventbridge, github_deployment, .*log, sns, webhook"
    ):
        make_notifier("pager")


async def test_slow_channels_are_waited_for_side_by_side() -> None:
    both = asyncio.Barrier(2)

    class Meeting(Channel):
        async def send(self, channel: Notifier, notification: Notification) -> None:
            await both.wait()

    activities, request = serving(Meeting(), Meeting())
    await asyncio.wait_for(ActivityEnvironment().run(activities.notify, request), 60)

"""Messages to SNS and EventBridge arrive at a queue behind them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from activities.notifiers.eventbridge import EventBridgeChannel
from activities.notifiers.sns import SnsChannel, subject
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.records import Notification, Outcome, Phase
from coalmine.spec.channels import Notifier
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from tests.aws.places import client

SAID = Notification(
    title="checkout 1.42.0: promoted",
    text="no harm",
    rollout_id="production/checkout/1.42.0/1",
    phase=Phase.WINDOW,
    outcome=Outcome.PROMOTED,
    key="production/checkout/1.42.0/1:promoted",
)


@pytest.fixture
def queue(aws: str, aws_environment: None) -> tuple[str, str]:
    """URL and ARN."""
    clear_faults(aws)
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=f"heard-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def heard(url: str) -> list[dict[str, Any]]:
    found = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def topic(queue: tuple[str, str]) -> str:
    sns = client("sns")
    arn: str = sns.create_topic(Name=f"releases-{uuid.uuid4().hex[:8]}")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue[1])
    return arn


@pytest.fixture
def bus(queue: tuple[str, str]) -> str:
    events = client("events")
    name = f"releases-{uuid.uuid4().hex[:8]}"
    events.create_event_bus(Name=name)
    pattern = json.dumps({"source": ["coalmine"], "detail": {"severity": ["info"]}})
    events.put_rule(Name=name, EventBusName=name, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue[1]}])
    return name


async def test_a_topic_gets_the_whole_message(topic: str, queue: tuple[str, str]) -> None:
    await SnsChannel().send(Notifier(kind="sns", topic=topic), SAID)
    (got,) = heard(queue[0])
    assert got["Subject"] == SAID.title
    assert Notification.model_validate_json(got["Message"]) == SAID
    assert got["MessageAttributes"]["severity"]["Value"] == "info"


async def test_a_fifo_topic_drops_a_repeat(aws: str, aws_environment: None) -> None:
    clear_faults(aws)
    sns, sqs = client("sns"), client("sqs")
    name = f"releases-{uuid.uuid4().hex[:8]}.fifo"
    topic = sns.create_topic(Name=name, Attributes={"FifoTopic": "true"})["TopicArn"]
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for _ in range(2):
        await SnsChannel().send(Notifier(kind="sns", topic=topic), SAID)
    assert len(heard(url)) == 1


async def test_a_bus_gets_an_event_that_rules_can_match(bus: str, queue: tuple[str, str]) -> None:
    await EventBridgeChannel().send(Notifier(kind="eventbridge", bus=bus), SAID)
    (got,) = heard(queue[0])
    assert (got["source"], got["detail-type"]) == ("coalmine", "Coalmine notification")
    assert Notification.model_validate(got["detail"]) == SAID


@pytest.mark.parametrize(
    ("code", "error"), [("AuthorizationError", HookRefused), ("ThrottledException", HookUnreachable)]
)
async def test_what_sns_refuses_is_told(aws: str, topic: str, code: str, error: type[Exception]) -> None:
    add_fault(aws, AwsFault("Action=Publish", code=code, times=-1))
    with pytest.raises(error, match=code):
        await SnsChannel().send(Notifier(kind="sns", topic=topic), SAID)
    clear_faults(aws)


async def test_a_topic_that_is_not_there_is_refused(topic: str) -> None:
    with pytest.raises(HookRefused, match="NotFound"):
        await SnsChannel().send(Notifier(kind="sns", topic=f"{topic}x"), SAID)


@pytest.mark.parametrize(
    ("code", "error"), [("NotAuthorizedForSourceException", HookRefused), ("InternalException", HookUnreachable)]
)
async def test_an_entry_that_failed_is_told(aws: str, bus: str, code: str, error: type[Exception]) -> None:
    entry = {"ErrorCode": code, "ErrorMessage": "asked for by a test"}
    add_fault(aws, AwsFault("PutEvents", merge={"FailedEntryCount": 1, "Entries": [entry]}))
    with pytest.raises(error, match=code):
        await EventBridgeChannel().send(Notifier(kind="eventbridge", bus=bus), SAID)


@pytest.mark.parametrize(("title", "wanted"), [("a\nb\tc", "a b c"), ("größer", "gr??er"), ("x" * 120, "x" * 100)])
def test_a_subject_is_one_short_line_of_ascii(title: str, wanted: str) -> None:
    assert subject(title) == wanted

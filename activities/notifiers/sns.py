"""The channel ``sns``: the message as JSON, published to a topic of Amazon SNS."""

from __future__ import annotations

import hashlib
from typing import Any

from activities.aws_services import AwsServices, place_of, shared_services, telling
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.records import Notification
from coalmine.spec.channels import Notifier

LONGEST_SUBJECT = 100
"""Characters, of ASCII: what SNS takes."""


class SnsChannel:
    """Publishes to one topic. A FIFO topic drops what is published again within five minutes, by the message's key."""

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``."""
        topic = channel.topic
        if not topic:
            raise HookRefused("notify: kind sns needs a 'topic'")
        arguments: dict[str, Any] = {
            "TopicArn": topic,
            "Subject": subject(notification.title),
            "Message": notification.model_dump_json(),
            "MessageAttributes": {"severity": {"DataType": "String", "StringValue": notification.severity}},
        }
        if topic.endswith(".fifo"):
            arguments["MessageGroupId"] = hashlib.sha256(notification.rollout_id.encode()).hexdigest()
            arguments["MessageDeduplicationId"] = hashlib.sha256(notification.key.encode()).hexdigest()
        with telling(HookRefused, HookUnreachable, f"sns topic {topic}"):
            await self._services.ask(place_of(topic), "sns", "publish", **arguments)


def subject(title: str) -> str:
    """A title as a subject may be: one line of printable ASCII that begins with a letter, a digit or punctuation."""
    line = " ".join(title.encode("ascii", "replace").decode().split())
    printable = "".join(char for char in line if char.isprintable())
    return printable[:LONGEST_SUBJECT].rstrip() or "Coalmine"

"""The channel ``webhook``: the message as JSON, posted to a URL with an idempotency key."""

from __future__ import annotations

from datetime import timedelta

from activities.beating import time_left
from activities.posting import come_back_later, post_json, where
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.records import Notification
from coalmine.spec.channels import Notifier

ANSWER_WITHIN = timedelta(seconds=10)


class WebhookChannel:
    """Posts to any endpoint that answers 2xx to a JSON object with ``title`` and ``text``."""

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``. 408, 425, 429 and 5xx are worth a retry; other answers than 2xx are a no."""
        if not channel.url:
            raise HookRefused("notify: kind webhook needs a 'url'")
        within = min(time_left(ANSWER_WITHIN), ANSWER_WITHIN.total_seconds())
        answer = await post_json(channel.url, notification.model_dump(mode="json"), notification.key, within)
        if 200 <= answer.status < 300:
            return
        message = f"webhook at {where(channel.url)}: {answer.said()}"
        raise HookUnreachable(message) if come_back_later(answer) else HookRefused(message)

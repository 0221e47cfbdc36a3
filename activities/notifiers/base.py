"""The notifier contract: say it once, to one channel."""

from __future__ import annotations

from typing import Protocol

from coalmine.records import Notification
from coalmine.spec.channels import Notifier


class NotifierChannel(Protocol):
    """One kind of channel."""

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """Deliver the message; ``notification.key`` lets the receiver drop repeats.

        Raises:
            HookUnreachable: worth a retry.
            HookRefused: the channel said no.
            SecretMissing: a secret it names is not set on this worker.
        """
        ...

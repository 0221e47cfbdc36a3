"""The channel ``log``: one structured line in the worker's log."""

from __future__ import annotations

import structlog

from coalmine.records import Notification
from coalmine.spec.channels import Notifier

_LEVELS = {"info": "info", "warning": "warning", "critical": "critical"}


class LogChannel:
    """Writes the message where the worker writes everything else."""

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``; never fails."""
        said = notification.model_dump(mode="json", exclude={"severity"}, exclude_defaults=True)
        line = getattr(structlog.get_logger("coalmine.notification"), _LEVELS[notification.severity])
        line("notification", **said)

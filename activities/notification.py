"""The activity that tells people, on every channel once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from temporalio import activity

from activities.failures import as_application_error
from activities.notifiers.base import NotifierChannel
from coalmine.errors import CoalmineError, HookRefused, HookUnreachable
from coalmine.records import NOTIFY, Done, Notification, NotifyRequest
from coalmine.spec.channels import Notifier

BEAT = 2.0
"""Seconds between heartbeats."""


@dataclass
class _Progress:
    """Which channels (by place in the request) are done with; carried from attempt to attempt by heartbeats."""

    reached: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of_earlier_attempts(cls) -> _Progress:
        details = activity.info().heartbeat_details if activity.in_activity() else ()
        if len(details) != 2:
            return cls()
        return cls(set(details[0]), {int(place): str(reason) for place, reason in details[1].items()})

    def remember(self) -> None:
        if activity.in_activity():
            activity.heartbeat(sorted(self.reached), {str(place): why for place, why in self.refused.items()})


class NotificationActivities:
    """Telling people, over the channels of this worker."""

    def __init__(self, channels: Mapping[str, NotifierChannel]) -> None:
        """``channels`` holds one adapter by ``Notifier.kind``, such as ``log``."""
        self._channels = channels

    @activity.defn(name=NOTIFY.name)
    async def notify(self, request: NotifyRequest) -> Done:
        """Try every channel; a retry leaves out those that have the message or have refused it.

        Raises:
            ApplicationError: ``HookUnreachable`` while a channel may still take it, else ``HookRefused``.
        """
        progress = _Progress.of_earlier_attempts()
        waiting = {
            asyncio.create_task(self._send(channel, request.notification)): place
            for place, channel in enumerate(request.channels)
            if place not in progress.reached and place not in progress.refused
        }
        unreachable = await _gather(waiting, progress)
        failed = [*progress.refused.values(), *unreachable]
        if unreachable:
            raise as_application_error(HookUnreachable("; ".join(failed)))
        if failed:
            raise as_application_error(HookRefused("; ".join(failed)))
        return Done(detail=f"told on {len(progress.reached)} of {len(request.channels)} channels")

    async def _send(self, channel: Notifier, notification: Notification) -> None:
        adapter = self._channels.get(channel.kind)
        if adapter is None:
            known = ", ".join(sorted(self._channels)) or "none"
            raise HookRefused(f"this worker serves no channel of kind {channel.kind!r} (it serves {known})")
        await adapter.send(channel, notification)


async def _gather(waiting: dict[asyncio.Task[None], int], progress: _Progress) -> list[str]:
    """Wait for all sends, remembering each as it ends.

    Returns:
        Why channels worth a retry failed.
    """
    unreachable: list[str] = []
    pending = set(waiting)
    try:
        while pending:
            progress.remember()
            done, pending = await asyncio.wait(pending, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    task.result()
                except CoalmineError as error:
                    if error.retryable:
                        unreachable.append(str(error))
                    else:
                        progress.refused[waiting[task]] = str(error)
                except Exception as error:
                    # An adapter from elsewhere may raise anything; the other channels still get the message.
                    activity.logger.exception("notifier failed")
                    unreachable.append(f"{type(error).__name__}: {error}")
                else:
                    progress.reached.add(waiting[task])
        progress.remember()
    finally:
        for task in pending:
            task.cancel()
    return unreachable

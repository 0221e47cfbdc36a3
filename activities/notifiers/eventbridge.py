"""The channel ``eventbridge``: the message as the detail of an event on a bus of Amazon EventBridge."""

from __future__ import annotations

from activities.aws_services import TRANSIENT, AwsServices, place_of, shared_services, telling
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.records import Notification
from coalmine.spec.channels import Notifier

SOURCE, DETAIL_TYPE = "coalmine", "Coalmine notification"


class EventBridgeChannel:
    """Puts one event; EventBridge drops no repeats, so ``detail.key`` is for the receiver to do so."""

    def __init__(self, services: AwsServices | None = None) -> None:
        self._services = services or shared_services()

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``."""
        bus = channel.bus
        if not bus:
            raise HookRefused("notify: kind eventbridge needs a 'bus'")
        detail = notification.model_dump_json()
        entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": detail, "EventBusName": bus}
        with telling(HookRefused, HookUnreachable, f"event bus {bus}"):
            told = await self._services.ask(place_of(bus), "events", "put_events", Entries=[entry])
        if told.get("FailedEntryCount"):
            # The call is fine, and the entry is not: the answer says why in its own place.
            (failed,) = told["Entries"]
            code = str(failed.get("ErrorCode", ""))
            message = f"event bus {bus}: {code}: {failed.get('ErrorMessage', '')}"
            raise HookUnreachable(message) if code.startswith(TRANSIENT) else HookRefused(message)

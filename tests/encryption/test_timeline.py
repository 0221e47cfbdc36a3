"""What ``coalmine history`` says of a failure whose message is encrypted."""

from __future__ import annotations

from dataclasses import replace

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes
from temporalio.exceptions import ApplicationError

from coalmine.encryption import EncryptionCodec, KeyRing
from coalmine.timeline import _Reader

ENCRYPTING = replace(
    pydantic_data_converter,
    payload_codec=EncryptionCodec(KeyRing("k", {"k": b"k" * 32})),
    failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
)


async def test_a_failure_tells_its_message_to_who_has_the_key() -> None:
    event = HistoryEvent(event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
    failure = event.activity_task_failed_event_attributes.failure
    await ENCRYPTING.encode_failure(ApplicationError("the proxy is shy"), failure)
    assert failure.message == "Encoded failure"
    reader = _Reader(ENCRYPTING, "run", everything=False)
    await reader.take(event)
    assert [entry.text for entry in reader.entries] == ["an activity: the proxy is shy"]

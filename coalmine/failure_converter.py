"""How errors are written into Temporal: without the secrets their messages, stack traces and details may hold."""

from __future__ import annotations

import json

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter

from coalmine.redaction import redactor


class RedactingFailureConverter(DefaultFailureConverter):
    """The SDK's own, with secrets left out. It reads what that one wrote, and is read by it."""

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        """``encode_common_attributes`` puts message and stack trace where a codec encrypts them."""
        super().__init__()
        self._encodes = encode_common_attributes

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """See the SDK's ``FailureConverter``; causes come through here one by one."""
        super().to_failure(exception, payload_converter, failure)
        failure.message, failure.stack_trace = redactor.text(failure.message), redactor.text(failure.stack_trace)
        for payload in failure.application_failure_info.details.payloads if _has_details(failure) else ():
            if payload.metadata.get("encoding") == b"json/plain":
                payload.data = _without_secrets(payload.data)
        if self._encodes:
            common = {"message": failure.message, "stack_trace": failure.stack_trace}
            failure.encoded_attributes.CopyFrom(payload_converter.to_payloads([common])[0])
            failure.message, failure.stack_trace = "Encoded failure", ""


class EncodedRedactingFailureConverter(RedactingFailureConverter):
    """With message and stack trace where the codec encrypts them."""

    def __init__(self) -> None:
        """See ``RedactingFailureConverter``."""
        super().__init__(encode_common_attributes=True)


def _without_secrets(data: bytes) -> bytes:
    try:
        return json.dumps(redactor.anything(json.loads(data)), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return redactor.known(data.decode("utf-8", "replace")).encode()


def _has_details(failure: Failure) -> bool:
    return failure.HasField("application_failure_info") and failure.application_failure_info.HasField("details")

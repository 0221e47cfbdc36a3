"""What was sent, read as JSON; what cannot be read is an error with an example, never a task that fails for ever."""

from __future__ import annotations

import re
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

NOTHING = RawValue(Payload())
"""Stands for a signal without any input."""
EXAMPLE = '{"by": "ana", "reason": "looks fine"}'
SHOWN = 200
"""Characters of an input that was refused."""
_READ = 10_000
_TOKEN = re.compile(r'("token"\s*:\s*")[^"]*')
"""What a record need not keep: it proves who said it to whoever reads it first."""


def decoded(given: Any) -> Any:
    """The JSON value that was sent.

    Raises:
        ValueError: nothing was sent, or it is not JSON.
    """
    if not isinstance(given, RawValue):
        return given
    if not given.payload.metadata and not given.payload.data:
        raise ValueError(f"it came without input; send {EXAMPLE}")
    try:
        return workflow.payload_converter().from_payload(given.payload)
    except Exception as error:
        raise ValueError(f"the input cannot be read as JSON ({type(error).__name__}); send {EXAMPLE}") from None


def as_text(given: Any) -> str:
    """What was sent, for the list of what was refused."""
    data = given.payload.data if isinstance(given, RawValue) else repr(given).encode()
    return _TOKEN.sub(r"\1…", data[:_READ].decode("utf-8", "replace"))[:SHOWN]

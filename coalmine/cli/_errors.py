"""What an error looks like on the command line: one clear line, an exit code, and an object for programs."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from coalmine.cli._output import OutputLost
from coalmine.errors import CoalmineError, InputError, RefusedError, RolloutNotFound, SpecError
from coalmine.spec.faults import printable

DONE = 0
INTERNAL = 1
USAGE = 2
BLOCKED = 5
UNCONFIRMED = 7
GOES_ON = 8
DETACHED = 130
BROKEN_PIPE = 141


def exit_code(error: BaseException) -> int:
    """The exit code of an error: 2 for what the caller can mend, else 1."""
    return USAGE if isinstance(error, InputError | RefusedError | RolloutNotFound) else INTERNAL


def line(error: BaseException) -> str:
    """The error in words; a spec's problems keep a line each."""
    if isinstance(error, SpecError):
        return str(error)
    if isinstance(error, CoalmineError):
        return f"error: {printable(str(error))}"
    if isinstance(error, OutputLost):
        return f"error: stdout cannot be written ({error.strerror}): what was printed there is not whole"
    hint = "" if debugging() else " (COALMINE_DEBUG=1 shows where)"
    text = str(error).strip().splitlines()
    return f"internal error: {type(error).__name__}: {text[0] if text else 'no message'}{hint}"


def as_object(error: BaseException) -> dict[str, Any]:
    """The error for programs: type, message, whether the same call may succeed later, and a spec's problems."""
    known = isinstance(error, CoalmineError)
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "message": str(error),
        "retryable": bool(known and getattr(error, "retryable", False)),
    }
    if isinstance(error, SpecError):
        described["problems"] = [asdict(problem) for problem in error.problems]
    return {"error": described, "outcome": None, "cause": None, "exit": exit_code(error)}


def debugging() -> bool:
    """Whether tracebacks are wanted (``COALMINE_DEBUG``)."""
    return bool(os.environ.get("COALMINE_DEBUG"))

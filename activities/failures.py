"""How our errors become Temporal's: the type is the class name, and the class says whether trying again may help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ApplicationError

from coalmine.errors import CoalmineError


def as_application_error(error: CoalmineError) -> ApplicationError:
    """The error as Temporal reports it: ``type`` is the class name, ``non_retryable`` unless the class is retryable."""
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=not error.retryable)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise every ``CoalmineError`` of the block as ``ApplicationError``; all else passes through.

    Raises:
        ApplicationError: the block raised a ``CoalmineError``, which is its cause.
    """
    try:
        yield
    except CoalmineError as error:
        raise as_application_error(error) from error

"""Looking a secret up by its name: in the worker's environment, or in the file that ``<NAME>_FILE`` names.

Only within an activity, right before it is used: the next try of a hook or a message takes up a rotated secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from coalmine.errors import SecretMissing
from coalmine.redaction import SHORTEST, redactor
from coalmine.spec.secret_names import REFERENCE

LARGEST = 64 * 1024
"""Bytes of a secret's file."""


def filled(text: str, environ: Mapping[str, str] | None = None) -> str:
    """``text`` with its secrets in place of their names. What comes back is never to be shown.

    Raises:
        SecretMissing: one is not set here, or cannot be used; names it.
    """
    return REFERENCE.sub(lambda found: secret(found[1], environ), text)


def secret(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The value of one secret, which logs and errors of this process leave out from now on.

    Raises:
        SecretMissing: as ``filled``.
    """
    environ = os.environ if environ is None else environ
    value, origin = environ.get(name, ""), name
    if not value and (path := environ.get(f"{name}_FILE", "")):
        value, origin = _in_file(name, path), f"{name}_FILE"
    if not value:
        raise SecretMissing(f"the secret {name} is not set on the worker: set {name}, or {name}_FILE to a file with it")
    redactor.register(value)
    if len(value) < SHORTEST:
        raise SecretMissing(
            f"the secret in {origin} has less than {SHORTEST} characters, too few to be kept out of logs: "
            "take a longer one"
        )
    if not value.isprintable():
        raise SecretMissing(f"the secret in {origin} has a line break or another character that cannot be sent")
    return value


def _in_file(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(LARGEST).decode().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SecretMissing(f"the secret {name}: the file that {name}_FILE names cannot be read: {reason}") from None

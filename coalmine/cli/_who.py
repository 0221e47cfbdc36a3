"""Who speaks: by option, environment, git, or the user of this machine; and whether it is automation that does."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess

from coalmine.cli._parser import flag
from coalmine.errors import InputError


def speaker(given: str | None) -> str:
    """Who says so. It is recorded as told: whoever reaches the namespace could have told another name.

    Raises:
        InputError: ``--by`` is empty, or nothing here tells who speaks.
    """
    if given is not None:
        if not given.strip():
            raise InputError("--by is empty: say who you are, such as --by ana@example.org")
        return given.strip()
    return os.environ.get("COALMINE_BY", "").strip() or _git_email() or f"{_user()}@{socket.gethostname()}"


def automated(given: bool | None) -> bool:
    """Whether automation starts it: as told, else when ``CI`` is set."""
    return flag(os.environ, "CI") if given is None else given


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a uid that has no name there.
        raise InputError(
            f"who says so is not known: user {os.getuid()} has no name here, and neither COALMINE_BY, git's user.email "
            "nor USER is set: set COALMINE_BY, or say who you are, such as --by ana@example.org"
        ) from None


def _git_email() -> str:
    try:
        done = subprocess.run(["git", "config", "user.email"], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()

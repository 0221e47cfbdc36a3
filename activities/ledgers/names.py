"""What things are called within a ledger, whatever keeps it."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

from coalmine.errors import LedgerError

LONGEST_NAME = 120
_NUMBER = re.compile(r"[0-9A-Za-z-]+")


def chain_of(book: str, rollout_id: str) -> str:
    """The name of a rollout's chain: ``<book>/<version>-<n>``, without what a file's name cannot have.

    Raises:
        LedgerError: the rollout is not of this book.
    """
    version, slash, number = rollout_id.removeprefix(f"{book}/").rpartition("/")
    if not rollout_id.startswith(f"{book}/") or not slash or "/" in version or not _NUMBER.fullmatch(number):
        raise LedgerError(f"rollout id {rollout_id!r} is not {book}/<version>/<n>: it has no place in this ledger")
    name = quote(version, safe="._+-~")
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}~{hashlib.sha256(version.encode()).hexdigest()[:12]}"
    return "/".join([*parts_of(book), f"{name}-{number}"])


def parts_of(book: str) -> list[str]:
    """The parts of a book's name.

    Raises:
        LedgerError: a part would leave the ledger, or name nothing.
    """
    parts = book.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise LedgerError(f"book {book!r} is not <environment>/<service>[/<region>]")
    return parts


def book_of(rollout_id: str) -> str:
    """``<environment>/<service>[/<region>]`` of ``<book>/<version>/<n>``; empty when it is no rollout id."""
    parts = rollout_id.split("/")
    return "/".join(parts[:-2]) if len(parts) in (4, 5) and all(parts) else ""


def version_of(rollout_id: str) -> str:
    """The version that ``<book>/<version>/<n>`` released; empty when it is no rollout id."""
    parts = rollout_id.split("/")
    return parts[-2] if len(parts) in (4, 5) else ""


def book_named(environment: str, service: str, region: str | None) -> str:
    """The book of a service: ``<environment>/<service>[/<region>]``."""
    return "/".join(part for part in (environment, service, region) if part)

"""Stored periods of the live version against itself (A/A), whatever keeps them: one of looks, under a name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from pydantic import ValidationError

from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry, unreadable

SUFFIX = ".split"
LONGEST_NAME = 160


def file_name(name: str) -> str:
    """Of version, label and beginning; characters a file name cannot have are encoded."""
    written = quote(name, safe="._+-~")
    if len(written) > LONGEST_NAME:
        written = f"{written[:LONGEST_NAME]}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return f"{written}{SUFFIX}"


def written(looks: Iterable[LedgerEntry]) -> bytes:
    """JSON Lines."""
    return "".join(f"{look.model_dump_json()}\n" for look in looks).encode()


def read(place: str, content: bytes) -> list[LedgerEntry]:
    """What ``written`` wrote.

    Raises:
        LedgerCorrupt: a line is no entry; names ``place``.
    """
    looks: list[LedgerEntry] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            looks.append(LedgerEntry.model_validate_json(line))
        except ValidationError as error:
            raise LedgerCorrupt(
                f"{place}:{number}: not a ledger entry ({unreadable(error)}): mend or remove the file"
            ) from None
    return looks


def refuse_overlap(place: str, looks: Sequence[LedgerEntry], others: Sequence[LedgerEntry]) -> None:
    """Of a period of ``looks`` with the one at ``place``.

    Raises:
        LedgerError: they share some time.
    """
    if others and others[0].at <= looks[-1].at and looks[0].at <= others[-1].at:
        raise LedgerError(
            f"{place} holds {others[0].at.isoformat()} to {others[-1].at.isoformat()} already: the same time would "
            "count twice; choose another period, or remove the file"
        )


def since(periods: Iterable[Sequence[LedgerEntry]], moment: datetime) -> list[LedgerEntry]:
    """The looks of all periods at or after a moment, in order of time."""
    looks = [look for period in periods for look in period if look.at >= moment]
    return sorted(looks, key=lambda look: (look.at, look.rollout_id, look.sequence))

"""Reading the files of a ledger: their entries, and how young they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from activities.ledgers.file_chain import key_of
from activities.ledgers.locked_file import split
from coalmine.errors import LedgerCorrupt, LedgerError
from coalmine.records import LedgerEntry, Outcome, carried_on, moment_of, unreadable

TAIL = 64 * 1024
"""Bytes read first to learn how a file ends."""
INSIGHT_LINE = b'{"kind":"insight",'
LOOK_LINE = b'{"kind":"look",'
"""How the line of a look begins as we write it."""


def entries_of(path: Path, *, looks: bool = True) -> Iterator[tuple[int, LedgerEntry]]:
    """Every entry with its line number, from 1; without looks where they are not wanted, most of them unread."""
    try:
        whole, torn = split(path.read_bytes())
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(whole, 1):
        if looks or not line.startswith(LOOK_LINE):
            yield number, parse_entry(line, path, number)
    if torn and key_of(torn) is not None:
        yield len(whole) + 1, parse_entry(torn, path, len(whole) + 1)


def parse_entry(line: bytes, path: Path, number: int) -> LedgerEntry:
    try:
        return LedgerEntry.model_validate_json(line)
    except ValidationError as error:
        raise LedgerCorrupt(
            f"{path}:{number}: not a ledger entry ({unreadable(error)}): mend or remove the line"
        ) from None


def newest(path: Path) -> float:
    """When the last entry was made, in epoch seconds; read from the end of the file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError as error:
        raise LedgerError(f"ledger {path} cannot be read: {error.strerror or error}") from error
    for line in reversed(lines[1:] if size > TAIL else lines):
        if line.startswith(INSIGHT_LINE):
            # Written by a person, maybe months later: it makes no rollout young.
            continue
        try:
            return moment_of(json.loads(line)["at"]).timestamp()
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    # The last entry alone is longer than the tail, or there is none: let the reader look at all of it.
    return float("inf")


def looks_if_promoted(path: Path, since: datetime) -> list[LedgerEntry]:
    return promoted_looks(carried_on(entry for _, entry in entries_of(path)), since)


def promoted_looks(entries: Sequence[LedgerEntry], since: datetime) -> list[LedgerEntry]:
    """The looks at or after ``since`` of one rollout's entries, in order of time; none unless it was promoted."""
    closed = [entry for entry in entries if entry.kind == "closed"]
    if not closed or closed[-1].data.get("outcome") != Outcome.PROMOTED:
        return []
    return [entry for entry in entries if entry.kind == "look" and entry.at >= since]

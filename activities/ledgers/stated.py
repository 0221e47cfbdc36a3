"""What a person states of the part of a ledger that a key cannot vouch for, and what a key demands without it.

Whoever can write the ledger can also write heads without a signature and records without a chain. With a key, such
are accepted only where somebody says so, by hash: a bare number or moment would let other ones stand in their place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from activities.ledgers.chain_reading import ChainReport, Fault
from coalmine.errors import InputError

_PIN = re.compile(r"([1-9][0-9]{0,11}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """A number, and the SHA-256 that belongs to it."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True)
class Stated:
    """What is accepted although no key vouches for it; nothing, unless said."""

    signed_from: Pin | None = None
    """The first head that has to be signed, and the hash of the head before it, which vouches for all earlier."""
    unchained: Pin | None = None
    """How many records are unchained, and the hash over all of them."""
    empty: bool = False
    """Nothing was written yet."""


def pin_of(text: str, option: str, mend: str) -> Pin:
    """A pin as findings print it: ``4:<64 hex digits>``.

    Raises:
        InputError: it is none; names option, value and mend.
    """
    found = _PIN.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{option}: {text!r} is no number, colon and SHA-256 in 64 hex digits: {mend}")
    return Pin(int(found[1]), found[2])


def pin_of_unchained(reports: Sequence[ChainReport]) -> Pin | None:
    """Over every unchained record of a ledger; None when there is none."""
    older, count = hashlib.sha256(b"coalmine/ledger-unchained/1\n"), 0
    for report in sorted(reports, key=lambda report: report.chain):
        if report.unchained:
            older.update(f"{report.chain}\n{report.unchained}\n{report.older.hexdigest()}\n".encode())
            count += report.unchained
    return Pin(count, older.hexdigest()) if count else None


def demand_chains(reports: Sequence[ChainReport], stated: Stated, place: str) -> list[Fault]:
    """Put a fault on each report with records that are in no chain, unless they are the stated ones.

    Returns:
        Faults that belong to no chain.
    """
    found = pin_of_unchained(reports)
    if found == stated.unchained:
        return []
    if found is None:
        text = (
            f"no record is unchained, though --unchained names {stated.unchained.number if stated.unchained else 0}: "
            "they were removed; if they were pruned, leave the option out"
        )
        return [Fault("missing", place, None, text)]
    which = "are not those that --unchained names" if stated.unchained else "carry no chain"
    for report in reports:
        if report.unchained:
            text = (
                f"{report.unchained} records from here on {which}, so the key vouches for none of them: from before "
                "ledgers were chained, or their chain was taken off; if you know that all "
                f"{found.number} of this ledger are as they were, say --unchained {found}"
            )
            report.add("unsigned", report.unchained_at, text)
    return []


def demand_anything(heads: int, chains: int, stated: Stated) -> str:
    """Why a ledger without a single head is a finding; empty when it is none."""
    if heads or (stated.empty and not chains):
        return ""
    if chains:
        return (
            f"no head is there, though a key was given and the ledger holds {chains} chains: the heads were removed, "
            "or no worker with a key (COALMINE_LEDGER_KEY) has written yet; until one has, nothing can be verified "
            "with --key"
        )
    return (
        "the ledger is empty, though a key was given: everything was removed, or nothing was written yet; check that "
        "this is the place, and if nothing was written yet, say --allow-empty"
    )

"""The hash chain of one rollout: every line names the line before it by its SHA-256, and carries its own.

The hash is taken over the bytes of the line as they stand, not over what they mean: two spellings of the same JSON are
two lines. The first line follows from the id of its rollout, so that a chain cannot pass for another rollout's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from coalmine.records import LedgerEntry

_OWN = b',"hash":"'
_END = b'"}}'
_LINK = re.compile(rb',"chain":\{"n":([1-9]\d{0,14}),"prev":"([0-9a-f]{64})"$')
ARCHIVED = b'{"kind":"archived",'
"""How the line of an archived history begins as we write it."""
_OWN_LENGTH = len(_OWN) + 64 + len(_END)


@dataclass(frozen=True)
class Link:
    """What a line says of its place."""

    n: int
    """From 1."""
    prev: str
    """Hash of the line before, 64 hex digits; of a first line, ``genesis``."""
    hash: str
    """Its own."""


def genesis(rollout_id: str) -> str:
    """What the first line of a rollout follows from."""
    return hashlib.sha256(f"coalmine/ledger/1\n{rollout_id}".encode()).hexdigest()


def digest(line: bytes) -> str:
    """SHA-256 of a line that has no chain, as the first chained line after it names it."""
    return hashlib.sha256(line).hexdigest()


def linked(entry: LedgerEntry, n: int, prev: str) -> tuple[bytes, str]:
    """The line of an entry at a place of its chain, without newline, and its hash."""
    body = b'%b,"chain":{"n":%d,"prev":"%b"' % (entry.model_dump_json().encode()[:-1], n, prev.encode())
    own = hashlib.sha256(body).hexdigest()
    return b"%b%b%b%b" % (body, _OWN, own.encode(), _END), own


def lines_of(entries: Sequence[LedgerEntry], n: int, prev: str) -> tuple[bytes, str]:
    """Lines, each with its newline, that follow line ``n`` with the hash ``prev``; and the hash of the last."""
    lines = []
    for entry in entries:
        n += 1
        line, prev = linked(entry, n, prev)
        lines.append(line + b"\n")
    return b"".join(lines), prev


def link_of(line: bytes) -> Link | None:
    """The place of a line (without newline); None when it claims none, or is not as it was written."""
    body, own = line[:-_OWN_LENGTH], line[-_OWN_LENGTH:]
    found = _LINK.search(body, max(0, len(body) - 120))
    if found is None:
        return None
    hashed = hashlib.sha256(body).hexdigest()
    if own != b"%b%b%b" % (_OWN, hashed.encode(), _END):
        return None
    return Link(int(found[1]), found[2].decode(), hashed)


def claims_a_link(line: bytes) -> bool:
    """Whether a line says that it is part of a chain, truly or not, and however it was changed."""
    return any(sign in line[-260:] for sign in (b',"chain":{"n":', b',"prev":"', _OWN))


def hash_after(line: bytes) -> str:
    """What the next line names this one by, whatever it is: writing goes on after a line that was changed."""
    link = link_of(line)
    return link.hash if link is not None else digest(line)

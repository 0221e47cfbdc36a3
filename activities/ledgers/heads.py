"""The heads of a ledger: a chain of its own that says, after every append, how far each rollout's chain reaches.

It is what finds a tail that was cut off, or a whole file that was removed. Each head names the head before it, so one
that is signed vouches for all that were written before.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from activities.ledgers.sealing import Sealer
from coalmine.records import moment_of, stamped

GENESIS = hashlib.sha256(b"coalmine/ledger-heads/1").hexdigest()
"""What the first head follows from."""
_SEAL = re.compile(rb',"seal":"([0-9a-zA-Z:+/=]{1,200})"\}$')

HeadKind = Literal["head", "pruned"]


@dataclass(frozen=True)
class Head:
    """One line: where a chain ended at a moment, or that it was dropped by retention."""

    n: int
    """Of the head itself, from 1."""
    prev: str
    """Hash of the head before."""
    at: str
    """When it was written, UTC."""
    kind: HeadKind
    chain: str
    """Name of the chain within the ledger: ``<book>/<version>-<n>``."""
    rollout_id: str
    records: int
    """Lines of the chain."""
    tip: str
    """Hash of its last line."""
    key: str = ""
    """Name of the key that signed; empty when none did."""
    by: str = ""
    """Who pruned."""
    last: str = ""
    """Of a pruned chain: when its last entry was made."""


def head_line(head: Head, sealer: Sealer) -> bytes:
    """The line of a head, without newline; ``head.key`` is set to the sealer's."""
    fields = {name: value for name, value in vars(head).items() if name not in ("key", "by", "last") or value}
    if sealer.name:
        fields["key"] = sealer.name
    else:
        fields.pop("key", None)
    body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    return b'%b,"seal":"%b"}' % (body, sealer.seal(body).encode())


def split_seal(line: bytes) -> tuple[bytes, str] | None:
    """The sealed body of a head's line and its seal; None when it is no such line."""
    found = _SEAL.search(line, max(0, len(line) - 240))
    return (line[: found.start()], found[1].decode()) if found else None


def head_of(line: bytes) -> Head | None:
    """The head of a line (without newline), its seal unjudged; None when it is none."""
    split = split_seal(line)
    if split is None:
        return None
    try:
        fields = json.loads(split[0] + b"}")
        head = Head(**fields)
        moment_of(head.at)
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (head.n, head.records)
    texts = (head.prev, head.chain, head.rollout_id, head.tip, head.key, head.by, head.last)
    sound = all(type(number) is int for number in numbers) and all(isinstance(text, str) for text in texts)
    return head if sound and head.kind in ("head", "pruned") else None


def hash_of_head(line: bytes) -> str:
    """What the next head names this one by."""
    return hashlib.sha256(line).hexdigest()


def now() -> str:
    """This moment as heads write it."""
    return stamped(datetime.now(UTC), "milliseconds")

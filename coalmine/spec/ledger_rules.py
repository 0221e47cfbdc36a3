"""What the keys of ``ledger`` say together: those of a folder, and those of a bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from coalmine.spec.durations import format_duration
from coalmine.spec.faults import Fault, shown
from coalmine.spec.ledger import Ledger

SHORTEST_LOCK = timedelta(minutes=1)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,200}")


def ledger_faults(ledger: Ledger) -> Iterator[Fault]:
    """What contradicts itself in where the record goes."""
    if ledger.kind == "file":
        for key in [key for key in ("bucket", "prefix", "region", "lock") if getattr(ledger, key)]:
            yield Fault(("ledger", key), "belongs to kind: s3; files on disk have a path")
        if "://" in ledger.path:
            yield Fault(
                ("ledger", "path"), f"{shown(ledger.path)} is no folder: a bucket is kind: s3 with bucket and prefix"
            )
        return
    if ledger.bucket is None:
        yield Fault(("ledger", "bucket"), "is missing: kind: s3 needs the name of the bucket")
    elif not _BUCKET.fullmatch(ledger.bucket):
        yield Fault(
            ("ledger", "bucket"),
            f"{shown(ledger.bucket)} cannot be a bucket: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "without s3:// and prefix",
        )
    if ledger.path != Ledger().path:
        yield Fault(("ledger", "path"), "belongs to kind: file; a bucket has a prefix")
    if not _PREFIX.fullmatch(ledger.prefix or ""):
        yield Fault(("ledger", "prefix"), f"{shown(ledger.prefix)} has characters names of objects should not have")
    if ledger.lock is not None and ledger.lock.for_ < SHORTEST_LOCK:
        yield Fault(("ledger", "lock", "for"), f"must be at least {format_duration(SHORTEST_LOCK)}, such as 400d")

"""Weighted records of one name and type in Route 53: their shares, and the change batch that moves them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from activities.routers.weights import percents
from coalmine.errors import RouteRejected
from coalmine.spec.aws_routes import ROUTE53_STEP

FINEST = ROUTE53_STEP
_UNITS = 50
"""Of 0.01 % in one weight."""
_MARK = re.compile(r'"generation=([0-9]+)"')
Record = Mapping[str, Any]


def weighted(records: Sequence[Record], where: str) -> dict[str, Record]:
    """Records by set identifier.

    Raises:
        RouteRejected: there are none, or one is not weighted.
    """
    if not records:
        raise RouteRejected(f"{where}: there is no such record: make a weighted one for each arm first")
    for record in records:
        if "Weight" not in record:
            raise RouteRejected(f"{where}: a record is not weighted: give each a Weight and a SetIdentifier")
    return {record["SetIdentifier"]: record for record in records}


def units_of(records: Mapping[str, Record]) -> dict[str, int]:
    """Units of 0.01 % by set identifier; all 0 where all weights are."""
    if not any(record["Weight"] for record in records.values()):
        return dict.fromkeys(records, 0)
    shares = percents({name: int(record["Weight"]) for name, record in records.items()})
    return {name: round(share * 100) for name, share in shares.items()}


def longest_ttl(records: Mapping[str, Record]) -> int | None:
    """Seconds for which resolvers may keep an answer; None when a record is an alias, whose target says."""
    ttls = [record.get("TTL") for record in records.values()]
    return None if None in ttls else max(int(ttl or 0) for ttl in ttls)


def plain_name(name: str) -> str:
    """A name as it is compared: AWS shows a dot at the end, and octal codes for what it escapes."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), name).rstrip(".").lower()


def mark_name(name: str, kind: str) -> str:
    """Where the generation of these records stands."""
    return f"_coalmine-{kind.lower()}.{plain_name(name)}"


def mark_record(name: str, kind: str, generation: int) -> Record:
    """The TXT record that says the generation."""
    value = {"Value": f'"generation={generation}"'}
    return {"Name": mark_name(name, kind), "Type": "TXT", "TTL": 60, "ResourceRecords": [value]}


def marked(records: Sequence[Record], where: str) -> int:
    """The generation that TXT records say; 0 without one.

    Raises:
        RouteRejected: they say something else.
    """
    if not records:
        return 0
    said = [one["Value"] for record in records for one in record.get("ResourceRecords", ())]
    found = _MARK.fullmatch(said[0]) if len(said) == 1 else None
    if found is None:
        raise RouteRejected(f"{where}: the TXT record {records[0]['Name']} says no generation: remove it")
    return int(found[1])


def changes(records: Mapping[str, Record], units: Mapping[str, int], mark: Record) -> list[dict[str, Any]]:
    """One batch that gives every record its weight, and the mark its generation; all else in them stays as it is."""
    batch = [{**record, "Weight": units.get(name, 0) // _UNITS} for name, record in records.items()]
    changed = [new for new, old in zip(batch, records.values(), strict=True) if new != old]
    return [{"Action": "UPSERT", "ResourceRecordSet": record} for record in [*changed, mark]]

"""Valid inputs, from which the fuzzed ones are made."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.ledgers import chain
from coalmine.records import LedgerEntry
from coalmine.spec import parse_spec

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLLOUT = "production/checkout/1.42.0/1"
JUDGED = ROOT / "tests" / "cli" / "plans" / "further.yaml"
"""Judges the traces."""

GATED = """
service: checkout
environment: production
arms:
  baseline: {version: 1.41.0, backend: v41}
  canary: {version: 1.42.0, backend: v42}
route: {router: envoy, name: shop, files: [/etc/envoy/route.yaml], admins: ["http://127.0.0.1:9901"]}
steps:
  - {weight: 5}
  - {weight: 50, gate: {name: go, approval: {by: [sre], remind: 30m, escalate: {after: 1h, to: [sre]}}}}
metrics: [{name: errors, kind: ratio, template: envoy, max: 0.02}]
people: {sre: [ana, bo]}
sources: {prometheus: {url: "http://127.0.0.1:9090"}}
hooks: {prepare: "https://ci.example/${COALMINE_SECRET_CI}"}
"""
"""Of a rollout that can be in every phase."""


def specs() -> list[bytes]:
    """Every example, and the specs other tests use."""
    folders = (ROOT / "examples", JUDGED.parent)
    return [GATED.encode()] + [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.yaml"))]


def traces() -> list[bytes]:
    """Some looks with all kinds of metrics, and one with nothing."""
    return [b"".join(_look(number) for number in range(looks)) for looks in (1, 3, 12)]


def _look(number: int) -> bytes:
    def both(canary: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
        return {"baseline": baseline, "canary": canary}

    observations = {
        "errors": both({"events": 1, "total": 100}, {"events": 9, "total": 900}),
        "latency": both(
            {"le": [0.1, 0.5, "+Inf"], "counts": [90, 9, 1]}, {"le": [0.1, 0.5, "+Inf"], "counts": [800, 90, 10]}
        ),
        "cpu": both({"values": [0.4, 0.5]}, {"values": [0.4, 0.5, 0.45]}),
        "orders": both({"events": 3}, {"events": 31}),
        "restarts": None,
    }
    at = (NOON + number * timedelta(seconds=10)).isoformat().replace("+00:00", "Z")
    return json.dumps({"at": at, "weight": 10, "observations": observations}).encode() + b"\n"


def answers() -> list[bytes]:
    """Bodies a Prometheus answers with: samples, a value, nothing, and an error."""
    labels: dict[str, str] = {"job": "envoy", "instance": "127.0.0.1:9901", "envoy_cluster_name": "v2"}
    counter = {"metric": {"__name__": "envoy_cluster_upstream_rq_completed", **labels}, "values": _samples(100)}
    errors = {"metric": {"__name__": "envoy_cluster_upstream_rq_xx", **labels}, "values": _samples(3)}
    buckets: list[dict[str, Any]] = [
        {
            "metric": {"__name__": "envoy_cluster_upstream_rq_time_bucket", "le": bound, **labels},
            "values": _samples(more),
        }
        for bound, more in (("5", 20), ("50", 80), ("+Inf", 100))
    ]
    one = {"metric": {"__name__": "up", **labels}, "value": [NOON.timestamp(), "1"]}
    results: list[dict[str, Any]] = [
        {"resultType": "matrix", "result": [counter, errors, *buckets]},
        {"resultType": "vector", "result": [one]},
        {"resultType": "matrix", "result": []},
        {"resultType": "scalar", "result": [NOON.timestamp(), "1"]},
    ]
    bodies: list[dict[str, Any]] = [{"status": "success", "data": result, "warnings": ["slow"]} for result in results]
    bodies.append({"status": "error", "errorType": "bad_data", "error": "parse error"})
    return [json.dumps(body).encode() for body in bodies]


def _samples(more: int) -> list[list[Any]]:
    return [[NOON.timestamp() - 20 + 5 * number, str(1_000 + more * number)] for number in range(5)]


def hook_answers() -> list[bytes]:
    """Whole answers of a hook, heads and bodies."""
    body = b'{"ok": true, "detail": "smoke tests passed"}'
    return [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body),
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{"ok": false, "reason": "no"}',
        b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy",
        b"HTTP/1.1 429 Busy\r\nRetry-After: Sun, 01 Mar 2026 12:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ]


def signals() -> list[bytes]:
    """What people send."""
    sent: list[Any] = [
        {"by": "ana", "reason": "looks fine"},
        {"by": "ana", "reason": "", "gate": "go", "attempt": 1},
        {"by": "ana", "reason": "longer", "for": "30m"},
        ["ana"],
        "ana",
    ]
    spec = parse_spec(GATED, "the fuzzed rollout's spec").model_dump(mode="json", by_alias=True)
    sent.append({"spec": spec, "by": "ana", "automated": True, "reason": "night build"})
    return [json.dumps(one).encode() for one in sent]


def ledgers() -> list[bytes]:
    """Chains of records."""
    looks = [_entry("look", number, _kept(number)) for number in range(2, 6)]
    spec = {"metrics": [{"name": "errors", "kind": "ratio"}], "policy": {"alpha": 0.05}}
    whole = [
        _entry("admitted", 1, {"spec": spec, "snapshot": {"v1": 100}}),
        *looks,
        _entry("closed", 6, {"outcome": "promoted"}),
    ]
    return [chain.lines_of(entries, 0, chain.genesis(ROLLOUT))[0] for entries in (whole, whole[:1], whole[1:])]


def _kept(number: int) -> dict[str, Any]:
    start, end = (NOON + timedelta(seconds=10 * at) for at in (number - 1, number))
    told = {"canary": {"total": 100, "events": 1}, "baseline": {"total": 900, "events": 9}}
    counts = [{"metric": "errors", "status": "ok", **told}]
    return {"seconds": 10.0, "counts": counts, "weight": 10, "from": start.isoformat(), "to": end.isoformat()}


def _entry(kind: str, sequence: int, data: dict[str, Any]) -> LedgerEntry:
    at = NOON + timedelta(seconds=10 * sequence)
    return LedgerEntry.model_validate(
        {"kind": kind, "rollout_id": ROLLOUT, "sequence": sequence, "at": at, "reason": "as told", "data": data}
    )

"""Traffic that is generated, and how it was answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from coalmine.records.base import Record
from coalmine.spec.durations import Duration


class LoadRequest(Record):
    """Open-loop load: requests are due at fixed times whether or not earlier ones came back."""

    url: str
    rate: float
    """Requests per second."""
    duration: Duration
    headers: dict[str, str] = {}
    timeout: Duration = timedelta(seconds=10)
    arrivals: Literal["uniform", "poisson"] = "uniform"
    """``uniform``: evenly spaced; ``poisson``: independent, by ``seed``."""
    max_in_flight: int = 10_000
    """Requests (and connections) open at once; what is due beyond that fails as ``too many in flight``."""
    seed: int = 0


class LoadReport(Record):
    """What the load saw. Latencies count from when a request was due (no coordinated omission), in seconds."""

    sent: int
    ok: int
    failed: int
    statuses: dict[str, int] = {}
    errors: dict[str, int] = {}
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    max_sched_late: float = 0.0
    seconds: float = 0.0

"""What a report shows of one rollout: what was judged, every look, every decision, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from coalmine.records import Check, Diagnosis, Record
from coalmine.report.single_look import SingleLook


class Point(Record):
    """One metric at one look. ``low`` and ``high`` are the ends of the interval, None where it is open."""

    look: int
    at: datetime
    verdict: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    baseline: float | None = None
    canary: float | None = None


class MetricStory(Record):
    """One metric over all looks."""

    name: str
    kind: str = ""
    role: str = "guardrail"
    verdict: str = ""
    """At the last look."""
    sentence: str = ""
    points: list[Point] = []
    single_looks: list[SingleLook] = []
    """What a test that looks once would have said at the end of each step; empty without the extra ``statistics``."""


class LookStory(Record):
    """One look."""

    look: int
    at: datetime
    stage: str = "compare"
    step: int = -1
    weight: float = 0.0
    action: str = "continue"
    finding: str = ""
    reason: str = ""
    seconds: float = 0.0
    canary_requests: int = 0


class WeightStory(Record):
    """The canary's share of traffic from a moment on, in percent."""

    at: datetime
    weight: float
    what: str = ""


class DecisionStory(Record):
    """One thing that was decided, said or done."""

    at: datetime
    kind: str
    reason: str = ""
    by: str = ""
    phase: str = ""


class Story(Record):
    """Everything the page shows."""

    rollout_id: str
    sentence: str
    """The verdict in one sentence."""
    outcome: str | None = None
    """None while it is open, and for advice, which shifts nothing."""
    open: bool = True
    advise: bool = False
    cause: str | None = None
    reason: str = ""
    service: str
    environment: str
    region: str | None = None
    version: str = ""
    baseline_version: str = ""
    by: str = ""
    automated: bool = False
    began: datetime
    ended: datetime | None = None
    last: datetime
    seconds_to_restore: float | None = None
    spec_hash: str = ""
    spec: dict[str, Any] = {}
    """The spec as the ledger keeps it, without hooks, channels and headers."""
    history_note: str = ""
    planned_looks: int = 0
    canary_requests: int = 0
    checks: list[Check] = []
    metrics: list[MetricStory] = []
    looks: list[LookStory] = []
    weights: list[WeightStory] = []
    decisions: list[DecisionStory] = []
    diagnoses: list[Diagnosis] = []
    notes: list[str] = []
    single_look_note: str = ""
    """Why there are no statistics of a single look; empty when there are."""

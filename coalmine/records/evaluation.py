"""What the judge is given, and what it says."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from coalmine.records.base import Measure, Record, RolloutContext, VerdictName
from coalmine.records.metrics import MetricCounts
from coalmine.records.moments import Moment
from coalmine.spec.canary import Policy
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric, Role


class ChannelHistory(Record):
    """What earlier looks say of one channel's noise: excess dispersion per unit of information, autocorrelation."""

    tau2: float
    rho: float = 0.0
    bound: float | None = None
    """Upper bound of a histogram's bucket that the channel counts the requests above, in seconds; None where it counts
    something else, or where the history was written before it said so."""
    information: float = 0.0
    """Of a typical look that it was learnt from: with less, half of the noise is taken to stay. 0 where the history
    was written before it said so."""


class ServiceHistory(Record):
    """The noise of a service, by metric and channel; fixed at admission for the whole rollout."""

    looks: int = 0
    since: Moment | None = None
    until: Moment | None = None
    load: float = 0.0
    """Requests per second, both arms."""
    channels: dict[str, dict[str, ChannelHistory]] = {}


class HistoryRequest(Record):
    """Ask the ledger for the noise of a service."""

    service: str
    environment: str
    region: str | None = None
    metrics: list[Metric]
    ledger: Ledger
    now: Moment
    context: RolloutContext | None = None


class Judge(Record):
    """All the judge needs besides the counts: fixed at admission."""

    metrics: list[Metric]
    policy: Policy
    planned_looks: int
    history: ServiceHistory | None = None


class Evidence(Record):
    """The state of the sequential tests: O(1) in the number of looks; opaque outside ``coalmine.analysis``."""

    looks: int = 0
    state: dict[str, Any] = {}


class EvaluateRequest(Record):
    """Fold one look into the evidence.

    ``share`` is the canary's configured share of traffic in this window (0-1; None when it changed within the
    window, then the sample ratio is not tested). ``stage`` is ``compare`` while both arms run, ``bake`` when only
    the canary does.
    """

    judge: Judge
    counts: list[MetricCounts]
    stage: Literal["compare", "bake"] = "compare"
    share: float | None = None
    new_step: bool = False
    extension: bool = False
    evidence: Evidence | None = None
    context: RolloutContext | None = None


class MetricVerdict(Record):
    """What the evidence says of one metric so far."""

    verdict: VerdictName
    metric: str
    kind: str = ""
    """Of the metric: how its levels are written. Empty where it was judged before verdicts said so."""
    role: Role = "guardrail"
    sentence: str = ""
    """The verdict in one plain sentence with its numbers."""
    effect: float | None = None
    """What ``measure`` names: canary over baseline, their difference in the metric's own unit, or a burn rate."""
    interval: tuple[float, float] | None = None
    """Anytime-valid interval of the effect."""
    margin: float | None = None
    """The effect up to which there is no harm, in the same measure; None when it has none."""
    measure: Measure = "odds ratio"
    worse: Literal["up", "down"] = "up"
    """Which way of the effect is worse: harm is an interval wholly beyond the margin that way."""
    forgiven: bool = False
    """Its interval lies so, and nothing speaks for harm all the same: a level up to the floor, fewer than five events.
    The judge says it, not the rollout's decision, so that what earlier judges said is decided as it was."""
    no_harm: bool = False
    log_e_harm: float = 0.0
    log_e_no_harm: float = 0.0
    baseline: float | None = None
    """Pooled level of the baseline in the metric's own unit (a share for ratio, seconds at p99 for latency)."""
    canary: float | None = None
    baseline_requests: int = 0
    canary_requests: int = 0


class Finding(StrEnum):
    """What the judge found over all metrics, before phases, gates and people come in."""

    CRASH = "crash"
    SAMPLE_RATIO = "sample_ratio"
    HARM = "harm"
    HARM_UNSURE = "harm_unsure"
    """Harm, but without history and small, or resting on scores alone: ask a human (docs/judging.md)."""
    SIGNAL = "signal"
    NO_DATA = "no_data"
    NO_HARM = "no_harm"
    UNDECIDED = "undecided"


class Evaluation(Record):
    """The result of one look."""

    finding: Finding
    reason: str
    """One plain sentence, with the numbers that decided."""
    verdicts: list[MetricVerdict]
    canary_requests: int = 0
    """Canary requests in this window."""
    log_e_harm: float = 0.0
    evidence: Evidence

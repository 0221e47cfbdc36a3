"""What is gathered after a rollback or a hold, to point to the cause."""

from __future__ import annotations

from typing import Literal

from coalmine.records.base import Record, RolloutContext
from coalmine.records.metrics import ArmCounts, Window
from coalmine.records.moments import Moment
from coalmine.spec.canary import Arms, Diagnose
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source


class LabelCounts(Record):
    """What both arms counted under one value of a label; an absent label is the empty text."""

    value: str
    canary: ArmCounts
    baseline: ArmCounts = ArmCounts(total=0)


class LabelBreakdown(Record):
    """One metric by the values of one label."""

    label: str
    values: list[LabelCounts] = []
    of_events: bool = False
    """The label tells kinds of events apart (a status code), so its totals are not the requests it could have hit."""
    folded: int = 0
    """Further values, too many to list."""
    canary_total: int = 0
    """Requests of the arm over all values, the folded ones and those without the label too; 0 = the sum of the list."""
    baseline_total: int = 0


class Exemplar(Record):
    """One request that a metric store remembers by its trace."""

    trace_id: str
    at: Moment
    value: float = 0.0
    labels: dict[str, str] = {}
    link: str = ""


class MetricBreakdown(Record):
    """What a metric store says of where one metric's counts come from."""

    metric: str
    supported: bool = True
    reason: str = ""
    """Why there is nothing, or what is missing from it."""
    labels: list[LabelBreakdown] = []
    bounds: list[float] | None = None
    """latency: upper bucket bounds in seconds, without +Inf."""
    exemplars: list[Exemplar] = []


class BreakdownRequest(Record):
    """Ask a metric store for one metric by labels, over one window; ``compare`` as in ``CollectRequest``."""

    window: Window
    arms: Arms
    labels: list[str]
    compare: bool = True
    most_values: int = 50
    most_exemplars: int = 5


class Contribution(Record):
    """How much of a metric's excess one value of a label carries."""

    value: str
    share: float
    """Of all excess, 0-1."""
    excess: float
    """Events, or units of a level, beyond what the baseline's level would have brought."""
    canary_events: int = 0
    canary_total: int = 0
    baseline_events: int = 0
    baseline_total: int = 0
    canary_level: float | None = None
    """value, threshold: mean over the series, ``canary_total`` of them, in the metric's own unit."""
    baseline_level: float | None = None
    """value: of what it is compared with."""
    traffic: float | None = None
    """Its share of the canary's requests, or of its instances, 0-1; None where the label tells events apart."""
    chance: float = 1.0
    """Probability of so many events if the canary were as the baseline, times the number of values looked at."""
    p: float | None = None
    """The same of this value alone; None in what earlier versions wrote."""
    adjusted: float | None = None
    """The same over all values of all labels of a diagnosis (Holm), as a report tells it."""


class LabelRanking(Record):
    """One label of one metric: its values by their share of the excess, the largest first."""

    metric: str
    label: str
    of_events: bool = False
    stands_out: bool = False
    """One value carries far more of the excess than of the traffic, and not by chance."""
    values: list[Contribution] = []
    folded: int = 0


class Link(Record):
    """A place to look further."""

    name: str
    url: str


class Change(Record):
    """Something else that happened in the environment at the time."""

    at: Moment
    rollout_id: str
    what: str


class Diagnosis(Record):
    """What points to the cause of a rollback or a hold."""

    sentence: str
    decision: Literal["roll_back", "hold"] = "roll_back"
    reason: str = ""
    """The decision's own reason."""
    at: Moment | None = None
    window: Window | None = None
    rankings: list[LabelRanking] = []
    exemplars: list[Exemplar] = []
    links: list[Link] = []
    changes: list[Change] = []
    notes: list[str] = []
    """What could not be had, and why."""


class DiagnosisRequest(Record):
    """Ask what points to the cause. ``metrics`` are those to break down, the most suspicious first."""

    decision: Literal["roll_back", "hold"]
    reason: str
    at: Moment
    window: Window
    metrics: list[Metric]
    arms: Arms
    sources: dict[str, Source]
    ledger: Ledger
    settings: Diagnose
    service: str
    environment: str
    region: str | None = None
    rollout_id: str = ""
    compare: bool = True
    share: float | None = None
    """The canary's part of the traffic when it was decided, 0-1; None = not known."""
    context: RolloutContext | None = None

"""The form in which a forecast is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from coalmine.spec.durations import Duration


class Told(BaseModel):
    """Base of what is told; durations are ``5m`` in JSON."""

    model_config = ConfigDict(frozen=True)


class When(Told):
    """Counted from the start of the step: 0 looks = already in a step before."""

    looks: int
    lasts: Duration
    requests: int
    """Canary requests in this step, expected."""
    blocks: int | None = None
    """value: blocks of a minute, or of a look when that is longer."""


class Finding(Told):
    """One thing the judge may find in one metric, if the step lasts as long as it takes."""

    metric: str
    regression: float | None
    """How many times the odds of a bad request, the events of a count, the level of a gauge, or the rate at which an
    objective's budget just lasts; None: no regression, no harm is to be shown. Where fewer are worse, a count is
    divided by it, and a gauge is lower by as much as it would be higher."""
    usual: When | None
    """With a chance of 80 %; None: not within a month."""
    sure: When | None
    """With a chance of 95 %."""
    by_end: float
    """Chance that it has been found by the planned end of the step."""
    fixed: int | None = None
    """Canary requests a test that may look once only would need for 80 %; None for no harm."""


class StepForecast(Told):
    """One step; a regression is there from the start of the rollout, and what earlier steps saw of it counts."""

    number: int
    weight: float
    findings: list[Finding]


class Burn(Told):
    """How soon the windows of a burn rate show a canary that begins with a step to burn ``times`` times too fast.

    Before it every request was good, the worst case. Counted from the start of the step, were it to last as long as it
    takes, and in whole looks. Enough bad requests for the evidence are needed as well.
    """

    metric: str
    rate: float
    long: Duration
    short: Duration
    times: float
    step: int
    """Counted from 1."""
    shown: Duration | None
    """When both show it; None: it burns less fast than the rate."""
    in_long: Duration | None
    in_short: Duration | None


class Limit(Told):
    """When plain limits fail of which every answer is beyond."""

    metric: str
    looks: int
    lasts: Duration


class Baseline(Told):
    """What was assumed of one metric's baseline."""

    metric: str
    bad: float | None = None
    """ratio, latency: share of bad requests: events, or requests slower than ``slower_than``."""
    slower_than: float | None = None
    """Seconds; None for a ratio."""
    per_hour: float | None = None
    """count: events per hour at all the traffic."""
    level: float | None = None
    """value: in the metric's own unit."""
    noise: float | None = None
    """value: standard deviation of a block's difference between two like versions, as a part of the level."""
    origin: str
    margin: float


class Cost(Told):
    """The most bad requests a regression of one metric adds until it is caught (95 %), or the plan's steps are over."""

    metric: str
    regression: float
    bad_requests: int
    canary_requests: int
    caught: bool
    """Whether it is caught within the steps with 95 %; else it costs this much and the rollout goes on."""
    budget: int | None
    """Bad requests the absolute limit allows in 30 days at this load; None without a limit."""


class Forecast(Told):
    """Everything ``coalmine plan`` foretells."""

    rps: float
    history: bool
    """Whether the service's noise is known."""
    baselines: list[Baseline]
    steps: list[StepForecast]
    promotable: float
    """Chance that a release without change is shown to be without harm, in all guardrails, by the end of the steps."""
    burns: list[Burn] = []
    limits: list[Limit] = []
    costs: list[Cost]
    warnings: list[str]

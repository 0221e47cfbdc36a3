"""What is judged, as a user writes it: one metric of any kind, its limits and its objectives."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from coalmine.spec.base import SpecModel
from coalmine.spec.durations import Duration

Role = Literal["guardrail", "signal"]


Kind = Literal["ratio", "latency", "value", "count", "slo", "threshold"]


def _text_or_texts(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if value is not None and not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"{value!r} is neither a series selector nor a list of them")
    return value


Selectors = Annotated[str | list[str] | None, BeforeValidator(_text_or_texts)]
"""One series selector, or several whose counts are added."""


class Objective(SpecModel):
    """A latency objective: at least ``share`` of requests ``under`` this time."""

    under: Duration = Field(
        description="The time. Best exactly a bucket bound of the histogram; else the next bound below counts.",
        examples=["250ms"],
    )
    share: float = Field(gt=0, lt=1, description="The share of requests, between 0 and 1.", examples=[0.99])


class BurnRate(SpecModel):
    """A burn rate that two windows must show at once: the long one that it lasts, the short one that it goes on."""

    rate: float = Field(
        gt=0, le=1_000_000, description="How many times the rate that uses up the budget exactly.", examples=[14.4]
    )
    long: Duration = Field(description="The window that shows that it lasts.", examples=["1h"])
    short: Duration = Field(description="The window that shows that it goes on.", examples=["5m"])


class Slo(SpecModel):
    """A service level objective for the canary's own requests."""

    objective: float = Field(gt=0, lt=1, description="The share of good requests that was promised.", examples=[0.999])
    period: Duration = Field(default=timedelta(days=30), description="The time the promise is for.")
    burn: list[BurnRate] = Field(
        default=[
            BurnRate(rate=14.4, long=timedelta(hours=1), short=timedelta(minutes=5)),
            BurnRate(rate=6, long=timedelta(hours=6), short=timedelta(minutes=30)),
        ],
        min_length=1,
        max_length=4,
        description="Burn rates the canary must not reach. Absent: 14.4 over 1h and 5m, 6 over 6h and 30m.",
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The part of the period's error budget this release may use at most. Absent: it is shown only.",
    )


class Limits(SpecModel):
    """Plain limits of a query's answer, and how many failed looks are too many."""

    min: float | None = Field(default=None, description="The lowest answer that is fine.")
    max: float | None = Field(default=None, description="The highest answer that is fine.")
    failures: int = Field(
        default=1, ge=1, le=1_000_000, description="So many looks outside the limits fail the metric."
    )
    consecutive: bool = Field(
        default=False, description="Count failed looks in a row only: one within the limits starts anew."
    )


class Metric(SpecModel):
    """One metric that is judged. ``max`` (ratio) and ``objective`` (latency) are absolute limits for the bake."""

    name: str = Field(min_length=1, description="Its name in every report; unique in the spec.", examples=["errors"])
    kind: Kind = Field(
        description="`ratio`: events per request, such as errors. `latency`: a histogram of times. `value`: a gauge of "
        "each instance. `count`: events without requests. `slo`: an objective for the canary alone. "
        "`threshold`: plain limits of a query's answer."
    )
    source: str = Field(
        default="prometheus",
        min_length=1,
        description="Which of `sources` holds it. May be left out when there is exactly one source.",
    )
    template: str | None = Field(
        default=None,
        description="Ready selectors: those of a proxy (`envoy`, `haproxy`, `traefik`, `istio`; `nginx` has none and "
        "says so; of kind `value` only `envoy` and `haproxy`: requests that wait for a connection), `http` "
        "(`http_requests_total`, `http_request_duration_seconds` with the label `version`) or "
        "`opentelemetry` (`http.server.request.duration` with `service_version`); of a source of kind `temporal`: "
        "`temporal`. Instead of your own.",
        examples=["envoy"],
    )
    events: Selectors = Field(
        default=None,
        description="ratio, count, slo: series selector of the counter of events, or a list that is added up. "
        "`{arm.version}` or `{arm.backend}` stands where the arms differ. No functions: raw samples are read.",
        examples=['http_requests_total{version="{arm.version}",code=~"5.."}'],
    )
    total: Selectors = Field(
        default=None,
        description="ratio, slo: series selector of the counter of all requests, as `events`.",
        examples=['http_requests_total{version="{arm.version}"}'],
    )
    buckets: Selectors = Field(
        default=None,
        description="latency: series selector of the histogram's `_bucket` counters, as `events`.",
        examples=['http_request_duration_seconds_bucket{version="{arm.version}"}'],
    )
    values: Selectors = Field(
        default=None,
        description="value: series selector of a gauge with one series for each instance, as `events`.",
        examples=['process_resident_memory_bytes{version="{arm.version}"}'],
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        description="threshold: any PromQL that answers one number; `{arm.version}` and `{arm.backend}` are the "
        "canary's. sql: a statement. http: `/path -> expression`. temporal: a list filter, whose answer is how many "
        "workflows match.",
        examples=['max(queue_length{version="{arm.version}"})'],
    )
    direction: Literal["up", "down"] = Field(
        default="up", description="value, count: which way is worse. `down` for what should not fall, such as orders."
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        description="value: a difference up to this, in the metric's own unit, is never harm. count: so many canary "
        "events per hour are never harm, counted as if it had all the traffic.",
    )
    suffix: str | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="value, threshold: the unit shown behind numbers.",
        examples=["MB"],
    )
    slo: Slo | None = Field(default=None, description="slo: the objective, its period, burn rates and budget.")
    limits: Limits | None = Field(default=None, description="threshold: the limits, and how many looks may fail.")
    unit: Literal["s", "ms"] = Field(
        default="s", description="Unit of the bounds of your own `buckets`; a template knows its own."
    )
    role: Role = Field(
        default="guardrail", description="`guardrail`: failing rolls back. `signal`: failing holds and asks a human."
    )
    margin: float | None = Field(
        default=None,
        ge=1,
        le=10,
        description="How many times the baseline's odds are still no harm. Absent: 1.1, or 1.2 without history or when "
        "the service's noise is autocorrelated.",
    )
    no_harm: float = Field(
        default=1.5,
        gt=1,
        le=10,
        description="Promotion needs proof that the canary is below this many times the baseline's odds.",
    )
    floor: float = Field(
        default=0.0005, ge=0, lt=1, description="A canary level up to this share is never harm, whatever the baseline."
    )
    max: float | None = Field(
        default=None, gt=0, lt=1, description="ratio: the largest share allowed, judged during the bake."
    )
    objective: Objective | None = Field(
        default=None, description="latency: the share of requests under a time, judged during the bake."
    )

"""What a user writes: the spec of one canary, as pydantic models. Every key is described in docs/spec.md.

The models hold what can be said of one key alone. What two keys say together is in ``coalmine.spec.rules``, so that a
payload always decodes and a wrong one is answered with reasons.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from coalmine.spec.durations import Duration, Retention

Role = Literal["guardrail", "signal"]
ArmName = Literal["baseline", "canary"]
Kind = Literal["ratio", "latency", "value", "count", "slo", "threshold"]

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that become parts of workflow ids: letters, digits, ``.``, ``_``, ``-``."""
FINEST_WEIGHT = Decimal("0.01")
"""Smallest difference between weights, in percent: routers count in ten-thousandths."""


def _weight_in_hundredths(weight: float) -> float:
    if Decimal(str(weight)) % FINEST_WEIGHT:
        raise ValueError(f"{weight!r} is finer than 0.01 %, the smallest weight: round it")
    return weight


def _text_or_texts(value: Any) -> Any:
    texts = [value] if isinstance(value, str) else value
    if value is not None and not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"{value!r} is neither a series selector nor a list of them")
    return value


Selectors = Annotated[str | list[str] | None, BeforeValidator(_text_or_texts)]
"""One series selector, or several whose counts are added."""
Identifier = Annotated[str, Field(pattern=IDENTIFIER, max_length=100)]


class SpecModel(BaseModel):
    """Base of all spec models: an unknown key is an error, and ``"10"`` is not a number."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not said: a spec travels through every look's history."""
        return {key: value for key, value in handler(self).items() if value is not None}


class Arm(SpecModel):
    """One version that receives traffic, and the backend (Envoy: cluster) that serves it."""

    version: str = Field(
        min_length=1,
        description="The version, in quotes when it looks like a number. No spaces, slashes, quotes or braces.",
        examples=["1.42.0"],
    )
    backend: str = Field(
        min_length=1,
        description="What the router calls the backend; Envoy: the cluster, nginx: the upstream, Traefik: the service.",
        examples=["checkout-v42"],
    )


class Arms(SpecModel):
    """The two arms of a canary. They differ in version and in backend."""

    baseline: Arm = Field(description="The version that is live now.")
    canary: Arm = Field(description="The version to release.")


class Route(SpecModel):
    """The route whose weights move. Keys other than these two belong to the router (see ``ROUTE_OPTIONS``)."""

    model_config = ConfigDict(extra="allow")

    router: str = Field(
        min_length=1, description="The data plane: one of docs/routers.md, or one an adapter adds.", examples=["envoy"]
    )
    name: str = Field(
        min_length=1,
        description="The route's name in the router: its route configuration, object or flag.",
        examples=["shop"],
    )

    @property
    def options(self) -> dict[str, Any]:
        """The router's own keys."""
        return dict(self.model_extra or {})


class Escalation(SpecModel):
    """Whom else to tell when a gate has waited long."""

    after: Duration = Field(description="How long the gate waits before. Shorter than its `timeout`.", examples=["2h"])
    to: list[str] = Field(
        min_length=1,
        description="Names of channels of `notify`, groups of `people`, or single identities, who are named in the "
        "message.",
        examples=[["pager", "leads"]],
    )


class ApprovalGate(SpecModel):
    """People who must say yes. ``by`` names groups of ``people`` or single identities; empty = anyone."""

    by: list[str] = Field(
        default=[],
        description="Groups of `people`, or single identities, that may approve. Empty: anyone.",
        examples=[["sre"]],
    )
    count: int = Field(default=1, ge=1, description="How many different people must approve.")
    timeout: Duration = Field(default=timedelta(hours=4), description="How long the gate waits for them.")
    on_timeout: Literal["roll_back", "hold"] = Field(
        default="roll_back", description="What happens when nobody answered in time."
    )
    remind: Duration | None = Field(
        default=None,
        description="How often people are told again while it waits, at least 1m. Absent: once, when it begins.",
        examples=["30m"],
    )
    escalate: Escalation | None = Field(default=None, description="Who else is told when nobody answers for long.")
    verified: bool = Field(default=False, description="Only signed decisions count.")
    four_eyes: bool = Field(
        default=False, description="Who started the rollout, or is among its authors, may not approve."
    )
    break_glass: bool = Field(
        default=True, description="Whether the gate can be opened, or passed by `promote`, without its people."
    )

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the younger keys where nobody said them: a spec of before keeps its digest."""
        younger = {"verified": False, "four_eyes": False, "break_glass": True}
        said = {key: value for key, value in handler(self).items() if value is not None}
        return {key: value for key, value in said.items() if key not in younger or value is not younger[key]}


class Gate(SpecModel):
    """Something that must be true before a step."""

    name: str | None = Field(
        default=None,
        min_length=1,
        description="What `approve` and `reject` call it. Absent: `step-<n>`, counted from 1.",
    )
    approval: ApprovalGate | None = Field(default=None, description="People who must say yes before the step.")


class Step(SpecModel):
    """A weight (percent), how long and for how many canary requests at least, and the gate before it."""

    weight: Annotated[float, AfterValidator(_weight_in_hundredths)] = Field(
        gt=0,
        lt=100,
        description="Percent of the traffic the canary receives, in steps of 0.01. Rises from step to step; "
        "100 comes by itself after the last.",
        examples=[10],
    )
    for_: Annotated[Duration, Field(alias="for")] = Field(
        default=timedelta(minutes=5), description="How long the step lasts at least. At least one look."
    )
    min_requests: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="How many requests the canary must have served in this step at least.",
    )
    gate: Gate | None = Field(default=None, description="What must be true before the step begins.")


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
        "says so), `http` (`http_requests_total`, `http_request_duration_seconds` with the label `version`) or "
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


class Held(SpecModel):
    """How long a held rollout waits for a human, and what happens then."""

    timeout: Duration = Field(default=timedelta(hours=4), description="How long a held rollout waits for a human.")
    action: Literal["roll_back", "promote"] = Field(
        default="roll_back",
        description="What happens then. `promote` never without data, nor while a guardrail fails: then it rolls back.",
    )


class Policy(SpecModel):
    """How strict the judge is and what follows from its verdicts."""

    alpha: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Chance that a release without fault is rolled back, over all metrics and looks together.",
    )
    beta: float = Field(
        default=0.05, gt=0, lt=0.5, description="Chance that a release at the edge of harm is promoted."
    )
    look: Duration = Field(
        default=timedelta(seconds=30),
        description="Time between looks: one collection and one judgement. At least the source's `scrape`, and 100ms.",
    )
    no_data: Literal["roll_back", "hold"] = Field(
        default="roll_back", description="What happens when there has been no data for `no_data_limit`."
    )
    no_data_limit: Duration = Field(
        default=timedelta(minutes=5), description="How long data may be missing. At least one look."
    )
    inconclusive: Literal["hold", "roll_back"] = Field(
        default="hold", description="What happens when a step, extension included, ends with too little evidence."
    )
    max_extension: Duration = Field(
        default=timedelta(hours=1), description="How much longer than `for` a step may wait for evidence."
    )
    no_history: Literal["hold", "roll_back"] = Field(
        default="hold", description="What follows from a small harm in a service whose noise is not known yet."
    )
    held: Held = Field(default=Held(), description="The deadline of a held rollout.")
    verified_start: bool = Field(
        default=False,
        description="Only a start counts that proves who starts it: signed, or with a token of CI (docs/identity.md).",
    )
    drift: Literal["restore", "hold"] = Field(
        default="restore",
        description="What follows when somebody else changes the weights under a running rollout. `restore`: its own "
        "are written again. `hold`: a human decides.",
    )


class Promotion(SpecModel):
    """What happens at 100 %."""

    bake: Duration = Field(
        default=timedelta(hours=1),
        description="How long the canary is watched at 100 %, against absolute limits. Needs a guardrail with `max` or "
        "`objective`; `0s`: no bake.",
    )
    rollback_window: Duration = Field(
        default=timedelta(hours=24), description="How long after the bake one word still restores the baseline."
    )
    when_busy: Literal["reject", "queue", "supersede"] = Field(
        default="reject",
        description="What this start does while another version of the service is being rolled out: it is refused, "
        "waits for its turn, or has the other rolled back first (docs/fleet.md).",
    )


class Rollback(SpecModel):
    """How a rollback gives the traffic back (docs/rollback.md)."""

    over: Duration = Field(
        default=timedelta(0),
        description="For a baseline that has gone cold: how long the way back takes, in `steps`, while the canary has "
        "half of the traffic or more. `0s`: all at once.",
    )
    steps: int = Field(default=4, ge=2, le=20, description="In how many steps it goes back where `over` is set.")


class Hooks(SpecModel):
    """URLs that are posted to, each with an idempotency key (docs/hooks.md)."""

    prepare: str | None = Field(default=None, description="Before the first write: deploy the canary's backend.")
    verify: str | None = Field(
        default=None,
        description="After `prepare`, before any traffic: test the canary's backend. A 4xx answer ends the rollout.",
    )
    retire: str | None = Field(default=None, description="After the rollback window: take the old version down.")
    rolled_back: str | None = Field(default=None, description="After a rollback: take the canary down.")


class Notifier(SpecModel):
    """Where people hear of it: the worker's log, a webhook, or the status of a deployment (docs/ci.md)."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(
        min_length=1,
        max_length=100,
        description="`log`: the worker's log. `webhook`: JSON posted to `url`. `github_deployment`, "
        "`gitlab_deployment`: the status of the deployment that CI made. `sns`, `eventbridge`: docs/aws.md. Or one "
        "an adapter adds, which has keys of its own.",
    )
    url: str | None = Field(
        default=None,
        description="webhook: where to post. Deployments: the API's address, if it is not `https://api.github.com` or "
        "`https://gitlab.com/api/v4`.",
    )
    repository: str | None = Field(
        default=None,
        description="Deployments: `owner/name`; of GitLab the project's path or number.",
        examples=["acme/shop"],
    )
    deployment: int | None = Field(
        default=None,
        ge=1,
        description="Deployments: the deployment's number; `coalmine start --deployment` fills it in.",
    )
    token: str | None = Field(
        default=None,
        description="Deployments: a token that may write their status, by name: `${COALMINE_SECRET_NAME}`.",
    )
    environment_url: str | None = Field(
        default=None,
        description="github_deployment: where the released service is.",
        examples=["https://shop.example"],
    )
    topic: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$",
        description="sns: the topic's ARN.",
        examples=["arn:aws:sns:eu-west-1:111122223333:releases"],
    )
    bus: str | None = Field(
        default=None,
        pattern=r"^(arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}$",
        description="eventbridge: the event bus, by name or ARN.",
        examples=["releases"],
    )
    name: Identifier | None = Field(default=None, description="What `escalate` calls the channel.", examples=["pager"])
    only: Literal["escalations"] | None = Field(
        default=None, description="`escalations`: it hears of nothing but gates that are escalated to its `name`."
    )

    @property
    def options(self) -> dict[str, Any]:
        """The keys of an adapter from elsewhere."""
        return dict(self.model_extra or {})


class Diagnose(SpecModel):
    """What is gathered at a rollback and a hold to point to the cause (docs/diagnosis.md)."""

    labels: list[str] = Field(
        default=["route", "path", "handler", "method", "code", "status", "instance", "pod", "region", "zone"],
        max_length=20,
        description="Labels by which a metric that got worse is broken down; those its series lack are skipped.",
    )
    window: Duration = Field(
        default=timedelta(minutes=10), description="How far back it looks, at most to where the traffic was shifted."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=20),
        description="How long gathering may take. A rollback is over before it begins, and closes without it then.",
    )
    exemplars: int = Field(default=5, ge=0, le=20, description="How many exemplar traces of the canary are kept.")
    links: dict[str, str] = Field(
        default={},
        description="Where to look further: a name and a URL in which `{service}` `{environment}` `{region}` "
        "`{version}` `{backend}` `{baseline}` `{rollout_id}` `{from}` `{to}` (times) `{from_ms}` `{to_ms}` are filled "
        "in. One with `{trace_id}` is filled in for each exemplar.",
        examples=[{"logs": "https://logs.example/search?q={service}+{version}&from={from_ms}&to={to_ms}"}],
    )


class LedgerLock(SpecModel):
    """S3 Object Lock: what is written can be neither replaced nor deleted for so long."""

    mode: Literal["governance", "compliance"] = Field(
        default="governance",
        description="`compliance` binds the account's owner too; `governance` lets some override it.",
    )
    for_: Retention = Field(alias="for", description="How long from the moment of writing.", examples=["400d"])


class Ledger(SpecModel):
    """Where the copy of the record goes: JSON Lines files under ``path``, or objects in a bucket."""

    kind: Literal["file", "s3"] = Field(
        default="file", description="`file`: JSON Lines files on the worker's disk. `s3`: objects in a bucket."
    )
    path: str = Field(
        default="ledger/", min_length=1, description="The folder, relative to the worker's; of `file` only."
    )
    bucket: str | None = Field(default=None, description="The bucket; of `s3` only.", examples=["acme-releases"])
    prefix: str | None = Field(
        default=None, description="What the names of its objects begin with; of `s3` only.", examples=["coalmine"]
    )
    region: str | None = Field(
        default=None, min_length=1, description="The bucket's region; else as the worker's environment says."
    )
    lock: LedgerLock | None = Field(default=None, description="Object Lock; of `s3` only, and the bucket must have it.")


class Source(SpecModel):
    """One metric store. Secrets are named, never written: ``token_env``/``password_env`` name environment variables."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(
        default="prometheus",
        min_length=1,
        max_length=100,
        description="The kind of metric store: `prometheus`, `cloudwatch`, `http`, `sql`, `temporal`, or one an "
        "adapter adds, which has keys of its own.",
    )
    url: str = Field(
        default="",
        description="prometheus, http: its address, without user and password. sql: `duckdb:///path/on/the/worker`, or "
        "`postgresql://user@host:port/database`. Required by all three. cloudwatch: only where AWS answers elsewhere, "
        "such as at a VPC endpoint.",
        examples=["http://127.0.0.1:9090"],
    )
    region: str | None = Field(
        default=None, min_length=1, description="cloudwatch: the region; else as the worker's environment says."
    )
    scrape: Duration = Field(
        default=timedelta(seconds=15),
        description="prometheus: how often it scrapes the service; cloudwatch: the period of the metric, such as `1m`. "
        "A look is never shorter.",
    )
    flush: Duration = Field(
        default=timedelta(seconds=1),
        description="How long a sample may lag behind; Envoy: `stats_flush_interval`; cloudwatch: `2m` or more; "
        "temporal: visibility's lag.",
    )
    timeout: Duration = Field(default=timedelta(seconds=10), description="How long one query may take.")
    username: str | None = Field(default=None, min_length=1, description="User for basic authentication.")
    password_env: str | None = Field(
        default=None, description="Name of the worker's environment variable that holds the password."
    )
    token_env: str | None = Field(
        default=None, description="Name of the worker's environment variable that holds a bearer token."
    )
    ca_file: str | None = Field(
        default=None, min_length=1, description="CA certificates (PEM) to trust, on the worker."
    )
    cert_file: str | None = Field(default=None, min_length=1, description="Client certificate (PEM), on the worker.")
    key_file: str | None = Field(
        default=None, min_length=1, description="Key of the client certificate, on the worker."
    )
    insecure_skip_verify: bool = Field(default=False, description="Trust any certificate. Not for production.")
    headers: dict[str, str] = Field(
        default={}, description="Further request headers, such as a tenant. No secrets.", examples=[{"X-Scope": "shop"}]
    )
    proxy: str | None = Field(
        default=None, description="A forward proxy for this store. Those of the environment are not used."
    )
    deployment: str | None = Field(
        default=None,
        min_length=1,
        description="temporal: the worker deployment whose builds are the arms' backends; required.",
        examples=["orders"],
    )
    namespace: str | None = Field(
        default=None, min_length=1, description="temporal: as in `route`; absent: the one of Coalmine's own worker."
    )
    address: str | None = Field(
        default=None, min_length=1, description="temporal: as in `route`; absent: the server of Coalmine's own worker."
    )
    profile: str | None = Field(default=None, min_length=1, description="temporal: as in `route`.")
    bounds: list[Duration] = Field(
        default=[],
        max_length=30,
        description="temporal: the durations latencies are counted up to, rising. Absent: 100ms to 1h in twelve steps.",
        examples=[["250ms", "1s", "5s"]],
    )

    @property
    def options(self) -> dict[str, Any]:
        """The keys of an adapter from elsewhere."""
        return dict(self.model_extra or {})

    @property
    def every(self) -> timedelta:
        """How far apart its samples are; nothing where single events are counted."""
        return timedelta(0) if self.kind in ("http", "sql", "temporal") else self.scrape


class CanarySpec(SpecModel):
    """A whole canary spec."""

    kind: Literal["Canary"] = Field(default="Canary", description="What this spec is of.")
    service: Identifier = Field(description="The service that is released.", examples=["checkout"])
    environment: Identifier = Field(description="Where it is released.", examples=["production"])
    region: Identifier | None = Field(
        default=None, description="The region, when the service has a rollout of its own in each.", examples=["eu-west"]
    )
    arms: Arms = Field(description="The version that is live and the one to release.")
    route: Route = Field(description="The route whose weights move.")
    steps: list[Step] = Field(min_length=1, max_length=100, description="The way up, in order.")
    metrics: list[Metric] = Field(min_length=1, max_length=50, description="What is judged. At least one guardrail.")
    policy: Policy = Field(default=Policy(), description="How strict the judge is, and what follows.")
    promotion: Promotion = Field(default=Promotion(), description="The bake and the way back.")
    rollback: Rollback = Field(default=Rollback(), description="The way back: at once, or in steps.")
    people: dict[str, list[str]] = Field(
        default={}, description="Groups of people, by name.", examples=[{"sre": ["ana@example.org", "bo@example.org"]}]
    )
    hooks: Hooks = Field(default=Hooks(), description="Your own steps, called over HTTP.")
    notify: list[Notifier] = Field(default=[Notifier(kind="log")], description="Where people hear of it.")
    ledger: Ledger = Field(default=Ledger(), description="Where the copy of the record goes.")
    diagnose: Diagnose = Field(default=Diagnose(), description="What points to the cause of a rollback or a hold.")
    sources: dict[str, Source] = Field(
        default={},
        description="Metric stores, by the name metrics use.",
        examples=[{"prometheus": {"url": "http://127.0.0.1:9090"}}],
    )

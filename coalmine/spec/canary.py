"""What a user writes: the spec of one canary, as pydantic models. Every key is described in docs/spec.md."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.spec.durations import Duration

Role = Literal["guardrail", "signal"]
ArmName = Literal["baseline", "canary"]


class SpecModel(BaseModel):
    """Base of all spec models: an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Arm(SpecModel):
    """One version that receives traffic, and the backend (Envoy: cluster) that serves it."""

    version: str = Field(min_length=1)
    backend: str = Field(min_length=1)


class Arms(SpecModel):
    """The two arms of a canary."""

    baseline: Arm
    canary: Arm


class Route(SpecModel):
    """The route whose weights move. Keys other than these two belong to the router (see ``ROUTE_OPTIONS``)."""

    model_config = ConfigDict(extra="allow")

    router: str
    name: str = Field(min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        """The router's own keys."""
        return dict(self.model_extra or {})


class ApprovalGate(SpecModel):
    """People who must say yes. ``by`` names groups of ``people`` or single identities; empty = anyone."""

    by: list[str] = []
    count: int = Field(default=1, ge=1)
    timeout: Duration = timedelta(hours=4)
    on_timeout: Literal["roll_back", "hold"] = "roll_back"


class Gate(SpecModel):
    """Something that must be true before a step."""

    name: str | None = None
    approval: ApprovalGate | None = None


class Step(SpecModel):
    """A weight (percent), how long and for how many canary requests at least, and the gate before it."""

    weight: float = Field(gt=0, lt=100)
    for_: Annotated[Duration, Field(alias="for")] = timedelta(minutes=5)
    min_requests: int = Field(default=0, ge=0)
    gate: Gate | None = None


class Objective(SpecModel):
    """A latency objective: at least ``share`` of requests ``under`` this time."""

    under: Duration
    share: float = Field(gt=0, lt=1)


class Metric(SpecModel):
    """One metric that is judged. ``max`` (ratio) and ``objective`` (latency) are absolute limits for the bake."""

    name: str = Field(min_length=1)
    kind: Literal["ratio", "latency"]
    source: str = "prometheus"
    template: str | None = None
    events: str | list[str] | None = None
    total: str | list[str] | None = None
    buckets: str | list[str] | None = None
    unit: Literal["s", "ms"] = "s"
    """What ``buckets`` of one's own are bounded in; a template knows its own unit."""
    role: Role = "guardrail"
    margin: float | None = Field(default=None, ge=1, le=10)
    no_harm: float = Field(default=1.5, gt=1, le=10)
    floor: float = Field(default=0.0005, ge=0, lt=1)
    max: float | None = Field(default=None, gt=0, lt=1)
    objective: Objective | None = None


class Held(SpecModel):
    """How long a held rollout waits for a human, and what happens then."""

    timeout: Duration = timedelta(hours=4)
    action: Literal["roll_back", "promote"] = "roll_back"


class Policy(SpecModel):
    """How strict the judge is and what follows from its verdicts."""

    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    beta: float = Field(default=0.05, gt=0, lt=0.5)
    look: Duration = timedelta(seconds=30)
    no_data: Literal["roll_back", "hold"] = "roll_back"
    no_data_limit: Duration = timedelta(minutes=5)
    inconclusive: Literal["hold", "roll_back"] = "hold"
    max_extension: Duration = timedelta(hours=1)
    no_history: Literal["hold", "roll_back"] = "hold"
    held: Held = Held()


class Promotion(SpecModel):
    """What happens at 100 %."""

    bake: Duration = timedelta(hours=1)
    rollback_window: Duration = timedelta(hours=24)
    when_busy: Literal["reject"] = "reject"


class Hooks(SpecModel):
    """URLs that are posted to, each with an idempotency key (docs/hooks.md)."""

    prepare: str | None = None
    verify: str | None = None
    retire: str | None = None
    rolled_back: str | None = None


class Notifier(SpecModel):
    """Where people hear of it: ``log``, or ``webhook`` with its ``url``."""

    kind: Literal["log", "webhook"]
    url: str | None = None


class Ledger(SpecModel):
    """Where the copy of the record goes: JSON Lines files under ``path``."""

    kind: Literal["file"] = "file"
    path: str = "ledger/"


class Source(SpecModel):
    """One metric store. Secrets are named, never written: ``token_env``/``password_env`` name environment variables."""

    kind: Literal["prometheus"] = "prometheus"
    url: str
    scrape: Duration = timedelta(seconds=15)
    flush: Duration = timedelta(seconds=1)
    timeout: Duration = timedelta(seconds=10)
    username: str | None = None
    password_env: str | None = None
    token_env: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure_skip_verify: bool = False
    headers: dict[str, str] = {}
    proxy: str | None = None
    """A forward proxy for this store; those of the environment are not used."""


class CanarySpec(SpecModel):
    """A whole canary spec."""

    kind: Literal["Canary"] = "Canary"
    service: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    environment: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    region: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    arms: Arms
    route: Route
    steps: list[Step] = Field(min_length=1)
    metrics: list[Metric] = Field(min_length=1)
    policy: Policy = Policy()
    promotion: Promotion = Promotion()
    people: dict[str, list[str]] = {}
    hooks: Hooks = Hooks()
    notify: list[Notifier] = [Notifier(kind="log")]
    ledger: Ledger = Ledger()
    sources: dict[str, Source] = {}

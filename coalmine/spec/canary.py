"""What a user writes: the spec of one canary, as pydantic models. Every key is described in docs/spec.md.

The models hold what can be said of one key alone. What two keys say together is in ``coalmine.spec.rules``, so that a
payload always decodes and a wrong one is answered with reasons.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import ConfigDict, Field

from coalmine.spec.base import Identifier, SpecModel
from coalmine.spec.channels import Notifier
from coalmine.spec.durations import Duration
from coalmine.spec.ledger import Ledger
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.spec.steps import Step

ArmName = Literal["baseline", "canary"]


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

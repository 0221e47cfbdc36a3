"""Where metrics are read, as a user writes it: one metric store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import ConfigDict, Field

from coalmine.spec.base import SpecModel
from coalmine.spec.durations import Duration


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

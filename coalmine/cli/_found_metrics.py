"""What a Prometheus already has of a service: its proxy's metrics by backend, or the usual HTTP metrics of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from activities.sources.prometheus_http import PrometheusHttp
from coalmine.spec.sources import Source

LOOKED_BACK = 3600
"""Seconds: a version that stopped longer ago is no arm."""
SERVICE_LABELS = ("service", "app", "job")
CODE_LABELS = ("code", "status", "status_code")
HTTP, HTTP_TIMES = "http_requests_total", "http_request_duration_seconds_bucket"


@dataclass(frozen=True)
class Family:
    """What a proxy counts by backend."""

    requests: str
    label: str
    """That names the backend."""
    times: str = ""
    """Its histogram; empty: it has none."""


FAMILIES = {
    "envoy": Family(
        "envoy_cluster_upstream_rq_completed", "envoy_cluster_name", "envoy_cluster_upstream_rq_time_bucket"
    ),
    "haproxy": Family("haproxy_backend_http_responses_total", "proxy"),
    "traefik": Family("traefik_service_requests_total", "service", "traefik_service_request_duration_seconds_bucket"),
}
"""By template."""


@dataclass(frozen=True)
class FoundMetrics:
    """Empty where a family is not there."""

    backends: Sequence[str] = ()
    """The proxy's own, as a spec's ``backend`` calls them."""
    backend_times: bool = False
    versions: Sequence[str] = ()
    """Values of ``version`` on ``http_requests_total``."""
    version_times: bool = False
    service_label: str = ""
    """The label that names the service on ``http_requests_total``; empty: none has its name."""
    own_versions: Sequence[str] = ()
    """Of ``versions``, those on series with that label."""
    services: Sequence[str] = ()
    code_label: str = ""
    labels: dict[str, Sequence[str]] = field(default_factory=dict)
    """Of those that name services: the values each has on ``http_requests_total``."""


async def look_at(source: Source, service: str | None, template: str = "envoy") -> FoundMetrics:
    """Ask which families there are, and which values name services, versions and backends.

    Args:
        source: The store.
        service: Its name, where it is known.
        template: Whose metrics by backend are looked for; empty: nobody's.

    Raises:
        SourceError: the store does not answer, or refuses.
    """
    http = PrometheusHttp("prometheus", source)
    since = (round(time.time()) - LOOKED_BACK) * 1000

    proxy = FAMILIES.get(template, Family("", ""))

    async def values(label: str, family: str) -> Sequence[str]:
        return await http.label_values(label, family, since) if family else ()

    try:
        backends, backend_times, versions, version_times, *rest = await asyncio.gather(
            values(proxy.label, proxy.requests),
            values(proxy.label, proxy.times),
            values("version", HTTP),
            values("version", HTTP_TIMES),
            *(values(label, HTTP) for label in (*SERVICE_LABELS, *CODE_LABELS)),
        )
        named = dict(zip((*SERVICE_LABELS, *CODE_LABELS), rest, strict=True))
        owner = next((label for label in SERVICE_LABELS if service in named[label]), "")
        own = f"{HTTP}{{{owner}={json.dumps(service)}}}" if owner else ""
        own_versions = await values("version", own)
    finally:
        http.close()
    return FoundMetrics(
        # Traefik's label says the provider too, which a spec leaves out for files.
        backends=[name.removesuffix("@file") for name in backends],
        backend_times=bool(backend_times),
        versions=versions,
        version_times=bool(version_times),
        service_label=owner,
        own_versions=own_versions,
        services=sorted({name for label in SERVICE_LABELS for name in named[label]}),
        code_label=next((label for label in CODE_LABELS if named[label]), ""),
        labels={label: named[label] for label in SERVICE_LABELS},
    )

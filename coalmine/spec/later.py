"""What is designed but not built yet: refused by its own name, so that nothing a spec asks for is silently left out.

Places are written as dotted patterns, ``*`` for any index or name; the empty one is the top of the spec.
"""

from __future__ import annotations

LATER_VALUES: dict[str, frozenset[str]] = {
    "kind": frozenset({"Pipeline", "Experiment"}),
    "route.router": frozenset(
        {
            *("caddy", "kubernetes", "istio", "linkerd", "gateway-api", "consul"),
            *("apigateway", "appmesh", "lattice", "cloudfront", "ecs", "sagemaker"),
            *("api-gateway", "app-mesh", "appconfig", "app-config", "vpc-lattice"),
            *("aws-apigateway", "aws-api-gateway", "aws-appmesh", "aws-app-mesh", "aws-appconfig", "aws-app-config"),
            *("aws-lattice", "aws-vpc-lattice", "aws-cloudfront", "aws-ecs", "aws-sagemaker"),
        }
    ),
    "ledger.kind": frozenset({"postgres", "dynamodb"}),
    "notify.*.kind": frozenset(
        {"slack", "email", "pagerduty", "opsgenie", "teams", "discord", "telegram", "github", "chat"}
    ),
    "sources.*.kind": frozenset({"datadog", "newrelic", "influxdb", "graphite", "dynatrace", "splunk", "otlp", "loki"}),
}
"""Values of known keys, by place."""

LATER_KEYS: dict[str, frozenset[str]] = {
    "": frozenset({"pipeline", "waves", "dependencies", "freeze", "windows", "presets", "preset", "budget", "chat"}),
    "arms.*": frozenset({"objects", "image", "scale"}),
    "steps.*": frozenset({"header", "headers", "cookie", "scale", "stickiness", "holdback"}),
    "steps.*.gate": frozenset({"window", "health", "webhook", "budget"}),
    "metrics.*": frozenset({"native_histogram", "native", "pools"}),
    "policy": frozenset({"low_traffic", "budget", "slots", "freeze", "brake"}),
    "promotion": frozenset({"holdback", "supersede"}),
}
"""Keys of later releases, by the place they would stand in."""

SAME_AS: dict[str, dict[str, str]] = {
    "sources.*.kind": dict.fromkeys(
        ("thanos", "mimir", "victoriametrics", "victoria-metrics", "cortex"),
        "it answers Prometheus' queries, so write kind: prometheus (docs/prometheus.md)",
    ),
}
"""What is there under another name, by place: what to write instead."""


def pattern_matches(pattern: str, path: tuple[str | int, ...]) -> bool:
    """Whether a path such as ``("steps", 1, "gate")`` is at the place ``steps.*.gate``."""
    parts = pattern.split(".") if pattern else []
    return len(parts) == len(path) and all(part in ("*", str(have)) for part, have in zip(parts, path, strict=True))


def is_later_value(path: tuple[str | int, ...], value: object) -> bool:
    """Whether ``value`` at ``path`` is something a later release brings."""
    return isinstance(value, str) and any(
        value in values and pattern_matches(pattern, path) for pattern, values in LATER_VALUES.items()
    )


def same_as(path: tuple[str | int, ...], value: object) -> str:
    """What to write for ``value`` at ``path``, which is there under another name; empty for any other value."""
    found = (told for pattern, told in SAME_AS.items() if pattern_matches(pattern, path))
    return next((told[value.lower()] for told in found if isinstance(value, str) and value.lower() in told), "")


def is_later_key(parent: tuple[str | int, ...], key: object) -> bool:
    """Whether ``key`` in the mapping at ``parent`` is something a later release brings."""
    return any(key in keys and pattern_matches(pattern, parent) for pattern, keys in LATER_KEYS.items())

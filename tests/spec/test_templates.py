"""Templates: what is read for each kind of metric and arm, and what a template lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from coalmine.errors import SpecError
from coalmine.spec.canary import Arm
from coalmine.spec.check import check_spec
from coalmine.spec.metrics import Metric
from coalmine.spec.templates import TEMPLATES, metric_query

ARM = Arm(version="1.42", backend="shop-v42")


def queries(metric: Metric, arm: Arm) -> list[str]:
    parts = ("total", "events") if metric.kind == "ratio" else ("buckets",)
    return [str(selector) for part in parts for selector in metric_query(metric, part, arm).selectors]  # type: ignore[arg-type]


def test_the_template_envoy() -> None:
    arm = Arm(version="1", backend="shop-v1")
    assert queries(Metric(name="e", kind="ratio", template="envoy"), arm) == [
        'envoy_cluster_upstream_rq_completed{envoy_cluster_name="shop-v1"}',
        'envoy_cluster_upstream_rq_xx{envoy_cluster_name="shop-v1",envoy_response_code_class="5"}',
    ]
    latency = Metric(name="l", kind="latency", template="envoy")
    assert queries(latency, arm) == ['envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="shop-v1"}']
    assert metric_query(latency, "buckets", arm).unit == "ms"


@pytest.mark.parametrize(
    ("backend", "total"),
    [
        ("shop-1.42.0", 'envoy_cluster_42_0_upstream_rq_completed{envoy_cluster_name="shop-1"}'),
        ("shop:80", 'envoy_cluster_upstream_rq_completed{envoy_cluster_name="shop_80"}'),
        ("a.b-c", 'envoy_cluster_b_c_upstream_rq_completed{envoy_cluster_name="a"}'),
    ],
)
def test_envoy_renames_clusters_with_dots_and_colons(backend: str, total: str) -> None:
    arm = Arm(version="1", backend=backend)
    assert queries(Metric(name="e", kind="ratio", template="envoy"), arm)[0] == total


def test_the_template_http() -> None:
    arm = Arm(version="1.2", backend="x")
    assert queries(Metric(name="e", kind="ratio", template="http"), arm) == [
        'http_requests_total{version="1.2"}',
        'http_requests_total{version="1.2",code=~"5.."}',
    ]
    latency = Metric(name="l", kind="latency", template="http")
    assert queries(latency, arm) == ['http_request_duration_seconds_bucket{version="1.2"}']
    assert metric_query(latency, "buckets", arm).unit == "s"


def test_ones_own_selector_wins_over_the_template() -> None:
    metric = Metric(name="e", kind="ratio", template="http", events='http_requests_total{status=~"5.."}')
    assert queries(metric, ARM)[1] == 'http_requests_total{status=~"5.."}'


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"template": "caddy"}, r"metrics\.e\.template: 'caddy' is not known, known are envoy, http, haproxy"),
        ({}, r"metrics\.e\.total is missing: write a selector, or a template \(envoy, http, haproxy"),
        ({"template": "nginx"}, r"metrics\.e\.total: open nginx counts no requests by upstream: .*exporter"),
        ({"total": "rate(x[1m])"}, r"metrics\.e\.total: 'rate\(x\[1m\]\)' calls rate"),
    ],
)
def test_what_cannot_be_asked_names_field_and_mend(fields: dict[str, str], message: str) -> None:
    metric = Metric.model_validate({"name": "e", "kind": "ratio", **fields})
    with pytest.raises(ValueError, match=message):
        metric_query(metric, "total", ARM)


@pytest.mark.parametrize(
    ("template", "total", "events", "buckets", "unit"),
    [
        (
            "traefik",
            'traefik_service_requests_total{service="shop-v42@file"}',
            'traefik_service_requests_total{service="shop-v42@file",code=~"5.."}',
            'traefik_service_request_duration_seconds_bucket{service="shop-v42@file"}',
            "s",
        ),
        (
            "istio",
            'istio_requests_total{reporter="destination",destination_workload="shop-v42"}',
            'istio_requests_total{reporter="destination",destination_workload="shop-v42",response_code=~"5.."}',
            'istio_request_duration_milliseconds_bucket{reporter="destination",destination_workload="shop-v42"}',
            "ms",
        ),
        (
            "opentelemetry",
            'http_server_request_duration_seconds_count{service_version="1.42"}',
            'http_server_request_duration_seconds_count{service_version="1.42",http_response_status_code=~"5.."}',
            'http_server_request_duration_seconds_bucket{service_version="1.42"}',
            "s",
        ),
    ],
)
def test_templates_that_have_everything(template: str, total: str, events: str, buckets: str, unit: str) -> None:
    assert queries(Metric(name="e", kind="ratio", template=template), ARM) == [total, events]
    latency = Metric(name="l", kind="latency", template=template)
    assert queries(latency, ARM) == [buckets]
    assert metric_query(latency, "buckets", ARM).unit == unit


def test_the_template_haproxy_has_errors_alone() -> None:
    assert queries(Metric(name="e", kind="ratio", template="haproxy"), ARM) == [
        'haproxy_backend_http_responses_total{proxy="shop-v42"}',
        'haproxy_backend_http_responses_total{proxy="shop-v42",code="5xx"}',
    ]


def test_a_service_of_another_provider_of_traefik_keeps_its_name() -> None:
    arm = Arm(version="1", backend="shop@docker")
    total = queries(Metric(name="e", kind="ratio", template="traefik"), arm)[0]
    assert total == 'traefik_service_requests_total{service="shop@docker"}'


SPEC = {
    "service": "shop",
    "environment": "production",
    "arms": {"baseline": {"version": "1", "backend": "a"}, "canary": {"version": "2", "backend": "b"}},
    "route": {"router": "haproxy", "name": "shop", "files": ["/m/shop.map"], "sockets": ["/run/haproxy.sock"]},
    "steps": [{"weight": 10, "for": "5m"}],
    "sources": {"prometheus": {"url": "http://127.0.0.1:9090"}},
}
ERRORS = {"name": "errors", "kind": "ratio", "template": "haproxy", "max": 0.02}


def problems(*metrics: dict[str, object]) -> list[str]:
    try:
        check_spec({**SPEC, "metrics": list(metrics)})
    except SpecError as error:
        return [f"{problem.field}: {problem.message}" for problem in error.problems]
    return []


def test_what_a_template_lacks_is_refused_with_the_mend() -> None:
    errors = {"name": "errors", "kind": "ratio", "template": "haproxy", "max": 0.02}
    latency = {"name": "latency", "kind": "latency", "objective": {"under": "250ms", "share": 0.99}}
    assert problems(errors) == []
    (found,) = problems(errors, {**latency, "template": "haproxy"})
    assert found.startswith("metrics[1].template: haproxy has nothing for a latency metric: ")
    assert "no histogram" in found
    assert "template: http or opentelemetry" in found
    (found,) = problems({**errors, "template": "nginx"})
    assert found.startswith("metrics[0].template: nginx has nothing for a ratio metric: open nginx counts no requests")
    own = {"events": 'nginx_5xx{up="{arm.backend}"}', "total": 'nginx_all{up="{arm.backend}"}'}
    assert problems({**errors, "template": "nginx", **own}) == []


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_part_is_read_or_lacking_with_a_reason(template: str) -> None:
    found = TEMPLATES[template]
    for part in ("total", "events", "buckets", "values"):
        if part in found.lacks:
            assert found.lacks[part]
        else:
            assert found.select(part, ARM).matchers


@pytest.mark.parametrize(
    ("template", "kind", "wanted"),
    [
        ("alb", "ratio", "total (of RequestCount) and events (of HTTPCode_Target_5XX_Count, and TargetConnectionError"),
        ("alb", "latency", "write buckets (of TargetResponseTime) for"),
        ("lambda", "ratio", "write total (of Invocations) and events (of Errors) for"),
        ("lambda", "latency", "write buckets (of Duration) for"),
    ],
)
def test_what_cloudwatch_counts_has_no_template_and_the_keys_to_write_are_named(
    template: str, kind: str, wanted: str
) -> None:
    limit = {"max": 0.02} if kind == "ratio" else {"objective": {"under": "250ms", "share": 0.99}}
    (told,) = problems({"name": "m", "kind": kind, "template": template, **limit})
    assert f"there is no template for {template}: " in told
    assert wanted in told
    assert "docs/aws.md" in told


@pytest.mark.parametrize("kind_of", ["alb", "lambda"])
def test_cloudwatch_has_no_saturation_of_each_instance(kind_of: str) -> None:
    (told,) = problems(ERRORS, {"name": "m", "kind": "value", "template": kind_of})
    assert f"there is no template for {kind_of}: CloudWatch keeps no gauge of each instance; make an alarm" in told


@pytest.mark.parametrize(
    ("template", "backend", "gauge"),
    [
        ("envoy", "shop-v42", 'envoy_cluster_upstream_rq_pending_active{envoy_cluster_name="shop-v42"}'),
        ("envoy", "shop-1.42.0", 'envoy_cluster_42_0_upstream_rq_pending_active{envoy_cluster_name="shop-1"}'),
        ("haproxy", "shop-v42", 'haproxy_backend_current_queue{proxy="shop-v42"}'),
    ],
)
def test_saturation_is_how_many_requests_wait(template: str, backend: str, gauge: str) -> None:
    metric = Metric(name="saturation", kind="value", template=template)
    assert [str(one) for one in metric_query(metric, "values", Arm(version="1", backend=backend)).selectors] == [gauge]
    assert problems(ERRORS, {"name": "saturation", "kind": "value", "template": template, "tolerance": 2}) == []


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("http", "no gauge in common"),
        ("istio", "no queue by workload"),
        ("nginx", "no queue by upstream"),
        ("opentelemetry", "http.server.active_requests grows with an arm's share"),
        ("traefik", "queues nothing"),
    ],
)
def test_a_template_without_saturation_says_what_to_read_instead(template: str, reason: str) -> None:
    saturation: dict[str, object] = {"name": "saturation", "kind": "value", "template": template}
    (told,) = problems(ERRORS, saturation)
    assert told.startswith(f"metrics[1].template: {template} has nothing for a value metric: ")
    assert reason in told
    assert "for saturation write values: a gauge that does not grow with an arm's share" in told
    own = {"values": 'pool_in_use_ratio{version="{arm.version}"}'}
    assert problems(ERRORS, {**saturation, **own}) == []


def test_the_examples_of_saturation_on_the_page_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs/prometheus.md").read_text()
    section = page.partition("### Saturation\n")[2].partition("\n## ")[0]
    examples = [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)]
    assert len(examples) == 2
    for metrics in examples:
        assert problems(ERRORS, *metrics) == []

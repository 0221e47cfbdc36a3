"""Series selectors: what is read, what is refused with its reason, and how arms are filled in."""

from __future__ import annotations

import pytest

from coalmine.spec.canary import Arm, Metric
from coalmine.spec.selectors import Matcher, fill_selector, parse_selector
from coalmine.spec.templates import metric_query

ARM = Arm(version='1.2+"x"', backend="shop-v1")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("up", "up"),
        (" job:up:sum { } ", "job:up:sum"),
        ('x{a="b"}', 'x{a="b"}'),
        ("x{ a = 'b' , c=~\"d.*\", }", 'x{a="b",c=~"d.*"}'),
        ("x{a=`b\\d`}", 'x{a="b\\\\d"}'),
        (r'x{a="q\"q\\n\n"}', r'x{a="q\"q\\n\n"}'),
        ('{__name__="x"}', '{__name__="x"}'),
        ('{"my.metric", "label.name"!="v"}', '{"my.metric","label.name"!="v"}'),
    ],
)
def test_selectors_are_read_as_prometheus_reads_them(text: str, canonical: str) -> None:
    assert str(parse_selector(text)) == canonical
    assert parse_selector(canonical) == parse_selector(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate(x[5m])", "calls rate: write the counter alone"),
        ("sum by (a) (x)", "may not follow a selector"),
        ("x[5m]", r"a range, offset or operator may not follow"),
        ("x offset 5m", "a range, offset or operator may not follow"),
        ("x / y", "a range, offset or operator may not follow"),
        ('x{a="b"', "expected , or }"),
        ('x{a="b}', "is not closed"),
        ("x{a=b}", "must be in quotes"),
        ('x{a>"b"}', "expected =, !=, =~ or !~"),
        ('x{1a="b"}', "expected a label name"),
        (r'x{a="\d"}', r"unknown escape \\d"),
        ("", "names no metric"),
        ('{a!="b"}', "names no metric"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_selector(text)


def test_arms_are_filled_in_literally() -> None:
    selector = parse_selector('x{v="{arm.version}",b=~"{arm.backend}-.*|{arm.version}"}')
    filled = fill_selector(selector, ARM)
    assert filled.matchers == (
        Matcher("v", "=", '1.2+"x"'),
        Matcher("b", "=~", 'shop-v1-.*|1\\.2\\+"x"'),
    )
    assert filled.accepts({"__name__": "x", "v": '1.2+"x"', "b": "shop-v1-a"})
    assert not filled.accepts({"__name__": "x", "v": '1.2+"x"', "b": '122"x"'})
    assert str(filled) == 'x{v="1.2+\\"x\\"",b=~"shop-v1-.*|1\\\\.2\\\\+\\"x\\""}'


def test_counts_in_regular_expressions_are_no_placeholders() -> None:
    assert fill_selector(parse_selector('x{code=~"5[0-9]{2}"}'), ARM).matchers[0].value == "5[0-9]{2}"


def test_an_unknown_placeholder_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'{arm.name}' .* use {arm.version}, {arm.backend}"):
        fill_selector(parse_selector('x{v="{arm.name}"}'), ARM)


@pytest.mark.parametrize(
    ("operator", "value", "accepted"),
    [
        ("=", "", True),
        ("=", "a", False),
        ("!=", "a", True),
        ("=~", "a|", True),
        ("=~", "a+", False),
        ("!~", "a+", True),
    ],
)
def test_an_absent_label_is_the_empty_text(operator: str, value: str, accepted: bool) -> None:
    assert Matcher("l", operator, value).accepts({}) is accepted


# ------------------------------------------------------------------------------------------------ templates


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
        ({"template": "nginx"}, r"metrics\.e\.template: 'nginx' is not known, known are envoy, http"),
        ({}, r"metrics\.e\.total is missing: write a selector, or a template \(envoy, http\)"),
        ({"total": "rate(x[1m])"}, r"metrics\.e\.total: 'rate\(x\[1m\]\)' calls rate"),
    ],
)
def test_what_cannot_be_asked_names_field_and_mend(fields: dict[str, str], message: str) -> None:
    metric = Metric.model_validate({"name": "e", "kind": "ratio", **fields})
    with pytest.raises(ValueError, match=message):
        metric_query(metric, "total", ARM)

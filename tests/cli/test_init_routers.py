"""``coalmine init`` for each router: what it needs, whose metrics it reads, and a spec that ``validate`` takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.cli._first_route import PLANES
from coalmine.spec import parse_spec
from coalmine.spec.routes import ROUTE_OPTIONS
from coalmine.testing.fake_prometheus import FakePrometheus
from tests.cli.terminal import typed

SELECTORS = ["--total", 'http_requests_total{variant="{arm.backend}"}',
             "--errors", 'http_requests_total{variant="{arm.backend}",code="500"}']  # fmt: skip
KEYS: dict[str, list[str]] = {
    "envoy": ["--route-file", "/etc/envoy/checkout.yaml", "--admin", "http://127.0.0.1:9901"],
    "envoy-xds": ["--control", "http://127.0.0.1:8019"],
    "haproxy": ["--route-file", "/etc/haproxy/maps/shop.map", "--socket", "/run/haproxy/admin.sock"],
    "nginx": ["--route-file", "/etc/nginx/coalmine/checkout.conf", "--status", "http://127.0.0.1:8081/coalmine/checkout",
              "--status", "http://127.0.0.1:8082/coalmine/checkout"],
    "traefik": ["--route-file", "/etc/traefik/dynamic/checkout.yml", "--api", "http://127.0.0.1:8080"],
    "aws-alb": ["--place", "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/50dc6c/f2/96",
                "--fence-table", "coalmine-fences"],
    "aws-lambda": ["--alias", "live", "--baseline", "1.41.0=41", "--canary", "1.42.0=42"],
    "aws-route53": ["--route", "checkout.shop.example", "--zone", "Z0123456789ABC", "--fence-table", "coalmine-fences"],
    "flagd": ["--route", "new-checkout", "--place", "/etc/flags/shop.json", *SELECTORS],
    "kubernetes-gateway": ["--namespace", "shop"],
    "kubernetes-istio": ["--namespace", "shop"],
    "kubernetes-replicas": ["--namespace", "shop", "--replicas", "20"],
}  # fmt: skip
OWN = {
    "envoy": ("envoy_cluster_upstream_rq_completed", "envoy_cluster_name", ""),
    "haproxy": ("haproxy_backend_http_responses_total", "proxy", ""),
    "traefik": ("traefik_service_requests_total", "service", "@file"),
}
REFUSED = ("temporal-worker",)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrometheus]:
    """A Prometheus without a series; no terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COALMINE_ENVIRONMENT", raising=False)
    with FakePrometheus() as server:
        yield server


def _http(store: FakePrometheus) -> None:
    for version in ("1.41.0", "1.42.0"):
        store.add("http_requests_total", {"version": version, "code": "200"}, [(0, 1)])
        store.add("http_request_duration_seconds_bucket", {"version": version, "le": "0.25"}, [(0, 1)])


def _own(store: FakePrometheus, template: str) -> None:
    name, label, provider = OWN[template]
    for backend in ("checkout-v41", "checkout-v42"):
        store.add(name, {label: backend + provider}, [(0, 1)])


def _words(store: FakePrometheus, router: str, *more: str) -> list[str]:
    return [
        "init", "x.yaml", "--router", router, "--prometheus", store.url, "--service", "checkout", "-e", "production",
        "--baseline", "1.41.0=checkout-v41", "--canary", "1.42.0=checkout-v42", *KEYS.get(router, []), *more,
    ]  # fmt: skip


def test_every_router_is_written_or_refused_by_name() -> None:
    assert sorted([*PLANES, *REFUSED]) == sorted(ROUTE_OPTIONS)
    assert sorted(KEYS) == sorted(PLANES)


@pytest.mark.parametrize("router", KEYS)
def test_the_spec_of_each_router_is_valid_and_reads_what_the_service_counts(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], router: str
) -> None:
    _http(store)
    assert main(_words(store, router)) == 0, capsys.readouterr().err
    assert main(["validate", "x.yaml"]) == 0
    spec = parse_spec(Path("x.yaml").read_text())
    assert spec.route.router == router
    names = {"haproxy": "shop", "aws-route53": "checkout.shop.example", "flagd": "new-checkout"}
    assert spec.route.name == names.get(router, "checkout")
    errors = None if router == "flagd" else "http"
    assert (spec.metrics[0].kind, spec.metrics[0].template) == ("ratio", errors)
    assert len(spec.metrics) == (1 if router == "flagd" else 2)
    given = dict(zip(KEYS[router][::2], KEYS[router][1::2], strict=True))
    assert all(given[key.flag] in str(spec.route.options[key.name]) for key in PLANES[router].keys)
    assert [step.weight for step in spec.steps] == ([5, 10, 25, 50] if "replicas" in router else [1, 10, 25, 50])


@pytest.mark.parametrize(
    ("router", "kinds"),
    [("envoy-xds", ["ratio"]), ("haproxy", ["ratio"]), ("traefik", ["ratio"])],
)
def test_a_proxy_is_read_by_its_own_metrics_where_they_are_there(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], router: str, kinds: list[str]
) -> None:
    template = PLANES[router].template
    _own(store, template)
    assert main(_words(store, router)) == 0, capsys.readouterr().err
    assert main(["validate", "x.yaml"]) == 0
    spec = parse_spec(Path("x.yaml").read_text())
    assert [(metric.kind, metric.template) for metric in spec.metrics] == [(kind, template) for kind in kinds]
    # Traefik's label has the provider, which a spec leaves out for files.
    assert f"found: {OWN[template][0]}: checkout-v41, checkout-v42" in capsys.readouterr().err


def test_of_a_proxy_without_a_histogram_the_services_own_is_read(store: FakePrometheus) -> None:
    _own(store, "haproxy")
    _http(store)
    assert main(_words(store, "haproxy")) == 0
    spec = parse_spec(Path("x.yaml").read_text())
    assert [(metric.kind, metric.template) for metric in spec.metrics] == [("ratio", "haproxy"), ("latency", "http")]


@pytest.mark.parametrize("router", KEYS)
def test_the_flag_that_is_missing_is_named(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], router: str
) -> None:
    _http(store)
    words = _words(store, router)
    for key in PLANES[router].keys:
        left = [word for at, word in enumerate(words) if key.flag not in (word, words[at - 1])]
        assert main(left) == 2
        assert capsys.readouterr().err.startswith(f"error: {key.flag} is missing, and there is no terminal to ask at")
    assert not Path("x.yaml").exists()


def test_a_flags_arms_are_one_program_whose_version_tells_nothing(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _http(store)
    words = [word for word in _words(store, "flagd") if word not in SELECTORS]
    assert main(words) == 2
    assert 'such as my_requests_total{variant="{arm.backend}"}\n' in capsys.readouterr().err
    assert main([*words, "--template", "http"]) == 2
    assert "'http' cannot be read of flagd: write selectors" in capsys.readouterr().err


@pytest.mark.parametrize("router", ["nginx", "kubernetes-gateway"])
def test_without_metrics_the_selectors_are_asked_for_and_none_is_made_up(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], router: str
) -> None:
    assert main(_words(store, router)) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --total is missing")
    assert f"{store.url} has no http_requests_total with the label version" in told
    total, errors = 'served{pool="{arm.backend}"}', """served{pool="{arm.backend}",ok='no'}"""
    assert main(_words(store, router, "--total", total)) == 2
    assert capsys.readouterr().err.startswith("error: --errors is missing")
    assert main(_words(store, router, "--total", total, "--errors", errors)) == 0, capsys.readouterr().err
    assert main(["validate", "x.yaml"]) == 0
    [metric] = parse_spec(Path("x.yaml").read_text()).metrics
    assert (metric.total, metric.events, metric.template) == (total, errors, None)


@pytest.mark.parametrize(
    ("router", "words", "said"),
    [
        ("haproxy", ["--admin", "http://127.0.0.1:9901"], "--admin: it is of envoy, and the router is haproxy, which"),
        ("kubernetes-istio", ["--replicas", "3"], "--replicas: it is of kubernetes-replicas, and the router is kuber"),
        ("haproxy", ["--template", "envoy"], "'envoy' cannot be read of haproxy: take haproxy, or take http, or write"),
        ("nginx", ["--template", "http", "--total", "x"], "--template: --total and --errors say what is read"),
        ("kubernetes-replicas", ["--replicas", "many"], "--replicas: 'many' is no number of pods"),
        ("kubernetes-replicas", ["--replicas", "7"], "7 pods make steps finer than 0.01 %"),
        ("kubernetes-replicas", ["--steps", "1,50"], "1 is no weight kubernetes-replicas can give"),
        ("haproxy", ["--route", "other"], "is not the map of route 'other'"),
        ("nginx", ["--service", "check-out"], "--route is missing"),
        ("kubernetes-istio", ["--place", "x.json"], "--place: it is of aws-alb, flagd, and the router is kubernetes-i"),
        ("envoyy", [], "'envoyy' is no router: did you mean 'envoy'?"),
        *((router, [], f"init writes no spec for {router}: what its route and its metrics need") for router in REFUSED),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], router: str, words: list[str], said: str
) -> None:
    _http(store)
    assert main(_words(store, router, *words)) == 2
    told = capsys.readouterr().err
    assert said in told
    assert not Path("x.yaml").exists()
    if router in REFUSED:
        page = told.partition("docs/")[2].partition(",")[0]
        assert f"router: {router}" in (Path(__file__).parents[2] / "docs" / page).read_text()


async def test_at_a_terminal_it_asks_for_what_the_router_needs(store: FakePrometheus, tmp_path: Path) -> None:
    _own(store, "haproxy")
    flags = ["--prometheus", store.url, "--service", "checkout", "-e", "production", "--router", "haproxy"]
    answers = {
        "which metrics": "",
        "name of the route": "shop",
        "map files": "/etc/haproxy/maps/shop.map",
        "stats sockets": "/run/haproxy/a.sock, 10.0.0.2:9999",
        "version that is live": "1.41.0",
        "backend that is live": "checkout-v41",
        "version to release": "1.42.0",
        "backend to release": "checkout-v42",
    }
    shown, code = await typed(["init", *flags], answers)
    assert code == 0, shown
    spec = parse_spec((tmp_path / "checkout.yaml").read_text())
    assert spec.route.options["sockets"] == ["/run/haproxy/a.sock", "10.0.0.2:9999"]

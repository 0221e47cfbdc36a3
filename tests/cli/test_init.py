"""``coalmine init``: what it finds, what it asks, what it refuses, and the spec it writes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.local.prometheus import PrometheusServer, ScrapeJob
from coalmine.spec import parse_spec
from coalmine.testing.fake_prometheus import FakePrometheus
from tests.cli.terminal import typed
from tests.sources.conftest import Exporter

ROUTE = """resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: checkout
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - match: {prefix: "/"}
      route:
        weighted_clusters:
          clusters:
          - {name: checkout-v1, weight: 10000}
          - {name: checkout-v2, weight: 0}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrometheus]:
    """A Prometheus without a series, and a route file with two backends; no terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COALMINE_ENVIRONMENT", raising=False)
    (tmp_path / "route.yaml").write_text(ROUTE)
    with FakePrometheus() as server:
        yield server


def _envoy(store: FakePrometheus, *clusters: str) -> None:
    now = round(time.time() * 1000)
    moments = [now - 1000 * second for second in range(3600, 0, -15)]
    for cluster in clusters:
        labels = {"envoy_cluster_name": cluster}
        rising: list[tuple[int, float | str]] = [(at, float(count * 1500)) for count, at in enumerate(moments)]
        store.add("envoy_cluster_upstream_rq_completed", labels, rising)
        failed: list[tuple[int, float | str]] = [(at, float(count * 3)) for count, at in enumerate(moments)]
        store.add("envoy_cluster_upstream_rq_xx", {**labels, "envoy_response_code_class": "5"}, failed)
        for bound, share in (("100", 0.9), ("250", 0.995), ("+Inf", 1.0)):
            counted: list[tuple[int, float | str]] = [
                (at, float(round(count * 1500 * share))) for count, at in enumerate(moments)
            ]
            store.add("envoy_cluster_upstream_rq_time_bucket", {**labels, "le": bound}, counted)


def _flags(store: FakePrometheus, *more: str) -> list[str]:
    return [
        "init", "--prometheus", store.url, "--service", "checkout", "-e", "production", "--baseline", "1.41.0",
        "--canary", "1.42.0", "--route-file", "route.yaml", "--admin", "http://127.0.0.1:9901", *more,
    ]  # fmt: skip


def test_flags_and_what_is_found_are_a_spec_and_a_plan(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _envoy(store, "checkout-v1", "checkout-v2", "cart-v9")
    assert main(_flags(store, "--approver", "ana@example.org")) == 0
    printed = capsys.readouterr()
    text = Path("checkout.yaml").read_text()
    spec = parse_spec(text)
    assert (spec.arms.baseline.backend, spec.arms.canary.backend) == ("checkout-v1", "checkout-v2")
    assert [(metric.name, metric.template) for metric in spec.metrics] == [("errors", "envoy"), ("latency", "envoy")]
    assert [step.weight for step in spec.steps] == [1, 10, 25, 50]
    assert spec.steps[-1].gate is not None
    assert spec.people == {"release": ["ana@example.org"]}
    assert "# " in text
    assert "found: route checkout: checkout-v1 100 %, checkout-v2 0 %" in printed.err
    assert "wrote checkout.yaml" in printed.err
    # The plan is that of what is live now: 1,500 requests every 15 s.
    assert "all traffic after" in printed.out
    assert "forecast at 99." in printed.out


def test_it_is_scriptable_as_json(store: FakePrometheus, capsys: pytest.CaptureFixture[str]) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    assert (
        main(_flags(store, "x.yaml", "-o", "json", "--steps", "5,50", "--max-errors", "3%", "--objective", "1s=95%"))
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["service"]) == ("x.yaml", "checkout")
    assert [step["weight"] for step in told["plan"]["steps"]] == [5, 50]
    assert told["plan"]["forecast"]
    spec = parse_spec(Path("x.yaml").read_text())
    assert spec.metrics[0].max == 0.03


def test_a_service_with_metrics_of_its_own_is_told_apart_from_others(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, version in (("checkout", "1.41.0"), ("checkout", "1.42.0"), ("cart", "9")):
        store.add("http_requests_total", {"job": job, "version": version, "status": "200"}, [(0, 1)])
    assert main(_flags(store)) == 0
    spec = parse_spec(Path("checkout.yaml").read_text())
    assert [metric.total for metric in spec.metrics] == ['http_requests_total{job="checkout", version="{arm.version}"}']
    assert spec.metrics[0].events == 'http_requests_total{job="checkout", version="{arm.version}", status=~"5.."}'
    assert "No histogram of times was found" in Path("checkout.yaml").read_text()
    # Nothing can be measured of it: the plan goes without.
    printed = capsys.readouterr()
    assert "no forecast: errors says nothing of 1.41.0" in printed.err
    assert "all traffic after" in printed.out


def _own(store: FakePrometheus, *jobs: tuple[str, str]) -> None:
    for job, version in jobs:
        store.add("http_requests_total", {"job": job, "version": version, "code": "200"}, [(0, 1)])


def test_whose_the_series_are_is_not_guessed_where_no_label_is_the_services_name(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(store, ("checkout-v1", "1.41.0"), ("checkout-v2", "1.42.0"), ("cart", "9"))
    assert main(_flags(store)) == 2
    said = capsys.readouterr().err
    assert "--series is missing" in said
    assert "no label of http_requests_total is 'checkout'" in said
    assert '(job="checkout-v1", job="checkout-v2", job="cart")' in said
    assert not Path("checkout.yaml").exists()
    assert main(_flags(store, "--series", '{job=~"checkout-.*",}')) == 0
    spec = parse_spec(Path("checkout.yaml").read_text())
    assert spec.metrics[0].total == 'http_requests_total{job=~"checkout-.*", version="{arm.version}"}'
    assert main(_flags(store, "--force", "--series", "all")) == 0
    assert parse_spec(Path("checkout.yaml").read_text()).metrics[0].template == "http"


def test_a_job_of_the_services_name_is_not_believed_where_another_has_the_live_version(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(store, ("checkout", "1.42.0"), ("checkout-stable", "1.41.0"))
    assert main(_flags(store)) == 2
    said = capsys.readouterr().err
    assert "http_requests_total with job='checkout' has no version 1.41.0, which other series have" in said
    assert main(_flags(store, "--series", "job=checkout")) == 0
    spec = parse_spec(Path("checkout.yaml").read_text())
    assert spec.metrics[0].total == 'http_requests_total{job="checkout", version="{arm.version}"}'
    # A version that nobody has does not run yet.
    assert main(_flags(store, "--force", "--baseline", "1.40.0")) == 0


def test_the_only_service_in_the_store_is_not_taken_for_this_one_without_its_live_version(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _own(store, ("cart", "9"))
    assert main(_flags(store)) == 2
    said = capsys.readouterr().err
    assert "no label of http_requests_total is 'checkout', and none has version 1.41.0" in said
    assert '(job="cart")' in said
    assert main(_flags(store, "--series", "all")) == 0
    assert main(_flags(store, "--force", "--baseline", "9")) == 0


@pytest.mark.parametrize("given", ["", "{}", "job=", 'job="a', "rate(job)"])
def test_matchers_that_are_none_are_told(store: FakePrometheus, capsys: pytest.CaptureFixture[str], given: str) -> None:
    _own(store, ("checkout", "1.41.0"), ("cart", "9"))
    assert main(_flags(store, "--series", given)) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --series: {given!r}")
    assert said.rstrip().endswith("'all'")


@pytest.mark.parametrize("given", ["version=1.41.0", 'job="checkout", version=~"1.*"', '__name__="other"'])
def test_matchers_that_the_selectors_have_already_are_told(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    _own(store, ("checkout", "1.41.0"), ("cart", "9"))
    assert main(_flags(store, "--series", given)) == 2
    assert f"--series: {given!r}: " in capsys.readouterr().err
    assert not Path("checkout.yaml").exists()


@pytest.mark.parametrize("read", [["--template", "envoy"], ["--total", "a_total", "--errors", "b_total"]])
def test_matchers_that_nothing_would_read_are_told(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], read: list[str]
) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    assert main(_flags(store, *read, "--series", "job=checkout")) == 2
    assert "--series: it is of http_requests_total, and what is read is " in capsys.readouterr().err
    assert not Path("checkout.yaml").exists()


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("--prometheus", "--prometheus is missing, and there is no terminal to ask at"),
        ("--service", "--service is missing"),
        ("-e", "--environment is missing"),
        ("--baseline", "--baseline is missing"),
        ("--canary", "--canary is missing"),
        ("--route-file", "--route-file is missing"),
        ("--admin", "--admin is missing"),
    ],
)
def test_without_a_terminal_the_flag_that_is_missing_is_named(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], left_out: str, said: str
) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    words = _flags(store)
    at = words.index(left_out)
    assert main([*words[:at], *words[at + 2 :]]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {said}")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["route.yaml"]


def test_a_backend_that_nothing_tells_is_asked_for_by_its_flag(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str]
) -> None:
    _envoy(store, "checkout-v1", "checkout-v2", "cart-v9")
    Path("route.yaml").unlink()
    assert main(_flags(store)) == 2
    said = capsys.readouterr().err
    assert "--baseline VERSION=BACKEND is missing" in said
    assert "(checkout-v1, checkout-v2)" in said


def test_nothing_is_overwritten_without_force(store: FakePrometheus, capsys: pytest.CaptureFixture[str]) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    Path("checkout.yaml").write_text("mine")
    assert main(_flags(store)) == 2
    assert "checkout.yaml is there already" in capsys.readouterr().err
    assert Path("checkout.yaml").read_text() == "mine"
    assert main(_flags(store, "--force")) == 0
    assert parse_spec(Path("checkout.yaml").read_text()).service == "checkout"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "50,10"], "'50,10' are no steps"),
        (["--max-errors", "200%"], "'200%' is no share"),
        (["--objective", "250ms"], "'250ms' is not TIME=SHARE"),
        (["--baseline", "1.42.0"], "both arms have the version"),
        (["--admin", "nowhere"], "is not a URL"),
        (["--prometheus", "http://127.0.0.1:9"], "is unreachable"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    assert main(_flags(store, *words)) != 0
    assert said in capsys.readouterr().err
    assert not Path("checkout.yaml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--prometheus", "http://[::1"], "--prometheus: 'http://[::1' is not a URL: write http:// or https://"),
        (["--prometheus", "file:///etc/passwd"], "--prometheus: 'file:///etc/passwd' is not a URL: write http://"),
        (["--prometheus", "localhost:9090"], "--prometheus: 'localhost:9090' is not a URL"),
        (["--prometheus", "http://[:::]:9"], "--prometheus: 'http://[:::]:9' has no host that can be: write a name"),
        (["--prometheus", "http://[1.2]"], "--prometheus: 'http://[1.2]' has no host that can be"),
        (["--prometheus", "http://a..b"], "--prometheus: 'http://a..b' has no host that can be"),
        (["--prometheus", f"http://{'a' * 64}.example"], "has no host that can be"),
        (["--prometheus", "http://h:99999"], "--prometheus: 'http://h:99999' has a wrong port"),
        (["--prometheus", "http://ana:secret@h"], "has a user or password in it"),
        (["--scrape", "soon"], "--scrape: 'soon': "),
    ],
)
def test_a_place_that_cannot_be_is_bad_usage(
    store: FakePrometheus, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(_flags(store, *words)) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "internal error" not in told
    assert "ana:secret" not in told


def test_a_store_without_metrics_of_requests_says_so(store: FakePrometheus, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_flags(store)) == 2
    assert "has neither envoy_cluster_upstream_rq_completed nor http_requests_total" in capsys.readouterr().err
    assert main(_flags(store, "--template", "envoy")) == 0
    assert len(parse_spec(Path("checkout.yaml").read_text()).metrics) == 2


async def test_at_a_terminal_it_asks_for_what_no_flag_says(store: FakePrometheus, tmp_path: Path) -> None:
    _envoy(store, "checkout-v1", "checkout-v2")
    answers = {
        "URL of the Prometheus": store.url,
        "name of the service": "checkout",
        "environment": "staging",
        "which metrics": "",
        "name of the route": "",
        "route files": "route.yaml",
        "admin addresses": "http://127.0.0.1:9901",
        "version that is live": "1.41.0",
        "backend that is live": "",
        "version to release": "1.42.0",
        "backend to release": "",
    }
    shown, code = await typed(["init"], answers)
    assert code == 0, shown
    assert "backend that is live (checkout-v1, checkout-v2) [checkout-v1]: " in shown
    spec = parse_spec((tmp_path / "checkout.yaml").read_text())
    assert (spec.environment, spec.arms.canary.version, spec.arms.canary.backend) == (
        "staging",
        "1.42.0",
        "checkout-v2",
    )


async def test_a_real_prometheus_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "route.yaml").write_text(ROUTE)
    exporter = Exporter()
    try:
        clusters = ("checkout-v1", "checkout-v2")
        family = "envoy_cluster_upstream_rq_completed"
        exporter.text = "".join(f'{family}{{envoy_cluster_name="{one}"}} 10\n' for one in clusters)
        async with PrometheusServer(
            tmp_path / "prometheus", [ScrapeJob("envoy", [exporter.target])], scrape=0.2
        ) as real:
            words = [
                "init",
                "--prometheus",
                real.url,
                "--service",
                "checkout",
                "-e",
                "production",
                "--baseline",
                "1.41.0",
            ]
            words += ["--canary", "1.42.0", "--route-file", "route.yaml", "--admin", "http://127.0.0.1:9901"]
            async with asyncio.timeout(90):
                # Until it has scraped for the first time there is nothing to find.
                while await asyncio.to_thread(main, words) == 2:
                    assert "has neither" in capsys.readouterr().err
                    await asyncio.sleep(0.2)
    finally:
        exporter.stop()
    assert "found: envoy_cluster_upstream_rq_completed: checkout-v1, checkout-v2" in capsys.readouterr().err
    assert parse_spec((tmp_path / "checkout.yaml").read_text()).arms.canary.backend == "checkout-v2"

"""What ``coalmine doctor SPEC`` says of a route and of metrics: a real Envoy, and a metric store with known samples."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coalmine.cli import main
from coalmine.local.envoy import EnvoyProxy, route_response
from coalmine.testing.fake_prometheus import FakePrometheus

SPEC = """\
service: checkout
environment: production
arms:
  baseline: {version: 1.41.0, backend: stable}
  canary: {version: 1.42.0, backend: canary}
route: {router: envoy, name: shop, files: [%(file)s], admins: ["%(admin)s"]}
steps: [{weight: 10, for: 5m}]
metrics:
  - {name: errors, kind: ratio, template: envoy, role: guardrail, margin: 1.1, max: 0.02}
sources: {prometheus: {url: "%(store)s", scrape: 15s, flush: 1s}}
"""


@dataclass
class Clinic:
    """A spec, its Envoy and its store."""

    proxy: EnvoyProxy
    store: FakePrometheus
    file: Path
    spec: Path

    def count(self, cluster: str, per_second: float, since: float, until: float) -> None:
        """Let the cluster complete requests between so many seconds ago, scraped every 15 s."""
        now = int(time.time())
        moments = range(now - int(since), now - int(until) + 1, 15)
        samples = [(moment * 1000, per_second * (moment - moments[0])) for moment in moments]
        labels = {"envoy_cluster_name": cluster, "instance": "edge-1", "job": "envoy"}
        self.store.add("envoy_cluster_upstream_rq_completed", labels, samples)

    async def doctor(self, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        """The answer as JSON."""
        code = await asyncio.to_thread(main, ["doctor", str(self.spec), "-o", "json"])
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert told["exit"] == code == 1, "there is no Temporal here"
        return told


@pytest.fixture
def store() -> Iterator[FakePrometheus]:
    with FakePrometheus() as fake:
        yield fake


@pytest.fixture
async def clinic(tmp_path: Path, store: FakePrometheus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clinic]:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    file, spec = tmp_path / "route.json", tmp_path / "checkout.yaml"
    file.write_text(json.dumps(route_response("shop", {"stable": 100, "canary": 0})))
    nobody = dict.fromkeys(("stable", "canary"), ("127.0.0.1:9",))
    async with EnvoyProxy(tmp_path / "edge", file, nobody) as proxy:
        spec.write_text(SPEC % {"file": file, "admin": proxy.admin_url, "store": store.url})
        yield Clinic(proxy, store, file, spec)


def levels(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {finding["name"]: (finding["level"], finding["detail"]) for finding in told["findings"]}


async def test_a_sound_spec_says_what_is_there_and_writes_nothing(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic.count("stable", 40, since=400, until=0)
    clinic.count("canary", 4, since=400, until=0)
    before = clinic.file.read_text()
    told = await clinic.doctor(capsys)
    route, data = told["spec"]["route"], told["spec"]["metrics"]
    assert (route["reached"], route["read"], route["written"]) == (True, True, True)
    assert (route["weights"], route["generation"], route["proxies"]) == ({"stable": 100.0, "canary": 0.0}, 0, 1)
    assert [(one["arm"], one["now"], one["requests_per_second"]) for one in data] == [
        ("baseline", True, pytest.approx(40, rel=0.15)), ("canary", True, pytest.approx(4, rel=0.15)),
    ]  # fmt: skip
    assert all(16 <= one["age"] < 60 for one in data)
    assert told["spec"]["arms"]["baseline"]["requests_per_second"] == data[0]["requests_per_second"]
    found = levels(told)
    assert {found[name][0] for name in ("route reach", "route read", "route write", "errors: baseline")} == {"ok"}
    assert "dry run" in found["route write"][1]
    assert clinic.file.read_text() == before


async def test_what_is_missing_is_said_with_its_age(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.count("stable", 40, since=2_000, until=700)
    told = await clinic.doctor(capsys)
    baseline, canary = told["spec"]["metrics"]
    assert (baseline["now"], canary["now"], canary["age"]) == (False, False, None)
    assert 700 < baseline["age"] < 1_000
    found = levels(told)
    assert found["errors: baseline"][0] == "error"
    assert "it had some" in found["errors: baseline"][1]
    assert found["errors: canary"][0] == "warning"
    assert found["traffic of the baseline"] == ("warning", "no metric counts its requests now")


async def test_an_arm_without_data_is_called_by_its_own_name(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    found = levels(await clinic.doctor(capsys))
    series = 'envoy_cluster_upstream_rq_completed{envoy_cluster_name="%s"}'
    for arm, cluster in (("baseline", "stable"), ("canary", "canary")):
        said = found[f"errors: {arm}"][1]
        assert said.startswith(f"no data: empty: the {arm} has no series for {series % cluster}"), said


async def test_a_route_that_cannot_be_written_or_reached(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.spec.write_text(clinic.spec.read_text().replace("backend: canary", "backend: films"))
    told = await clinic.doctor(capsys)
    assert (told["spec"]["route"]["read"], told["spec"]["route"]["written"]) == (True, False)
    assert "'films'" in levels(told)["route write"][1]
    await clinic.proxy.stop()
    told = await clinic.doctor(capsys)
    assert told["spec"]["route"]["reached"] is False
    assert levels(told)["route reach"][0] == "error"


async def test_in_words(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.count("stable", 40, since=400, until=0)
    assert await asyncio.to_thread(main, ["doctor", str(clinic.spec)]) == 1
    out = capsys.readouterr().out
    assert "stable 100 %" in out
    assert "requests/s" in out
    assert "natural before its first request" in out

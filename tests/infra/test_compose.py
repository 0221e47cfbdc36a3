"""The compose file: valid by the Compose schema, and what it mounts, wires and names is there. Nobody runs it here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from coalmine.telemetry.starting import endpoint
from coalmine.worker_settings import WorkerSettings

FOLDER = Path(__file__).parents[2] / "infra" / "compose"


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def compose() -> Any:
    return read(FOLDER / "compose.yaml")


def test_it_is_valid_by_the_schema_of_compose() -> None:
    check = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    ran = subprocess.run([*check, str(FOLDER / "compose.yaml")], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_it_mounts_is_there(compose: Any) -> None:
    mounts = [one for service in compose["services"].values() for one in service.get("volumes", [])]
    own = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(own) == 5
    assert [path for path in own if not (FOLDER / path).exists()] == []
    named = {mount.split(":")[0] for mount in mounts if mount[0].isalpha()}
    assert named == set(compose["volumes"])


def test_the_worker_is_built_from_what_is_there(compose: Any) -> None:
    build = compose["services"]["worker"]["build"]
    lines = [line.split() for line in build["dockerfile_inline"].splitlines() if line.startswith("COPY")]
    copied = [name for line in lines for name in line[1:-1]]
    assert {"coalmine", "workflows", "activities", "worker.py"} <= set(copied)
    assert [name for name in copied if not (FOLDER / build["context"] / name).exists()] == []


def test_images_have_versions_and_no_host(compose: Any) -> None:
    images = [service["image"] for service in compose["services"].values() if "image" in service]
    assert [image for image in images if image.endswith(":latest") or ":" not in image] == []
    assert [image for image in images if "." in image.split("/")[0].split(":")[0]] == []


def test_every_port_is_on_loopback(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_worker_understands_its_settings(compose: Any) -> None:
    services = compose["services"]
    environ = services["worker"]["environment"]
    settings = WorkerSettings.of(environ)
    scraped = read(FOLDER / "prometheus" / "prometheus.yaml")["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    assert settings.metrics_address == "0.0.0.0:9464"
    assert targets["coalmine-worker"] == ["worker:9464"]
    assert endpoint(environ) == "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
    assert environ["TEMPORAL_ADDRESS"].split(":")[0] in services


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus" / "prometheus.yaml").read_text()
    rules = FOLDER.parent / "prometheus" / "coalmine.rules.yaml"
    (tmp_path / "prometheus.yaml").write_text(text.replace("/etc/prometheus/coalmine.rules.yaml", str(rules)))
    ran = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yaml")], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "10 rules found" in ran.stdout


def test_the_collector_uses_what_it_defines(compose: Any) -> None:
    collector = read(FOLDER / "otel" / "collector.yaml")
    pipeline = collector["service"]["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(collector[kind])
    assert pipeline["processors"][0] == "memory_limiter"
    assert collector["exporters"]["otlp/jaeger"]["endpoint"].split(":")[0] in compose["services"]


def test_grafana_finds_its_sources_and_dashboards(compose: Any) -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    sources = read(provisioning / "datasources" / "sources.yaml")["datasources"]
    assert all(source["url"].split("//")[1].split(":")[0] in compose["services"] for source in sources)
    (provider,) = read(provisioning / "dashboards" / "coalmine.yaml")["providers"]
    inside = {mount.split(":")[1]: mount.split(":")[0] for mount in compose["services"]["grafana"]["volumes"]}
    assert sorted(path.name for path in (FOLDER / inside[provider["options"]["path"]]).glob("*.json"))

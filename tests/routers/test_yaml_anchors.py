"""YAML that says once what stands in several places: a write moves its own route, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.routers.envoy_document import RouteDocument
from activities.routers.route_files import RouteFiles
from activities.routers.traefik_document import TraefikDocument
from coalmine.errors import RouteRejected

UNITS = {"stable": 9_000, "canary": 1_000}
ENTRY = "match: {prefix: /}, route: {cluster: stable}"
LIST = "{weighted_clusters: {clusters: [{name: stable, weight: 1}]}}"


def traefik(shop: str, store: str) -> str:
    return f"http:\n  services:\n    shop:\n      weighted: {shop}\n    store:\n      weighted: {store}\n"


def envoy(shop: str, store: str) -> str:
    kind = '"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration'
    routes = "".join(
        f"  - {kind}\n    name: {name}\n    virtual_hosts: [{host}]\n"
        for name, host in (("shop", shop), ("store", store))
    )
    return f'version_info: "0"\nresources:\n{routes}'


def host(route: str) -> str:
    return f"{{name: all, domains: ['*'], routes: [{route}]}}"


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".yml", traefik("{services: &arms [{name: stable, weight: 100}]}", "{services: *arms}")),
        (".yml", traefik("&arms {services: [{name: stable, weight: 100}]}", "*arms")),
        (".yml", traefik("&arms {services: [{name: stable, weight: 100}]}", "{<<: *arms, sticky: {cookie: {}}}")),
        (".yml", traefik("{services: [&one {name: stable, weight: 100}]}", "{services: [*one]}")),
        (".yaml", envoy(f"&host {host(f'{{{ENTRY}}}')}", "*host")),
        (".yaml", envoy(host(f"&entry {{{ENTRY}}}"), host("*entry"))),
        (".yaml", envoy(host(f"&entry {{{ENTRY}}}"), host("{<<: *entry, name: all}"))),
        (".yaml", envoy(host(f"{{match: {{prefix: /}}, route: &act {LIST}}}"), host("{match: {}, route: *act}"))),
    ],
)
def test_weights_that_stand_elsewhere_too_are_refused_before_anything_is_written(
    ending: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / f"shop{ending}"
    path.write_text(text)
    files = RouteFiles(TraefikDocument if ending == ".yml" else RouteDocument)
    for name in ("shop", "store"):
        told = f"what shares the traffic of '{name}' is used elsewhere in the file too, by a YAML anchor"
        assert told in files.rehearse([str(path)], name, UNITS)[str(path)]
        failed = files.write([str(path)], name, UNITS, 1).failed[str(path)]
        assert isinstance(failed, RouteRejected)
        assert told in str(failed)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".yml", traefik("{services: [{name: stable, weight: &w 5}]}", "{services: [{name: stable, weight: *w}]}")),
        (
            ".yaml",
            envoy(
                host("{match: &all {prefix: /}, route: {cluster: stable, retry_policy: &retry {num_retries: 2}}}"),
                host("{match: *all, route: {cluster: stable, retry_policy: *retry}}"),
            ),
        ),
        (
            ".yaml",
            envoy(
                host(f"{{match: {{prefix: /a}}, route: &act {LIST}}}, {{match: {{prefix: /}}, route: *act}}"),
                host(f"{{{ENTRY}}}"),
            ),
        ),
    ],
)
def test_anchors_that_move_nothing_of_another_route_are_fine(ending: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"shop{ending}"
    path.write_text(text)
    document = TraefikDocument if ending == ".yml" else RouteDocument
    files = RouteFiles(document)
    before = files.read(str(path), "store").splits
    (written,) = files.write([str(path)], "shop", UNITS, 1).written
    assert all(split.live == {"stable": 90, "canary": 10} for split in written.reading.splits)
    after = RouteFiles(document).read(str(path), "store").splits
    assert [split.live for split in after] == [split.live for split in before]

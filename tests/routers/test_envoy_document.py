"""The route file: what is ours in it changes, everything else stays as it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from activities.routers.envoy_document import RouteDocument
from activities.routers.envoy_routes import ENVOY
from activities.routers.splits import Version, agreed_weights, meddled
from coalmine.errors import RouteRejected
from coalmine.local.envoy import route_response
from tests.routers.envoy_world import YAML_ROUTE

UNITS = {"stable": 9_000, "canary": 1_000}


def written(path: str, text: str, units: dict[str, int] = UNITS, generation: int = 7) -> str:
    document = RouteDocument(path, text, "shop")
    assert document.set_weights(units) > 0
    document.stamp(generation)
    return document.render()


def response(*routes: dict[str, Any], **configuration: Any) -> str:
    content = route_response("shop", {"stable": 1})
    resource = content["resources"][0]
    resource["virtual_hosts"][0]["routes"] = list(routes)
    resource.update(configuration)
    return json.dumps(content)


def entry(**action: Any) -> dict[str, Any]:
    return {"match": {"prefix": "/"}, "route": action}


def weighted(*clusters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return entry(weighted_clusters={"clusters": list(clusters), **more})


def clusters_of(text: str) -> Any:
    return json.loads(text)["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]["clusters"]


def test_yaml_keeps_comments_quotes_order_and_other_routes() -> None:
    text = written("r.yaml", YAML_ROUTE)
    version = RouteDocument("r.yaml", text, "shop").reading().version.text
    expected = (
        YAML_ROUTE.replace('version_info: "0"', f'version_info: "{version}"')
        .replace("{name: stable, weight: 100}", "{name: stable, weight: 9000}")
        .replace("{name: canary, weight: 0}", "{name: canary, weight: 1000}")
        .replace(
            "              cluster: stable\n",
            "              weighted_clusters:\n                clusters:\n"
            "                  - name: stable\n                    weight: 9000\n"
            "                  - name: canary\n                    weight: 1000\n",
        )
    )
    assert text == expected + "    validate_clusters: true\n"


def test_json_keeps_its_indentation_and_everything_else() -> None:
    before = route_response("shop", {"stable": 10_000, "canary": 0})
    before["resources"][0]["response_headers_to_remove"] = ["x-ü"]
    text = written("r.json", json.dumps(before, indent=4, ensure_ascii=False))
    after = json.loads(text)
    assert '\n    "version_info"' in text
    assert "x-ü" in text
    assert [cluster["weight"] for cluster in clusters_of(text)] == [9_000, 1_000]
    after["version_info"] = before["version_info"]
    clusters_of_before = before["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"]
    after["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]["weighted_clusters"] = clusters_of_before
    assert after == before


def test_one_line_stays_one_line() -> None:
    assert written("r.json", json.dumps(route_response("shop", {"stable": 1}))).count("\n") == 1


def test_fields_in_camel_case_and_a_wrapped_resource_are_understood() -> None:
    inner = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "shop",
        "validateClusters": False,
        "virtualHosts": [{"name": "v", "domains": ["*"], "routes": [
            entry(weightedClusters={"clusters": [{"name": "stable", "weight": "100"}], "totalWeight": 100})
        ]}],
    }  # fmt: skip
    wrapper = {"@type": "type.googleapis.com/envoy.service.discovery.v3.Resource", "name": "shop", "resource": inner}
    after = json.loads(written("r.json", json.dumps({"versionInfo": "3", "resources": [wrapper]})))
    assert sorted(after) == ["resources", "versionInfo"]
    configuration = after["resources"][0]["resource"]
    assert configuration["validateClusters"] is True
    assert "validate_clusters" not in configuration
    split = configuration["virtualHosts"][0]["routes"][0]["route"]["weightedClusters"]
    assert split["totalWeight"] == 10_000
    assert split["clusters"] == [{"name": "stable", "weight": 9_000}, {"name": "canary", "weight": 1_000}]


def test_order_stays_and_a_cluster_without_traffic_goes_unless_more_is_said_of_it() -> None:
    headers = [{"header": {"key": "x-arm", "value": "canary"}}]
    text = response(weighted(
        {"name": "canary", "weight": 0, "response_headers_to_add": headers}, {"name": "stable", "weight": 1},
        {"name": "last-year", "weight": 0},
    ))  # fmt: skip
    up = written("r.json", text)
    assert clusters_of(up) == [
        {"name": "canary", "weight": 1_000, "response_headers_to_add": headers},
        {"name": "stable", "weight": 9_000},
    ]
    down = written("r.json", up, {"stable": 10_000, "canary": 0}, 8)
    assert clusters_of(down) == [
        {"name": "canary", "weight": 0, "response_headers_to_add": headers},
        {"name": "stable", "weight": 10_000},
    ]
    assert clusters_of(written("r.json", down, {"stable": 0, "canary": 10_000}, 9)) == [
        {"name": "canary", "weight": 10_000, "response_headers_to_add": headers}
    ]


def test_entries_of_others_are_left_alone() -> None:
    other = entry(cluster="pictures")
    text = written("r.json", response(other, weighted({"name": "stable", "weight": 5}), {"match": {"prefix": "/old"},
                   "redirect": {"path_redirect": "/"}}))  # fmt: skip
    routes = json.loads(text)["resources"][0]["virtual_hosts"][0]["routes"]
    assert routes[0] == other
    assert routes[2]["redirect"] == {"path_redirect": "/"}


def test_the_same_content_has_the_same_hash_and_any_change_another() -> None:
    first = RouteDocument("r.json", written("r.json", response(entry(cluster="stable"))), "shop").reading().version
    again = RouteDocument("r.json", written("r.json", response(entry(cluster="stable")), UNITS, 8), "shop").reading()
    other = written("r.json", response(entry(cluster="stable", timeout="1s")))
    assert first.text.split(":")[1] == again.version.text.split(":")[1]
    assert first.text.split(":")[1] != RouteDocument("r.json", other, "shop").reading().version.text.split(":")[1]


@pytest.mark.parametrize(("path", "text"), [("r.json", response(entry(cluster="stable"))), ("r.yaml", YAML_ROUTE)])
def test_weights_that_changed_under_our_version_are_told_and_an_older_builds_version_says_nothing(
    path: str, text: str
) -> None:
    ours = written(path, text)
    assert meddled(RouteDocument(path, ours, "shop").reading()) == ""
    changed = RouteDocument(path, ours, "shop")
    changed.set_weights({"stable": 5_000, "canary": 5_000})
    told = meddled(RouteDocument(path, changed.render(), "shop").reading())
    assert "carries generation 7 with other weights than were written" in told
    assert "stable 50 %, canary 50 %" in told
    version = changed.reading().version.text
    of_older_build = version.replace(f":{version.split(':')[2]}:", ":")
    assert Version(of_older_build).generation == 7
    assert meddled(RouteDocument(path, changed.render().replace(version, of_older_build), "shop").reading()) == ""


@pytest.mark.parametrize("backends", [["stable", "canary"], ["canary", "stable", "gone"]])
def test_weights_that_others_change_in_entries_of_their_own_are_theirs(backends: list[str]) -> None:
    """Of those that have weights too, and name none of the backends that were written."""
    theirs = weighted({"name": "pictures", "weight": 7}, {"name": "films", "weight": 3})
    text = written("r.json", response(theirs, weighted({"name": "stable", "weight": 100})))

    def told(**weights: int) -> str:
        content = json.loads(text)
        for host_entry in content["resources"][0]["virtual_hosts"][0]["routes"]:
            for cluster in host_entry["route"]["weighted_clusters"]["clusters"]:
                cluster["weight"] = weights.get(cluster["name"], cluster["weight"])
        return meddled(RouteDocument("r.json", json.dumps(content), "shop").reading(), backends)

    assert told() == told(pictures=3, films=7) == ""
    assert "route 2: stable 50 %, canary 50 %" in (reason := told(stable=5_000, canary=5_000, pictures=1))
    assert "pictures" not in reason


def test_a_route_put_back_or_written_by_an_older_build_has_the_weights_of_every_entry() -> None:
    document = RouteDocument("r.json", response(weighted({"name": "pictures", "weight": 7}, {"name": "films",
                             "weight": 3}), weighted({"name": "stable", "weight": 100})), "shop")  # fmt: skip
    document.stamp(7)
    assert meddled(RouteDocument("r.json", document.render(), "shop").reading(), ["stable", "canary"]) == ""


@pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("7:abc123:coalmine", 7), ("0", 0), ("", 0), ("42", 0), ("7:abc123:argo", 0), ("-7:abc:coalmine", 0),
        ("²:abc:coalmine", 0), ("7 :abc:coalmine", 0), (":abc:coalmine", 0),
    ],
)  # fmt: skip
def test_only_our_own_version_has_a_generation(text: str, generation: int) -> None:
    assert Version(text).generation == generation


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("r.pb", "{}", [".json", ".yaml"]),
        ("r.json", "{", ["r.json", "JSON"]),
        ("r.yaml", "a: [", ["r.yaml", "YAML"]),
        ("r.yaml", "", ["r.yaml", "DiscoveryResponse"]),
        ("r.json", "[]", ["DiscoveryResponse"]),
        ("r.json", '{"resources": []}', ["'shop'", "none"]),
        ("r.json", '{"resources": [3]}', ["'shop'", "none"]),
        ("r.json", json.dumps(route_response("store", {"a": 1})), ["'shop'", "'store'", "route_config_name"]),
    ],
)
def test_what_is_no_route_is_refused_with_its_mend(path: str, text: str, words: list[str]) -> None:
    with pytest.raises(RouteRejected) as refused:
        RouteDocument(path, text, "shop")
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("route", "word"),
    [
        (weighted({"name": "stable", "weight": 0}), "zero"),
        (weighted({"name": "stable", "weight": 1}, {"name": "stable", "weight": 2}), "twice"),
        (weighted({"name": "stable", "weight": "many"}), "cannot be read"),
        (weighted({"cluster_header": "x-arm", "weight": 1}), "cannot be read"),
        (entry(weighted_clusters={}), "cannot be read"),
    ],
)
def test_an_entry_that_cannot_be_understood_is_named(route: dict[str, Any], word: str) -> None:
    with pytest.raises(RouteRejected, match=word) as refused:
        RouteDocument("r.json", response(entry(cluster="pictures"), route), "shop").reading()
    assert "route 2" in str(refused.value)


def test_without_backends_the_weighted_entries_count_and_must_agree() -> None:
    text = response(
        entry(cluster="pictures"), weighted({"name": "stable", "weight": 3}, {"name": "canary", "weight": 1})
    )
    splits = RouteDocument("r.json", text, "shop").reading().splits
    assert agreed_weights(splits, [], "shop") == {"stable": 75, "canary": 25}
    assert agreed_weights(splits, ["pictures", "films"], "shop") == {"pictures": 100, "films": 0}
    two = response(weighted({"name": "stable", "weight": 3}), weighted({"name": "canary", "weight": 1}))
    with pytest.raises(RouteRejected, match="differently"):
        agreed_weights(RouteDocument("r.json", two, "shop").reading().splits, [], "shop")
    with pytest.raises(RouteRejected, match=r"route\.weighted_clusters"):
        agreed_weights(splits, ["films"], "shop", ENVOY)
    with pytest.raises(RouteRejected, match="no traffic"):
        agreed_weights([], [], "shop")


@pytest.mark.parametrize("path", ["route.json", "route.yaml"])
def test_a_file_nested_too_deep_is_refused_and_names_itself(path: str) -> None:
    with pytest.raises(RouteRejected, match=f"^{path}: is not valid {path[-4:].upper()}"):
        RouteDocument(path, 100_000 * "[", "shop")

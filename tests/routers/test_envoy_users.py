"""Testers, sticky users and copies in a route file: added with the first share, gone with the last."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from activities.routers.envoy_document import RouteDocument
from activities.routers.envoy_users import Users
from coalmine.errors import RouteRejected
from coalmine.spec.route_users import Mirror, PinnedTesters, Sticky
from tests.routers.envoy_world import YAML_ROUTE

HALF, BACK = {"stable": 5_000, "canary": 5_000}, {"stable": 10_000, "canary": 0}
EVERYTHING = Users(
    sticky=Sticky(header="x-user-id"),
    testers=PinnedTesters.model_validate({
        "backend": "testers",
        "match": [{"header": "x-group", "values": ["beta", "a.b|c"]}, {"cookie": "try", "values": ["yes"]}],
    }),
    mirror=Mirror(backend="shadow", percent=12.5),
)  # fmt: skip


def written(text: str, units: dict[str, int], users: Users = EVERYTHING, name: str = "r.yaml") -> str:
    document = RouteDocument(name, text, "shop")
    document.set_weights(units, users)
    return document.render()


def routes(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = YAML(typ="safe").load(text)["resources"][0]["virtual_hosts"][0]["routes"]
    return found


def test_they_are_there_while_traffic_is_shared_and_nothing_of_them_stays() -> None:
    with_them = written(YAML_ROUTE, HALF)
    assert len(routes(with_them)) == 3 + 2 * 2
    assert written(with_them, BACK) == written(YAML_ROUTE, BACK, Users())
    assert written(with_them, BACK, Users()) == written(YAML_ROUTE, BACK, Users())
    assert written(with_them, {"stable": 0, "canary": 10_000}) == written(
        YAML_ROUTE, {"stable": 0, "canary": 10_000}, Users()
    )


def test_writing_them_twice_is_writing_them_once() -> None:
    once = written(YAML_ROUTE, HALF)
    assert written(once, HALF) == once
    assert written(once, {"stable": 9_000, "canary": 1_000}) == written(YAML_ROUTE, {"stable": 9_000, "canary": 1_000})


def test_testers_stand_before_the_entry_they_are_taken_from_and_keep_the_rest_of_it() -> None:
    admin, pin, cookie, beta, *_, last = routes(written(YAML_ROUTE, HALF))
    assert admin["match"] == {"prefix": "/admin"}
    assert admin["route"] == {"cluster": "dead", "timeout": "2s"}
    assert beta["name"] == "beta"
    assert pin["match"]["headers"][0] == beta["match"]["headers"][0]
    assert pin["match"]["headers"][1:] == [
        {"name": "x-group", "string_match": {"safe_regex": {"regex": r"beta|a\.b\|c"}}}
    ]
    assert pin["route"] == {"cluster": "testers"}
    assert cookie["match"]["headers"][1]["name"] == "cookie"
    assert "retry_policy" in last["route"]
    assert routes(written(YAML_ROUTE, HALF))[-2]["route"] == {
        "cluster": "testers", "timeout": "3s", "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
    }  # fmt: skip


def test_sticky_users_and_copies_are_part_of_the_entry() -> None:
    last = routes(written(YAML_ROUTE, HALF))[-1]["route"]
    assert last["hash_policy"] == [{"header": {"header_name": "x-user-id"}}]
    assert last["weighted_clusters"]["use_hash_policy"] is True
    assert last["request_mirror_policies"] == [
        {
            "cluster": "shadow",
            "runtime_fraction": {"default_value": {"numerator": 1_250, "denominator": "TEN_THOUSAND"}},
        }
    ]


def test_what_is_the_users_own_stays() -> None:
    content = json.loads(json.dumps(YAML(typ="safe").load(YAML_ROUTE)))
    last = content["resources"][0]["virtual_hosts"][0]["routes"][-1]
    last["metadata"] = {"filterMetadata": {"theirs": {"added": ["timeout"]}}}
    text = json.dumps(content)
    assert written(written(text, HALF, name="r.json"), BACK, name="r.json") == written(
        text, BACK, Users(), name="r.json"
    )


@pytest.mark.parametrize(
    ("own", "word"),
    [({"hashPolicy": [{"header": {"headerName": "x"}}]}, "hash_policy"),
     ({"request_mirror_policies": [{"cluster": "x"}]}, "request_mirror_policies")],
)  # fmt: skip
def test_an_entry_that_says_something_of_its_own_is_refused(own: dict[str, Any], word: str) -> None:
    content = json.loads(json.dumps(YAML(typ="safe").load(YAML_ROUTE)))
    content["resources"][0]["virtual_hosts"][0]["routes"][-1]["route"].update(own)
    with pytest.raises(RouteRejected, match=f"r.json: .*{word}"):
        written(json.dumps(content), HALF, name="r.json")
    written(json.dumps(content), HALF, Users(), name="r.json")


def test_the_clusters_of_what_leaves_are_not_among_those_that_must_be_there() -> None:
    reading = RouteDocument("r.yaml", written(YAML_ROUTE, HALF), "shop").reading()
    assert reading.clusters == {"stable", "canary", "dead"}

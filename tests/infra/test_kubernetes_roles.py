"""The roles of infra/kubernetes allow every request the routers make, and nothing they never ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from coalmine.errors import RouterUnreachable, RouteUnconfirmed
from coalmine.records import Check
from coalmine.testing.fake_kubernetes import FakeKubernetes
from tests.routers.kubernetes_worlds import NAMESPACE, GatewayWorld, IstioWorld, KubernetesWorld, ReplicasWorld

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
WORLDS: dict[str, type[Any]] = {"gateway": GatewayWorld, "istio": IstioWorld, "replicas": ReplicasWorld}
USER = "system:serviceaccount:coalmine:coalmine-worker"
TOKEN = "of-the-worker"


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((FOLDER / f"{name}.yaml").read_text()))


def rules(name: str) -> dict[str, list[dict[str, Any]]]:
    """By namespace; in the tests the Gateways are in the route's own."""
    allowed: dict[str, list[dict[str, Any]]] = {}
    for one in documents(name):
        if one["kind"] == "Role":
            place = NAMESPACE if one["metadata"]["namespace"] == "edge" else one["metadata"]["namespace"]
            allowed.setdefault(place, []).extend(one["rules"])
    return allowed


@pytest.fixture
async def cluster() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes() as cluster:
        yield cluster


async def a_rollout(world: KubernetesWorld) -> list[Check]:
    """Everything a rollout asks of a router: checks, a refused write, steps, and the way back."""
    router, arms = world.workers[0], world.backends
    world.cluster.kubeconfig(world.config, token=TOKEN, namespace=NAMESPACE)
    checks = await router.check(world.route, arms.arms, [10])
    for generation, weight in enumerate((10.0, 50.0, 100.0, 0.0), 1):
        await router.apply(world.route, {arms.stable: 100 - weight, arms.canary: weight}, generation)
        assert (await router.confirm(world.route, generation, arms.arms)).answer == "yes"
    await router.read(world.route, arms.arms)
    if isinstance(world, IstioWorld):
        world.add_service("plain", True)
        plain = world.cluster.get("VirtualService", "shop", NAMESPACE)
        plain["spec"]["http"][1]["route"] = [{"destination": {"host": "plain"}}]
        world.cluster.put(plain)
        await router.check(world.route, ["plain"], [10])
    return checks


@pytest.mark.parametrize("name", sorted(WORLDS))
async def test_a_role_allows_what_its_router_asks_for_and_nothing_else(
    name: str, cluster: FakeKubernetes, tmp_path: Path
) -> None:
    world = WORLDS[name](cluster, tmp_path)
    cluster.allow(TOKEN, USER, rules(name))
    try:
        checks = await a_rollout(world)
    finally:
        await world.aclose()
    assert [check for check in checks if not check.ok] == []
    asked = {(one.group, one.resource, one.verb) for one in cluster.asked}
    granted = {
        (group, resource, verb)
        for listed in rules(name).values()
        for rule in listed
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert asked == granted


@pytest.mark.parametrize("name", sorted(WORLDS))
async def test_a_right_that_is_missing_is_named(name: str, cluster: FakeKubernetes, tmp_path: Path) -> None:
    world = WORLDS[name](cluster, tmp_path)
    world.cluster.kubeconfig(world.config, token=TOKEN, namespace=NAMESPACE)
    router, arms = world.workers[0], world.backends.arms
    try:
        for place, listed in rules(name).items():
            for rule in listed:
                for verb in rule["verbs"]:
                    less = [
                        one if one is not rule else {**rule, "verbs": set(rule["verbs"]) - {verb}} for one in listed
                    ]
                    cluster.allow(TOKEN, USER, {**rules(name), place: less})
                    said = await _refused(world, router, arms)
                    assert f"{verb}" in said, (rule, verb)
                    assert rule["resources"][0] in said
                    assert "infra/kubernetes" in said
    finally:
        await world.aclose()


async def _refused(world: KubernetesWorld, router: Any, arms: list[str]) -> str:
    try:
        checks = await router.check(world.route, arms, [10])
    except RouterUnreachable as error:
        return str(error)
    failed = "; ".join(check.reason for check in checks if not check.ok)
    if failed:
        return failed
    try:
        await router.check(world.route, ["shop"], [10])
    except RouterUnreachable as error:
        return str(error)
    try:
        await router.apply(world.route, {arms[0]: 90.0, arms[1]: 10.0}, 1)
    except (RouterUnreachable, RouteUnconfirmed) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_role_is_bound_to_the_worker(name: str) -> None:
    account = next(one for one in documents("worker") if one["kind"] == "ServiceAccount")["metadata"]
    found = documents(name)
    roles = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in found if one["kind"] == "Role"}
    bound = {(one["metadata"]["namespace"], one["roleRef"]["name"]) for one in found if one["kind"] == "RoleBinding"}
    assert roles == bound
    for one in found:
        if one["kind"] == "RoleBinding":
            (subject,) = one["subjects"]
            assert (subject["namespace"], subject["name"]) == (account["namespace"], account["name"])

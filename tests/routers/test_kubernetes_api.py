"""Talking to an API server: credentials, refusals, conflicts, pages."""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from activities.routers import kubernetes_credentials
from activities.routers.kubernetes_api import DEPLOYMENT, SERVICE, Conflict, KubernetesApi, Refused
from activities.routers.kubernetes_credentials import Clusters
from coalmine.errors import MissingExtra, RouterUnreachable
from coalmine.spec.kubernetes_routes import KubernetesRoute
from coalmine.testing.fake_kubernetes import FakeKubernetes


@pytest.fixture
async def cluster() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes() as cluster:
        yield cluster


@pytest.fixture
async def clusters(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clusters]:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    clusters = Clusters()
    yield clusters
    await clusters.aclose()


@pytest.fixture
async def api(cluster: FakeKubernetes, clusters: Clusters, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with clusters.of(options(cluster.kubeconfig(tmp_path / "config"))) as api:
        yield api


def options(config: Path | str = "", context: str = "") -> KubernetesRoute:
    return KubernetesRoute(namespace="default", kubeconfig=str(config), context=context)


async def test_an_object_keeps_what_we_do_not_know_of(cluster: FakeKubernetes, api: KubernetesApi) -> None:
    made = cluster.add("Service", "shop", spec={"new": {"to": ["us"]}}, metadata={"finalizers": ["a/b"], "odd": 1})
    found = await api.find(SERVICE, "shop")
    assert found == made
    assert (await api.replace(SERVICE, found)) == made
    assert await api.find(SERVICE, "till") is None


async def test_a_stale_write_conflicts_and_one_of_a_deleted_object_too(
    cluster: FakeKubernetes, api: KubernetesApi
) -> None:
    stale = cluster.add("Service", "shop", spec={})
    cluster.put({**cluster.get("Service", "shop"), "spec": {"type": "ClusterIP"}})
    with pytest.raises(Conflict, match="modified"):
        await api.replace(SERVICE, {**stale, "spec": {"type": "NodePort"}})
    resource = next(found for found, _, _ in cluster.store.objects)
    cluster.store.delete(resource, "default", "shop")
    with pytest.raises(Conflict, match="gone"):
        await api.replace(SERVICE, stale)


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_a_webhook_refuses(code: int, cluster: FakeKubernetes, api: KubernetesApi) -> None:
    found = cluster.add("Service", "shop", spec={})
    cluster.refuse_next("Service", code, "not on a Friday")
    with pytest.raises(Refused, match=rf"Service default/shop: .*{code}.*not on a Friday"):
        await api.replace(SERVICE, {**found, "spec": {"type": "NodePort"}})


async def test_lists_go_on_over_pages_and_begin_anew_when_one_is_too_old(
    cluster: FakeKubernetes, api: KubernetesApi
) -> None:
    for number in range(7):
        cluster.add("Deployment", f"d{number}", metadata={"labels": {"odd": str(number % 2)}}, spec={})
    cluster.page = 2
    assert len(await api.list(DEPLOYMENT)) == 7
    assert [one["metadata"]["name"] for one in await api.list(DEPLOYMENT, {"odd": "1"})] == ["d1", "d3", "d5"]
    cluster.expired = 1
    assert len(await api.list(DEPLOYMENT)) == 7
    cluster.expired = 9
    with pytest.raises(RouterUnreachable, match="faster than it could be read"):
        await api.list(DEPLOYMENT)


async def test_who_has_no_right_is_told_which(cluster: FakeKubernetes, api: KubernetesApi) -> None:
    cluster.allow("anybody", "ana", {})
    with pytest.raises(RouterUnreachable, match=r"'list' on deployments\.apps in namespace 'default'") as refused:
        await api.list(DEPLOYMENT)
    assert refused.value.retryable
    assert "may not update deployments.apps 'shop'" in await api.may("update", DEPLOYMENT, "shop")


async def test_credentials_that_were_renewed_are_read_after_a_refusal(
    cluster: FakeKubernetes, clusters: Clusters, tmp_path: Path
) -> None:
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}
    cluster.allow("new", "ana", {"default": [rule]})
    route = options(cluster.kubeconfig(tmp_path / "config", token="old"))
    with pytest.raises(RouterUnreachable, match=r"does not know our credentials \(401\).*verb 'get' on services"):
        async with clusters.of(route) as api:
            await api.find(SERVICE, "shop")
    cluster.kubeconfig(tmp_path / "config", token="new")
    async with clusters.of(route) as api:
        assert await api.find(SERVICE, "shop") is None


async def test_a_pod_trusts_its_cluster_and_reads_a_rotated_token_again(
    clusters: Clusters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    for name, text in (("namespace", "default"), ("token", "first"), ("ca.crt", authority.cert_pem.bytes().decode())):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubernetes_credentials, "SERVICE_ACCOUNT", tmp_path)
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}
    async with FakeKubernetes(context) as cluster:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", cluster.url.rsplit(":", 1)[1])
        cluster.allow("first", "pod", {"default": [rule]})
        async with clusters.of(options()) as api:
            assert await api.find(SERVICE, "shop") is None
            cluster.roles.clear()
            cluster.allow("second", "pod", {"default": [rule]})
            (tmp_path / "token").write_text("second")
            assert await api.find(SERVICE, "shop") is None
        await clusters.aclose()


async def test_without_credentials_the_mend_is_named(clusters: Clusters) -> None:
    with pytest.raises(RouterUnreachable, match=r"route\.kubeconfig.*service account"):
        async with clusters.of(options()):
            pass


@pytest.mark.parametrize(
    ("text", "context"), [(None, ""), ("{", ""), ("[]", ""), ('{"kind": "Config"}', ""), ("whole", "elsewhere")]
)
async def test_a_broken_kubeconfig_is_named(
    text: str | None, context: str, cluster: FakeKubernetes, clusters: Clusters, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    if text == "whole":
        cluster.kubeconfig(path)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(RouterUnreachable, match=r"Kubernetes credentials .*config.* cannot be used"):
        async with clusters.of(options(path, context)):
            pass


async def test_kubeconfig_may_come_from_the_environment(
    cluster: FakeKubernetes, clusters: Clusters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "config")))
    async with clusters.of(options()) as api:
        assert await api.find(SERVICE, "shop") is None


async def test_a_server_that_is_not_there_is_unreachable(clusters: Clusters, tmp_path: Path) -> None:
    async with FakeKubernetes() as gone:
        config = gone.kubeconfig(tmp_path / "config")
    async with clusters.of(options(config)) as api:
        with pytest.raises(RouterUnreachable, match="Service default/shop"):
            await api.find(SERVICE, "shop")


async def test_without_the_extra_it_is_named(
    clusters: Clusters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightkube", None)
    (tmp_path / "config").write_text(json.dumps({}))
    with pytest.raises(MissingExtra, match=r"coalmine\[kubernetes\]"):
        async with clusters.of(options(tmp_path / "config")):
            pass

"""The API server of our own behaves as kubectl, the real one, expects of any."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.fake_kubernetes_store import ApiProblem

KUBECTL = shutil.which("kubectl")
with_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl here: make setup installs it")
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, annotations: {{team: sre}}}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
    - backendRefs: [{{name: v1, port: 80, weight: {stable}}}, {{name: v2, port: 80, weight: {canary}}}]
"""


@pytest.fixture
async def cluster() -> AsyncIterator[FakeKubernetes]:
    async with FakeKubernetes(*tls()) as cluster:
        yield cluster


def tls() -> tuple[ssl.SSLContext, bytes]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, authority.cert_pem.bytes()


@dataclass
class Kubectl:
    folder: Path
    config: Path

    async def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        assert KUBECTL is not None
        process = await asyncio.create_subprocess_exec(
            KUBECTL, f"--kubeconfig={self.config}", f"--cache-dir={self.folder / 'cache'}", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)

    async def apply(self, text: str) -> tuple[int, str, str]:
        return await self("apply", "--validate=false", "-f", "-", stdin=text)


@pytest.fixture
def kubectl(cluster: FakeKubernetes, tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path, cluster.kubeconfig(tmp_path / "kubeconfig"))


@with_kubectl
async def test_kubectl_applies_gets_and_applies_again(kubectl: Kubectl) -> None:
    assert "created" in (await kubectl.apply(ROUTE.format(stable=100, canary=0)))[1]
    first = await kubectl.json("get", "httproutes.gateway.networking.k8s.io", "shop")
    assert (first["metadata"]["generation"], first["spec"]["rules"][0]["backendRefs"][1]["weight"]) == (1, 0)
    assert "configured" in (await kubectl.apply(ROUTE.format(stable=90, canary=10)))[1]
    second = await kubectl.json("get", "httproute", "shop")
    assert (second["metadata"]["generation"], second["spec"]["rules"][0]["backendRefs"][1]["weight"]) == (2, 10)
    assert "unchanged" in (await kubectl.apply(ROUTE.format(stable=90, canary=10)))[1]
    assert (await kubectl.json("get", "httproute", "shop"))["metadata"] == second["metadata"]


@with_kubectl
async def test_kubectl_patches_and_annotates(cluster: FakeKubernetes, kubectl: Kubectl) -> None:
    cluster.add("HTTPRoute", "shop", spec={"rules": [{"backendRefs": [{"name": "v1", "weight": 1}]}]})
    step = '[{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 7}]'
    assert (await kubectl("patch", "httproute", "shop", "--type=json", "-p", step))[0] == 0
    merge = '{"spec": {"hostnames": ["shop.example.org"]}}'
    assert (await kubectl("patch", "httproute", "shop", "--type=merge", "-p", merge))[0] == 0
    assert (await kubectl("annotate", "httproute", "shop", "team=sre"))[0] == 0
    found = cluster.get("HTTPRoute", "shop")
    assert found["spec"] == {
        "rules": [{"backendRefs": [{"name": "v1", "weight": 7}]}], "hostnames": ["shop.example.org"],
    }  # fmt: skip
    assert found["metadata"]["annotations"] == {"team": "sre"}
    assert found["metadata"]["generation"] == 3, "an annotation is no change of the spec"


@with_kubectl
async def test_kubectl_lists_by_label_scales_the_strategic_way_and_deletes(
    cluster: FakeKubernetes, kubectl: Kubectl
) -> None:
    containers = [{"name": "app", "image": "app:1"}, {"name": "proxy", "image": "proxy:1"}]
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": containers}}
    cluster.add("Deployment", "shop", metadata={"labels": {"app": "shop"}}, spec={"replicas": 1, "template": template})
    cluster.add("Deployment", "till", spec={"replicas": 1, "template": template})
    patch = '{"spec": {"replicas": 4, "template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}'
    assert (await kubectl("patch", "deployment", "shop", "-p", patch))[0] == 0
    listed = await kubectl.json("get", "deployments", "-l", "app=shop")
    assert [(one["metadata"]["name"], one["spec"]["replicas"]) for one in listed["items"]] == [("shop", 4)]
    images = [one["image"] for one in listed["items"][0]["spec"]["template"]["spec"]["containers"]]
    assert images == ["app:2", "proxy:1"]
    assert (await kubectl("delete", "deployment", "shop", "--wait=false"))[0] == 0
    code, _, err = await kubectl("get", "deployment", "shop")
    assert (code, "NotFound" in err) == (1, True)


@with_kubectl
async def test_kubectl_hears_of_conflicts_wrong_weights_webhooks_and_missing_rights(
    cluster: FakeKubernetes, kubectl: Kubectl
) -> None:
    await kubectl.apply(ROUTE.format(stable=100, canary=0))
    read = await kubectl.json("get", "httproute", "shop")
    await kubectl("annotate", "httproute", "shop", "team=other", "--overwrite")
    code, _, err = await kubectl("replace", "--validate=false", "-f", "-", stdin=json.dumps(read))
    assert (code, "Conflict" in err, "has been modified" in err) == (1, True, True)
    assert "1000000" in (await kubectl.apply(ROUTE.format(stable=100, canary=-1)))[2]
    cluster.refuse_next("HTTPRoute", message="not on a Friday")
    assert "not on a Friday" in (await kubectl.apply(ROUTE.format(stable=90, canary=10)))[2]
    cluster.allow(
        "anybody", "ana", {"default": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}]}
    )
    err = (await kubectl("get", "httproute", "shop"))[2]
    assert 'User "ana" cannot get resource "httproutes" in API group "gateway.networking.k8s.io"' in err
    del cluster.roles["anybody"]
    cluster.allow("another", "bo", {})
    assert "Unauthorized" in (await kubectl("get", "httproute", "shop"))[2]


async def test_status_and_the_rest_are_written_apart(cluster: FakeKubernetes) -> None:
    made = cluster.add("HTTPRoute", "shop", spec={"rules": []}, status={"parents": []})
    assert (made["status"], made["metadata"]["generation"]) == ({"parents": []}, 1)
    made["spec"]["rules"], made["status"] = [{"name": "a"}], {"parents": [1]}
    written = cluster.put(made)
    assert (written["status"], written["metadata"]["generation"]) == ({"parents": []}, 2)
    told = cluster.put({**written, "spec": {}, "status": {"parents": [2]}}, status=True)
    assert (told["spec"], told["status"], told["metadata"]["generation"]) == (written["spec"], {"parents": [2]}, 2)


async def test_a_write_that_changes_nothing_leaves_the_version(cluster: FakeKubernetes) -> None:
    made = cluster.add("Service", "shop", spec={})
    assert cluster.put(made)["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_custom_object_is_never_replaced_unread(cluster: FakeKubernetes) -> None:
    cluster.add("HTTPRoute", "shop", spec={})
    resource = next(found for found, _, _ in cluster.store.objects)
    with pytest.raises(ApiProblem, match="resourceVersion"):
        cluster.store.replace(resource, "default", "shop", {"metadata": {"name": "shop"}, "spec": {}})

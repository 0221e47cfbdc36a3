"""Clusters that tests make things happen in: an API server of our own, and controllers that observe but never obey."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from activities.routers.kubernetes_api import GENERATION
from activities.routers.kubernetes_deployments import PODS
from activities.routers.kubernetes_gateway import KubernetesGatewayRouter
from activities.routers.kubernetes_istio import KubernetesIstioRouter
from activities.routers.kubernetes_objects import WEIGHTS
from activities.routers.kubernetes_replicas import KubernetesReplicasRouter
from coalmine.records import Weights
from coalmine.spec.canary import Route
from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.fake_kubernetes_controllers import FakeDeployments, FakeGateway, FakeIstiod
from coalmine.testing.fake_kubernetes_store import Object
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, Lack, RouterWorld
from coalmine.testing.router_world import Backends

NAMESPACE = "shop"
ONE_OBJECT = "the weights are in one object, which is replaced whole"
ONE_API = "only the API server is asked, which answers for all proxies"


class KubernetesWorld(RouterWorld):
    """One cluster, two workers with a client each."""

    router: type[KubernetesGatewayRouter] | type[KubernetesIstioRouter] | type[KubernetesReplicasRouter]
    kind = ""
    names = ("shop", "store")

    def __init__(self, cluster: FakeKubernetes, folder: Path, **options: Any) -> None:
        self.cluster = cluster
        self.config = cluster.kubeconfig(folder / "kubeconfig", namespace=NAMESPACE)
        self.options = options
        self._workers = [self.router(), self.router()]
        self.route = self.named(self.names[0])
        self.prepare()

    def prepare(self) -> None:
        """Fill the cluster."""
        raise NotImplementedError

    def named(self, name: str) -> Route:
        """A route of this cluster."""
        return Route.model_validate(
            {"router": "x", "name": name, "namespace": NAMESPACE, "kubeconfig": str(self.config), **self.options}
        )

    async def aclose(self) -> None:
        """End the workers' connections."""
        for worker in self._workers:
            await worker.aclose()

    @property
    def workers(self) -> Sequence[KubernetesGatewayRouter | KubernetesIstioRouter | KubernetesReplicasRouter]:
        return self._workers

    @property
    def second(self) -> Route:
        return self.named(self.names[1])

    def lose_next_answer(self) -> None:
        self.cluster.lose_next_answer(self.kind)

    def add_service(self, name: str, ready: bool, **spec: Any) -> None:
        """A Service, and a slice with one endpoint of it."""
        self.cluster.add("Service", name, NAMESPACE, spec={"ports": [{"port": 80}], **spec})
        self.cluster.add(
            "EndpointSlice",
            f"{name}-x",
            NAMESPACE,
            metadata={"labels": {"kubernetes.io/service-name": name}},
            addressType="IPv4",
            endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
        )

    async def foreign(self) -> object:
        """Every object without its versions, the fence, and what may move."""
        return [
            self.still(copy.deepcopy(found))
            for (resource, _, _), found in self.cluster.store.objects.items()
            if resource.kind != "EndpointSlice"
        ]

    def still(self, found: Object) -> Object:
        """An object without what a write may change."""
        for key in ("resourceVersion", "generation"):
            found["metadata"].pop(key, None)
        annotations = found["metadata"].get("annotations", {})
        for key in (GENERATION, PODS, WEIGHTS):
            annotations.pop(key, None)
        if not annotations:
            found["metadata"].pop("annotations", None)
        found.pop("status", None)
        return found


class GatewayWorld(KubernetesWorld):
    """An HTTPRoute with two parents, three rules that share traffic, and what is none of ours between them."""

    router = KubernetesGatewayRouter
    kind = "HTTPRoute"
    lacks: Mapping[Lack, str] = {"parts": ONE_OBJECT, "hang": ONE_API}

    def prepare(self) -> None:
        for name, ready in ((STABLE, True), (CANARY, True), (DEAD, False), ("legacy", True)):
            self.add_service(name, ready)
        for name in self.names:
            self.cluster.add("HTTPRoute", name, NAMESPACE, metadata={"annotations": {"team": "sre"}}, spec=http_route())
        for name in ("edge", "inner"):
            self.cluster.add("Gateway", name, NAMESPACE, spec={"gatewayClassName": "example"})
        self.gateways = {f"Gateway {NAMESPACE}/{name}": FakeGateway(self.cluster, name) for name in ("edge", "inner")}

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.gateways)

    async def stop(self, proxy: str) -> None:
        self.gateways[proxy].stop()

    async def start(self, proxy: str) -> None:
        self.gateways[proxy].start()

    def refuse_next(self) -> None:
        self.gateways[self.proxies[-1]].refuse_next()

    async def meddle(self, weights: Weights) -> None:
        found = self.cluster.get("HTTPRoute", self.route.name, NAMESPACE)
        for rule in found["spec"]["rules"][1:]:
            refs = [{"name": name, "port": 80, "weight": round(weight)} for name, weight in weights.items()]
            rule["backendRefs"] = refs
        self.cluster.put(found)
        await self.workers[0].read(self.route, list(weights))

    def still(self, found: Object) -> Object:
        found = super().still(found)
        if found["kind"] == self.kind:
            for rule in found["spec"]["rules"][1:]:
                del rule["backendRefs"]
        return found


class DeniedGatewayWorld(GatewayWorld):
    """The same, where the refusal is an admission webhook's."""

    def refuse_next(self) -> None:
        self.cluster.refuse_next("HTTPRoute")


def http_route() -> dict[str, Any]:
    """The spec of the route that is tested."""
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-shop", "value": "1"}]}}
    return {
        "parentRefs": [{"name": "edge"}, {"name": "inner", "namespace": NAMESPACE}],
        "hostnames": ["shop.example.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
                "backendRefs": [{"name": "legacy", "port": 80}],
            },
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
                "filters": [header],
                "backendRefs": [{"name": STABLE, "port": 80, "weight": 1}, {"name": CANARY, "port": 80, "weight": 0}],
            },
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "timeouts": {"request": "3s"},
                "backendRefs": [{"name": STABLE, "port": 80}],
            },
        ],
    }


class IstioWorld(KubernetesWorld):
    """A VirtualService over the subsets of one host."""

    router = KubernetesIstioRouter
    kind = "VirtualService"
    backends = Backends(stable="shop/v1", canary="shop/v2", unknown="shop/v9", dead="shop/v3")
    lacks: Mapping[Lack, str] = {
        "parts": ONE_OBJECT,
        "hang": ONE_API,
        "health": "nothing in the API tells that istiod is down until it misses a change",
    }

    def prepare(self) -> None:
        self.add_service("shop", True, selector={"app": "shop"})
        subsets = [{"name": f"v{number}", "labels": {"version": f"v{number}"}} for number in (1, 2, 3)]
        host = f"shop.{NAMESPACE}.svc.cluster.local"
        self.cluster.add("DestinationRule", "shop", NAMESPACE, spec={"host": host, "subsets": subsets})
        for number, ready in ((1, "True"), (2, "True"), (3, "False")):
            labels = {"app": "shop", "version": f"v{number}"}
            status = {"conditions": [{"type": "Ready", "status": ready}]}
            self.cluster.add("Pod", f"shop-{number}", NAMESPACE, metadata={"labels": labels}, spec={}, status=status)
        for name in self.names:
            self.cluster.add("VirtualService", name, NAMESPACE, spec=virtual_service())
        if self.options.get("istiod_status", True):
            self.istiod = FakeIstiod(self.cluster)

    @property
    def proxies(self) -> Sequence[str]:
        return ["istiod"]

    async def stop(self, proxy: str) -> None:
        self.istiod.stop()

    async def start(self, proxy: str) -> None:
        self.istiod.start()

    def refuse_next(self) -> None:
        self.istiod.refuse_next()

    async def meddle(self, weights: Weights) -> None:
        found = self.cluster.get("VirtualService", self.route.name, NAMESPACE)
        for rule in found["spec"]["http"][1:]:
            rule["route"] = [
                {"destination": {"host": "shop", "subset": name.split("/")[1]}, "weight": round(weight)}
                for name, weight in weights.items()
            ]
        self.cluster.put(found)
        await self.workers[0].read(self.route, list(weights))

    def still(self, found: Object) -> Object:
        found = super().still(found)
        if found["kind"] == self.kind:
            for rule in found["spec"]["http"][1:]:
                del rule["route"]
        return found


class SilentIstioWorld(IstioWorld):
    """The same where istiod writes no status: nobody tells when the proxies have it."""

    lacks: Mapping[Lack, str] = {"parts": ONE_OBJECT, "outage": "nobody tells of a proxy"}

    @property
    def proxies(self) -> Sequence[str]:
        return []

    def refuse_next(self) -> None:
        self.cluster.refuse_next("VirtualService", 400)


def virtual_service() -> dict[str, Any]:
    """The spec of the service that is tested."""
    return {
        "hosts": ["shop.example.org"],
        "gateways": ["istio-system/edge"],
        "http": [
            {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/"}},
            {
                "name": "main",
                "timeout": "3s",
                "retries": {"attempts": 2},
                "mirror": {"host": "shadow"},
                "route": [{"destination": {"host": "shop", "subset": "v1", "port": {"number": 80}}}],
            },
        ],
    }


class ReplicasWorld(KubernetesWorld):
    """A Service over three Deployments, and one of somebody else beside them."""

    router = KubernetesReplicasRouter
    kind = "Deployment"
    lacks: Mapping[Lack, str] = {
        "hang": ONE_API,
        "second route": "a Deployment's pods belong to one Service, so two routes never share backends",
    }

    def __init__(self, cluster: FakeKubernetes, folder: Path) -> None:
        super().__init__(cluster, folder, replicas=20)

    def prepare(self) -> None:
        for app in self.names:
            self.cluster.add("Service", app, NAMESPACE, spec={"selector": {"app": app}})
        self.controller = FakeDeployments(self.cluster)
        self.controller.stuck.add(DEAD)
        for name, pods in ((STABLE, 20), (CANARY, 0), (DEAD, 0)):
            self.cluster.add("Deployment", name, NAMESPACE, spec=deployment("shop", name, pods))
        self.cluster.add("Deployment", "stranger", NAMESPACE, spec=deployment("till", "till", 3))
        self.controller.look()

    @property
    def proxies(self) -> Sequence[str]:
        return [f"Service {NAMESPACE}/{self.route.name}"]

    async def stop(self, proxy: str) -> None:
        self.controller.stop()

    async def start(self, proxy: str) -> None:
        self.controller.start()

    def lose_next_answer(self) -> None:
        """That of the last of its writes: what an earlier one began, the repetition ends."""
        self.cluster.lose_next_answer(self.kind, after=1)

    def cut_next_short(self) -> None:
        """The first Deployment is written, the API server is not there for the second."""
        self.cluster.fail_next(self.kind, after=1)

    def refuse_next(self) -> None:
        self.cluster.refuse_next("Deployment", 422, "no more than 10 pods")

    async def meddle(self, weights: Weights) -> None:
        for name, weight in weights.items():
            found = self.cluster.get("Deployment", name, NAMESPACE)
            found["spec"]["replicas"] = round(weight / 5)
            self.cluster.put(found)
        await self.workers[0].read(self.route, list(weights))

    def still(self, found: Object) -> Object:
        found = super().still(found)
        if found["kind"] == self.kind and found["metadata"]["name"] != "stranger":
            del found["spec"]["replicas"]
        return found


def deployment(app: str, version: str, pods: int) -> dict[str, Any]:
    """A Deployment's spec."""
    labels = {"app": app, "version": version}
    return {
        "replicas": pods,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": f"app:{version}"}]},
        },
    }

"""The Deployments one Service selects: how many pods each has, whether they are ready, and scaling one under the fence.

Sources: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ (status, conditions),
https://kubernetes.io/docs/concepts/services-networking/service/ (selectors).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from activities.routers.kubernetes_api import (
    AUTOSCALER,
    DEPLOYMENT,
    GENERATION,
    SERVICE,
    Conflict,
    KubernetesApi,
    Object,
    annotate,
    annotated_generation,
)
from coalmine.errors import RouteRejected, RouterUnreachable, StaleGeneration

PODS = "coalmine.dev/pods"
"""The Service's annotation that says how many pods each Deployment is to have under its generation."""
ATTEMPTS = 25
"""Times a write is begun anew because somebody else has written the object meanwhile."""


@dataclass(frozen=True)
class Fleet:
    """A Service and the Deployments whose pods it selects, by name."""

    service: Object
    deployments: Mapping[str, Object] = field(default_factory=dict)

    @property
    def pods(self) -> dict[str, int]:
        """How many pods each Deployment is to have."""
        return {name: pods_of(one) for name, one in self.deployments.items()}

    @property
    def generation(self) -> int:
        """The fence: the highest any of them carries."""
        return max(map(annotated_generation, (self.service, *self.deployments.values())))

    @property
    def half_written(self) -> bool:
        """Whether a write is on its way: the Service says other pods than the Deployments have."""
        return claimed(self.service) not in (None, pods_text(self.pods))

    def problem(self, name: str) -> str:
        """Why a Deployment cannot get traffic; empty when it can."""
        if name not in self.deployments:
            service = self.service["metadata"]["name"]
            return f"Deployment {name!r} is not there, or its pods lack the labels that Service {service!r} selects"
        for condition in (self.deployments[name].get("status") or {}).get("conditions") or []:
            stuck = condition["type"] == "Progressing" and condition["status"] == "False"
            if stuck or (condition["type"] == "ReplicaFailure" and condition["status"] == "True"):
                why = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
                return f"Deployment {name!r} gets no healthy pods ({why}): mend it before it gets traffic"
        return ""

    def waiting(self, name: str) -> str:
        """Why the pods of a Deployment are not what it asks for; empty when all are ready."""
        if not self.observed(name):
            return f"Deployment {name!r}: its controller has not observed the last change"
        one = self.deployments[name]
        status, wanted = one.get("status") or {}, pods_of(one)
        ready, new, there = (status.get(key) or 0 for key in ("readyReplicas", "updatedReplicas", "replicas"))
        if ready == new == there == wanted:
            return ""
        return f"Deployment {name!r}: {ready} of {wanted} pods are ready, {new} of {there} have its newest template"

    def observed(self, name: str) -> bool:
        """Whether the controller has seen the Deployment as it stands."""
        one = self.deployments[name]
        seen: int = (one.get("status") or {}).get("observedGeneration") or 0
        wanted: int = one["metadata"].get("generation", 0)
        return seen >= wanted


async def read_fleet(api: KubernetesApi, service: str) -> Fleet:
    """The Service and its Deployments as they are now.

    Raises:
        RouteRejected: there is no such Service, or it selects nothing.
        RouterUnreachable: no answer, or we may not.
    """
    found, deployments = await asyncio.gather(api.find(SERVICE, service), api.list(DEPLOYMENT))
    if found is None:
        raise RouteRejected(
            f"Service {api.namespace}/{service} is not there: route.name and route.namespace say which it is"
        )
    selector = (found["spec"].get("selector") or {}).items()
    if not selector:
        raise RouteRejected(f"Service {api.namespace}/{service} selects no pods: give it a selector both arms match")
    return Fleet(
        found,
        {
            one["metadata"]["name"]: one
            for one in deployments
            if selector <= (one["spec"]["template"]["metadata"].get("labels") or {}).items()
        },
    )


async def autoscaled(api: KubernetesApi) -> dict[str, str]:
    """The autoscaler of each Deployment that has one: it would undo every write."""
    return {
        one["spec"]["scaleTargetRef"]["name"]: one["metadata"]["name"]
        for one in await api.list(AUTOSCALER)
        if one["spec"]["scaleTargetRef"]["kind"] == DEPLOYMENT.kind
    }


async def claim(api: KubernetesApi, service: str, pods: Mapping[str, int], generation: int) -> None:
    """Put the fence and what it stands for on the Service.

    The Deployments are several objects; the Service is one, so of two writers of one generation one wins.

    Raises:
        StaleGeneration: a newer generation is there, or the same one with other pods.
        Refused: the API server refused it.
    """
    await _change_service(api, service, pods, generation, again=False)


async def disclaim(api: KubernetesApi, service: str, pods: Mapping[str, int], generation: int) -> None:
    """Let a refused generation stand for the pods there were before; raises as ``claim``."""
    await _change_service(api, service, pods, generation, again=True)


async def _change_service(
    api: KubernetesApi, service: str, pods: Mapping[str, int], generation: int, *, again: bool
) -> None:
    text = pods_text(pods)
    for attempt in range(ATTEMPTS):
        found = await api.find(SERVICE, service)
        if found is None:
            raise RouteRejected(f"Service {api.namespace}/{service} is gone")
        there, said = annotated_generation(found), claimed(found)
        if there == generation and said == text:
            return
        if there > generation or (there == generation and not again):
            other = "newer than" if there > generation else "with other pods than those of"
            raise StaleGeneration(f"Service {service}: carries generation {there}, {other} {generation}")
        annotate(found, generation)
        found["metadata"]["annotations"][PODS] = text
        try:
            await api.replace(SERVICE, found)
            return
        except Conflict:
            await asyncio.sleep(random.uniform(0, 0.01 * (attempt + 1)))
    raise RouterUnreachable(f"Service {service}: others changed it {ATTEMPTS} times while we wrote")


async def scale(api: KubernetesApi, name: str, pods: int, generation: int) -> None:
    """Give one Deployment its pods under the fence; nothing to do when it has them.

    Raises:
        StaleGeneration: it carries a newer generation.
        Refused: the API server refused it.
    """
    for attempt in range(ATTEMPTS):
        found = await api.find(DEPLOYMENT, name)
        if found is None:
            raise RouteRejected(f"Deployment {api.namespace}/{name} is gone")
        there = annotated_generation(found)
        if there > generation:
            raise StaleGeneration(f"Deployment {name}: carries generation {there}, newer than {generation}")
        if there == generation and pods_of(found) == pods:
            return
        annotate(found, generation)
        found["spec"]["replicas"] = pods
        try:
            await api.replace(DEPLOYMENT, found)
            return
        except Conflict:
            await asyncio.sleep(random.uniform(0, 0.01 * (attempt + 1)))
    raise RouterUnreachable(f"Deployment {name}: others changed it {ATTEMPTS} times while we wrote")


def claimed(service: Object) -> str | None:
    """What the Service says its Deployments are to have; None when no write of ours has said so."""
    said: str | None = (service["metadata"].get("annotations") or {}).get(PODS)
    return said


def pods_text(pods: Mapping[str, int]) -> str:
    """Pods by Deployment, as the annotation has them."""
    return ",".join(f"{name}={count}" for name, count in sorted(pods.items()) if count)


def pods_of(deployment: Object) -> int:
    """How many pods it asks for; the API's default is 1."""
    asked = deployment["spec"].get("replicas")
    return 1 if asked is None else int(asked)


def ours(deployment: Object) -> bool:
    """Whether a write of ours has ever set its pods."""
    return GENERATION in (deployment["metadata"].get("annotations") or {})

"""The keys of the routers that move traffic in Kubernetes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from coalmine.spec.base import SpecModel

LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""Names of namespaces: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""


def _label(name: str) -> str:
    if not re.fullmatch(LABEL, name):
        raise ValueError(f"{name!r} is no name of a namespace: lower-case letters, digits and '-' within, 63 at most")
    return name


def _divides_all(replicas: int) -> int:
    if 10_000 % replicas:
        near = min((n for n in range(2, 10_001) if 10_000 % n == 0), key=lambda n: abs(n - replicas))
        raise ValueError(f"{replicas} pods make steps finer than 0.01 %: take a divisor of 10,000, such as {near}")
    return replicas


class KubernetesRoute(SpecModel):
    """Where the object is, and by whose credentials."""

    namespace: Annotated[str, AfterValidator(_label)] = Field(
        description="The namespace of the object `name`.", examples=["shop"], json_schema_extra={"pattern": LABEL}
    )
    kubeconfig: str = Field(
        default="",
        description="A kubeconfig on the worker. Absent: the pod's service account, or outside a cluster `KUBECONFIG`.",
        examples=["/etc/coalmine/kubeconfig"],
    )
    context: str = Field(
        default="", description="The kubeconfig's context. Absent: its current one.", examples=["production"]
    )


class KubernetesGatewayRoute(KubernetesRoute):
    """Gateway API: `name` is an HTTPRoute, each arm's `backend` a Service it names."""


class KubernetesIstioRoute(KubernetesRoute):
    """Istio: `name` is a VirtualService, each arm's `backend` a host it names, or `host/subset`."""

    istiod_status: bool = Field(
        default=True,
        description="Whether istiod writes `status` (`global.istiod.enableAnalysis`). Without, a write cannot be "
        "confirmed, and a rollout says so.",
    )


class KubernetesReplicasRoute(KubernetesRoute):
    """Without a mesh: `name` is a Service, each arm's `backend` a Deployment whose pods it selects."""

    replicas: Annotated[int, AfterValidator(_divides_all)] = Field(
        ge=2,
        le=10_000,
        description="Pods of both Deployments together, a divisor of 10,000. A weight must be a whole number of them: "
        "of 20, steps of 5 %.",
        examples=[20],
    )

    @property
    def finest(self) -> float:
        """The smallest step of a weight in percent: one pod of all."""
        return 100 / self.replicas

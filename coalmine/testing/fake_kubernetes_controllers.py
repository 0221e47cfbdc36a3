"""Controllers of a fake Kubernetes: they observe objects and write their status, and carry nothing out.

Each can be down, refuse what it sees next, and be late.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from coalmine.testing.fake_kubernetes import FakeKubernetes
from coalmine.testing.fake_kubernetes_store import ApiProblem, Object, Resource


class _Controller(ABC):
    """Looks at every object of one kind, also those that changed while it was down."""

    kind = ""

    def __init__(self, cluster: FakeKubernetes) -> None:
        self.cluster = cluster
        self.up = True
        self._refusals = 0
        cluster.controllers.append(self._saw)
        self.look()

    def stop(self) -> None:
        """Observe nothing any more."""
        self.up = False

    def start(self) -> None:
        """Observe again, at first what was missed."""
        self.up = True
        self.look()

    def refuse_next(self) -> None:
        """Find fault with the next version."""
        self._refusals += 1

    def look(self) -> None:
        """Observe everything there is."""
        for (resource, _, _), found in list(self.cluster.store.objects.items()):
            self._saw(resource, found)

    @abstractmethod
    def observe(self, found: Object) -> None:
        """Write the status of one object."""

    def _saw(self, resource: Resource, found: Object) -> None:
        if not self.up or resource.kind != self.kind:
            return
        meta = found["metadata"]
        try:
            self.observe(self.cluster.get(self.kind, meta["name"], meta["namespace"]))
        except ApiProblem as problem:
            if problem.code != 404:  # It may be gone by now.
                raise

    def _refuses(self) -> bool:
        refuses = self._refusals > 0
        self._refusals -= refuses
        return refuses


class FakeGateway(_Controller):
    """The controller of one Gateway: says of every HTTPRoute that names it whether it is accepted."""

    kind = "HTTPRoute"

    def __init__(self, cluster: FakeKubernetes, name: str, controller: str = "example.org/gateway") -> None:
        self.name, self.controller = name, controller
        super().__init__(cluster)

    def stop(self) -> None:
        """Lose the data plane, which the Gateway's status tells, and then the controller."""
        super().stop()
        self._programmed("NoResources")

    def start(self) -> None:
        """Have both again."""
        self._programmed("")
        super().start()

    def _programmed(self, wrong: str) -> None:
        for gateway in [found for found in self.cluster.store.objects.values() if found["kind"] == "Gateway"]:
            if gateway["metadata"]["name"] == self.name:
                condition = _condition("Programmed", gateway["metadata"]["generation"], wrong, "no data plane")
                self.cluster.put({**gateway, "status": {"conditions": [condition]}}, status=True)

    def observe(self, found: Object) -> None:
        """Write ``status.parents`` for this Gateway, once for each generation."""
        generation = found["metadata"]["generation"]
        parents = (found.get("status") or {}).get("parents") or []
        for parent in found["spec"].get("parentRefs") or []:
            if parent["name"] != self.name:
                continue
            mine = [one for one in parents if one["parentRef"] == parent and one["controllerName"] == self.controller]
            if mine and mine[0]["conditions"][0]["observedGeneration"] == generation:
                continue
            refused = self._refuses()
            missing = self._missing(found)
            conditions = [
                _condition("Accepted", generation, "UnsupportedValue" if refused else "", "the data plane said no"),
                _condition("ResolvedRefs", generation, "BackendNotFound" if missing else "", f"no Service {missing}"),
            ]
            told = {"parentRef": parent, "controllerName": self.controller, "conditions": conditions}
            found["status"] = {"parents": [one for one in parents if one not in mine] + [told]}
            found = self.cluster.put(found, status=True)
            parents = found["status"]["parents"]

    def _missing(self, found: Object) -> str:
        for rule in found["spec"].get("rules") or []:
            for ref in rule.get("backendRefs") or []:
                try:
                    self.cluster.get("Service", ref["name"], ref.get("namespace", found["metadata"]["namespace"]))
                except ApiProblem:
                    return str(ref["name"])
        return ""


class FakeIstiod(_Controller):
    """istiod with its analysis enabled: writes what it observed of every VirtualService."""

    kind = "VirtualService"

    def observe(self, found: Object) -> None:
        """Write ``status.observedGeneration``, and an error when it was told to."""
        generation = found["metadata"]["generation"]
        if (found.get("status") or {}).get("observedGeneration") == str(generation):
            return
        error = {"type": {"code": "IST0101", "name": "ReferencedResourceNotFound"}, "level": "ERROR"}
        found["status"] = {"observedGeneration": str(generation), "validationMessages": [error] * self._refuses()}
        self.cluster.put(found, status=True)


class FakeDeployments(_Controller):
    """The Deployments' controller: every pod is ready at once, but for those of ``stuck``."""

    kind = "Deployment"

    def __init__(self, cluster: FakeKubernetes) -> None:
        self.stuck: set[str] = set()
        self._lost = False
        self.unready: dict[str, int] = {}
        """How many pods of a Deployment are not ready."""
        super().__init__(cluster)

    def stop(self) -> None:
        """Lose all nodes, which the Deployments' status tells, and then the controller."""
        self._lost = True
        self.look()
        super().stop()

    def start(self) -> None:
        """Have both again."""
        self._lost = False
        super().start()

    def observe(self, found: Object) -> None:
        """Write how many pods there are, and how many of them are ready."""
        name, pods = found["metadata"]["name"], found["spec"].get("replicas", 1)
        ready = 0 if name in self.stuck or self._lost else max(pods - self.unready.get(name, 0), 0)
        why = "ProgressDeadlineExceeded" if name in self.stuck else ""
        status = {
            "observedGeneration": found["metadata"]["generation"], "replicas": pods, "updatedReplicas": pods,
            "readyReplicas": ready, "conditions": [_condition("Progressing", 0, why, "pods do not become ready")],
        }  # fmt: skip
        if found.get("status") != status:
            self.cluster.put({**found, "status": status}, status=True)


def _condition(kind: str, generation: int, wrong: str, why: str) -> Object:
    return {
        "type": kind,
        "status": "False" if wrong else "True",
        "reason": wrong or kind,
        "message": why if wrong else "",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }

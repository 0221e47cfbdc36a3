"""One worker deployment as Temporal holds it: what is current, what is ramping, and under which generation.

A deployment has no field for a generation. It does keep the identity of whoever changed its routing last, in the same
write as the routing, so our identity carries it. Somebody else's change replaces that; the highest generation is
therefore kept in the builds' metadata too, under a name of its own each, so that a late writer cannot lower it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentCurrentVersionResponse,
    SetWorkerDeploymentRampingVersionRequest,
    SetWorkerDeploymentRampingVersionResponse,
    UpdateWorkerDeploymentVersionMetadataRequest,
)
from temporalio.client import Client

from activities.routers.weights import TOTAL
from activities.temporal_services import ask
from coalmine.errors import RouteRejected, RouterError, RouterUnreachable
from coalmine.records import Weights

Answer = TypeVar("Answer")
UNVERSIONED = "__unversioned__"
"""What Temporal calls workers without a version."""
_KEPT = re.compile(r"coalmine\.generation\.([0-9]+)")
_IDENTITY = re.compile(r"coalmine generation ([0-9]+)( unfinished)?")


class TokenOutdated(RouterError):
    """Raised when somebody has changed the deployment since it was read."""

    retryable = True


@dataclass(frozen=True)
class Change:
    """One write: make ``build`` current, or (with ``percent``) ramp it; ramping no build at all ends a ramp."""

    build: str
    percent: float | None = None


@dataclass(frozen=True)
class Deployment:
    """What was read."""

    current: str
    ramping: str
    percent: float
    builds: frozenset[str]
    """Every build the server knows."""
    token: bytes
    """Changes with every write; a write that carries an older one is refused."""
    identity: str
    """Of who changed the routing last."""
    manager: str
    """Who alone may change it; empty: anyone."""
    kept: int
    """The highest generation in the builds' metadata."""

    @property
    def written(self) -> int:
        """The generation of the last change, 0 when it was not ours."""
        found = _IDENTITY.fullmatch(self.identity)
        return int(found[1]) if found else 0

    @property
    def finished(self) -> bool:
        """Whether the last change was ours and the last of its generation."""
        found = _IDENTITY.fullmatch(self.identity)
        return found is not None and not found[2]

    @property
    def generation(self) -> int:
        """The highest that was ever written here, as far as is known."""
        return max(self.written, self.kept)

    @property
    def shares(self) -> dict[str, int]:
        """Units of 0.01 % by build, without those that get nothing."""
        ramped = round(self.percent * 100) if self.ramping else 0
        shares = {self.current: TOTAL - ramped, self.ramping: ramped}
        return {build: units for build, units in shares.items() if units}

    @property
    def routing(self) -> str:
        """The shares for people."""
        return ", ".join(f"{build} {share / 100:g} %" for build, share in self.shares.items())

    def weights(self, builds: Sequence[str]) -> Weights:
        """Percent by build: of those asked for, and of all others that get new workflows."""
        shares = self.shares
        return {build: shares.get(build, 0) / 100 for build in dict.fromkeys([*builds, *shares])}

    def changes_to(self, units: Mapping[str, int]) -> list[Change]:
        """The writes that lead to these units, at most two; after the first of two the split is on its way already.

        ``units`` name one or two builds with a share, and sum to ``TOTAL``.
        """
        wanted = {build: share for build, share in units.items() if share}
        if len(wanted) == 1:
            (build,) = wanted
            if build == self.current:
                return [Change("", 0.0)]
            # Making a build current ends its own ramp, but not that of another build.
            ramp = [] if self.ramping in ("", build) else [Change(build, 100.0)]
            return [*ramp, Change(build)]
        steady = self.current if self.current in wanted else max(wanted, key=lambda build: wanted[build])
        (ramped,) = wanted.keys() - {steady}
        start = [] if steady == self.current else [Change(steady)]
        return [*start, Change(ramped, wanted[ramped] / 100)]


class DeploymentCalls:
    """What is asked of the server about one deployment, one question at a time: it buffers but one, and refuses others.

    Raises, from every method:
        RouteRejected: the server refuses, and would again.
        RouterUnreachable: it did not answer.
    """

    def __init__(self, client: Client, name: str, turn: asyncio.Lock) -> None:
        self.client = client
        self.name = name
        self._turn = turn

    async def read(self, builds: Iterable[str]) -> Deployment:
        """The deployment now, with the generation its builds (those named, and those in use) remember."""
        request = DescribeWorkerDeploymentRequest(namespace=self.client.namespace, deployment_name=self.name)
        found = await self._in_turn(self.client.workflow_service.describe_worker_deployment, request)
        info = found.worker_deployment_info
        routing = info.routing_config
        known = frozenset(one.deployment_version.build_id for one in info.version_summaries)
        current = routing.current_deployment_version.build_id or UNVERSIONED
        ramping = routing.ramping_deployment_version.build_id
        if not ramping and routing.ramping_version == UNVERSIONED and routing.ramping_version_percentage > 0:
            ramping = UNVERSIONED
        asked = ({*builds, current, ramping} & known) or known
        memories = await asyncio.gather(*(self._remembered(build) for build in sorted(asked)))
        return Deployment(
            current=current,
            ramping=ramping,
            percent=routing.ramping_version_percentage,
            builds=known,
            token=found.conflict_token,
            identity=info.last_modifier_identity,
            manager=info.manager_identity,
            kept=max((generation for memory in memories for generation in memory), default=0),
        )

    async def change(self, one: Change, token: bytes, generation: int, *, last: bool) -> bytes:
        """Write once, if the deployment is still as it was read; returns the token of what is there then.

        Raises:
            TokenOutdated: somebody was quicker.
        """
        service = self.client.workflow_service
        common: dict[str, Any] = {
            "namespace": self.client.namespace,
            "deployment_name": self.name,
            "build_id": "" if one.build == UNVERSIONED else one.build,
            "conflict_token": token,
            "identity": f"coalmine generation {generation}" + ("" if last else " unfinished"),
        }
        answer: SetWorkerDeploymentCurrentVersionResponse | SetWorkerDeploymentRampingVersionResponse
        if one.percent is None:
            current = SetWorkerDeploymentCurrentVersionRequest(**common)
            answer = await self._in_turn(service.set_worker_deployment_current_version, current)
        else:
            ramp = SetWorkerDeploymentRampingVersionRequest(**common, percentage=one.percent)
            answer = await self._in_turn(service.set_worker_deployment_ramping_version, ramp)
        return answer.conflict_token

    async def remember(self, builds: Iterable[str], generation: int, weights: Weights) -> None:
        """Keep the generation with the builds, so that it outlives a change by somebody else."""

        async def keep(build: str) -> None:
            older = [kept for kept in await self._remembered(build) if kept < generation]
            value = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(weights).encode())
            request = UpdateWorkerDeploymentVersionMetadataRequest(
                namespace=self.client.namespace,
                deployment_version=WorkerDeploymentVersion(deployment_name=self.name, build_id=build),
                upsert_entries={f"coalmine.generation.{generation}": value},
                remove_entries=[f"coalmine.generation.{kept}" for kept in older],
                identity=f"coalmine generation {generation}",
            )
            await self._asked(self.client.workflow_service.update_worker_deployment_version_metadata, request)

        await asyncio.gather(*(keep(build) for build in sorted(builds)))

    async def _remembered(self, build: str) -> list[int]:
        request = DescribeWorkerDeploymentVersionRequest(
            namespace=self.client.namespace,
            deployment_version=WorkerDeploymentVersion(deployment_name=self.name, build_id=build),
        )
        found = await self._asked(self.client.workflow_service.describe_worker_deployment_version, request)
        entries = found.worker_deployment_version_info.metadata.entries
        return [int(kept[1]) for key in entries if (kept := _KEPT.fullmatch(key))]

    async def _in_turn(self, call: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
        async with self._turn:
            return await self._asked(call, request)

    async def _asked(self, call: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
        try:
            return await ask(call, request, refused=RouteRejected, unreachable=RouterUnreachable)
        except RouteRejected as error:
            if "conflict token" in str(error):
                raise TokenOutdated(str(error)) from error
            raise

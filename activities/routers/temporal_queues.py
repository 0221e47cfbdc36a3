"""The task queues of a deployment: whether workers of a build ask for work, and which routing each queue goes by.

Temporal sends workflows to builds nobody works for too, where they wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import TaskQueueType, VersionDrainageStatus
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue, TaskQueueVersioningInfo
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
)
from temporalio.client import Client

from activities.routers.temporal_deployment import Deployment
from activities.temporal_services import ask
from coalmine.errors import RouteRejected, RouterUnreachable

POLLED_WITHIN = 90.0
"""Seconds since a worker last asked for work: a poll waits for a minute, and the server lists it for five."""
LISTED_WITHIN = 5.0
"""Seconds until a worker that starts is among those who ask: its first question only makes the build known, and is
answered with nothing, and it waits for a second before the next."""
PAUSE = 0.2
"""Seconds between two looks for it."""
Queue = tuple[str, TaskQueueType.ValueType]


@dataclass(frozen=True)
class Workers:
    """The workers of one build."""

    build: str
    polled: frozenset[Queue]
    """Task queues (name, type) somebody asks for work."""
    silent: frozenset[Queue]
    """Those this build served once, and nobody asks now."""
    drainage: str
    """Whether workflows still run on it after it lost new ones: ``draining``, ``drained``, or empty."""

    @property
    def problem(self) -> str:
        """Why it cannot take workflows; empty when it can."""
        if not self.polled and not self.silent:
            return f"build {self.build!r} has no healthy worker: none has ever asked for work; start its workers first"
        if self.silent:
            names = ", ".join(queue_text(queue) for queue in sorted(self.silent))
            return f"build {self.build!r} has no healthy worker on {names}: none asked for work in {POLLED_WITHIN:g} s"
        return ""


def queue_text(queue: Queue) -> str:
    """A task queue for people."""
    name, kind = queue
    return f"{TaskQueueType.Name(kind).removeprefix('TASK_QUEUE_TYPE_').lower()} task queue {name!r}"


async def queues_behind(client: Client, found: Deployment, deployment: str, builds: Iterable[str]) -> list[str]:
    """The task queues of these builds that deal workflows out by another routing than the deployment's.

    Task queues hold a copy each, which the server writes after it has answered; these copies are what counts.

    Raises:
        RouteRejected, RouterUnreachable: as ``workers_of``.
    """
    names = sorted({*builds, found.current, found.ramping} & found.builds)
    versions = await asyncio.gather(*(_version(client, deployment, build) for build in names))
    served = {
        build: {_queue(one) for one in version.version_task_queues}
        for build, version in zip(names, versions, strict=True)
    }
    queues = sorted(set().union(*served.values()))
    held = await asyncio.gather(*(_task_queue(client, queue) for queue in queues))
    return [
        queue_text(queue)
        for queue, one in zip(queues, held, strict=True)
        if not _follows(one.versioning_info, found, queue, served)
    ]


def _follows(
    held: TaskQueueVersioningInfo, found: Deployment, queue: Queue, served: Mapping[str, Container[Queue]]
) -> bool:
    if queue in served.get(found.current, ()) and held.current_deployment_version.build_id != found.current:
        return False
    ramps = queue in served.get(found.ramping, ()) and found.percent > 0
    expected = (found.ramping, round(found.percent, 2)) if ramps else ("", 0.0)
    ramping = held.ramping_deployment_version.build_id if held.ramping_version_percentage else ""
    return (ramping, round(held.ramping_version_percentage, 2)) == expected


async def workers_of(client: Client, deployment: str, build: str) -> Workers:
    """The workers of a build the server knows; those that have only just started are waited for.

    Raises:
        RouteRejected: it does not know it.
        RouterUnreachable: it did not answer.
    """
    found = await _version(client, deployment, build)
    queues = [_queue(one) for one in found.version_task_queues]
    until = time.monotonic() + LISTED_WITHIN
    while True:
        held = await asyncio.gather(*(_task_queue(client, queue) for queue in queues))
        listed = all(_pollers(one, deployment, build) for one in held)
        if listed or time.monotonic() >= until:
            break
        await asyncio.sleep(PAUSE)
    polled = {queue for queue, one in zip(queues, held, strict=True) if _is_polled(one, deployment, build)}
    status = found.worker_deployment_version_info.drainage_info.status
    drainage = VersionDrainageStatus.Name(status).removeprefix("VERSION_DRAINAGE_STATUS_").lower()
    silent = frozenset(queues) - polled
    return Workers(build, frozenset(polled), silent, "" if drainage == "unspecified" else drainage)


def _is_polled(found: DescribeTaskQueueResponse, deployment: str, build: str) -> bool:
    oldest = time.time() - POLLED_WITHIN
    return any(poller.last_access_time.seconds >= oldest for poller in _pollers(found, deployment, build))


def _pollers(found: DescribeTaskQueueResponse, deployment: str, build: str) -> list[PollerInfo]:
    """Those of one build; the server forgets who has not asked for five minutes."""
    return [
        poller
        for poller in found.pollers
        if poller.deployment_options.build_id == build and poller.deployment_options.deployment_name == deployment
    ]


def _queue(found: DescribeWorkerDeploymentVersionResponse.VersionTaskQueue) -> Queue:
    return found.name, found.type


async def _version(client: Client, deployment: str, build: str) -> DescribeWorkerDeploymentVersionResponse:
    version = WorkerDeploymentVersion(deployment_name=deployment, build_id=build)
    request = DescribeWorkerDeploymentVersionRequest(namespace=client.namespace, deployment_version=version)
    call = client.workflow_service.describe_worker_deployment_version
    return await ask(call, request, refused=RouteRejected, unreachable=RouterUnreachable)


async def _task_queue(client: Client, queue: Queue) -> DescribeTaskQueueResponse:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue[0]),
        task_queue_type=TaskQueueType.ValueType(queue[1]),
    )
    call = client.workflow_service.describe_task_queue
    return await ask(call, request, refused=RouteRejected, unreachable=RouterUnreachable)

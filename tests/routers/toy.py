"""A toy worker in builds: the same workflow, sound in one and failing in another."""

from __future__ import annotations

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker, WorkerDeploymentConfig


@workflow.defn(name="Order", versioning_behavior=VersioningBehavior.PINNED)
class Order:
    """Ends well."""

    @workflow.run
    async def run(self) -> str:
        """Take the order."""
        return "taken"


@workflow.defn(name="Order", versioning_behavior=VersioningBehavior.PINNED)
class ScarceOrder:
    """Ends well, but for what is sold out: those whose number ends in 0, by their id."""

    @workflow.run
    async def run(self) -> str:
        """Take the order."""
        if workflow.info().workflow_id.endswith("0"):
            raise ApplicationError("it is sold out", non_retryable=True)
        return "taken"


@workflow.defn(name="Order", versioning_behavior=VersioningBehavior.PINNED)
class BrokenOrder:
    """Always fails."""

    @workflow.run
    async def run(self) -> str:
        """Drop the order."""
        raise ApplicationError("the order was dropped", non_retryable=True)


def build_of(client: Client, deployment: str, build: str, kind: type = Order) -> Worker:
    """A worker of one build of a deployment, on the task queue of that name."""
    version = WorkerDeploymentVersion(deployment, build)
    return Worker(
        client,
        task_queue=deployment,
        workflows=[kind],
        deployment_config=WorkerDeploymentConfig(version=version, use_worker_versioning=True),
    )

"""A real Temporal server whose visibility store a test fills: thousands of closed workflows, without running them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import CreateWorkerDeploymentRequest, DescribeNamespaceRequest
from temporalio.client import Client

from activities.sources.base import MetricSource
from activities.sources.temporal import TemporalSource
from coalmine.records import Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.metrics import Metric
from coalmine.spec.sources import Source
from coalmine.testing.source_contract import Happened
from tests.routers.temporal_servers import dev_server
from tests.routers.temporal_world import create_build

COMPLETED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
FAILED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED
TIMED_OUT = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
TOOK = (timedelta(milliseconds=40), timedelta(milliseconds=200), timedelta(seconds=3))
"""How long a workflow of each bucket took."""


class TemporalSourceWorld:
    """The contract over the rows of a dev server's own visibility table."""

    def __init__(self, client: Client, file: Path, namespace_id: str) -> None:
        self.client = client
        self.file = file
        self.namespace_id = namespace_id
        self.deployment = f"shop-{uuid4().hex[:8]}"
        # Long enough ago for every window of a case to be over, and its visibility settled.
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
        self.adapter: MetricSource = TemporalSource()
        self.source = Source(
            kind="temporal",
            deployment=self.deployment,
            address=client.service_client.config.target_host,
            namespace=client.namespace,
            bounds=[timedelta(milliseconds=100), timedelta(milliseconds=250)],
        )
        self.arms = Arms(baseline=Arm(version="1.41.0", backend="b41"), canary=Arm(version="1.42.0", backend="b42"))
        self.ratio = Metric(name="failures", kind="ratio", source="temporal", template="temporal")
        self.latency = Metric(name="duration", kind="latency", source="temporal", template="temporal")

    async def begin(self) -> None:
        """Let the server know both builds."""
        request = CreateWorkerDeploymentRequest(
            namespace=self.client.namespace, deployment_name=self.deployment, request_id=uuid4().hex, identity="test"
        )
        await self.client.workflow_service.create_worker_deployment(request)
        for arm in (self.arms.baseline, self.arms.canary):
            await create_build(self.client, self.deployment, arm.backend)

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        start, self.now = self.now, self.now + timedelta(seconds=10)
        rows = [row for name, happened in arms.items() for row in self._rows(name, happened, start)]
        # A run that continues as new, an open one, and one of another deployment count for nobody.
        canary = self.arms.canary.backend
        rows += [
            self._row(canary, WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, start, TOOK[0]),
            self._row(canary, FAILED, start, TOOK[0], deployment="other"),
        ]
        with closing(sqlite3.connect(self.file, timeout=30)) as store, store:
            store.executemany(
                "INSERT INTO executions_visibility (namespace_id, run_id, workflow_id, start_time, execution_time, "
                "close_time, execution_duration, status, search_attributes, workflow_type_name, encoding) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'Order', 'Proto3')",
                rows,
            )
        return Window(start=start, end=self.now)

    async def go_down(self) -> None:
        self.source = self.source.model_copy(update={"address": "127.0.0.1:1", "timeout": timedelta(seconds=1)})

    def _rows(self, name: ArmName, happened: Happened, start: datetime) -> list[tuple[object, ...]]:
        took = [TOOK[bucket] for bucket, count in enumerate(happened.buckets) for _ in range(count)]
        took += [TOOK[0]] * (happened.total - len(took))
        backend = getattr(self.arms, name).backend
        return [
            # One that ran out of time is one that failed.
            self._row(
                backend,
                (FAILED, TIMED_OUT)[number % 2] if number < happened.events else COMPLETED,
                start,
                lasted,
                number,
            )
            for number, lasted in enumerate(took)
        ]

    def _row(
        self, build: str, status: int, start: datetime, took: timedelta, number: int = 0, deployment: str = ""
    ) -> tuple[object, ...]:
        # All over the window, its end included and its start not: a window is open at its start.
        closed = start + timedelta(milliseconds=10_000 - number % 9_999)
        attributes = json.dumps({"TemporalWorkerDeploymentVersion": f"{deployment or self.deployment}:{build}"})
        began = _stored(closed - took)
        name, nanoseconds = uuid4().hex, took // timedelta(microseconds=1) * 1000
        return (self.namespace_id, name, name, began, began, _stored(closed), nanoseconds, status, attributes)


def _stored(moment: datetime) -> str:
    """As the server writes it: a fraction has no zeros at its end, and is left out when it is nothing."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".") + "+00:00"


@asynccontextmanager
async def visibility(folder: Path) -> AsyncIterator[tuple[Client, Path, str]]:
    """A server on disk, its file, and the id of its namespace."""
    file = folder / "temporal.db"
    async with dev_server(file=file) as client:
        found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
        yield client, file, found.namespace_info.id

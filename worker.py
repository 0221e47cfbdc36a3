"""The worker, the only process that is needed: connects, checks the namespace, serves three queues, drains on SIGTERM.

Where Temporal is, is said as to the ``temporal`` CLI (``TEMPORAL_ADDRESS``, ``TEMPORAL_NAMESPACE``, profiles, TLS, API
key). What else can be set: ``coalmine.worker_settings`` (docs/worker.md). Exit codes: 0 drained, 1 it could not serve,
2 wrong settings.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxRestrictions

from activities.evaluation import numerics
from activities.ledgers.sealing import sealer_of
from activities.log_lines import RolloutLogging, configure_logging, core_logger
from activities.measuring import BUCKETS, RolloutMetrics
from activities.queues import Activity, hook_activities, main_activities, side_activities
from activities.tracing import RolloutSpans
from coalmine import connection
from coalmine.census import Census
from coalmine.errors import CoalmineError, InputError, TemporalUnavailable
from coalmine.preflight import complaint, create_missing, find_lacks
from coalmine.records import HOOK_TASK_QUEUE, SIDE_TASK_QUEUE, TASK_QUEUE
from coalmine.run_truth import RunTruth
from coalmine.telemetry.starting import LAST_WORDS, finish, set_up
from coalmine.worker_settings import WorkerSettings
from workflows.canary import Canary
from workflows.fleet import Fleet
from workflows.guard import TrafficGuard
from workflows.one_input import OneInput
from workflows.runner import HistoryBoundRunner

STICKY = timedelta(seconds=1)
"""How long a workflow waits for a worker that died before another one takes it over."""
BEAT_AT_MOST = timedelta(milliseconds=500)
"""How long the SDK may hold a heartbeat back: cancellations and retries are as late as this."""
HOOK_BEAT_AT_MOST = timedelta(seconds=4)
"""The same of hooks and load. Five hundred that hang would take up the server with a thousand heartbeats a second, and
a rollback would wait for it."""
ACTIVITY_SLOTS = 500
"""Activities at once per queue: looks that wait for slow metric stores must leave room for a rollback."""
WORKFLOW_TASKS = 10
"""Workflow tasks at once: the interpreter computes them one by one, and one that waits its turn for longer than
``TASK_TIMEOUT`` is computed again. Many releases that start together would keep each other from ever being done."""

log = structlog.stdlib.get_logger("coalmine.worker")


async def connect(settings: WorkerSettings, environ: Mapping[str, str] | None = None) -> Client:
    """A client with our data converter, whose native core logs and measures through this process.

    Raises:
        InputError: the profile, or the metrics address, cannot be used.
        TemporalUnavailable: nobody answers, or no server is set.
    """
    found = connection.settings(environ=environ)
    log.info("connecting", address=found.address, namespace=found.namespace, origin=found.origin)
    return await connection.connect_client(
        replace(found, options={**found.options, "runtime": _runtime(settings), "lazy": False}), serving=True
    )


def _runtime(settings: WorkerSettings) -> Runtime:
    metrics = settings.metrics_address and PrometheusConfig(
        bind_address=settings.metrics_address,
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS,
    )
    forwarding = LogForwardingConfig(
        logger=core_logger(), append_target_to_name=False, append_log_fields_to_message=False
    )
    core_logs = LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding)
    try:
        return Runtime(telemetry=TelemetryConfig(logging=core_logs, metrics=metrics or None))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"COALMINE_METRICS_ADDRESS: {settings.metrics_address} cannot be served: {error}") from None


async def preflight(client: Client, *, create: bool = False) -> None:
    """Make sure of the namespace and the search attributes, before a rollout finds out in its middle.

    Args:
        client: Its namespace is looked at.
        create: Create what is missing, as the local stack does.

    Raises:
        TemporalUnavailable: something is missing or of another type; says the exact commands.
    """
    if create:
        for created in await create_missing(client):
            log.info("created", what=created)
    lacks = await find_lacks(client)
    if lacks:
        raise TemporalUnavailable(complaint(lacks))


def build_workers(
    client: Client,
    settings: WorkerSettings,
    *,
    main: Sequence[Activity] | None = None,
    side: Sequence[Activity] | None = None,
    hooks: Sequence[Activity] | None = None,
    workflows: Sequence[type] = (Canary, Fleet, TrafficGuard),
) -> list[Worker]:
    """The workers of this process, one for each queue, not yet running.

    Args:
        client: From ``connect``, or a test's own with our data converter.
        settings: Draining and versioning.
        main: Activities of the main queue instead of ``main_activities``.
        side: Activities of the side queue instead of ``side_activities``.
        hooks: Activities of the hooks' queue instead of ``hook_activities``.
        workflows: Served on the main queue.
    """
    passed = SandboxRestrictions.default.with_passthrough_modules("coalmine")
    versioning: dict[str, Any] = {}
    if settings.deployment is not None:
        versioning["deployment_config"] = WorkerDeploymentConfig(
            version=settings.deployment,
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        )

    def build(
        queue: str, activities: Sequence[Activity], workflows: Sequence[type] = (), beat: timedelta = BEAT_AT_MOST
    ) -> Worker:
        return Worker(
            client,
            task_queue=queue,
            workflows=workflows,
            activities=activities,
            workflow_runner=HistoryBoundRunner(restrictions=passed, truth=RunTruth(client)),
            interceptors=[OneInput(), RolloutLogging(), RolloutMetrics(), RolloutSpans()],
            max_concurrent_activities=ACTIVITY_SLOTS,
            max_concurrent_workflow_tasks=WORKFLOW_TASKS,
            sticky_queue_schedule_to_start_timeout=STICKY,
            max_heartbeat_throttle_interval=beat,
            default_heartbeat_throttle_interval=beat,
            graceful_shutdown_timeout=settings.drain,
            **versioning,
        )

    return [
        build(TASK_QUEUE, main_activities(client) if main is None else main, workflows),
        build(SIDE_TASK_QUEUE, side_activities(client) if side is None else side),
        build(HOOK_TASK_QUEUE, hook_activities() if hooks is None else hooks, beat=HOOK_BEAT_AT_MOST),
    ]


async def serve(workers: Sequence[Worker], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, then drain: take nothing new, let running activities finish.

    Raises:
        Exception: a worker failed for good; the others were drained.
    """
    runs = [asyncio.create_task(worker.run()) for worker in workers]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([*runs, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            log.info("draining")
        # Also those that have not begun yet: SIGTERM may come first.
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        await asyncio.gather(*runs)
    finally:
        stopping.cancel()


async def run(settings: WorkerSettings, *, create: bool = False) -> None:
    """Everything from connecting to the end of draining.

    Raises:
        CoalmineError: it could not begin to serve.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # The default pool has a handful of threads: queries of slow metric stores would hold back the writes of a rollback.
    loop.set_default_executor(ThreadPoolExecutor(ACTIVITY_SLOTS, thread_name_prefix="coalmine"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    traced = set_up("coalmine-worker", os.environ)
    client = await connect(settings)
    await preflight(client, create=create)
    workers = build_workers(client, settings)
    log.info(
        "serving",
        queues=[TASK_QUEUE, SIDE_TASK_QUEUE, HOOK_TASK_QUEUE],
        namespace=client.namespace,
        metrics=settings.metrics_address,
        traces=traced,
        build=settings.deployment and settings.deployment.to_canonical_string(),
    )
    warming = asyncio.create_task(warm_up(stop))
    counting = asyncio.create_task(count_open(client, settings))
    try:
        await serve(workers, stop)
        await warming
    finally:
        counting.cancel()
        if not await asyncio.to_thread(finish):
            log.warning("traces not delivered", within=LAST_WORDS)
    log.info("drained")


async def count_open(client: Client, settings: WorkerSettings) -> None:
    """Keep the gauges of open rollouts, where somebody may scrape them."""
    runtime = client.service_client.config.runtime
    if settings.metrics_address and runtime is not None:
        await Census(client, runtime.metric_meter).keep()


async def warm_up(stop: asyncio.Event) -> None:
    """Load the judge beside the serving: what has waited for a worker does not wait for numerics too.

    Raises:
        Exception: this installation cannot judge; ``stop`` is set.
    """
    began = time.monotonic()
    try:
        await asyncio.to_thread(numerics)
    except BaseException:
        stop.set()
        raise
    log.info("warm", seconds=round(time.monotonic() - began, 2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="worker.py", description="Serve rollouts until SIGTERM.")
    parser.add_argument("--create-missing", action="store_true", help="create the namespace and the search attributes")
    options = parser.parse_args(arguments)
    configure_logging()
    try:
        settings = WorkerSettings.of(os.environ)
        configure_logging(settings.log_level, settings.log_format)
        # A key that cannot be used is found now, not by the first rollout.
        sealer_of(os.environ)
        asyncio.run(run(settings, create=options.create_missing))
    except InputError as error:
        log.error("the worker cannot start", reason=str(error))
        return 2
    except CoalmineError as error:
        for line in str(error).splitlines():
            log.error("the worker cannot start", reason=line)
        return 1
    except Exception:
        log.exception("the worker failed")
        return 1
    return 0


def entry() -> NoReturn:
    """Run the worker and end this process with its exit code."""
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: native threads of the SDK that outlive the loop can crash the interpreter's own ending, and a
    # drained worker would look like a crashed one.
    os._exit(code)


if __name__ == "__main__":
    entry()

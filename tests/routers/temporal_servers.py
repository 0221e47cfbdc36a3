"""Dev servers for worker deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.conftest import NAMESPACE, binary

WITHOUT_PAUSE = ["--dynamic-config-value", 'history.continueAsNewMinInterval="1ms"']
"""A server keeps a deployment in a workflow that begins anew after every change, at most once a second: until then it
answers no question. Fifty cases of a contract would wait for ten minutes."""


@asynccontextmanager
async def dev_server(*arguments: str, port: int | None = None, file: Path | None = None) -> AsyncIterator[Client]:
    """A client of a dev server of its own, with its data in ``file``, or in memory."""
    environment = await WorkflowEnvironment.start_local(
        namespace=NAMESPACE,
        port=port,
        data_converter=pydantic_data_converter,
        dev_server_existing_path=binary("temporal"),
        dev_server_log_level="error",
        dev_server_database_filename=str(file) if file else None,
        dev_server_startup_timeout=timedelta(seconds=30),
        dev_server_extra_args=list(arguments),
    )
    try:
        yield environment.client
    finally:
        await environment.shutdown()

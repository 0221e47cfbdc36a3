"""What every test may use: a home of its own and Temporal dev servers.

Nothing is downloaded, and nothing is written outside pytest's temporary folder.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, settings
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker._workflow import _WorkflowWorker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition

from coalmine.search_attributes import KEYS
from coalmine.testing.aws_server import aws_server

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

pytest_plugins = ["tests.long_spread", "tests.timed_out"]
T = TypeVar("T")
NAMESPACE = "coalmine"
FOLDERS = {
    "HOME": "home",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_STATE_HOME": "home/.local/state",
    "XDG_RUNTIME_DIR": "run",
    "TMPDIR": "tmp",
}
FOREIGN = ("TEMPORAL_", "COALMINE_")
PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


@pytest.fixture(autouse=True)
def _own_log_handlers() -> Iterator[None]:
    """Take away the handler of a command that set up logging within a test: its stream is closed afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler and handler not in before:
            root.removeHandler(handler)
            root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point HOME, XDG and TMPDIR into pytest's folder, and forget settings of the person who runs the tests."""
    room = tmp_path_factory.mktemp("own")
    patch = pytest.MonkeyPatch()
    for variable in list(os.environ):
        if variable.startswith(FOREIGN) or variable.lower() in PROXIES:
            patch.delenv(variable)
    for variable, folder in FOLDERS.items():
        path = room / folder
        path.mkdir(parents=True, exist_ok=True)
        patch.setenv(variable, str(path))
    patch.setattr(tempfile, "tempdir", None)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _patient_workers() -> Iterator[None]:
    """Let a workflow task take half a minute: on a busy machine the SDK's 2 s say nothing of a deadlock."""
    patch = pytest.MonkeyPatch()
    made = _WorkflowWorker.__init__

    def patient(self: _WorkflowWorker, **options: Any) -> None:
        made(self, **options)
        self._deadlock_timeout_seconds = 30

    patch.setattr(_WorkflowWorker, "__init__", patient)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _workflows_prepared_once() -> Iterator[None]:
    """Load each workflow into the sandbox once to see that it can be, not for every worker of every test.

    Every run still gets a sandbox of its own.
    """
    patch = pytest.MonkeyPatch()
    prepare = SandboxedWorkflowRunner.prepare_workflow
    prepared: set[tuple[type, type, frozenset[str]]] = set()

    def once(self: SandboxedWorkflowRunner, defn: _Definition) -> None:
        key = (type(self), defn.cls, frozenset(self.restrictions.passthrough_modules))
        if key not in prepared:
            prepare(self, defn)
            prepared.add(key)

    patch.setattr(SandboxedWorkflowRunner, "prepare_workflow", once)
    yield
    patch.undo()


@dataclass(frozen=True)
class TemporalServer:
    """A running dev server: where it is, and the namespace that has our search attributes."""

    address: str
    namespace: str

    def variables(self) -> dict[str, str]:
        """The environment that points a process of ours here."""
        return {"TEMPORAL_ADDRESS": self.address, "TEMPORAL_NAMESPACE": self.namespace}

    async def connect(self, **options: Any) -> Client:
        """A client with our data converter."""
        return await Client.connect(
            self.address, namespace=self.namespace, data_converter=pydantic_data_converter, **options
        )


def binary(name: str) -> str:
    """The path of an executable the environment of the tests brings."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is missing: run make setup"
    return str(path)


def _in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, whatever loop this thread has."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


async def start_dev_server(namespace: str, *, with_attributes: bool, dynamic: str = "") -> WorkflowEnvironment:
    """A dev server of one's own, with the namespace."""
    return await WorkflowEnvironment.start_local(
        namespace=namespace,
        data_converter=pydantic_data_converter,
        search_attributes=KEYS if with_attributes else (),
        dev_server_existing_path=binary("temporal"),
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=30),
        dev_server_extra_args=[
            *("--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true"),
            *(("--dynamic-config-value", dynamic) if dynamic else ()),
        ],
    )


@pytest.fixture(scope="session")
def temporal_env(_own_home: None) -> Iterator[TemporalServer]:
    """One dev server for all tests of this process, with namespace and search attributes; shared, so use own ids."""
    environment = _in_thread(start_dev_server(NAMESPACE, with_attributes=True))
    yield TemporalServer(environment.client.service_client.config.target_host, NAMESPACE)
    _in_thread(_end(environment))


async def _end(environment: WorkflowEnvironment) -> None:
    await environment.shutdown()
    # The SDK's native threads crash an interpreter that ends while they still let go of the server.
    await asyncio.sleep(0.2)


@pytest.fixture
async def temporal_client(temporal_env: TemporalServer) -> AsyncIterator[Client]:
    """A client of the shared dev server; workflows the test leaves open are terminated after it."""
    client = await temporal_env.connect()
    yield client
    async for left in client.list_workflows("ExecutionStatus = 'Running'"):
        try:
            await client.get_workflow_handle(left.id, run_id=left.run_id).terminate("the test is over")
        except RPCError:
            continue  # It ended by itself meanwhile.


@pytest.fixture
async def bare_temporal(temporal_env: TemporalServer) -> TemporalServer:
    """A namespace of this test's own, which lacks our search attributes and where nobody ever polled."""
    own = TemporalServer(temporal_env.address, f"{NAMESPACE}-{uuid4().hex[:12]}")
    client = await temporal_env.connect()
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=own.namespace, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    return own


@pytest.fixture
async def forgetful_env(_own_home: None) -> AsyncIterator[WorkflowEnvironment]:
    """A fresh dev server that suggests continue-as-new after 200 events, where others do after 4,096."""
    forgetful = "limit.historyCount.suggestContinueAsNew=200"
    environment = await start_dev_server(NAMESPACE, with_attributes=True, dynamic=forgetful)
    yield environment
    await environment.shutdown()


@pytest.fixture
async def pausing_temporal(_own_home: None) -> AsyncIterator[TemporalServer]:
    """A fresh dev server whose workflows can be paused, which its version still keeps behind a switch."""
    environment = await start_dev_server(NAMESPACE, with_attributes=True, dynamic="frontend.WorkflowPauseEnabled=true")
    yield TemporalServer(environment.client.service_client.config.target_host, NAMESPACE)
    await environment.shutdown()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a process that answers as AWS does, whose services botocore reads up on once for all clients."""
    from botocore import loaders, session

    kept = loaders.create_loader()
    with pytest.MonkeyPatch.context() as patch, aws_server(tmp_path_factory.mktemp("moto")) as url:
        patch.setattr(session, "create_loader", lambda _=None: kept)
        yield url


@pytest.fixture
def aws_environment(aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What leads boto3 there, and to no other AWS."""
    for variable in ("AWS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

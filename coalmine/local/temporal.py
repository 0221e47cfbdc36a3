"""A Temporal dev server with its UI, on disk, as a child process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client

from coalmine.connection import Settings, connect_client
from coalmine.encryption import KEYS_VARIABLE, KeyRing
from coalmine.errors import MissingExtra, TemporalUnavailable
from coalmine.local.processes import LocalStackError, Process, await_port, free_ports
from coalmine.preflight import RETENTION, create_missing

NAMESPACE = "coalmine"
"""Not ``default``, which keeps closed workflows for a day only."""
HEALTHY_WITHIN = 30.0
"""Seconds."""
PORTS_TAKEN = 2
"""How often others are tried where a port that was free is not any more."""


@dataclass(frozen=True)
class TemporalServer:
    """A dev server that was started; ``ui`` is its web page."""

    process: Process
    port: int
    ui_port: int
    codec: Process | None = None
    """Decrypts for the UI, where payloads are encrypted."""

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui(self) -> str:
        """The address of the UI."""
        return f"http://127.0.0.1:{self.ui_port}"

    def stop(self) -> None:
        """End it, and what decrypts for its UI."""
        self.process.stop()
        if self.codec is not None:
            self.codec.stop()


def temporal_program() -> str:
    """The ``temporal`` binary of the extra ``local``, or one on the PATH.

    Raises:
        MissingExtra: there is none.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise MissingExtra("local", "the local stack's Temporal server")
    return found


async def start_temporal(folder: Path, keys: str | None = None) -> TemporalServer:
    """Start it and create the namespace (30 days' retention) and the search attributes.

    Args:
        folder: where its files go.
        keys: the file with the keys payloads are encrypted with; a codec server then decrypts for the UI.

    Raises:
        InputError: the key file cannot be used.
        LocalStackError: it did not come up.
        MissingExtra: it is not installed.
        TemporalUnavailable: it did not take the namespace.
    """
    for _ in range(PORTS_TAKEN):
        try:
            return await _start_on(free_ports(3), folder, keys)
        except LocalStackError as error:
            # Another program may take a port between our look and the server's.
            if "address already in use" not in str(error):
                raise
    return await _start_on(free_ports(3), folder, keys)


async def _start_on(ports: Sequence[int], folder: Path, keys: str | None) -> TemporalServer:
    codec = await _start_codec(folder, ports[2], ports[1], keys) if keys else None
    try:
        return await _start_server(folder, ports, codec)
    except BaseException:
        if codec is not None:
            codec.stop()
        raise


async def _start_server(folder: Path, ports: Sequence[int], codec: Process | None) -> TemporalServer:
    port, ui_port, codec_port = ports
    process = Process("temporal", folder)
    process.start(
        [
            *(temporal_program(), "server", "start-dev"),
            *("--ip", "127.0.0.1", "--ui-ip", "127.0.0.1"),
            *("--port", str(port), "--ui-port", str(ui_port)),
            *("--db-filename", str(folder / "temporal.db")),
            *("--namespace", NAMESPACE, "--log-level", "error"),
            # The search attributes are made a moment before the first rollout uses them.
            *("--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true"),
            *(("--ui-codec-endpoint", f"http://127.0.0.1:{codec_port}") if codec else ()),
        ]
    )
    await await_port(process, port)
    server = TemporalServer(process, port, ui_port, codec)
    client = await _connected(Settings(server.address, NAMESPACE, "the local stack", server.ui, {}), process)
    # A namespace made at start is visible at once, but keeps closed workflows for a day only.
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=NAMESPACE,
            config=NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=int(RETENTION.total_seconds()))),
        )
    )
    await create_missing(client)
    await await_port(process, ui_port)
    return server


async def _start_codec(folder: Path, port: int, ui_port: int, keys: str) -> Process:
    # Read here first: an error of the child would only be in its log.
    KeyRing.read(keys)
    process = Process("codec", folder)
    origins = [word for host in ("127.0.0.1", "localhost") for word in ("--origin", f"http://{host}:{ui_port}")]
    command = [*(sys.executable, "-m", "coalmine.cli"), "codec", "serve", "--listen", f"127.0.0.1:{port}", *origins]
    process.start(command, {**os.environ, KEYS_VARIABLE: keys})
    await await_port(process, port)
    return process


async def _connected(settings: Settings, process: Process) -> Client:
    """A client, once the server behind the open port is healthy: on a busy machine that takes some seconds more."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HEALTHY_WITHIN
    while True:
        process.check()
        try:
            return await connect_client(settings)
        except TemporalUnavailable:
            if loop.time() > deadline:
                raise
        await asyncio.sleep(0.1)

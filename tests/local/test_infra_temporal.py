"""The files of infra/temporal, against a real server and its UI."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest_asyncio
from ruamel.yaml import YAML
from temporalio.client import Client

from coalmine.local.temporal import TemporalServer, start_temporal, temporal_program
from coalmine.preflight import find_lacks
from coalmine.search_attributes import SEARCH_ATTRIBUTES

INFRA = Path(__file__).parent.parent.parent / "infra" / "temporal"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    """A dev server with its UI."""
    server = await start_temporal(tmp_path)
    yield server
    await asyncio.to_thread(server.stop)


async def test_the_script_makes_a_namespace_ready_and_the_ui_knows_the_switches(server: TemporalServer) -> None:
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            str(INFRA / "namespace.sh"),
            "shop",
            env={**os.environ, "TEMPORAL_ADDRESS": server.address, "TEMPORAL_CLI": temporal_program()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
    client = await Client.connect(server.address, namespace="shop")
    assert await find_lacks(client) == []
    known = await asyncio.to_thread(_settings, server.ui)
    switches = re.findall(r"^#? ?TEMPORAL_(\w+_DISABLED|DISABLE_WRITE_ACTIONS)=", _ui(), re.MULTILINE)
    assert len(switches) == 10
    assert [name for name in switches if name.title().replace("_", "") not in known] == []


def _settings(ui: str) -> dict[str, Any]:
    with urlopen(f"{ui}/api/v1/settings") as response:
        found: dict[str, Any] = json.load(response)
    return found


def _ui() -> str:
    return (INFRA / "ui.env").read_text(encoding="utf-8")


def test_the_script_names_every_search_attribute() -> None:
    pairs = dict(re.findall(r"(Coalmine\w+)=(\w+)", (INFRA / "namespace.sh").read_text(encoding="utf-8")))
    assert pairs == SEARCH_ATTRIBUTES


def test_the_ui_lets_people_signal_and_not_terminate() -> None:
    given = dict(line.split("=", 1) for line in _ui().splitlines() if re.match(r"[A-Z_]+=", line))
    assert given["TEMPORAL_WORKFLOW_TERMINATE_DISABLED"] == given["TEMPORAL_WORKFLOW_PAUSE_DISABLED"] == "true"
    assert given["TEMPORAL_WORKFLOW_SIGNAL_DISABLED"] == given["TEMPORAL_WORKFLOW_CANCEL_DISABLED"] == "false"


def test_the_server_knows_the_keys_of_its_dynamic_configuration() -> None:
    keys = YAML(typ="safe").load(INFRA / "dynamicconfig.yaml")
    with Path(temporal_program()).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        assert [key for key in keys if held.find(key.encode()) < 0] == []
    assert all(isinstance(entry["value"], int) for values in keys.values() for entry in values)

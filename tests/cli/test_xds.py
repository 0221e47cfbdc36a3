"""``coalmine xds``: where it listens, whom it lets in, and what a restart serves."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from activities.routers.envoy_xds import EnvoyXdsRouter
from coalmine.cli import main
from coalmine.local.envoy import EnvoyProxy
from coalmine.testing.router_contract import CANARY, STABLE
from tests.routers.envoy_world import CLUSTERS, SECOND
from tests.routers.xds_world import write_files, xds_route

WITHIN = 60.0
"""Seconds; long, because no test judges speed."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "8018"], "--listen: '8018' is not HOST:PORT, such as 127.0.0.1:8018"),
        (["--admin", "127.0.0.1:65536"], "--admin: '127.0.0.1:65536' is not HOST:PORT"),
        (["--admin", "0.0.0.0:0"], "--admin: whoever reaches 0.0.0.0:0 can move all traffic: set COALMINE_XDS_TOKEN"),
        (["--cert", "cert.pem"], "--key: is missing"),
        (["--key", "key.pem"], "--cert: is missing"),
        (["--client-ca", "ca.pem"], "--client-ca: needs --cert and --key"),
        (["--cert", "no.pem", "--key", "no.pem"], "no.pem cannot be used"),
        (["--forget", "-1"], "--forget: -1 is not a time"),
    ],
)
def test_what_cannot_be_served_is_named(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COALMINE_XDS_TOKEN", raising=False)
    assert main(["xds", "--routes", str(tmp_path), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xds", "--routes", "/no/where"]) == 2
    assert "--routes: /no/where is no folder" in capsys.readouterr().err


def test_a_token_nobody_could_keep_out_of_logs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COALMINE_XDS_TOKEN", "abc")
    assert main(["xds", "--routes", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "COALMINE_XDS_TOKEN" in told
    assert "abc" not in told


def test_without_the_extra_it_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    for module in [name for name in sys.modules if name.startswith("coalmine.xds.")]:
        monkeypatch.delitem(sys.modules, module)
    assert main(["xds", "--routes", str(tmp_path)]) == 2
    assert "coalmine[xds]" in capsys.readouterr().err


@asynccontextmanager
async def serving(folder: Path, listen: str = "127.0.0.1:0", admin: str = "127.0.0.1:0") -> AsyncIterator[Any]:
    """The process, and what it said first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coalmine.cli", "xds", "--routes", str(folder), "-o", "json",
        "--listen", listen, "--admin", admin, "--forget", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, json.loads(await process.stdout.readuntil(b"}\n}\n"))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def confirmed(control: str, generation: int) -> Mapping[str, float]:
    """What every proxy has, once all have that."""
    router, route = EnvoyXdsRouter(), xds_route(control)
    async with asyncio.timeout(WITHIN):
        while (await router.confirm(route, generation, [STABLE, CANARY])).answer != "yes":
            await asyncio.sleep(0.01)
    return (await router.read(route, [STABLE, CANARY])).weights


async def test_killed_it_serves_what_was_written_last_and_envoys_never_notice(tmp_path: Path) -> None:
    folder = tmp_path / "routes"
    write_files(folder)
    half = {STABLE: 50.0, CANARY: 50.0}
    async with serving(folder) as (process, told):
        assert set(told["routes"]) == {"shop", SECOND}
        envoy = EnvoyProxy(tmp_path / "edge-1", None, CLUSTERS, control_plane=told["address"])
        async with envoy:
            await EnvoyXdsRouter().apply(xds_route(told["admin"]), half, 7)
            assert await confirmed(told["admin"], 7) == half
            process.kill()
            await process.wait()
            admin = told["admin"].removeprefix("http://")
            async with serving(folder, told["address"], admin) as (again, anew):
                assert anew["address"] == told["address"]
                assert anew["routes"]["shop"].startswith("7:")
                assert await confirmed(anew["admin"], 7) == half
            assert again.returncode == 0

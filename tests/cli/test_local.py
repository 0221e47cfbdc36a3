"""worker, load, up, down and demo: the verbs that run something here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import worker
from coalmine.cli import main
from coalmine.local import demo, stack
from coalmine.local.demo import DemoReport, Scenario
from coalmine.local.demo_releases import releases
from coalmine.local.stack import Stack


@pytest.fixture
async def url() -> Any:
    """A server that answers 200, and 500 on /bad."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500 if request.path == "/bad" else 200, text=request.headers.get("X-Who", ""))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _run(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coalmine.cli", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )


async def test_load_reports(url: str) -> None:
    process = await _run("load", f"{url}/bad", "--rate", "50", "--for", "500ms", "-H", "X-Who: me", "-o", "json")
    out, err = await process.communicate()
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["sent"] > 5
    assert report["statuses"] == {"500": report["sent"]}


async def test_ctrl_c_ends_load_with_a_report(url: str) -> None:
    process = await _run("load", url, "--rate", "50", "--for", "1h")
    assert process.stderr is not None
    assert "5 s: " in (await process.stderr.readline()).decode()
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().startswith("sent  ")


@pytest.mark.parametrize("form", [[], ["-o", "json"]])
def test_worker_runs_the_worker(
    form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[list[str], str | None]] = []

    def serve(arguments: list[str]) -> int:
        called.append((arguments, os.environ.get("TEMPORAL_PROFILE")))
        return 2

    monkeypatch.setattr(worker, "main", serve)
    monkeypatch.setenv("TEMPORAL_PROFILE", "before")
    assert main(["worker", "--create-missing", "--profile", "prod", *form]) == 2
    assert called == [(["--create-missing"], "prod")]
    printed = capsys.readouterr().out
    assert (json.loads(printed) if form else printed) == ({"served": False, "exit": 2} if form else "")


def test_up_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def up(folder: Path) -> Stack:
        return Stack(
            folder=str(folder),
            temporal={"address": "127.0.0.1:1", "namespace": "coalmine", "ui": "http://127.0.0.1:2"},
            envoy={"url": "http://127.0.0.1:3", "admin": "http://127.0.0.1:4", "route_file": "route.json"},
            prometheus={"url": "http://127.0.0.1:5"},
            slots={"checkout-blue": 6},
            logs=str(folder),
        )

    monkeypatch.setattr(stack, "up", up)
    monkeypatch.setattr(stack, "down", lambda folder: ["worker", "temporal"])
    folder = str(tmp_path / "here")
    assert main(["up", "--folder", folder]) == 0
    printed = capsys.readouterr()
    assert "temporal    127.0.0.1:1, namespace coalmine" in printed.out
    assert f"export COALMINE_HOME={folder}" in printed.err
    assert main(["up", "--folder", folder, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["slots"] == {"checkout-blue": 6}
    assert main(["down", "--folder", folder, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": folder, "stopped": ["worker", "temporal"]}
    monkeypatch.setattr(stack, "down", lambda folder: [])
    assert main(["down", "--folder", folder]) == 0
    assert capsys.readouterr().err == f"nothing runs from {folder}\n"


@pytest.mark.parametrize("outcome", ["rolled_back", "promoted"])
def test_demo_exits_0_only_when_all_is_right(
    outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run_demo(folder: Path, say: Any, keep: bool = False) -> DemoReport:
        say("starting")
        names = [release.name for release in releases()]
        rows = [
            Scenario(
                name,
                "2.0.0",
                "rolled_back",
                outcome,
                120,
                3.2 if outcome == "rolled_back" else None,
                21.0,
                decision="analysis",
            )
            for name in names
        ]
        return DemoReport(rows, {names[0]: "http://ui.example"}, str(folder), 80.0)

    monkeypatch.setattr(demo, "run_demo", run_demo)
    right = outcome == "rolled_back"
    assert main(["demo", "--folder", str(tmp_path), "-o", "json"]) == (0 if right else 1)
    told = json.loads(capsys.readouterr().out)
    assert {"name", "outcome", "expected", "canary_requests", "seconds_to_rollback", "workflow_id", "reason"} <= set(
        told["scenarios"][0]
    )
    assert main(["demo", "--folder", str(tmp_path)]) == (0 if right else 1)
    printed = capsys.readouterr()
    assert ("as expected" in printed.out) is right
    assert ("WRONG, expected rolled back" in printed.out) is not right
    assert printed.err.startswith("starting\n")

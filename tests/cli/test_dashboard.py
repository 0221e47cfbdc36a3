"""``coalmine dashboard`` as people start it: what the options say together, and a real process that answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Desk

KEY = ("keys", "create", "dash.key", "--service", "dashboard")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--auth", "header"], "--header is missing"),
        (["--auth", "header", "--header", "X-User"], "--trusted-peer is missing"),
        (["--auth", "oidc"], "--auth oidc needs --oidc-issuer and --oidc-client-id"),
        (["--auth", "oidc", "--oidc-issuer", "http://a.example", "--oidc-client-id", "x"], "--oidc-issuer: "),
        (["--header", "X-User"], "--header belongs to --auth header"),
        (["--host", "0.0.0.0"], "--public-url is missing"),
        (["--host", "0.0.0.0", "--insecure-act-as", "ana"], "it is for 127.0.0.1 alone"),
        (["--insecure-act-as", " "], "--insecure-act-as is empty"),
        (["--public-url", "http://coalmine.example.org"], "write https"),
        (["--public-url", "coalmine.example.org"], "is no address of a server"),
        (["--port", "70000"], "is no port"),
        (["--sign-with", "nowhere.key"], "signing key nowhere.key cannot be read"),
        (["--ledger", "nowhere"], "--ledger: there is no folder nowhere"),
        (["--api-issuers", "nowhere.json"], "nowhere.json: there is no such file"),
    ],
)
async def test_what_cannot_be_used_is_said_before_anything_is_served(
    empty_desk: Desk, words: list[str], said: str
) -> None:
    port = [] if "--port" in words else ["--port", "0"]
    ran = await empty_desk.type("dashboard", *port, *words)
    assert ran.code == 2
    assert said in ran.err


async def test_a_persons_key_does_not_speak_for_others_nor_a_services_for_itself(empty_desk: Desk) -> None:
    assert (await empty_desk.type("keys", "create", "ana.key", "--person", "ana")).code == 0
    ran = await empty_desk.type("dashboard", "--port", "0", "--sign-with", "ana.key")
    assert ran.code == 2
    assert "'ana''s key and signs for nobody else" in ran.err
    assert (await empty_desk.type(*KEY)).code == 0
    listed = (await empty_desk.type("keys", "jwks", "dash.key")).data["keys"][0]
    assert listed["coalmine_signs_for"] == "anyone"
    assert "d" not in listed
    ran = await empty_desk.type("approve", "checkout", "--sign-with", "dash.key")
    assert ran.code == 2
    assert "no signing key" in ran.err


async def test_a_process_serves_says_where_and_ends_when_told(empty_desk: Desk, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coalmine.cli", "dashboard", "--port", "0", "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            told = json.loads((await process.stdout.readuntil(b"}")).decode())
        async with httpx.AsyncClient(base_url=told["url"], trust_env=False) as client:
            assert "No rollout is open" in (await client.get("/")).text
            async with client.stream("GET", "/events/fleet", timeout=60) as stream:
                assert stream.status_code == 200
                # A page that is followed does not keep it from ending.
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode in (0, -signal.SIGTERM)

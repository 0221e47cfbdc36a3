"""``coalmine flags``: where it listens, and what it serves."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from coalmine.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flags.json", "--listen", "8016"], "--listen: '8016' is not HOST:PORT, such as 127.0.0.1:8016"),
        (["flags.json", "--listen", "127.0.0.1:65536"], "is not HOST:PORT"),
        (["none.json", "--listen", "127.0.0.1:0"], "none.json: is not there"),
    ],
)
def test_what_cannot_be_served_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flags", *words]) == 2
    assert said in capsys.readouterr().err


async def test_it_says_where_and_serves_until_it_is_stopped(tmp_path: Path) -> None:
    text = json.dumps({"flags": {"a": {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}}})
    file = tmp_path / "flags.json"
    file.write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coalmine.cli", "flags", str(file), "--listen", "127.0.0.1:0", "-o", "json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = json.loads(await process.stdout.readuntil(b"}\n"))["url"]
        async with aiohttp.ClientSession() as session, session.get(f"{url}/flags.json") as answer:
            assert await answer.text() == text
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0

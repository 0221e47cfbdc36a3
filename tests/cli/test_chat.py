"""``coalmine chat``: what is missing or wrong is told in a line; what is right serves until it is told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from coalmine.cli import main
from coalmine.testing.slack import FakeSlack, Hands, member
from tests.conftest import TemporalServer

SETTINGS = "people: {U0ANA: ana@example.org}\nchannels: [{channel: C0ROLLOUTS}]\n"
GOOD = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "abc", "SLACK_APP_TOKEN": "xapp-1"}


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"SLACK_BOT_TOKEN": ""}, [], "SLACK_BOT_TOKEN: not set: it is the bot token"),
        ({"SLACK_BOT_TOKEN": "xoxp-secret"}, [], "SLACK_BOT_TOKEN: it begins with 'xoxp', and should with 'xoxb-'"),
        ({"SLACK_SIGNING_SECRET": ""}, [], "SLACK_SIGNING_SECRET: not set: it is the signing secret"),
        ({"SLACK_SIGNING_SECRET": "8f74 2231"}, [], "SLACK_SIGNING_SECRET: it has characters of no secret: it is the"),
        ({"SLACK_APP_TOKEN": ""}, ["--socket"], "SLACK_APP_TOKEN: not set: it is an app-level token"),
        ({}, ["--listen", "3000"], "--listen: '3000' is not HOST:PORT"),
        ({}, ["--sign-with", "none.key"], "signing key none.key cannot be read"),
        ({}, ["--sign-with", "ana.key"], "ana.key: it is 'ana''s key and signs for nobody else"),
        ({}, [], "no Temporal server is set"),
    ],
)
def test_what_is_wrong_is_one_line(
    changes: dict[str, str], words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "chat.yaml").write_text(SETTINGS)
    assert main(["keys", "create", "ana.key", "--person", "ana"]) == 0
    capsys.readouterr()
    assert main(["chat", "chat.yaml", *words]) == 2 if "no Temporal" not in said else main(["chat", "chat.yaml"]) == 1
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert "8f74" not in printed.err
    assert "secret" not in printed.err.replace("of no secret", "").replace("signing secret", "").replace(
        "SIGNING_SECRET", ""
    )


def test_settings_can_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in GOOD:
        # Whoever checks a change of the file has no secret of Slack.
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "chat.yaml"
    path.write_text(SETTINGS + "digset: {}\n")
    assert main(["chat", str(path), "--check"]) == 2
    assert "digset: is not known here: did you mean 'digest'?" in capsys.readouterr().err
    path.write_text(SETTINGS)
    assert main(["chat", str(path), "--check", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"channels": 1, "people": 1}


def test_without_the_extra_it_says_which_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chat.yaml").write_text(SETTINGS)
    for name in [name for name in sys.modules if name.startswith(("slack_", "coalmine.chat.app", "coalmine.chat.web"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "slack_bolt", None)
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    assert main(["chat", str(tmp_path / "chat.yaml")]) == 2
    assert "coalmine chat needs the extra 'slack': pip install 'coalmine[slack]'" in capsys.readouterr().err


async def test_it_serves_until_sigterm_and_one_process_has_the_state(
    temporal_env: TemporalServer, tmp_path: Path
) -> None:
    async with FakeSlack() as slack:
        slack.workspace.channels, slack.workspace.users = {"C0ROLLOUTS"}, {"U0ANA": member("U0ANA")}
        (tmp_path / "chat.yaml").write_text(SETTINGS)
        secrets = {"SLACK_BOT_TOKEN": slack.token, "SLACK_SIGNING_SECRET": slack.signing_secret}
        environ = {**os.environ, **temporal_env.variables(), **secrets, "COALMINE_SLACK_API": slack.api}
        words = [sys.executable, "-m", "coalmine.cli", "chat", "chat.yaml", "--listen", "127.0.0.1:0", "-o", "json"]

        async def begin() -> asyncio.subprocess.Process:
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(
                *words, "--state", "chat.sqlite", cwd=tmp_path, env=environ, stdout=pipe, stderr=pipe
            )

        first = await begin()
        assert first.stdout is not None
        try:
            async with asyncio.timeout(120):
                said = b""
                while not said.rstrip().endswith(b"}"):
                    said += await first.stdout.readline()
                hands = Hands(slack, f"{json.loads(said)['url']}/slack/events")
                assert (await hands.command("/rollout", "list -e nowhere", "U0ANA")).status == 200
                assert await hands.told("U0ANA") == "no rollouts"
                second = await begin()
                _, err = await second.communicate()
                assert second.returncode == 2
                assert b"another coalmine chat that uses it must end first" in err
                first.send_signal(signal.SIGTERM)
                await first.communicate()
                assert first.returncode == 0
        finally:
            if first.returncode is None:
                first.kill()
                await first.communicate()

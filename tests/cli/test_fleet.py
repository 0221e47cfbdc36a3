"""ban, unban, and what they mean for a start by automation."""

from __future__ import annotations

import json

import pytest

from coalmine.records import Ban
from tests.cli.conftest import WORKFLOW_ID, Desk


async def test_ban_and_unban(desk: Desk) -> None:
    empty = await desk.type("ban", "--list", "-e", "test")
    assert (empty.code, empty.out) == (0, "")
    assert "no version is banned in test" in empty.err

    banned = await desk.type("ban", "checkout", "1.1.0", "-e", "test", "-m", "leaks", "-o", "json")
    assert banned.code == 0
    assert (banned.data["version"], banned.data["by"], banned.data["banned"]) == ("1.1.0", "ana@example.org", True)

    listed = await desk.type("ban", "--list", "-e", "test")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [["service", "region"], ["checkout", "1.1.0"]]
    assert listed.out.rstrip().endswith("leaks")
    assert (await desk.type("ban", "--list", "other", "-e", "test", "-o", "json")).data["bans"] == []

    wrong = await desk.type("unban", "checkout", "9.9.9", "-e", "test")
    assert wrong.code == 2
    assert "checkout 9.9.9 is not banned in test (banned: 1.1.0)" in wrong.err

    for words in (["a/b", "1.0", "-e", "test"], ["checkout", "1.0", "-e", ""], ["checkout", "1.0", "-e", "a b"]):
        nowhere = await desk.type("ban", *words)
        assert (nowhere.code, "cannot be a name" in nowhere.err) == (2, True)

    lifted = await desk.type("unban", "checkout", "1.1.0", "-e", "test")
    assert lifted.out == "lifted the ban of checkout 1.1.0 in test (it was by ana@example.org: leaks)\n"


async def test_the_environment_can_come_from_outside(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COALMINE_ENVIRONMENT", "test")
    assert (await desk.type("ban", "--list", "-o", "json")).data == {"environment": "test", "bans": []}


async def test_automation_may_not_start_a_banned_version_and_a_person_may(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.world.bans["1.1.0"] = Ban(service="checkout", version="1.1.0", by="bo", reason="leaks")
    spec = desk.write(policy={"look": "1s"})
    monkeypatch.setenv("CI", "true")
    blocked = await desk.type("start", spec, "-o", "json")
    assert blocked.code == 5
    assert "banned by bo: leaks" in json.dumps(blocked.data)
    await desk.client.get_workflow_handle(WORKFLOW_ID).result()
    assert (await desk.type("start", spec, "--no-automated")).code == 0

"""Watching many rollouts: ``list --watch``, ``watch -e``, ``watch`` of several, and ``start --wait``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from coalmine.cli._fleet_page import Seen, of_row
from coalmine.cli._fleet_watching import FleetWatcher, changes
from coalmine.cli._output import Output
from coalmine.client import RolloutRef, RolloutRow
from coalmine.records import Phase
from tests.cli.conftest import Desk
from tests.cli.terminal import HEARS_CTRL_C, shown_until
from tests.cli.test_rollouts import QUICK

GATED: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "10m", "gate": {"name": "go", "approval": {"by": ["sre"]}}}],
    "policy": {"look": "1s"},
    "people": {"sre": ["ana@example.org"]},
}
"""It waits before its first write, so that two can share the scripted world's one route."""


async def _gated(desk: Desk, service: str) -> RolloutRef:
    ran = await desk.type("start", desk.write(**GATED, service=service, name=f"{service}.yaml"))
    assert ran.code == 0, ran
    ref = RolloutRef(f"canary/test/{service}")
    async with asyncio.timeout(60):
        while (await desk.coalmine.status(ref)).phase is not Phase.GATED:
            await asyncio.sleep(0.05)
    return ref


async def _listed(desk: Desk, services: int) -> None:
    """Wait for visibility, which lags a little behind."""
    async with asyncio.timeout(60):
        while len(await desk.coalmine.rollouts()) < services:
            await asyncio.sleep(0.05)


async def _begin(*words: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*HEARS_CTRL_C, sys.executable, "-m", "coalmine.cli", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **variables},
    )


async def _line(process: asyncio.subprocess.Process, wanted: Callable[[Any], bool]) -> Any:
    """The first JSON line that is wanted."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while read := await process.stdout.readline():
            if wanted(found := json.loads(read)):
                return found
    raise AssertionError("it ended before it said so")


async def test_what_appears_and_what_closes_is_told_and_ctrl_c_detaches(desk: Desk) -> None:
    checkout = await _gated(desk, "checkout")
    await _listed(desk, 1)
    process = await _begin("list", "--watch", "-e", "test", "-o", "jsonl")
    there = await _line(process, lambda said: True)
    assert (there["change"], there["rollout"]["service"], there["rollout"]["phase"]) == ("there", "checkout", "gated")
    needs = await _line(process, lambda said: said["rollout"]["needs"])
    assert needs["rollout"]["needs"] == "gate 'go' waits for 1 of sre"
    cart = await _gated(desk, "cart")
    new = await _line(process, lambda said: said["rollout"]["service"] == "cart")
    assert new["change"] == "appeared"
    await desk.coalmine.send(cart, desk.verb("reject"), by="ana@example.org", reason="not today")
    closed = await _line(process, lambda said: said["change"] == "closed")
    assert (closed["rollout"]["service"], closed["rollout"]["outcome"]) == ("cart", "rejected")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = (await process.stderr.read()).decode()
    assert await process.wait() == 130
    assert told == "detached. The rollouts go on. Watch again: coalmine list --watch -e test\n"
    assert (await desk.coalmine.status(checkout)).phase is Phase.GATED


async def test_without_a_terminal_a_line_per_change_and_the_time_out_exits_8(desk: Desk) -> None:
    await _gated(desk, "checkout")
    await _listed(desk, 1)
    ran = await desk.type("list", "--watch", "--timeout", "4s")
    assert ran.code == 8
    first, *more = ran.out.splitlines()
    assert "Z  checkout 1.1.0 in test: gated at 0 %" in first
    # It says so once, not at every look.
    assert len(more) <= 1
    assert ran.err.startswith("stopped watching: the time of --timeout is over. The rollouts go on.")
    whole = await desk.type("watch", "-e", "test", "--timeout", "3s", "-o", "json")
    assert whole.code == 8
    assert [row["service"] for row in whole.data["rollouts"]] == ["checkout"]
    assert (whole.data["stopped"], whole.data["exit"]) == ("timeout", 8)
    each = await desk.type("list", "-o", "jsonl")
    assert [json.loads(line)["service"] for line in each.out.splitlines()] == ["checkout"]


def _rows(*rows: tuple[str, bool]) -> list[RolloutRow]:
    return [
        RolloutRow(
            service=name, environment="e", version="1.0", open=is_open, phase="stepping" if is_open else "closed",
            outcome=None if is_open else "rolled_back", workflow_id=f"canary/e/{name}", run_id=name,
        )
        for name, is_open in rows
    ]  # fmt: skip


async def test_who_watches_what_is_open_hears_how_it_ended_and_that_there_is_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists = [
        _rows(("a", True), ("b", True), ("of-yesterday", False)),
        _rows(("b", True), ("a", False), ("of-yesterday", False)),
        _rows(("c", True), ("b", True), ("d", True), ("a", False)),
    ]
    coalmine: Any = None

    async def list_now(_: Any, limit: int) -> list[RolloutRow]:
        assert limit > 2
        return lists.pop(0)

    watcher = FleetWatcher(Output("jsonl"), list_now, None, "coalmine watch -e e", most=2, open_only=True)
    for _ in range(3):
        await watcher._look(coalmine)
    printed = capsys.readouterr()
    told = [json.loads(line) for line in printed.out.splitlines()]
    assert [(one["change"], one["rollout"]["service"], one["rollout"]["outcome"]) for one in told] == [
        ("there", "a", None),
        ("there", "b", None),
        ("closed", "a", "rolled_back"),
        ("appeared", "c", None),
    ]
    assert printed.err == "there are more than 2: only the first are watched; list --watch --limit takes more\n"


async def test_a_terminal_gets_a_page_of_the_environment(desk: Desk) -> None:
    await _gated(desk, "checkout")
    await _listed(desk, 1)
    drawn, told, code = await shown_until(
        ["watch", "-e", "test"], ["gate 'go' waits for 1 of sre", "1 open, 1 waiting"]
    )
    assert code == 130
    assert "detached. The rollouts go on. Watch again: coalmine watch -e test" in told
    assert "checkout" in drawn


async def test_a_dumb_terminal_gets_lines(desk: Desk) -> None:
    await _gated(desk, "checkout")
    await _listed(desk, 1)
    drawn, _, code = await shown_until(["watch", "-e", "test"], ["checkout 1.1.0 in test: gated at 0 %"], TERM="dumb")
    assert code == 130
    assert "\x1b" not in drawn


async def test_several_by_name_end_with_the_gravest_exit_code(desk: Desk) -> None:
    cart = await _gated(desk, "cart")
    watching = asyncio.create_task(desk.type("watch", "cart", "checkout", "-e", "test", "-o", "jsonl"))
    # The second is not there yet: that is told at once, and nothing is watched.
    assert (await watching).code == 2
    assert (await desk.type("start", desk.write(**GATED))).code == 0
    process = await _begin("watch", "cart", "checkout", "cart", "-e", "test", "-o", "jsonl")
    await _line(process, lambda said: said.get("service") == "cart")
    await desk.coalmine.send(cart, desk.verb("reject"), by="ana@example.org")
    await _line(process, lambda said: said.get("service") == "cart" and said["outcome"] == "rejected")
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="ana@example.org")
    end = await _line(process, lambda said: "rollouts" in said)
    assert await process.wait() == 4
    assert [(one["service"], one["exit"]) for one in end["rollouts"]] == [("cart", 4), ("checkout", 4)]
    assert end["exit"] == 4


async def test_several_are_left_at_the_time_out(desk: Desk) -> None:
    await _gated(desk, "cart")
    await _gated(desk, "checkout")
    ran = await desk.type("watch", "cart", "checkout", "-e", "test", "--timeout", "2s")
    assert ran.code == 8
    assert "cart 1.0.0 → 1.1.0 in test: waiting at a gate" in ran.out
    assert ran.err == (
        "stopped watching. These go on: canary/test/cart, canary/test/checkout. "
        "Watch again: coalmine watch canary/test/cart canary/test/checkout\n"
    )


async def test_waiting_prints_a_line_per_stage(desk: Desk) -> None:
    ran = await desk.type("start", desk.write(**QUICK), "--wait")
    assert ran.code == 0, ran
    lines = ran.out.split("\n\n")[0].splitlines()
    assert any("step 1 of 1, stepping at 10 %" in line for line in lines)
    assert "100%  promoted" in lines[-1]
    # Verdicts and looks alone are no stage.
    assert len(lines) < 10
    assert "checkout 1.0.0 → 1.1.0 in test: promoted" in ran.out


async def test_waiting_at_a_terminal_draws_a_bar(desk: Desk) -> None:
    drawn, told, code = await shown_until(
        ["start", desk.write(**GATED), "--wait"], ["━", "step 1 of 1, waiting at a gate"]
    )
    assert code == 130
    assert "The rollout goes on" in told
    assert "0%" in drawn


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["watch"], "name a rollout, or several, or an environment with -e"),
        (["watch", "a", "b", "--summary", "x.md"], "--summary is of one rollout"),
        (["watch", "-e", "test", "--stay-when-held"], "are for rollouts that are named"),
        (["list", "--timeout", "1s"], "--timeout is for watching: add --watch"),
        (["list", "--watch", "--closed"], "leave --watch out"),
        (["start", "x.yaml", "--watch", "--wait"], "not allowed with argument"),
        (["start", "x.yaml", "--timeout", "1s"], "add --watch or --wait"),
    ],
)
async def test_wrong_use(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    from coalmine.cli import main

    assert await asyncio.to_thread(main, words) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_continues_as_new_is_no_new_rollout() -> None:
    def listed(*rows: tuple[str, str, str, bool]) -> dict[tuple[str, str], Seen]:
        return {
            (workflow, run): of_row(
                RolloutRow(service="s", environment="e", version=version, phase="stepping", open=is_open)
            )
            for workflow, run, version, is_open in rows
        }

    before = listed(("a", "1", "1.0", True))
    assert changes(before, listed(("a", "2", "1.0", True)), False) == []
    after = listed(("a", "1", "1.0", False), ("a", "3", "1.0", True))
    assert [(change, one.open) for change, one in changes(before, after, False)] == [
        ("closed", False),
        ("appeared", True),
    ]
    assert [change for change, _ in changes({}, before, True)] == ["there"]
    assert changes(before, {}, False) == []

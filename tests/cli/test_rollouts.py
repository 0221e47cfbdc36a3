"""A rollout from the command line, start to end, and the exit codes of docs/cli.md."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

import pytest

from coalmine.records import Check, Finding, Phase
from tests.cli.conftest import Desk
from tests.cli.terminal import HEARS_CTRL_C, shown_until
from tests.workflows.world import HARM, Judgement

QUICK: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "1s"}],
    "policy": {"look": "1s"},
    "promotion": {"bake": "1s", "rollback_window": "1h"},
}
SLOW: dict[str, Any] = {
    "steps": [{"weight": 10, "for": "10m"}, {"weight": 50, "for": "10m", "gate": {"approval": {"by": ["sre"]}}}],
    "policy": {"look": "1s"},
    "people": {"sre": ["ana@example.org"]},
}
WRONG: list[tuple[list[str], str]] = [
    (["status", "chekout"], "there is no rollout 'chekout'; did you mean 'checkout'?"),
    (["status", "chekout", "-e", "test"], "did you mean 'canary/test/checkout'?"),
    (["status", "canary/tset/checkout"], "did you mean 'canary/test/checkout'?"),
    (["watch", "zzz"], "coalmine list shows those that are"),
    (["status", "a/b/c/d/e/f"], "names no rollout"),
    (["status", "test/checkout/1.1.0/99"], "there is no rollout 'test/checkout/1.1.0/99'"),
    (["status", "test/checkout/1.1.0/²"], "names no rollout"),
    (["status", "test/checkout", "-e", "production"], "leave one out"),
    (["approve", "checkout"], "no gate is waiting now"),
    (["approve", "checkout", "--gate", "nope"], "there is no gate 'nope'"),
    (["approve", "checkout", "--gate", "step-2", "--by", "eve"], "eve may not approve gate 'step-2'"),
    (["resume", "checkout"], "nothing to resume"),
]
"""Words about the busy desk's rollout, and what is said to them."""
ROLLOUT = "canary/test/checkout"


async def test_a_release_is_promoted(desk: Desk) -> None:
    ran = await desk.type("start", desk.write(**QUICK), "--watch", "-m", "release day")
    assert ran.code == 0, ran
    assert "stepping at 10 %" in ran.out
    assert "checkout 1.0.0 → 1.1.0 in test: promoted, in its rollback window" in ran.out
    assert "test/checkout 1.1.0: started" in ran.err

    again = await desk.type("start", desk.write(**QUICK), "-o", "json")
    assert again.code == 0
    assert (again.data["disposition"], again.data["outcome"]) == ("attached", None)

    told = (await desk.type("status", "checkout", "-o", "json")).data
    assert (told["phase"], told["outcome"], told["cause"], told["exit"]) == ("window", "promoted", None, 0)
    assert told["rollout_id"] == "test/checkout/1.1.0/1"
    assert told["by"] == "ana@example.org"
    assert told["automated"] is False
    assert told["url"].startswith(f"{desk.workflows_page}/canary%2Ftest%2Fcheckout/")

    listed = (await desk.type("list", "-o", "json")).data["rollouts"]
    assert [(row["service"], row["outcome"], row["open"]) for row in listed] == [("checkout", "promoted", True)]

    decided = await desk.type("decisions", "checkout")
    assert decided.out.splitlines()[0].split() == ["#", "at", "what", "by", "why"]
    assert "look 1 " in decided.out
    assert "promoted" in decided.out

    history = (await desk.type("history", "checkout", "-o", "json")).data["entries"]
    texts = [(entry["kind"], entry["text"]) for entry in history]
    assert ("submitted", "submitted checkout 1.0.0 → 1.1.0: release day") in texts
    assert any(kind == "activity" and "checkout-v2 10 %" in text for kind, text in texts)
    assert any(kind == "phase" and text == "baking at 100 %" for kind, text in texts)
    everything = (await desk.type("history", "checkout", "--all", "-o", "json")).data["entries"]
    assert len(everything) > len(history)
    table = await desk.type("history", "test/checkout/1.1.0/1")
    assert "submitted checkout 1.0.0 → 1.1.0: release day" in table.out


async def test_a_retry_in_ci_hears_that_it_was_promoted(desk: Desk) -> None:
    spec = desk.write(**{**QUICK, "promotion": {"bake": "0s", "rollback_window": "0s"}})
    assert (await desk.type("start", spec, "--watch")).code == 0
    await desk.until(lambda status: status.phase is Phase.CLOSED)
    again = await desk.type("start", spec, "--watch", "-o", "json")
    assert again.code == 0
    assert (again.data["disposition"], again.data["outcome"], again.data["exit"]) == ("promoted", "promoted", 0)
    status = await desk.type("status", "test/checkout/1.1.0/1", "-o", "json")
    assert (status.data["phase"], status.data["outcome"], status.data["canary_weight"]) == ("closed", "promoted", 100)
    closed = (await desk.type("list", "--closed", "-o", "json")).data["rollouts"]
    assert [row["outcome"] for row in closed] == ["promoted"]
    missing = await desk.type("status", "test/checkout/1.1.0/2")
    assert missing.code == 2
    assert "there is no rollout" in missing.err
    refused = await desk.type("pause", "checkout")
    assert refused.code == 2
    assert "is closed (promoted): nothing can be sent to it" in refused.err


async def test_the_next_release_ends_the_rollback_window_and_both_are_found(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**QUICK), "--watch")).code == 0
    arms = {
        "baseline": {"version": "1.1.0", "backend": "checkout-v2"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    following = await desk.type(
        "start", desk.write(**{**QUICK, "arms": arms}, name="next.yaml"), "--watch", "-o", "json"
    )
    assert following.code == 0, following
    assert (following.data["version"], following.data["outcome"]) == ("1.2.0", "promoted")
    async with asyncio.timeout(60):
        while len(rows := (await desk.type("list", "-o", "json")).data["rollouts"]) < 2:
            await asyncio.sleep(0.05)
    assert [(row["version"], row["outcome"], row["open"]) for row in rows] == [
        ("1.2.0", "promoted", True),
        ("1.1.0", "promoted", False),
    ]
    before = (await desk.type("status", "test/checkout/1.1.0/1", "-o", "json")).data
    assert (before["version"], before["outcome"]) == ("1.1.0", "promoted")
    history = (await desk.type("history", "checkout")).out
    assert "1.1.0 → 1.2.0" in history
    assert "1.0.0 → 1.1.0" not in history


async def test_harm_exits_3(desk: Desk) -> None:
    desk.world.judge = lambda look, stage: HARM
    ran = await desk.type("start", desk.write(**QUICK), "--watch", "-o", "json")
    assert ran.code == 3
    told = ran.data
    assert (told["outcome"], told["cause"], told["exit"], told["stopped"]) == ("rolled_back", "analysis", 3, "over")
    assert "errors: canary 9 % against 1 %" in told["reason"]
    assert told["weights"] == {"checkout-v1": 100.0}
    assert "checkout 1.0.0 → 1.1.0: rolled back (analysis)" in ran.err

    banned = await desk.type("start", desk.write(**QUICK), "--automated", "-o", "json")
    assert banned.code == 5
    assert (banned.data["outcome"], banned.data["exit"]) == ("blocked", 5)


async def test_a_human_exits_4_and_jsonl_tells_every_change(desk: Desk) -> None:
    watching = asyncio.create_task(desk.type("start", desk.write(**SLOW), "--watch", "-o", "jsonl"))
    await desk.until_started()
    # Some looks later the one who watches has seen the step too.
    await desk.until(lambda status: status.phase is Phase.STEPPING and status.looks >= 4)
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="bo")
    ran = await watching
    assert ran.code == 4
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert lines[0]["phase"] == "stepping"
    assert (lines[-1]["outcome"], lines[-1]["cause"], lines[-1]["exit"]) == ("rolled_back", "human", 4)


async def test_a_rejected_release_exits_4(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    rejected = await desk.type("reject", "checkout", "-m", "not today", "-o", "json")
    assert rejected.code == 0
    assert rejected.data["message"] == "rejected: rolling back now"
    ran = await desk.type("watch", "checkout", "-o", "json")
    assert ran.code == 4
    assert (ran.data["outcome"], ran.data["cause"]) == ("rejected", "human")


async def test_what_blocks_a_start_exits_5(desk: Desk) -> None:
    desk.world.checks = [Check(ok=False, name="router", reason="checkout-v2 has no healthy endpoint")]
    ran = await desk.type("start", desk.write(**QUICK), "--watch")
    assert ran.code == 5
    assert "blocked, nothing was touched" in ran.out
    assert "router: checkout-v2 has no healthy endpoint" in ran.out
    assert not desk.world.writes


async def test_one_rollout_at_a_time_exits_5(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    other = await desk.type("start", desk.write(**{**SLOW, "arms": arms}, name="other.yaml"), "-o", "json")
    assert other.code == 5
    assert (other.data["disposition"], other.data["outcome"]) == ("rejected", "blocked")
    assert "1.1.0 is " in other.data["reason"]


async def test_our_own_failure_exits_1(desk: Desk) -> None:
    desk.world.shift_failing, desk.world.shift_failing_final = "RouteRejected", True
    watching = asyncio.create_task(desk.type("start", desk.write(**QUICK), "--watch", "-o", "json"))
    await desk.until_started()
    await desk.until(lambda status: status.phase is Phase.ROLLING_BACK)
    desk.world.shift_failing = ""
    ran = await watching
    assert ran.code == 1
    assert (ran.data["outcome"], ran.data["cause"]) == ("failed", "error")


async def test_the_watchers_time_out_is_not_the_rollouts(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    ran = await desk.type("watch", "checkout", "--timeout", "1s", "-o", "json")
    assert ran.code == 8
    assert (ran.data["outcome"], ran.data["stopped"], ran.data["exit"]) == (None, "timeout", 8)
    assert "The rollout goes on" in ran.err
    assert (await desk.coalmine.status(desk.ref)).phase is Phase.STEPPING


async def test_a_hold_exits_8(desk: Desk) -> None:
    def unsure(look: int, stage: str) -> Judgement:
        return Finding.HARM_UNSURE, "maybe"

    desk.world.judge = unsure
    ran = await desk.type("start", desk.write(**QUICK), "--watch", "-o", "json")
    assert ran.code == 8
    assert (ran.data["phase"], ran.data["stopped"], ran.data["outcome"]) == ("held", "held", None)
    stays = await desk.type("watch", "checkout", "--stay-when-held", "--timeout", "1s", "-o", "json")
    assert (stays.code, stays.data["stopped"]) == (8, "timeout")


async def test_a_cancelled_rollout_exits_4(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    await desk.client.get_workflow_handle(ROLLOUT).cancel()
    ran = await desk.type("watch", "checkout", "-o", "json")
    assert (ran.code, ran.data["outcome"], ran.data["cause"]) == (4, "rolled_back", "human")
    listed = (await desk.type("list", "-o", "json")).data["rollouts"]
    assert [row["outcome"] for row in listed] == ["rolled_back"]


async def test_a_terminated_rollout_is_over_and_nothing_is_claimed(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    await desk.until(lambda status: status.canary_weight == 10)
    await desk.client.get_workflow_handle(ROLLOUT).terminate(reason="by hand")
    ran = await desk.type("watch", "checkout", "-o", "json")
    assert (ran.code, ran.data["phase"], ran.data["outcome"]) == (1, "closed", "failed")
    assert "traffic may still be split" in ran.data["reason"]
    assert ran.data["weights"] == {"checkout-v1": 90.0, "checkout-v2": 10.0}
    assert ran.data["restored"] is None
    history = await desk.type("history", "checkout")
    assert "terminated: by hand" in history.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_ctrl_c_and_what_cancels_a_job_detach(desk: Desk, number: signal.Signals) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    process = await asyncio.create_subprocess_exec(
        *(*HEARS_CTRL_C, sys.executable, "-m", "coalmine.cli", "watch", "checkout"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    first = await process.stdout.readline()
    assert "stepping at 10 %" in first.decode()
    process.send_signal(number)
    told = (await process.stderr.read()).decode()
    assert await process.wait() == 130
    assert told.startswith("detached. The rollout goes on.")
    assert "coalmine rollback canary/test/checkout" in told
    await desk.until(lambda status: status.phase is Phase.STEPPING)


async def test_a_terminal_gets_a_live_page(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    drawn, told, code = await shown_until(["watch", "checkout"], ["checkout-v2 10 %", "Ctrl-C detaches"])
    assert code == 130
    assert "detached" in told
    assert "checkout 1.0.0 → 1.1.0 in test: stepping at 10 %" in drawn


async def test_advice_shifts_nothing(desk: Desk) -> None:
    ran = await desk.type("start", desk.write(**QUICK), "--advise", "--watch", "-o", "json")
    assert ran.code == 0, ran
    assert (ran.data["outcome"], ran.data["advise"]) == (None, True)
    assert not desk.world.writes


async def test_refusals_and_wrong_names_exit_2_in_one_line(busy_desk: Desk) -> None:
    for words, said in WRONG:
        ran = await busy_desk.type(*words)
        assert ran.code == 2, ran
        assert said in ran.err
        assert ran.err.count("\n") == 1
        assert ran.out == ""


async def test_commands(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    paused = await desk.type("pause", "checkout", "-m", "lunch", "-o", "json")
    assert (paused.code, paused.data["verb"], paused.data["by"]) == (0, "pause", "ana@example.org")
    assert (await desk.coalmine.status(desk.ref)).paused
    assert (await desk.type("resume", "checkout")).out == "canary/test/checkout: resumed\n"
    assert (await desk.type("extend", "checkout", "--for", "5m")).out == (
        "canary/test/checkout: the step lasts 5m longer\n"
    )
    early = await desk.type("approve", "test/checkout", "--gate", "step-2", "--attempt", "1")
    assert early.out == "canary/test/checkout: gate 'step-2' is open\n"
    promoted = await desk.type("promote", "checkout", "-m", "hotfix")
    assert promoted.code == 0
    await desk.until(lambda status: status.phase is Phase.BAKING)
    history = await desk.type("history", "checkout")
    assert "promote: hotfix" in history.out
    assert "ana@example.org" in history.out


async def test_rollback_waits_until_the_route_reads_back_right(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    await desk.until(lambda status: status.canary_weight == 10)
    ran = await desk.type("rollback", "checkout", "-m", "5xx on pay", "-o", "json")
    assert ran.code == 0
    assert (ran.data["confirmed"], ran.data["outcome"], ran.data["cause"]) == (True, "rolled_back", "human")
    assert desk.world.canary == 0
    assert ran.data["weights"] == {"checkout-v1": 100.0}


async def test_an_unconfirmed_rollback_exits_7(desk: Desk) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    await desk.until(lambda status: status.canary_weight == 10)
    desk.world.shift_failing = "RouterUnreachable"
    ran = await desk.type("rollback", "checkout", "--timeout", "1s", "-o", "json")
    assert ran.code == 7
    assert (ran.data["confirmed"], ran.data["outcome"], ran.data["exit"]) == (False, None, 7)
    watched = await desk.type("watch", "checkout", "--timeout", "1s", "-o", "json")
    assert watched.code == 7
    desk.world.shift_failing = ""
    assert (await desk.coalmine.wait(desk.ref, timedelta(seconds=60))).restored


async def test_a_rollout_of_an_environment_called_canary_is_found_by_its_id(desk: Desk) -> None:
    started = await desk.type("start", desk.write(environment="canary", **SLOW), "-o", "json")
    assert started.data["rollout_id"] == "canary/checkout/1.1.0/1"
    told = await desk.type("status", "canary/checkout/1.1.0/1", "-o", "json")
    assert (told.code, told.data["environment"], told.data["service"]) == (0, "canary", "checkout"), told
    back = await desk.type("rollback", "canary/checkout/1.1.0/1", "-m", "enough")
    assert back.code == 0, back
    missing = await desk.type("status", "canary/checkout/1.1.0/9")
    assert (missing.code, "there is no rollout 'canary/checkout/1.1.0/9'" in missing.err) == (2, True), missing

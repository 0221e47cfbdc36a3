"""The shell script of infra/ci in a bare environment (no home, no terminal): every exit code by a real rollout."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from coalmine.records import Check, Finding, Phase
from tests.cli.conftest import Desk
from tests.cli.release_script import Runner
from tests.cli.test_queue import another
from tests.cli.test_rollouts import QUICK, ROLLOUT, SLOW
from tests.workflows.specs import make_spec
from tests.workflows.world import HARM, Judgement


async def test_0_is_a_promotion_with_a_summary_and_outputs(desk: Desk, runner: Runner) -> None:
    job = await runner.run(desk.write(**QUICK), "--by", "ci@example.org", "-m", "release day")
    assert job.code == 0, job
    assert job.outputs["outcome"] == "promoted"
    assert job.outputs["exit"] == "0"
    assert job.outputs["rollout_id"] == "test/checkout/1.1.0/1"
    assert job.outputs["workflow_id"] == ROLLOUT
    lines = job.summary.splitlines()
    assert lines[0] == "## checkout 1.0.0 → 1.1.0 in test: promoted"
    assert "| metric | verdict | canary against baseline | interval | margin | why |" in lines
    assert any(line.startswith("| errors | **") for line in lines)
    drawn = lines[lines.index("```mermaid") : lines.index("```")]
    assert drawn[1] == "gantt"
    assert any(line.startswith("    10 % :") for line in drawn)
    assert any(line.startswith("    100 % :") for line in drawn)
    assert any(":milestone, " in line for line in drawn)
    again = await runner.run(desk.write(**QUICK))
    assert again.code == 0, again
    assert again.outputs["outcome"] == "promoted"


async def test_1_is_our_own_failure(desk: Desk, runner: Runner) -> None:
    desk.world.shift_failing, desk.world.shift_failing_final = "RouteRejected", True
    process = await runner.begin(desk.write(**QUICK))
    await desk.until_started()
    await desk.until(lambda status: status.phase is Phase.ROLLING_BACK)
    desk.world.shift_failing = ""
    job = await runner.end(process)
    assert job.code == 1, job
    assert (job.outputs["outcome"], job.outputs["cause"]) == ("failed", "error")


async def test_1_is_a_server_that_is_away(desk: Desk, runner: Runner) -> None:
    job = await runner.run(desk.write(**QUICK), TEMPORAL_ADDRESS="127.0.0.1:1")
    assert job.code == 1, job
    assert (job.outputs["exit"], job.outputs["outcome"]) == ("1", "")
    assert "Temporal" in job.outputs["reason"]
    assert job.outputs["reason"] in job.summary


async def test_2_is_a_wrong_spec_shown_at_its_line(desk: Desk, runner: Runner) -> None:
    wrong = make_spec(**QUICK).model_dump_json(by_alias=True, exclude_none=True).replace('"weight"', '"wieght"')
    (desk.folder / "spec.yaml").write_text(wrong)
    job = await runner.run("spec.yaml", COALMINE_ANNOTATE="github")
    assert job.code == 2
    assert job.out.startswith("::error file=spec.yaml,line=")
    assert "Traceback" not in job.err
    assert job.outputs["exit"] == "2"
    heading, _, fence, *found, end = job.summary.splitlines()
    assert (heading, fence, end) == ("## Coalmine: nothing was started", "```", "```")
    assert found[0].startswith("spec.yaml:")
    assert "wieght" in found[0]
    usage = await runner.run()
    assert (usage.code, usage.err) == (2, "usage: release.sh SPEC [options of coalmine start]\n")


async def test_3_is_harm(desk: Desk, runner: Runner) -> None:
    desk.world.judge = lambda look, stage: HARM
    job = await runner.run(desk.write(**QUICK))
    assert job.code == 3, job
    assert (job.outputs["outcome"], job.outputs["cause"]) == ("rolled_back", "analysis")
    assert "rolled back" in job.summary.splitlines()[0]
    assert "canary 9 % against 1 %" in job.summary


async def test_4_is_a_human(desk: Desk, runner: Runner) -> None:
    process = await runner.begin(desk.write(**SLOW))
    await desk.until_started()
    await desk.until(lambda status: status.phase is Phase.STEPPING)
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="bo@example.org", reason="5xx | on `pay`")
    job = await runner.end(process)
    assert job.code == 4, job
    assert (job.outputs["outcome"], job.outputs["cause"]) == ("rolled_back", "human")
    assert r"5xx \| on \`pay\`" in job.summary


async def test_the_diagram_has_every_weight_of_a_rollout_that_said_more_than_the_query_keeps(
    desk: Desk, runner: Runner
) -> None:
    process = await runner.begin(desk.write(**SLOW))
    await desk.until_started()
    await desk.until(lambda status: status.canary_weight == 10)
    while not (await desk.coalmine.decisions(desk.ref)).dropped > 5:
        for verb in ("pause", "resume"):
            await desk.coalmine.send(desk.ref, desk.verb(verb), by="bo@example.org")
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="bo@example.org")
    job = await runner.end(process)
    assert job.code == 4, job
    lines = job.summary.splitlines()
    drawn = lines[lines.index("```mermaid") : lines.index("```")]
    bars = drawn[drawn.index("    section canary") + 1 : drawn.index("    section decisions")]
    assert [bar.split(" :")[0].strip() for bar in bars] == ["10 %", "0 %"]
    assert "entries of the record are not drawn: `coalmine history canary/test/checkout` tells them." in lines[-1]


async def test_5_is_blocked(desk: Desk, runner: Runner) -> None:
    desk.world.checks = [Check(ok=False, name="router", reason="checkout-v2 has no healthy endpoint")]
    job = await runner.run(desk.write(**QUICK))
    assert job.code == 5, job
    assert (job.outputs["outcome"], job.outputs["exit"]) == ("blocked", "5")
    assert "checkout-v2 has no healthy endpoint" in job.summary


async def test_7_is_a_rollback_that_nobody_saw_confirmed(desk: Desk, runner: Runner) -> None:
    spec = desk.write(**SLOW)
    assert (await desk.type("start", spec)).code == 0
    await desk.until(lambda status: status.canary_weight == 10)
    desk.world.shift_failing = "RouterUnreachable"
    await desk.coalmine.send(desk.ref, desk.verb("rollback"), by="bo@example.org")
    job = await runner.run(spec, COALMINE_TIMEOUT="2s")
    assert job.code == 7, job
    assert (job.outputs["phase"], job.outputs["stopped"]) == ("rolling_back", "timeout")
    assert "open, rolling back" in job.summary.splitlines()[0]
    assert "**restored:** not confirmed yet" in job.summary
    assert "missing" not in job.summary
    desk.world.shift_failing = ""


async def test_8_is_a_hold_or_a_watcher_that_left(desk: Desk, runner: Runner) -> None:
    def unsure(look: int, stage: str) -> Judgement:
        return Finding.HARM_UNSURE, "maybe"

    desk.world.judge = unsure
    job = await runner.run(desk.write(**QUICK))
    assert job.code == 8, job
    assert (job.outputs["phase"], job.outputs["stopped"], job.outputs["outcome"]) == ("held", "held", "")
    waited = await runner.run(desk.write(**QUICK), "--stay-when-held", COALMINE_TIMEOUT="2s")
    assert waited.code == 8, waited
    assert (waited.outputs["phase"], waited.outputs["stopped"], waited.outputs["exit"]) == ("held", "timeout", "8")
    assert "The rollout goes on" in waited.err


async def test_9_is_superseded(busy_desk: Desk, runner: Runner) -> None:
    desk = busy_desk
    process = await runner.begin(desk.write(**SLOW, name="spec.yaml"))
    # It attached to what runs, and so will be told what becomes of that.
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 60)
    taken = await desk.type("start", another(desk, "1.2.0", "supersede"))
    assert taken.code == 0
    job = await runner.end(process)
    assert job.code == 9, job
    assert job.outputs["outcome"] == "superseded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_130_is_a_cancelled_job_and_the_rollout_goes_on(
    desk: Desk, runner: Runner, number: signal.Signals
) -> None:
    process = await runner.begin(desk.write(**SLOW))
    assert process.stdout is not None
    while b"stepping" not in await asyncio.wait_for(process.stdout.readline(), 60):
        pass
    process.send_signal(number)
    job = await runner.end(process)
    assert job.code == 130, job
    assert (job.outputs["stopped"], job.outputs["exit"], job.outputs["workflow_id"]) == ("detached", "130", ROLLOUT)
    assert "open, stepping" in job.summary.splitlines()[0]
    assert f"detached. The rollout goes on. Watch again: coalmine watch {ROLLOUT}" in job.err
    assert f"take it back: coalmine rollback {ROLLOUT}" in job.err
    await desk.until(lambda status: status.phase is Phase.STEPPING)


async def test_130_before_the_start_is_answered_says_what_to_look_at(desk: Desk, runner: Runner) -> None:
    desk.world.fleet_silent = True
    process = await runner.begin(desk.write(**SLOW))
    # The fleet does not answer: it is being admitted, until the job is cancelled.
    await desk.until_started()
    process.send_signal(signal.SIGTERM)
    job = await runner.end(process)
    assert job.code == 130, job
    assert (job.outputs["stopped"], job.outputs["outcome"], job.outputs["workflow_id"]) == ("detached", "", ROLLOUT)
    assert f"It was being started, and may go on. Watch again: coalmine watch {ROLLOUT}" in job.err
    assert f"take it back: coalmine rollback {ROLLOUT}" in job.err


async def test_130_while_the_spec_is_read_starts_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\necho "$1" >>called\nkill -TERM "$PPID"\n')
    slow.chmod(0o755)
    job = await Runner(tmp_path, {"PATH": "/usr/bin:/bin", "COALMINE": str(slow)}).run("spec.yaml")
    assert (job.code, job.err) == (130, "cancelled: nothing was started\n")
    assert (tmp_path / "called").read_text() == "validate\n"


async def test_detached_it_holds_no_runner(desk: Desk, runner: Runner) -> None:
    job = await runner.run(desk.write(**SLOW), COALMINE_DETACH="1")
    assert job.code == 0, job
    assert (job.outputs["workflow_id"], job.outputs["outcome"], job.outputs["stopped"]) == (ROLLOUT, "", "detached")
    assert (await desk.coalmine.status(desk.ref)).phase is not Phase.CLOSED


async def test_a_disk_that_is_full_changes_no_exit_code(desk: Desk, runner: Runner) -> None:
    desk.world.judge = lambda look, stage: HARM
    spec = desk.write(**QUICK)
    job = await runner.run(spec, COALMINE_OUTPUTS="/dev/full")
    assert job.code == 3, job
    assert "warning: --outputs: /dev/full cannot be written: No space left on device" in job.err
    assert "rolled back" in job.summary.splitlines()[0]
    desk.world.checks = [Check(ok=False, name="router", reason="checkout-v2 has no healthy endpoint")]
    blocked = await runner.run(spec, COALMINE_OUTPUTS="/dev/full", COALMINE_SUMMARY="/dev/full")
    assert blocked.code == 5, blocked
    assert "warning: --summary: /dev/full cannot be written" in blocked.err


async def test_a_summary_that_cannot_be_written_changes_no_exit_code_of_a_wrong_spec(
    desk: Desk, runner: Runner
) -> None:
    (desk.folder / "spec.yaml").write_text("nonsense: true\n")
    for file in ("/dev/full", str(runner.folder / "nowhere" / "summary")):
        job = await runner.run("spec.yaml", COALMINE_SUMMARY=file)
        assert job.code == 2, job
        assert job.outputs["exit"] == "2"


async def test_a_file_that_cannot_be_written_is_told_before_anything_starts(desk: Desk, runner: Runner) -> None:
    job = await runner.run(desk.write(**QUICK), GITHUB_OUTPUT=str(runner.folder / "nowhere" / "outputs"))
    assert job.code == 2
    assert "--outputs: " in job.err
    assert "cannot be written" in job.err
    assert not [one async for one in desk.client.list_workflows()]
    assert not desk.world.writes

"""What a start does for CI: deployments that the worker keeps up to date, and annotations of a refusal."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from activities.notification import NotificationActivities
from activities.notifiers.registry import make_notifier, notifier_kinds
from coalmine.records import Check, Phase
from coalmine.testing.fake_deployments import FakeDeployments
from coalmine.worker_settings import WorkerSettings
from tests.cli.conftest import Desk
from tests.cli.release_script import Runner
from tests.cli.test_rollouts import QUICK, SLOW
from tests.workflows.specs import make_spec
from worker import build_workers

NOTIFY = {"kind": "github_deployment", "repository": "acme/shop", "token": "${COALMINE_SECRET_FORGE}"}


async def _serve_with_real_channels(desk: Desk) -> None:
    world = desk.world
    channels = NotificationActivities({kind: make_notifier(kind) for kind in notifier_kinds()})
    for worker in build_workers(
        desk.client,
        WorkerSettings(drain=timedelta(seconds=1)),
        main=world.activities,
        side=[channels.notify, world.diagnose, world.archive_history],
        hooks=world.hook_activities,
    ):
        await desk.served_by(worker)


async def test_a_job_that_left_is_told_by_the_deployment(
    empty_desk: Desk,
    runner: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = empty_desk
    monkeypatch.setenv("COALMINE_SECRET_FORGE", "a-token-of-a-test")
    await _serve_with_real_channels(desk)
    with FakeDeployments("a-token-of-a-test") as api:
        statuses = api.add("acme/shop", 7)
        spec = desk.write(**QUICK, notify=[{**NOTIFY, "url": api.url}])
        job = await runner.run(spec, COALMINE_DETACH="1", COALMINE_DEPLOYMENT="7")
        assert job.code == 0, job
        assert job.outputs["stopped"] == "detached"
        async with asyncio.timeout(60):
            while not statuses or statuses[-1]["state"] != "success":
                await asyncio.sleep(0.05)
        states = [status["state"] for status in statuses]
        assert states[0] in ("queued", "in_progress")
        assert set(states[1:-1]) <= {"in_progress"}
        assert all(status["description"].startswith("checkout 1.0.0 → 1.1.0") for status in statuses)
        page = f"{desk.workflows_page}/canary%2Ftest%2Fcheckout/"
        assert all(status["log_url"].startswith(page) for status in statuses)


async def test_a_refused_status_is_told_and_holds_nothing_up(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COALMINE_SECRET_FORGE", "another-token-of-a-test")
    await _serve_with_real_channels(empty_desk)
    with FakeDeployments("a-token-of-a-test") as api:
        api.add("acme/shop", 7)
        spec = empty_desk.write(**QUICK, notify=[{**NOTIFY, "url": api.url, "deployment": 7}])
        assert (await empty_desk.type("start", spec, "--watch")).code == 0
    entries = (await empty_desk.coalmine.decisions(empty_desk.ref)).entries
    told = [entry.reason for entry in entries if entry.kind == "undelivered"]
    assert "HTTP 401: Bad credentials (the token is not valid" in told[0]
    assert "another-token" not in told[0]


@pytest.mark.parametrize(
    ("notify", "words", "said"),
    [
        ([NOTIFY], [], "notify[0].deployment: is missing: start with --deployment NUMBER"),
        ([NOTIFY], ["--deployment", "seven"], "'seven' is no deployment's number"),
        ([NOTIFY], ["--deployment", "0"], "'0' is no deployment's number"),
        (
            [{"kind": "log"}],
            ["--deployment", "7"],
            "notify has no channel of kind github_deployment or gitlab_deployment",
        ),
    ],
)
async def test_a_deployment_that_cannot_be_told(
    empty_desk: Desk, notify: list[dict[str, str]], words: list[str], said: str
) -> None:
    ran = await empty_desk.type("start", empty_desk.write(**QUICK, notify=notify), *words)
    assert ran.code == 2
    assert said in ran.err


async def test_in_github_a_refusal_is_annotated_at_the_specs_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.world.checks = [
        Check(ok=False, name="router", reason="checkout-v2 has no healthy endpoint"),
        Check(ok=False, name="errors", reason="50 %: no samples"),
        Check(ok=False, name="frozen", reason="holidays"),
    ]
    desk.write(**SLOW)
    lines = (desk.folder / "spec.yaml").read_text().splitlines()
    plain = await desk.type("start", "spec.yaml")
    assert plain.code == 5
    assert "::error" not in plain.err + plain.out
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    blocked = await desk.type("start", "spec.yaml", "-o", "json")
    assert blocked.code == 5
    assert blocked.data["outcome"] == "blocked"
    found = [line for line in blocked.err.splitlines() if line.startswith("::error ")]
    assert [line.split("::", 2)[2] for line in found] == [
        "router: checkout-v2 has no healthy endpoint", "errors: 50 %25: no samples", "frozen: holidays",
    ]  # fmt: skip
    at = [int(line.split("line=")[1].split(",")[0]) for line in found]
    assert '"route": {' in lines[at[0] - 1]
    assert '"name": "errors"' in "".join(lines[at[1] - 1 : at[1] + 1])
    assert '"version": "1.1.0"' in lines[at[2] - 1]
    assert all(",title=coalmine start::" in line and line.startswith("::error file=spec.yaml,") for line in found)


async def test_in_github_a_wrong_spec_or_word_is_annotated(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    text = make_spec(**QUICK).model_dump_json(by_alias=True, exclude_none=True, indent=1)
    (empty_desk.folder / "spec.yaml").write_text(text.replace('"weight"', '"wieght"'))
    wrong = await empty_desk.type("start", "spec.yaml")
    assert wrong.code == 2
    assert wrong.err.startswith("::error file=spec.yaml,line=")
    assert ",title=coalmine spec::steps[0].wieght" in wrong.err
    missing = await empty_desk.type("start", "nowhere.yaml")
    assert missing.err.startswith(
        "::error file=nowhere.yaml,title=coalmine start::nowhere.yaml: there is no such file\n"
    )


async def test_a_second_version_is_annotated_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await desk.type("start", desk.write(**SLOW))).code == 0
    await desk.until(lambda status: status.phase is Phase.STEPPING)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    arms = {
        "baseline": {"version": "1.0.0", "backend": "checkout-v1"},
        "canary": {"version": "1.2.0", "backend": "checkout-v3"},
    }
    other = await desk.type("start", desk.write(**{**SLOW, "arms": arms}, name="other.yaml"))
    assert other.code == 5
    [line] = [line for line in other.err.splitlines() if line.startswith("::error ")]
    assert "1.1.0 is " in line

"""Deployments of GitHub and GitLab: their contract, and what is GitHub's alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.notification import NotificationActivities
from activities.notifiers.github_deployment import GithubDeploymentChannel
from activities.notifiers.gitlab_deployment import GitlabDeploymentChannel
from activities.notifiers.registry import make_notifier
from coalmine.ci.deployments import LONGEST, description, github_state, gitlab_status
from coalmine.records import Notification, NotifyRequest, Outcome, Phase
from coalmine.spec.channels import Notifier
from coalmine.testing.deployment_contract import DeploymentContract, DeploymentWorld
from coalmine.testing.fake_deployments import FakeDeployments

TOKEN = "a-token-of-a-test"
WORKFLOW = "canary/production/checkout"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDeployments]:
    monkeypatch.setenv("COALMINE_SECRET_FORGE", TOKEN)
    with FakeDeployments(TOKEN) as api:
        yield api


def notifier(kind: str, api: FakeDeployments, repository: str = "acme/shop") -> Notifier:
    api.add(repository, 7)
    given = {"kind": kind, "url": api.url, "repository": repository, "deployment": 7}
    return Notifier.model_validate({**given, "token": "${COALMINE_SECRET_FORGE}"})


class TestGithub(DeploymentContract):
    @pytest.fixture
    def world(self, api: FakeDeployments) -> DeploymentWorld:
        named = ("in_progress", "success", "failure")
        return DeploymentWorld(GithubDeploymentChannel(), notifier("github_deployment", api), api, named)


class TestGitlab(DeploymentContract):
    @pytest.fixture
    def world(self, api: FakeDeployments) -> DeploymentWorld:
        named = ("running", "success", "failed")
        channel = notifier("gitlab_deployment", api, "acme/web/shop")
        return DeploymentWorld(GitlabDeploymentChannel(), channel, api, named)


async def test_a_status_says_why_and_where_to_look(api: FakeDeployments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COALMINE_UI_URL", "http://ui.example/")
    channel = notifier("github_deployment", api).model_copy(update={"environment_url": "https://shop.example"})
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, namespace="ns", workflow_id=WORKFLOW, workflow_run_id="run-1")
    activities = NotificationActivities({"github_deployment": make_notifier("github_deployment")})
    said = Notification(title="checkout 1.41.0 → 1.42.0", text="step 1", workflow_id=WORKFLOW, phase=Phase.STEPPING)
    await environment.run(activities.notify, NotifyRequest(notification=said, channels=[channel]))
    (status,) = api.statuses["acme/shop", 7]
    assert status == {
        "id": 1,
        "state": "in_progress",
        "description": "checkout 1.41.0 → 1.42.0: step 1",
        "log_url": "http://ui.example/namespaces/ns/workflows/canary%2Fproduction%2Fcheckout/run-1/timeline",
        "environment_url": "https://shop.example",
        "auto_inactive": False,
    }
    # The same state with other words is news.
    held = said.model_copy(update={"phase": Phase.HELD, "text": "too little data"})
    await environment.run(activities.notify, NotifyRequest(notification=held, channels=[channel]))
    assert [one["description"] for one in api.statuses["acme/shop", 7]][
        1
    ] == "checkout 1.41.0 → 1.42.0: too little data"
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, _, headers in api.requests)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_a_state(outcome: Outcome) -> None:
    said = Notification(title="x", phase=Phase.CLOSED, outcome=outcome)
    good = outcome is Outcome.PROMOTED
    assert (github_state(said) == "success", gitlab_status(said) == "success") == (good, good)


def test_every_phase_is_a_state_and_advice_deploys_nothing() -> None:
    states = {phase: github_state(Notification(title="x", phase=phase)) for phase in Phase}
    assert states.pop(Phase.ADMITTING) == "queued"
    assert states.pop(Phase.CLOSED) == "inactive"
    assert set(states.values()) == {"in_progress"}


@pytest.mark.parametrize("text", ["", "short", "word " * 100, "x" * 500, "two\nlines"])
def test_a_description_is_one_line_of_at_most_140_characters(text: str) -> None:
    found = description(Notification(title="checkout 1.41.0 → 1.42.0: held at 10 %", text=text))
    assert len(found) <= LONGEST
    assert "\n" not in found
    assert found.startswith("checkout 1.41.0 → 1.42.0: held at 10 %")
    assert found.endswith(" …") == (len(text) > 100)

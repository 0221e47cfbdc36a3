"""What every channel for deployments keeps, as tests: subclass, give a fixture ``world``, and pytest runs them.

class TestMyDeployments(DeploymentContract):
    @pytest.fixture
    def world(self): ...   # a DeploymentWorld over an API
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from activities.notifiers.base import NotifierChannel
from coalmine.errors import HookRefused, HookUnreachable, SecretMissing
from coalmine.records import Notification, Outcome, Phase
from coalmine.spec.channels import Notifier
from coalmine.testing.fake_deployments import FakeDeployments, FakeTrouble


@dataclass
class DeploymentWorld:
    """A channel, and the deployment it writes to; ``named`` has the API's words for running, promoted, rolled back."""

    channel: NotifierChannel
    notifier: Notifier
    api: FakeDeployments
    named: tuple[str, str, str]

    def states(self) -> list[str]:
        """Those the deployment has had."""
        assert self.notifier.repository is not None
        assert self.notifier.deployment is not None
        return [status["state"] for status in self.api.statuses[self.notifier.repository, self.notifier.deployment]]

    async def say(self, phase: Phase, outcome: Outcome | None = None, text: str = "", **changes: Any) -> None:
        """Send one message, on a channel that may differ."""
        said = Notification(
            title=f"checkout 1.41.0 → 1.42.0: {outcome or phase}",
            text=text,
            workflow_id="canary/production/checkout",
            phase=phase,
            outcome=outcome,
        )
        await self.channel.send(self.notifier.model_copy(update=changes), said)


class DeploymentContract:
    """The tests."""

    async def test_a_rollout_from_start_to_end(self, world: DeploymentWorld) -> None:
        """Queued or not yet said, then running, then how it ended."""
        running, promoted, _ = world.named
        await world.say(Phase.ADMITTING)
        await world.say(Phase.STEPPING)
        await world.say(Phase.HELD)
        await world.say(Phase.WINDOW, Outcome.PROMOTED)
        states = [state for state in dict.fromkeys(world.states()) if state != "queued"]
        assert states == [running, promoted]

    async def test_the_same_message_twice_is_one_status(self, world: DeploymentWorld) -> None:
        """A retry after a lost answer does nothing."""
        await world.say(Phase.STEPPING)
        await world.say(Phase.STEPPING)
        assert world.states() == [world.named[0]]
        world.api.troubles = [FakeTrouble(502, after_write=True)]
        with pytest.raises(HookUnreachable, match="HTTP 502"):
            await world.say(Phase.CLOSED, Outcome.ROLLED_BACK)
        await world.say(Phase.CLOSED, Outcome.ROLLED_BACK)
        assert world.states() == [world.named[0], world.named[2]]

    async def test_a_late_rollback_is_told(self, world: DeploymentWorld) -> None:
        """In the rollback window a promoted release may still go back."""
        await world.say(Phase.STEPPING)
        await world.say(Phase.WINDOW, Outcome.PROMOTED)
        await world.say(Phase.CLOSED, Outcome.ROLLED_BACK)
        assert world.states() == list(world.named)

    @pytest.mark.parametrize(
        "trouble",
        [
            FakeTrouble(500),
            FakeTrouble(503, headers={"Retry-After": "2"}),
            FakeTrouble(429, headers={"Retry-After": "2"}),
            FakeTrouble(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "60"}),
            FakeTrouble(403, {"message": "API rate limit exceeded"}, {"X-RateLimit-Remaining": "0"}),
        ],
        ids=lambda trouble: f"{trouble.status}-{'-'.join(trouble.headers)}",
    )
    async def test_trouble_is_worth_a_retry(self, world: DeploymentWorld, trouble: FakeTrouble) -> None:
        """And the retry succeeds."""
        world.api.troubles = [trouble]
        with pytest.raises(HookUnreachable, match=f"HTTP {trouble.status}"):
            await world.say(Phase.STEPPING)
        await world.say(Phase.STEPPING)
        assert world.states() == [world.named[0]]

    async def test_a_refusal_says_what_to_look_at(
        self, world: DeploymentWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wrong token, no such deployment, none at all, a status that is not taken."""
        with pytest.raises(HookRefused, match=r"HTTP 404: .*there is no such repository or deployment"):
            await world.say(Phase.STEPPING, deployment=8)
        with pytest.raises(HookRefused, match="start with --deployment NUMBER"):
            await world.say(Phase.STEPPING, deployment=None)
        world.api.troubles = [FakeTrouble(403, {"message": "Resource not accessible"})]
        with pytest.raises(HookRefused, match=r"Resource not accessible \(the token may not write deployments\)"):
            await world.say(Phase.STEPPING)
        monkeypatch.setenv("COALMINE_SECRET_OTHER", "another-token-entirely")
        with pytest.raises(HookRefused, match=r"HTTP 401: Bad credentials \(the token is not valid") as caught:
            await world.say(Phase.STEPPING, token="${COALMINE_SECRET_OTHER}")
        assert "another-token" not in str(caught.value)
        with pytest.raises(SecretMissing, match="COALMINE_SECRET_ABSENT is not set"):
            await world.say(Phase.STEPPING, token="${COALMINE_SECRET_ABSENT}")
        assert world.states() == []

    async def test_nobody_listens(self, world: DeploymentWorld) -> None:
        """No answer at all is worth a retry."""
        with pytest.raises(HookUnreachable, match="did not answer"):
            await world.say(Phase.STEPPING, url="http://127.0.0.1:9")

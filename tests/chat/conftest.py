"""The real Bolt app over HTTP on loopback, beside a fake Slack whose seconds are short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from coalmine.chat.app import ChatApp, Secrets
from coalmine.chat.outbox import Pace
from coalmine.chat.reach import Reach
from coalmine.chat.settings import ChatSettings
from coalmine.rollouts import Rollouts
from coalmine.testing.slack import FakeSlack, Hands, Message, member
from tests.chat.rollouts import MemoryRollouts
from tests.cli.conftest import desk, empty_desk

__all__ = ["desk", "empty_desk"]

MANIFEST = Path(__file__).parents[2] / "infra" / "slack" / "manifest.yaml"
SECOND = 0.02
CHANNEL = "C0ROLLOUTS"
ANA, BO, CY, EVE, GUEST, BOT, STRANGER, GONE = (
    "U0ANA", "U0BOB", "U0CYR", "U0EVE", "U0GUEST", "U0BOT", "U0STRANGER", "U0GONE",
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "people": {ANA: "ana@example.org", "bo@corp.example": "bo@example.org", CY: "cy@example.org"},
    "groups": {"sre": "S0SRE"},
    "channels": [{"channel": CHANNEL}],
}


def fill(slack: FakeSlack) -> None:
    """Ana and bo of sre, cy of no group, and people who may not speak."""
    people = [
        member(ANA, "ana@corp.example"), member(BO, "bo@corp.example"), member(CY, "cy@corp.example"),
        member(EVE, "eve@corp.example"), member(GUEST, "bo@corp.example", is_restricted=True),
        member(BOT, "ana@corp.example", is_bot=True), member(STRANGER, "bo@corp.example", team_id="T0OTHER"),
        member(GONE, "bo@corp.example", deleted=True),
    ]  # fmt: skip
    slack.workspace.users = {person["id"]: person for person in people}
    slack.workspace.groups = {"S0SRE": [ANA, BO]}
    slack.workspace.channels = {CHANNEL, "C0OTHER", "C0DIGEST"}
    # No right that the manifest does not ask for.
    manifest = YAML(typ="safe").load(MANIFEST.read_text(encoding="utf-8"))
    slack.workspace.scopes = set(manifest["oauth_config"]["scopes"]["bot"])


@dataclass
class Office:
    """A fake Slack, the app, and people's hands."""

    slack: FakeSlack
    folder: Path
    rollouts: MemoryRollouts = field(default_factory=MemoryRollouts)
    apps: list[ChatApp] = field(default_factory=list)
    hands: Hands = field(init=False)

    async def open(self, reach: Rollouts | None = None, **changes: Any) -> ChatApp:
        """Start the app, as a process would."""
        settings = ChatSettings.model_validate({**SETTINGS, **changes.pop("settings", {})})

        async def connect() -> Rollouts:
            found = reach or self.rollouts
            if isinstance(found, MemoryRollouts):
                await found._ready()
            return found

        app = ChatApp(
            settings,
            Secrets(self.slack.token, self.slack.signing_secret, self.slack.app_token),
            Reach(connect),
            self.folder / "chat.sqlite",
            api=self.slack.api,
            pace=changes.pop("pace", Pace(second=SECOND)),
            every=changes.pop("every", 0.05),
            refresh=changes.pop("refresh", 0.1),
            **changes,
        )
        self.apps.append(app)
        await app.begin()
        url = await app.serve_http("127.0.0.1", 0)
        self.hands = Hands(self.slack, f"{url}/slack/events", CHANNEL)
        return app

    async def close(self) -> None:
        """End the app that runs."""
        await self.apps.pop().end()

    async def until(self, met: Callable[[], Any]) -> Any:
        """Wait until something is so."""
        async with asyncio.timeout(60):
            while not (found := met()):
                await asyncio.sleep(0.01)
        return found

    async def root(self, number: int = 0) -> Message:
        """A message of a rollout, once it is there."""
        await self.until(lambda: len(self.slack.workspace.roots()) > number)
        return self.slack.workspace.roots()[number]

    async def has_button(self, root: Message, verb: str) -> None:
        """Wait until a message has a button."""
        await self.until(lambda: f"rollout:{verb}" in root.buttons)

    async def shows(self, root: Message, text: str) -> None:
        """Wait until a message shows this."""
        await self.until(lambda: text in root.shown)

    async def tells(self, root: Message, text: str) -> None:
        """Wait until a thread tells this."""
        await self.until(lambda: text in self.thread(root))

    def thread(self, root: Message) -> str:
        """All a thread tells."""
        return "\n".join(message.text for message in self.slack.workspace.thread(root))

    async def button(self, verb: str, number: int = 0) -> Message:
        """The message, once it has this button."""
        root = await self.root(number)
        await self.until(lambda: f"rollout:{verb}" in root.buttons)
        return root

    async def press(self, verb: str, user: str, reason: str = "") -> str:
        """Click a button, answer its dialog, and hear what came of it."""
        root, views, before = await self.button(verb), len(self.slack.workspace.views), self.heard(user)
        assert (await self.hands.click(root, f"rollout:{verb}", user)).in_time
        view = await self.hands.opened(views, f"rollout:{verb}")
        assert (await self.hands.submit(view, user, reason)).in_time
        return await self.hands.told(user, before)

    def heard(self, user: str) -> int:
        """How many messages this person alone got so far."""
        return sum(one.user == user for one in self.slack.workspace.told)


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    """A Slack with people and channels, whose seconds are short."""
    async with FakeSlack(second=SECOND) as slack:
        fill(slack)
        yield slack


@pytest.fixture
async def office(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[Office]:
    """An office without an app: ``open`` starts one; nothing that Slack would refuse was sent in the end,
    and nothing before a pause was over that Slack had asked for."""
    async with AsyncExitStack() as stack:
        office = Office(slack, tmp_path)

        async def end() -> None:
            for app in office.apps:
                await app.end()

        stack.push_async_callback(end)
        yield office
    assert slack.faults == []
    assert slack.early == []

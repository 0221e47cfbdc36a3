"""Who is who, asked of Slack and remembered for a few minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from coalmine.chat.people import Person, person_of
from coalmine.chat.settings import ChatSettings
from coalmine.chat.web import Slack, SlackRefused
from coalmine.errors import RefusedError

KEPT = 300.0
"""Seconds an answer is believed: so long may somebody speak whose account was deactivated, or who left a group."""
MOST = 5_000


class Directory:
    """The people of one workspace."""

    def __init__(
        self, settings: ChatSettings, slack: Slack, team: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._slack = slack
        self._team = team
        self._clock = clock
        self._found: dict[tuple[str, str], tuple[float, Any]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def who(self, user_id: str) -> Person:
        """Who a user is, with groups.

        Raises:
            RefusedError: nobody we know, or nobody who may speak.
            SlackAway, SlackBusy: Slack does not tell now.
        """
        try:
            profile: Mapping[str, Any] = await self._ask("users.info", "user", user_id)
        except SlackRefused as error:
            if error.code in ("user_not_found", "user_not_visible", "users_not_found"):
                raise RefusedError("Slack does not say who you are: members of this workspace only may speak") from None
            raise
        # Whoever is nobody is refused before any group is asked for.
        person = person_of(self._settings, profile, self._team)
        groups = [name for name, group in self._settings.groups.items() if user_id in await self._members(group)]
        return Person(person.user_id, person.name, tuple(sorted(groups)))

    async def _members(self, group: str) -> list[str]:
        try:
            members: list[str] = await self._ask("usergroups.users.list", "usergroup", group)
        except SlackRefused as error:
            # A group that was deleted has nobody in it; an app that may not look must be mended.
            if error.code in ("no_such_subteam", "subteam_not_found"):
                return []
            raise
        return members

    async def _ask(self, method: str, name: str, of: str) -> Any:
        key = (method, of)
        kept = self._found.get(key)
        if kept is not None and self._clock() - kept[0] < KEPT:
            return kept[1]
        if (asking := self._asking.get(key)) is None:
            # Many who speak at once are of one group: it is asked for once, since Slack allows twenty a minute.
            asking = self._asking[key] = asyncio.create_task(self._ask_slack(method, name, of))
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)

    def _asked(self, key: tuple[str, str], task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # Whoever asked may be gone: then nobody else looks at it.

    async def _ask_slack(self, method: str, name: str, of: str) -> Any:
        now = self._clock()
        answer = await self._slack.call(method, **{name: of})
        found = answer.get("user") or {} if method == "users.info" else answer.get("users") or []
        while len(self._found) >= MOST:
            self._found.pop(next(iter(self._found)))
        self._found[method, of] = (now, found)
        return found

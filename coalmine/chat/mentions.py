"""Whom Slack can mention for the names of a spec: by the settings' ids, and by e-mail where Slack has to be asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from coalmine.chat.people import addresses_of, person_of
from coalmine.chat.settings import ChatSettings
from coalmine.chat.web import Slack, SlackAway, SlackBusy, SlackRefused
from coalmine.errors import RefusedError
from coalmine.identity.names import folded

METHOD = "users.lookupByEmail"
WITHIN = 2.0
"""Seconds a message waits for it; then it goes without these mentions, and others wait for none while ``QUIET``."""
QUIET = 60.0
"""Seconds without a question after Slack did not answer one."""
KEPT = 3_600.0
"""Seconds an id is remembered: longer than ``directory.KEPT``, for a mention lets nobody do anything."""
NOBODY_KEPT = 600.0
"""Seconds it is remembered that Slack knows nobody there, or that we may not ask."""
AT_ONCE = 40
"""Addresses that are asked about for one message: two large groups, and within the 50 a minute that Slack allows at
least (tier 3)."""
MOST = 5_000
_log = logging.getLogger("coalmine.chat")


class Mentions:
    """Groups and people of one workspace, as ``<!subteam^…>`` and ``<@…>`` need them."""

    def __init__(self, settings: ChatSettings, slack: Slack, clock: Callable[[], float] = time.monotonic) -> None:
        self.groups = settings.groups
        """Names of groups -> ids of Slack user groups."""
        self.team = ""
        """The workspace the app belongs to; known once Slack has said it."""
        self._settings = settings
        self._slack = slack
        self._clock = clock
        self._ids = {folded(name): key for key, name in settings.people.items() if "@" not in key}
        self._found: dict[str, tuple[float, str, str]] = {}
        """Address -> until when it counts, the user's id, and the name they speak as; both empty: nobody."""
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._quiet_until = float("-inf")
        self._told = False

    async def people(self, names: Iterable[str]) -> dict[str, str]:
        """Names -> Slack user ids, of those that are known now; never raises, and takes ``WITHIN`` at most."""
        found: dict[str, str] = {}
        open_: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            if name in self.groups:
                continue
            if user_id := self._ids.get(folded(name)):
                found[name] = user_id
            elif addresses := addresses_of(self._settings, name):
                open_[name] = addresses
        await self._look_up(address for addresses in open_.values() for address in addresses)
        for name, addresses in open_.items():
            known = (self._found[address] for address in addresses if address in self._found)
            # The settings may know whoever has this address under another name: it is not them who is asked for.
            if user_id := next((user for _, user, speaks_as in known if user and speaks_as == folded(name)), ""):
                found[name] = user_id
        return found

    async def _look_up(self, addresses: Iterable[str]) -> None:
        now = self._clock()
        unknown = [one for one in dict.fromkeys(addresses) if one not in self._found or self._found[one][0] <= now]
        if not unknown or now < self._quiet_until:
            return
        _, late = await asyncio.wait([self._task(one) for one in unknown[:AT_ONCE]], timeout=WITHIN)
        if late:  # They go on: what they find is for the next message.
            self._quiet_until = self._clock() + QUIET

    def _task(self, address: str) -> asyncio.Task[None]:
        if (task := self._asking.get(address)) is None:
            task = self._asking[address] = asyncio.create_task(self._ask(address))
            task.add_done_callback(lambda _: self._asking.pop(address, None))
        return task

    async def _ask(self, address: str) -> None:
        try:
            answer = await self._slack.call(METHOD, email=address)
            person = person_of(self._settings, answer.get("user") or {}, self.team)
        except SlackBusy as error:
            # It is the client that keeps to the pause: until it is over nothing is sent, and nobody waits.
            _log.info("%s", error)
        except SlackAway as error:
            self._quiet_until = self._clock() + QUIET
            _log.info("%s: mentions by e-mail are left out for a minute", error)
        except SlackRefused as error:
            if error.code == "missing_scope":
                self._quiet_until = self._clock() + NOBODY_KEPT
                self._tell_scope()
                return
            if error.code != "users_not_found":
                _log.warning("%s", error)
            self._keep(address, NOBODY_KEPT)
        except RefusedError:  # A guest, a bot, a deactivated account: nobody who could answer.
            self._keep(address, NOBODY_KEPT)
        else:
            self._keep(address, KEPT, person.user_id, folded(person.name))

    def _keep(self, address: str, seconds: float, user_id: str = "", name: str = "") -> None:
        self._found.pop(address, None)
        while len(self._found) >= MOST:
            self._found.pop(next(iter(self._found)))
        self._found[address] = (self._clock() + seconds, user_id, name)

    def _tell_scope(self) -> None:
        if not self._told:
            _log.warning(
                "people who are known by e-mail are not mentioned: the Slack app has no scope users:read.email; add it "
                "(OAuth & Permissions, as in infra/slack/manifest.yaml) and install the app anew, or name people by id"
            )
        self._told = True

    async def close(self) -> None:
        """End what is still asked."""
        left = list(self._asking.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

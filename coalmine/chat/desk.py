"""What is done with a command, a click or an answer, after Slack has its acknowledgement."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from coalmine.chat import blocks
from coalmine.chat.acts import Act, carry_out
from coalmine.chat.buttons import ACTION, Dialog, Pressed, stale, verb_of
from coalmine.chat.directory import Directory
from coalmine.chat.follow import Follower
from coalmine.chat.grammar import COMMAND, READING, Wanted, help_lines, parse
from coalmine.chat.mrkdwn import cut, escaped, plain_marks
from coalmine.chat.once import Once
from coalmine.chat.people import Person, check_may
from coalmine.chat.reach import Reach
from coalmine.chat.settings import READ
from coalmine.chat.web import Slack, SlackAway, SlackBusy, SlackRefused
from coalmine.cli import _words
from coalmine.client import RolloutRef
from coalmine.errors import CoalmineError, InputError, RefusedError, RolloutNotFound
from coalmine.records import LedgerEntry, RolloutStatus, Verb

LONGEST_ANSWER = 2_900
LISTED = 20
TELLING = 5
"""Tries to tell somebody what came of what they said; a pause that Slack asks for is none."""
TOLD_WITHIN = 1_800.0
"""Seconds: a response_url is good for half an hour."""
DOUBLE_CLICK = 2.0
"""Seconds in which a second click on a button is the same click."""
AGAIN = 10.0
"""Seconds in which the same word of the same person to the same rollout, from another dialog, is the same word, unless
something else was said to the rollout in between."""
A_MOMENT = 1.5
"""Seconds a click waits for what it can be checked by."""
_log = logging.getLogger("coalmine.chat")


@dataclass
class Desk:
    """Takes what people say. Its methods never raise: whatever happens is told to who asked."""

    slack: Slack
    reach: Reach
    directory: Directory
    follower: Follower
    key: Mapping[str, Any] | None = None
    """Signs for people; None: what is said here is unsigned."""
    second: float = 1.0
    """How long a second of Slack's pauses lasts."""
    _clicks: Once = field(default_factory=lambda: Once(DOUBLE_CLICK))
    _acts: Once = field(default_factory=lambda: Once(AGAIN))
    _turns: dict[str, tuple[Verb, int]] = field(default_factory=dict)
    """The last word each rollout took here, and how often it was another one than before."""

    # ---------------------------------------------------------------------------------------- slash commands

    async def command(self, body: Mapping[str, Any]) -> None:
        """``/rollout ...``."""
        url = str(body.get("response_url") or "")
        try:
            wanted = parse(str(body.get("text") or ""))
            if wanted.verb == "help":
                answer = _help(wanted)
            else:
                verb = READ if wanted.verb in READING else wanted.verb
                person = await self._person(str(body.get("user_id") or ""), verb)
                answer = await self._answer(wanted, person, f"command {body.get('trigger_id') or ''}")
        except Exception as error:
            answer = _why(error, f"{COMMAND} {str(body.get('text') or '').split(' ')[0][:20]}")
        await self._tell(answer, url, str(body.get("channel_id") or ""), str(body.get("user_id") or ""))

    async def _answer(self, wanted: Wanted, person: Person, once: str) -> str:
        rollouts = await self.reach()
        if wanted.verb == "list":
            rows = await rollouts.rollouts(
                service=wanted.service, environment=wanted.environment, region=wanted.region, limit=LISTED
            )
            lines = [
                f"• {escaped(row.service)} {escaped(row.version)} in {escaped(row.environment)}"
                f"{f' ({escaped(row.region)})' if row.region else ''}: "
                f"{escaped((row.outcome or row.phase).replace('_', ' '))} at {row.canary_weight:g} %"
                for row in rows
            ]
            return "\n".join(lines) or "no rollouts"
        ref = await rollouts.find(wanted.rollout, wanted.environment, wanted.region)
        if wanted.verb == "status":
            status = await rollouts.status(ref)
            return f"```{escaped(_words.page(status, datetime.now(UTC))).replace('```', chr(39) * 3)}```"
        if wanted.verb == "decisions":
            entries = [entry for entry in (await rollouts.decisions(ref)).entries if entry.kind != "look"]
            return "\n".join(_entry(entry) for entry in entries[-15:]) or "nothing was decided yet"
        act = Act(
            Verb(wanted.verb),
            reason=wanted.reason,
            gate=wanted.gate,
            attempt=wanted.attempt,
            longer=wanted.longer,
            break_glass=wanted.break_glass,
            once=_short(once),
        )
        receipt = await carry_out(rollouts, ref, act, person, self.key, unasked=ref)
        self.follower.look_at(ref.workflow_id)
        return f"{escaped(ref.workflow_id)}: {plain_marks(receipt.message)}"

    # ---------------------------------------------------------------------------------------- buttons

    async def click(self, body: Mapping[str, Any], action: Mapping[str, Any]) -> None:
        """A button: its dialog is opened, unless the button is stale or whoever pressed it may not."""
        user, channel, url = _user(body), _channel(body), str(body.get("response_url") or "")
        verb, value = str(action.get("action_id") or "").removeprefix(ACTION), str(action.get("value") or "")
        click = ""
        try:
            said, asked = verb_of(action.get("action_id")), Pressed.of_value(value)
            click = f"{user} {verb} {self._turn(asked.rollout_id, said)} {value}"
            if not self._clicks.first(click):
                return  # The dialog is there already.
            status = await self._checked(asked, said, user)
            carried = Dialog(asked.workflow_id, asked.rollout_id, asked.gate, asked.attempt, channel, url)
            view = blocks.dialog(said, carried, status)
            await self.slack.call("views.open", trigger_id=str(body.get("trigger_id") or ""), view=view)
        except Exception as error:
            self._clicks.forget(click)
            await self._tell(_why(error, f"the button {verb[:20]}"), url, channel, user)

    async def turn_away(self, body: Mapping[str, Any], why: str) -> None:
        """Tell who pressed a button that nothing was done, and why."""
        await self._tell(f"⚠️ {why}", str(body.get("response_url") or ""), _channel(body), _user(body))

    async def _checked(self, asked: Pressed, verb: Verb, user: str) -> RolloutStatus | None:
        """Refuse what can be refused before a dialog; the rollout, where it is known.

        Slack takes a dialog within three seconds of the click only, so neither Temporal nor Slack is waited for
        longer than a moment: all of it is checked again when the dialog is answered.
        """
        known = self.follower.status_of(asked.workflow_id)
        checks: list[asyncio.Task[Any]] = [asyncio.create_task(self._person(user, verb))]
        if known is None:
            checks.append(asyncio.create_task(self._current(asked)))
        done, late = await asyncio.wait(checks, timeout=A_MOMENT)
        for task in late:
            task.cancel()
        for task in done:
            error = task.exception()
            if isinstance(error, RefusedError | RolloutNotFound | SlackRefused):
                raise error
            if error is None and isinstance(task.result(), RolloutStatus):
                known = task.result()
        if known is not None and (why := stale(asked, verb, known)):
            raise RefusedError(why)
        return known

    async def _person(self, user: str, verb: str) -> Person:
        person = await self.directory.who(user)
        check_may(self.follower.settings, person, verb)
        return person

    async def _current(self, asked: Pressed) -> Any:
        return await (await self.reach()).status(RolloutRef(asked.workflow_id))

    # ---------------------------------------------------------------------------------------- dialogs

    async def submit(self, body: Mapping[str, Any], reason: str) -> None:
        """A dialog that was answered: the word is said."""
        view, user = body.get("view") or {}, _user(body)
        channel = url = act_key = ""
        try:
            dialog = Dialog.of_text(view.get("private_metadata"))
            channel, url = dialog.channel, dialog.url
            verb = verb_of(view.get("callback_id"))
            person = await self._person(user, verb)
            key = f"{user} {verb} {self._turn(dialog.rollout_id, verb)} {dialog.asked.value()}"
            # The dialog is there no more: the next click on its button, however soon, is no second one.
            self._clicks.forget(key)
            if not self._acts.first(key):
                raise RefusedError(f"you said {verb} a moment ago: it is said once, and nothing is said twice")
            act_key = key
            act = Act(verb, dialog.asked, reason, once=_short(f"view {view.get('id')}"))
            board = self.follower.boards.get(dialog.rollout_id)
            # The run that this rollout was seen in last: never that of another one.
            left = RolloutRef(dialog.workflow_id, board.kept.run_id) if board and board.kept.run_id else None
            rollouts = await self.reach()
            receipt = await carry_out(rollouts, RolloutRef(dialog.workflow_id), act, person, self.key, unasked=left)
            self._turns[dialog.rollout_id] = (verb, self._turn(dialog.rollout_id, verb))
            answer = f"{escaped(dialog.rollout_id)}: {plain_marks(receipt.message)}"
            self.follower.look_at(dialog.workflow_id)
        except Exception as error:
            self._acts.forget(act_key)
            answer = _why(error, "what you said in the dialog")
        await self._tell(answer, url, channel, user)

    def _turn(self, rollout_id: str, verb: Verb) -> int:
        """Which turn of the rollout this word belongs to: the one that stands when it is what was said last."""
        last, turn = self._turns.get(rollout_id, (None, 0))
        return turn if last is verb else turn + 1

    # ---------------------------------------------------------------------------------------- answering

    async def _tell(self, text: str, url: str, channel: str, user: str) -> None:
        """Tell one person; by the ``response_url``, and where that is used up or gone, in the channel."""
        text = cut(text, LONGEST_ANSWER)
        tries, clock = 0, asyncio.get_running_loop().time
        until = clock() + TOLD_WITHIN * self.second
        while tries < TELLING and clock() < until:
            try:
                if url:
                    await self.slack.respond(url, text)
                else:
                    await self.slack.call("chat.postEphemeral", channel=channel or user, user=user, text=text)
                return
            except SlackBusy as error:
                await asyncio.sleep(error.seconds * self.second)
            except SlackAway:
                await asyncio.sleep(2.0**tries * self.second)
                tries += 1
            except SlackRefused as error:
                if not url:
                    _log.error("%s was not told: %s", user, error)
                    return
                url = ""
            except Exception:
                _log.exception("%s was not told", user)
                return
        _log.error("%s was not told, since Slack does not answer: %s", user, text[:200])


def _help(wanted: Wanted) -> str:
    lines = help_lines(wanted.about)
    return "```" + escaped("\n".join(lines)) + "```\nA ROLLOUT is a service, environment/service, or a rollout id."


def _entry(entry: LedgerEntry) -> str:
    by = f" {escaped(entry.by)}" if entry.by else ""
    return f"{entry.at:%H:%M:%S} {plain_marks(entry.kind)}{by}: {cut(plain_marks(entry.reason), 180)}"


def _why(error: Exception, what: str) -> str:
    """What went wrong, for the person who asked."""
    if isinstance(error, RefusedError):
        return f"🚫 refused: {escaped(str(error))}"
    if isinstance(error, InputError | RolloutNotFound):
        return f"🚫 {escaped(str(error))}"
    if isinstance(error, SlackAway | SlackBusy | SlackRefused):
        return f"⚠️ {escaped(what)}: it was not said, because Slack does not play along: {escaped(str(error))}"
    if isinstance(error, CoalmineError):
        # Its words name who does not answer: Temporal, the workers, or a workflow that somebody paused.
        return f"⚠️ {escaped(what)}: it was not said: {escaped(str(error))}"
    if isinstance(error, ValueError):
        return f"🚫 {escaped(what)} cannot be used: {escaped(str(error))}"
    _log.exception("%s failed", what, exc_info=error)
    return f"⚠️ {escaped(what)}: an error of the chat app ({type(error).__name__}); its log tells more"


def _short(once: str) -> str:
    """An id that Temporal takes, whatever Slack's is."""
    return f"slack-{hashlib.sha256(once.encode()).hexdigest()[:40]}"


def _user(body: Mapping[str, Any]) -> str:
    return str((body.get("user") or {}).get("id") or "")


def _channel(body: Mapping[str, Any]) -> str:
    container = body.get("container") or {}
    return str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")

"""The one message of a rollout, and its dialogs, as Block Kit. Pure: a status in, blocks out, within Slack's limits."""

from __future__ import annotations

from typing import Any

from coalmine.chat import mrkdwn
from coalmine.chat.buttons import ACTION, BUTTONS, LONGEST_VALUE, Dialog, offered, pressed
from coalmine.chat.mrkdwn import cut, escaped, plain_cut
from coalmine.cli import _words
from coalmine.console import submitter
from coalmine.queueing import line_text
from coalmine.records import LedgerEntry, MetricVerdict, Outcome, Phase, RolloutStatus, Verb
from coalmine.standing import restored_text

Block = dict[str, Any]
SECTION = 3_000
HEADER = 150
CONTEXT = 2_000
LABEL = 75
TITLE = 24
FREE_TEXT = 300
"""Characters of one free text in the message; all of it is in the thread or in ``coalmine decisions``."""
MOST_VERDICTS = 12
LONGEST_METADATA = 3_000
LONGEST_REASON = 2_000
"""``coalmine.command_input.LONGEST_TEXT``: more would be refused."""
_VERDICTS = {"pass": "✓", "fail": "✗", "inconclusive": "…", "no_data": "∅"}
_PHASES = {Phase.HELD: "🟡", Phase.GATED: "🟡", Phase.ROLLING_BACK: "🔴"}
_OUTCOMES = {Outcome.PROMOTED: "🟢", Outcome.SUPERSEDED: "⚪", Outcome.BLOCKED: "⚪"}
_WHAT = {
    Verb.APPROVE: "Open gate {gate} of *{change}*.",
    Verb.REJECT: "Say no: *{change}* goes back, and its traffic with it.",
    Verb.PAUSE: "*{change}* stops advancing. Looks go on, and harm still rolls it back.",
    Verb.RESUME: "*{change}* goes on. What held it is taken note of.",
    Verb.PROMOTE: "*{change}* goes to 100 % now, past steps, gates and the proof of no harm. It is recorded as an "
    "override, with your reason.",
    Verb.ROLLBACK: "The route of *{change}* is restored as it was. It interrupts whatever is going on.",
}


def message(
    status: RolloutStatus, said: LedgerEntry | None = None, link: str | None = None, trouble: str = ""
) -> list[Block]:
    """The message: where the rollout stands, what it waits for, what is judged, who said what last, and buttons.

    Args:
        status: of the rollout.
        said: the last thing people said that was taken.
        link: where the Temporal UI shows it.
        trouble: why nothing newer is known.
    """
    blocks: list[Block] = [
        {"type": "header", "text": _plain(f"{_mark(status)} {_words.versions(status)}", HEADER)},
        _section("\n".join(_facts(status))),
    ]
    if trouble:
        blocks.append(_section(f"⚠️ *What stands here is not the newest:* {escaped(plain_cut(trouble, FREE_TEXT))}"))
    verdicts = [_verdict(one) for one in status.verdicts[:MOST_VERDICTS]]
    if len(status.verdicts) > MOST_VERDICTS:
        verdicts.append(f"… and {len(status.verdicts) - MOST_VERDICTS} more")
    if verdicts:
        blocks.append(_section("\n".join(verdicts)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": cut(text, CONTEXT)} for text in
                                                   _small(status, said, link)]})  # fmt: skip
    if buttons := _buttons(status):
        blocks.append({"type": "actions", "elements": buttons})
    return blocks


def summary(status: RolloutStatus) -> str:
    """The message in one line, for notifications; escaped."""
    return cut(f"{_mark(status)} {escaped(_words.headline(status))}", SECTION)


def _mark(status: RolloutStatus) -> str:
    if status.outcome is not None:
        return _OUTCOMES.get(status.outcome, "🔴")
    return "⏸️" if status.paused else _PHASES.get(status.phase, "🔵")


def _facts(status: RolloutStatus) -> list[str]:
    facts = [f"*{escaped(_words.standing(status))}* in {escaped(_words.place(status))}"]
    steps = _words.steps(status)
    if steps and status.phase is not Phase.CLOSED:
        facts.append(mrkdwn.code(steps))
    if status.advise:
        facts.append("*advice only*: no traffic is shifted")
    if status.phase is Phase.HELD and status.held_reason:
        facts.append(f"*held:* {_free(status.held_reason)}")
    if gate := _words.gate(status):
        facts.append(f"*gate* {_free(gate)}")
    if status.deadline_at is not None and status.outcome is None:
        facts.append(f"*deadline:* {mrkdwn.moment(status.deadline_at)}")
    if status.unmet and status.outcome is None and status.phase is not Phase.GATED:
        facts.append(f"*not yet:* {_free('; '.join(status.unmet))}")
    if status.outcome is not None or status.phase in (Phase.CLOSED, Phase.ROLLING_BACK):
        facts += [_free(status.reason)] if status.reason else []
    if status.restored is not None and (restored := restored_text(status)):
        facts.append(f"*restored:* {_free(restored)}")
    if status.diagnosis is not None:
        facts.append(f"*points to the cause:* {_free(status.diagnosis.sentence)}")
    if status.waiting:
        facts.append(f"*next:* {_free(line_text(status.waiting))}")
    return facts


def _verdict(verdict: MetricVerdict) -> str:
    role = " (signal)" if verdict.role == "signal" else ""
    said = verdict.sentence or f"{verdict.verdict.replace('_', ' ')} {_words.effect(verdict)}".strip()
    return f"{_VERDICTS[verdict.verdict]} *{mrkdwn.plain_marks(verdict.metric)}*{role} {_free(said)}"


def _small(status: RolloutStatus, said: LedgerEntry | None, link: str | None) -> list[str]:
    lines = []
    if said is not None:
        lines.append(last_word(said))
    by = escaped(submitter(status.by, status.starter))
    started = f", {mrkdwn.moment(status.started_at)}" if status.started_at else ""
    where = f"{mrkdwn.code(status.rollout_id or status.workflow_id)} by {by or 'nobody on record'}{started}"
    if status.looks:
        where += f" · {status.looks:,} looks, {status.canary_requests:,} canary requests"
    lines.append(where)
    if link:
        lines.append(mrkdwn.link(link, "in the Temporal UI"))
    return lines


def last_word(entry: LedgerEntry) -> str:
    """Who did what, and why: of a ``command`` that was taken."""
    verb = str(entry.data.get("verb", ""))
    why = str(entry.data.get("said") or "")
    checked = "" if entry.data.get("verified", False) else " (unsigned)"
    told = f"*{mrkdwn.plain_marks(verb)}* by {escaped(entry.by)}{checked}, {mrkdwn.moment(entry.at)}"
    return f"{told}: {_free(entry.reason)}" + (f" — “{_free(why)}”" if why else "")


def _free(text: str) -> str:
    return cut(mrkdwn.plain_marks(text), FREE_TEXT)


def _buttons(status: RolloutStatus) -> list[Block]:
    buttons = []
    for verb in offered(status):
        label, style = BUTTONS[verb]
        value = pressed(status, verb).value()
        if len(value) > LONGEST_VALUE:
            return []
        button: Block = {"type": "button", "action_id": f"{ACTION}{verb}", "text": _plain(label, LABEL), "value": value}
        buttons.append(button | ({"style": style} if style else {}))
    return buttons


def dialog(verb: Verb, carried: Dialog, status: RolloutStatus | None) -> Block:
    """The dialog that a button opens: what will happen, and why.

    Args:
        verb: of the button.
        carried: what the dialog hands on.
        status: of the rollout, when it is known already.
    """
    label = BUTTONS[verb][0]
    named = _words.versions(status) if status is not None else carried.rollout_id
    gate = mrkdwn.code(carried.gate) if carried.gate else "that waits"
    what = _WHAT[verb].format(change=mrkdwn.plain_marks(named), gate=gate)
    needed = verb is Verb.PROMOTE
    asked: Block = {
        "type": "input",
        "block_id": "reason",
        "optional": not needed,
        "label": _plain("Reason" if needed else "Reason (if there is one to tell)", LABEL),
        "element": {
            "type": "plain_text_input", "action_id": "text", "multiline": True, "max_length": LONGEST_REASON,
            "placeholder": _plain("goes into the record, and is shown here", LABEL),
        },
    }  # fmt: skip
    text = carried.text()
    if len(text) > LONGEST_METADATA:  # An address beyond measure: the answer goes to the channel instead.
        text = Dialog(carried.workflow_id, carried.rollout_id, carried.gate, carried.attempt, carried.channel).text()
    return {
        "type": "modal",
        "callback_id": f"{ACTION}{verb}",
        "title": _plain(label, TITLE),
        "submit": _plain(label, TITLE),
        "close": _plain("Cancel", TITLE),
        "private_metadata": text,
        "blocks": [_section(f"{what}\n{mrkdwn.code(carried.rollout_id)}"), asked],
    }


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION)}}


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": plain_cut(text, limit), "emoji": True}

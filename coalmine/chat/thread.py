"""What the thread under a rollout's message says: an entry of the record in words, and who is mentioned. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coalmine.chat import mrkdwn
from coalmine.chat.blocks import SECTION, last_word
from coalmine.chat.mrkdwn import cut, escaped, plain_marks
from coalmine.identity.names import folded
from coalmine.records import LedgerEntry, MetricVerdict, RolloutStatus

UNTOLD = frozenset({"look", "archived", "undelivered"})
"""Kinds of entries that the thread leaves out: looks are in the message, the others are the worker's own affair."""
LOUD = frozenset(
    {"escalated", "roll_back", "hold", "break_glass", "restore_failed", "restore_slow", "recalled", "promoted"}
)
"""Kinds that are shown in the channel too."""
MENTIONING = frozenset({"gate", "reminded", "escalated"})
_WITH_VERDICTS = frozenset({"roll_back", "hold", "promote", "override"})
_TEXT = 700
MOST_LINES = 12
"""Entries in one message of the thread."""


@dataclass(frozen=True)
class Told:
    """One message of a thread: entries up to ``sequence``."""

    sequence: int
    text: str
    broadcast: bool = False


def next_message(
    entries: Sequence[LedgerEntry],
    after: int,
    status: RolloutStatus,
    groups: Mapping[str, str],
    people: Mapping[str, str],
) -> Told | None:
    """The next message of the thread; None when all is told.

    Args:
        entries: of the record, oldest first.
        after: the sequence that was told last.
        status: of the rollout: whom its gate asks for, and what is judged.
        groups: names of groups -> ids of Slack user groups.
        people: names of people -> Slack user ids.
    """
    fresh = [entry for entry in entries if entry.sequence > after]
    if not fresh:
        return None
    lines: list[str] = []
    gap = fresh[0].sequence - after - 1
    if after and gap > 0:
        lines.append(f"… {gap} entries, looks among them, are in the ledger alone (`coalmine decisions --ledger`)")
    told, broadcast, size, begun = after, False, 0, False
    for entry in fresh:
        line = "" if entry.kind in UNTOLD else _line(entry, status, groups, people)
        loud = entry.kind in LOUD
        if begun and line and (size + len(line) > SECTION - 200 or len(lines) >= MOST_LINES or loud != broadcast):
            break
        told = entry.sequence
        if line:
            broadcast, begun = loud, True
            lines.append(line)
            size += len(line) + 1
    if not lines:
        return Told(told, "")
    return Told(told, cut("\n".join(lines), SECTION), broadcast)


def asked(entries: Sequence[LedgerEntry], after: int, status: RolloutStatus, groups: Mapping[str, str]) -> list[str]:
    """Whom the entries after ``after`` would mention, in order: Slack's groups, and people."""
    waiting = (entry for entry in entries if entry.sequence > after and entry.kind in MENTIONING)
    return list(dict.fromkeys(name for entry in waiting for name in _asked(entry, status, groups)))


def _line(entry: LedgerEntry, status: RolloutStatus, groups: Mapping[str, str], people: Mapping[str, str]) -> str:
    if entry.kind == "command":
        return f"{_clock(entry)} {last_word(entry)}"
    if entry.kind == "refused":
        verb = plain_marks(str(entry.data.get("verb", "")))
        return f"{_clock(entry)} *refused* {verb} by {escaped(entry.by) or 'somebody'}: {_free(entry.reason)}"
    line = f"{_clock(entry)} *{plain_marks(entry.kind.replace('_', ' '))}* {_free(entry.reason)}".rstrip()
    if entry.by:
        line += f" ({escaped(entry.by)})"
    if entry.kind in MENTIONING:
        mentions = mentioned(_asked(entry, status, groups), groups, people)
        line += f"\n{mentions}" if mentions else ""
    if entry.kind in _WITH_VERDICTS:
        line += "".join(f"\n  • {_verdict(one)}" for one in status.verdicts[:8] if one.sentence)
    if entry.kind == "diagnosis" and status.diagnosis is not None:
        links = [mrkdwn.link(link.url, link.name) for link in status.diagnosis.links[:5]]
        line += f"\n{' · '.join(links)}" if links else ""
    return line


def _asked(entry: LedgerEntry, status: RolloutStatus, groups: Mapping[str, str]) -> list[str]:
    """Whom this entry asks: the names of an escalation, else those of the gate that waits.

    A group that Slack has none for stands for its members, as the entry names them.
    """
    members = entry.data.get("members") or {}
    names = _names(entry, status)
    return [who for name in names for who in ([name] if name in groups else members.get(name, [name]))]


def _names(entry: LedgerEntry, status: RolloutStatus) -> list[str]:
    to = entry.data.get("to")
    if entry.kind == "escalated" and isinstance(to, list):
        return [str(name) for name in to]
    gate = status.gate
    waits = gate is not None and gate.state == "waiting" and gate.name == entry.data.get("gate")
    return list(gate.by) if waits and gate is not None else []


def mentioned(names: Sequence[str], groups: Mapping[str, str], people: Mapping[str, str]) -> str:
    """Groups and people as mentions; whoever Slack does not know is left out: the entry names them."""
    known = {folded(name): user_id for name, user_id in people.items()}
    found = []
    for name in names:
        if name in groups:
            found.append(mrkdwn.group(groups[name]))
        elif folded(name) in known:
            found.append(mrkdwn.user(known[folded(name)]))
    return " ".join(dict.fromkeys(found))


def _verdict(verdict: MetricVerdict) -> str:
    return f"{plain_marks(verdict.metric)}: {_free(verdict.sentence)}"


def _clock(entry: LedgerEntry) -> str:
    return f"<!date^{int(entry.at.timestamp())}^{{time_secs}}|{entry.at:%H:%M:%S}Z>"


def _free(text: str) -> str:
    return cut(plain_marks(text), _TEXT)

"""Text as Slack shows it: escaped, so that nobody's words mention or link anything, and cut where Slack would refuse.

Lengths are of the text as it is sent, escapes included: that is never fewer than Slack counts. Pure.
"""

from __future__ import annotations

from datetime import datetime

CUT = "… (cut)"
"""Ends a text that was longer than Slack takes: the whole of it is in ``coalmine status`` and ``decisions``."""
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = str.maketrans({"`": "'", "*": "∗", "_": "\u02cd", "~": "∼"})


def escaped(text: str) -> str:
    """Words of people or programs for a mrkdwn text: ``<!channel>`` mentions nobody, and no link hides another.

    Slack reads only ``&``, ``<`` and ``>`` as control characters.
    """
    return "".join(_ESCAPES.get(char, char) for char in shown(text))


def shown(text: str) -> str:
    """Without characters that cannot be seen: they could turn the direction of writing around."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def code(text: str) -> str:
    """As code: a name or an id, on one line."""
    return f"`{escaped(' '.join(text.split())).translate({ord('`'): chr(39)})}`"


def plain_marks(text: str) -> str:
    """Escaped, and on one line, with look-alikes in place of what Slack would set bold, struck or as code."""
    return escaped(" ".join(text.split())).translate(_MARKS)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters; says that it was cut, and never ends within an escape, a mention or a link."""
    if len(text) <= limit:
        return text
    kept = text[: limit - len(CUT)]
    opened = kept.rfind("<")
    if opened > kept.rfind(">"):
        kept = kept[:opened]
    ampersand = kept.rfind("&")
    if ampersand >= 0 and ";" not in kept[ampersand:]:
        kept = kept[:ampersand]
    return kept + CUT


def plain_cut(text: str, limit: int) -> str:
    """For a plain_text object, which has no escapes and one line; at most ``limit`` characters."""
    flat = " ".join(shown(text).split()) or "–"
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def link(url: str, text: str) -> str:
    """A link; a URL with a character that would end it is shown as text."""
    if any(char in url for char in "<>|") or not url.startswith(("http://", "https://")):
        return escaped(text)
    return f"<{url.replace('&', '&amp;')}|{escaped(text).replace('|', '/')}>"


def moment(at: datetime) -> str:
    """A moment in the reader's own time zone; UTC where Slack cannot."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>"


def user(user_id: str) -> str:
    """A mention of one person."""
    return f"<@{user_id}>"


def group(group_id: str) -> str:
    """A mention of a user group."""
    return f"<!subteam^{group_id}>"

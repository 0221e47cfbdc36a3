"""Markdown as the Temporal UI shows it. Pure.

The UI's style sheet takes all space between the columns of a table, and shows each line break of a paragraph.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

GAP = "\u00a0\u00a0"
"""Between two columns: no-break spaces, because others at the end of a cell are dropped."""

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; a column whose head ends in a colon (not shown) is aligned to the right."""
    lines = [_row([name.removesuffix(":") for name in head])]
    lines.append("|" + "|".join("---:" if name.endswith(":") else ":---" for name in head) + "|")
    return "\n".join([*lines, *(_row(row) for row in rows)])


def cell(text: str, limit: int) -> str:
    """Text of people on one line, without what would end a cell, cut to a number of characters."""
    flat = text.replace("|", "/").replace("\n", " ")
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", text)


def code(text: str) -> str:
    """Code within a line: its quotes and dashes stay as they are, so that it can be copied."""
    flat = text.replace("\n", " ")
    ticks = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    return f"{ticks} {flat} {ticks}" if len(ticks) > 1 else f"`{flat}`"


def url_length(text: str) -> int:
    """Bytes of a text in a URL, as a browser encodes it (RFC 3986: three for each byte that is not unreserved)."""
    encoded = text.encode("utf-8", "replace")
    return 3 * len(encoded) - 2 * len(_UNRESERVED.findall(encoded))


def _row(cells: Sequence[object]) -> str:
    return "| " + f"{GAP} | ".join(str(one) for one in cells) + " |"

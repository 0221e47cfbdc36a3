"""Text of other people's on a terminal or a page: shown, never obeyed. Pure."""

from __future__ import annotations

import re

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, clears lines or turns the direction of writing; lines and tabs stay."""


def harmless(text: str) -> str:
    r"""What would be obeyed is spelled out (``\x1b``): a reason could rewrite the lines of an audit above it."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def harmless_json(text: str) -> str:
    """The same of JSON, which spells the first 32 out itself; what is read from it stays the same."""
    return _OBEYED.sub(lambda found: found[0] if found[0] < " " else f"\\u{ord(found[0]):04x}", text)
